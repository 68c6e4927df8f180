// What messages that one client was sent hold until they are acknowledged: their bytes, in case they come again.
//
// Packed one behind the other in one block, thirteen bytes each besides their own, or as views: those that somebody
// waits for, and those whose bytes other sessions have, too. A view is made of packed bytes only to send them again.
//
//   packet id (2) | packed view (packed-view.ts)
//
//   keep() ──► behind the last ──► letGo()
//                  └ no room: those that are left move into another block, twice as large as they are
//
// The block comes from a pool and goes back when nothing is left in it. What stays for long moves when others come, so
// the block is never larger than four times what was in it at once. Bounded by brokerUnderWayBytesMax. Policy when
// full: a view. All bytes count against the session's queue.

import type { Buffer } from 'node:buffer';
import { brokerUnderWayBytesMax } from '../limits.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { InflightWindow } from './inflight.ts';
import type { OutboundQueue } from './outbound-queue.ts';
import { behindPacked, packedBodyBytes, packedBytes, packView, unpackView } from './packed-view.ts';
import type { PendingMessage } from './pending-message.ts';

const idBytes = 2;
/** The first block holds so many like the first message. */
const perBlockMin = 8;

export class UnderWay {
  readonly #queue: Pick<OutboundQueue, 'keep' | 'release'>;
  readonly #window: Pick<InflightWindow, 'get'>;
  readonly #blocks: BufferPool;
  #block: Buffer | undefined;
  #end = 0;
  /** Bytes of what was not let go. */
  #left = 0;
  #view: PublishView | undefined;

  constructor(queue: Pick<OutboundQueue, 'keep' | 'release'>, window: Pick<InflightWindow, 'get'>, blocks: BufferPool) {
    this.#queue = queue;
    this.#window = window;
    this.#blocks = blocks;
  }

  /** Keeps what `message` has in its view: packed, under its packet id in the window, or as the view when that is 0. */
  keep(message: PendingMessage, packetId: number): void {
    const { view } = message;
    if (view === undefined) return;
    this.#queue.keep(view.keptBytes);
    if (packetId > 0) message.place = this.#pack(view, packetId);
    message.view = message.place < 0 ? view.kept() : undefined;
  }

  /** What was kept of `message`; undefined when it was let go. Packed, it is borrowed until the next call. */
  viewOf({ view, place }: PendingMessage): PublishView | undefined {
    const block = this.#block;
    if (place < 0 || block === undefined) return view;
    this.#view ??= new PublishView();
    unpackView(block, place + idBytes, this.#view);
    return this.#view;
  }

  /** What was kept of `message` is not needed any more. */
  letGo(message: PendingMessage): void {
    const { view, place } = message;
    if (view !== undefined) this.#queue.release(view.keptBytes);
    message.view = undefined;
    const block = this.#block;
    if (place < 0 || block === undefined) return;
    message.place = -1;
    this.#queue.release(packedBodyBytes(block, place + idBytes));
    this.#left -= behindPacked(block, place + idBytes) - place;
    if (this.#left > 0) return;
    this.#blocks.give(block);
    this.#block = undefined;
    this.#end = 0;
  }

  /** The place of a copy of `view`; -1 when there is no room. */
  #pack(view: PublishView, packetId: number): number {
    const bytes = idBytes + packedBytes(view);
    if (this.#left + bytes > brokerUnderWayBytesMax) return -1;
    let block = this.#block;
    if (block === undefined || this.#end + bytes > block.length) block = this.#move(bytes);
    const place = this.#end;
    block.writeUInt16LE(packetId, place);
    this.#end = packView(view, block, place + idBytes);
    this.#left += bytes;
    return place;
  }

  /** Moves what is left into a block that has room for `bytes` more. */
  #move(bytes: number): Buffer {
    const before = this.#block;
    const block = this.#blocks.take(before === undefined ? perBlockMin * bytes : 2 * (this.#left + bytes));
    let into = 0;
    for (let at = 0; before !== undefined && at < this.#end; ) {
      const behind = behindPacked(before, at + idBytes);
      const message = this.#window.get(before.readUInt16LE(at));
      if (message?.place === at) {
        before.copy(block, into, at, behind);
        message.place = into;
        into += behind - at;
      }
      at = behind;
    }
    if (before !== undefined) this.#blocks.give(before);
    this.#block = block;
    this.#end = into;
    return block;
  }
}
