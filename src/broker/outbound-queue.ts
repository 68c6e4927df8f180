// QoS 1 and 2 messages that wait for one client: for a place in its window, room in its output, or its return. Those
// that left and are kept until they are acknowledged count against the same bytes.
//
//   push() ──► blocks of packed messages (message-block.ts), one behind the other ──► first, shift()
//                 └ between them, as they came: messages that are objects
//
// Bounded by messages and bytes, its own and those of all sessions together. Policy when full: the newest is not
// taken (`reject`); the caller counts it, or tells the service that wanted to deliver it.
//
// No queue may hold more than what is still free for all: n greedy ones come to rest at 1/(n+1) of the whole each,
// and leave as much to a client that is only behind for a moment (dynamic thresholds, Choudhury and Hahne 1998).
//
// Blocks come from a pool and go back to it: what passes through a queue leaves nothing to the garbage collector.
// Objects stay messages that somebody waits for, large ones, and those that many sessions share: their bytes are in
// memory once, and a copy for each would be more.

import { strict as assert } from 'node:assert';
import { brokerQueueBlockBytesMax } from '../limits.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import type { BufferPool } from './buffer-pool.ts';
import { MessageBlock, recordBytes } from './message-block.ts';
import type { QueuedMessage } from './pending-message.ts';

export interface QueueShare {
  readonly queued: { bytes: number; messages: number };
  readonly blocks: BufferPool;
  /** What is being published, and how many sessions it is for. */
  readonly outcome: { readonly receivers: number };
  readonly limits: {
    readonly queueMessagesMax: number;
    readonly queueBytesMax: number;
    readonly queueBytesTotalMax: number;
  };
}

/** A block holds at least so many messages, or they are objects. */
const perBlockMin = 8;
/** Up to so many bytes a copy costs no more than the object that would share them. */
const sharedBytesMin = 256;
const compactAfter = 256;

export class OutboundQueue {
  readonly #share: QueueShare;
  /** In their order: messages, and blocks that are not empty. */
  #parts: (QueuedMessage | MessageBlock)[] = [];
  #head = 0;
  #length = 0;
  #bytes = 0;
  /** The first message, when it was asked for and lies in a block; its bytes are behind the view. */
  #first: QueuedMessage | undefined;
  #view: PublishView | undefined;

  constructor(share: QueueShare) {
    this.#share = share;
  }

  get length(): number {
    return this.#length;
  }

  /** Its view may be borrowed from the queue: valid until the next call that changes a queue. */
  get first(): QueuedMessage | undefined {
    const part = this.#parts[this.#head];
    if (!(part instanceof MessageBlock)) return part;
    this.#first ??= part.first(this.#viewOf());
    return this.#first;
  }

  /** Less than half of its bounds are left. */
  get isLong(): boolean {
    const { queueMessagesMax, queueBytesMax } = this.#share.limits;
    return this.#length * 2 > queueMessagesMax || this.#bytes * 2 > queueBytesMax;
  }

  /** More than three quarters of its bounds are left. */
  get isShort(): boolean {
    const { queueMessagesMax, queueBytesMax } = this.#share.limits;
    return this.#length * 4 < queueMessagesMax && this.#bytes * 4 < queueBytesMax;
  }

  /** Whether a message of `bytes` would be taken. */
  hasRoom(bytes: number): boolean {
    const { limits, queued } = this.#share;
    if (this.#length >= limits.queueMessagesMax || this.#bytes + bytes > limits.queueBytesMax) return false;
    return this.#bytes + bytes <= limits.queueBytesTotalMax - queued.bytes;
  }

  /** Takes `message`, whose view need not be kept. False when it is full. */
  push(message: QueuedMessage): boolean {
    if (!this.hasRoom(message.view.keptBytes)) return false;
    this.restore(message);
    return true;
  }

  /** Puts back what the session store had: it was bounded when it came, so it is taken whatever the bounds are now. */
  restore(message: QueuedMessage): void {
    this.#count(1, message.view.keptBytes);
    this.#append(message);
  }

  /** The message that was the first; a borrowed view stays valid until the next call that changes a queue. */
  shift(): QueuedMessage | undefined {
    const { first } = this;
    const part = this.#parts[this.#head];
    if (first === undefined || part === undefined) return undefined;
    this.#first = undefined;
    if (part instanceof MessageBlock) {
      this.#count(-1, -part.firstBytes);
      part.shift();
      if (part.length > 0) return first;
      this.#share.blocks.give(part.buffer);
    } else {
      this.#count(-1, -part.view.keptBytes);
    }
    this.#head++;
    if (this.#head === this.#parts.length || this.#head >= compactAfter) {
      this.#parts = this.#parts.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }

  /** A message that left is kept until it is acknowledged: its bytes count as if it waited here. */
  keep(bytes: number): void {
    this.#countKept(1, bytes);
  }

  /** What was kept need not be any more. */
  release(bytes: number): void {
    this.#countKept(-1, -bytes);
  }

  /** Whether `message` is to be packed, rather than an object whose bytes others have, too. */
  packs(message: QueuedMessage): boolean {
    const bytes = recordBytes(message);
    if (bytes === undefined) return false;
    if (bytes <= sharedBytesMin) return true;
    return bytes * perBlockMin <= brokerQueueBlockBytesMax && this.#share.outcome.receivers <= 1;
  }

  /** Removes the messages that are `gone`, which is asked for each in their order and may keep nothing of it. */
  removeIf(gone: (message: QueuedMessage) => boolean): void {
    const parts = this.#parts.slice(this.#head);
    this.#parts = [];
    this.#head = 0;
    this.#first = undefined;
    const counted = (message: QueuedMessage): boolean => {
      const { keptBytes } = message.view;
      if (!gone(message)) return false;
      this.#count(-1, -keptBytes);
      return true;
    };
    for (const part of parts) {
      if (!(part instanceof MessageBlock)) {
        if (!counted(part)) this.#parts.push(part);
        continue;
      }
      part.removeIf(counted, this.#viewOf());
      if (part.length > 0) this.#parts.push(part);
      else this.#share.blocks.give(part.buffer);
    }
  }

  /** In their order; their views are kept. */
  *messages(): Generator<QueuedMessage> {
    for (const part of this.#parts.slice(this.#head)) {
      if (!(part instanceof MessageBlock)) {
        yield part;
      } else {
        for (const message of part.messages()) {
          message.view = message.view.kept();
          yield message;
        }
      }
    }
  }

  #append(message: QueuedMessage): void {
    const last = this.#parts.at(-1);
    const bytes = recordBytes(message);
    if (bytes === undefined || !this.packs(message)) {
      message.view = message.view.kept();
      this.#parts.push(message);
      return;
    }
    if (last instanceof MessageBlock && last.append(message)) return;
    const before = last instanceof MessageBlock ? last.buffer.length : 0;
    const blockBytes = Math.min(Math.max(2 * before, perBlockMin * bytes), brokerQueueBlockBytesMax);
    const block = new MessageBlock(this.#share.blocks.take(blockBytes));
    const isIn = block.append(message);
    assert(isIn, 'a block of its own has room');
    this.#parts.push(block);
  }

  #viewOf(): PublishView {
    this.#view ??= new PublishView();
    return this.#view;
  }

  #count(messages: number, bytes: number): void {
    this.#length += messages;
    this.#countKept(messages, bytes);
  }

  #countKept(messages: number, bytes: number): void {
    this.#bytes += bytes;
    this.#share.queued.messages += messages;
    this.#share.queued.bytes += bytes;
  }
}
