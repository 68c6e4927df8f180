// What one client is still to get: packets of a turn collected in one buffer and written at once.
//
//   publish(), ack(), append()  ──►  batch  ──endTurn()──►  socket
//                                                     │ not all taken: the buffer belongs to the socket until
//                                                     ▼ it is; further packets wait in the next batch
//                                                 onDrain → drained()
//
// A message for many receivers is not copied here at all: the outbox takes part in the buffer of a FanOut until the
// turn ends or something private comes. It has a batch of its own or takes part in one, never both.
//
// Invariants
//   A buffer given to the socket and not taken at once is not touched until the socket took everything.
//   hasRoom() is asked for PUBLISH; acknowledgements are always taken, because the connection stops reading its
//   client when the output is over its bound: a client can only fill its output with answers it asked for.
//   load.bytes is the sum of what all outboxes owe.

import { strict as assert } from 'node:assert';
import type { Buffer } from 'node:buffer';
import type { Connection } from '../platform/net.ts';
import { ackBytes, ackFirstByte, writeAck } from '../protocol/mqtt/ack.ts';
import { type PublishHeader, type PublishView, publishBytes, writePublish } from '../protocol/mqtt/publish.ts';
import { copyBytes, packetIdBytes } from '../protocol/mqtt/publish-view.ts';
import type { AckedRun } from './acked-run.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { FanOut } from './fan-out.ts';
import type { InflightWindow } from './inflight.ts';
import type { PendingMessage } from './pending-message.ts';

/** Whoever collects output during a turn. */
export interface TurnOutput {
  /** The turn that wake() announced is over. */
  endTurn(): void;
}

/** What all outboxes of a broker share. */
export interface OutboxShare {
  readonly pool: BufferPool;
  /** What all owe at the moment; what was written and how many packets other than PUBLISH, since the start. */
  readonly load: { bytes: number; written: number; controls: number };
  readonly limits: { readonly outputBytesMax: number; readonly outputBytesTotalMax: number };
  /** Sees to it that endTurn() is called once, after this turn's reads. */
  wake(output: TurnOutput): void;
}

/** A batch that begins larger would cost more memory than its growing costs time. */
const usualBytesMax = 16_384;

export class Outbox implements TurnOutput {
  readonly #connection: Connection;
  readonly #share: OutboxShare;
  #batch: Buffer | undefined;
  #used = 0;
  /** The size of the last batch: the next one begins with that. */
  #usual = 0;
  /** Bytes the socket had not taken when we last looked. */
  #unsent = 0;
  /** The buffers in which they are. */
  #lent: Buffer[] | undefined;
  #accounted = 0;
  #awake = false;
  #blocked = false;
  #closed = false;
  /** The shared buffer it takes part in, and from where. */
  #fanOut: FanOut | undefined;
  #fanFrom = 0;
  /** hasRoom() said no since the socket last took everything, and since when, as far as anybody looked. */
  #refused = false;
  #refusedMs = 0;
  #flushWaiters: (() => void)[] | undefined;

  constructor(connection: Connection, share: OutboxShare) {
    this.#connection = connection;
    this.#share = share;
  }

  /** Bytes that the socket has not taken. */
  get pendingBytes(): number {
    const shared = this.#fanOut === undefined ? 0 : this.#fanOut.used - this.#fanFrom;
    return this.#used + this.#unsent + shared;
  }

  get isOverBound(): boolean {
    return this.pendingBytes > this.#share.limits.outputBytesMax;
  }

  /** Whether a message of `bytes` may be added. A client that owes nothing always gets one. */
  hasRoom(bytes: number): boolean {
    if (this.#closed) return false;
    if (this.#fits(bytes)) return true;
    // Much may come for one client within one turn. Only what its socket refuses counts against it.
    this.flush();
    if (this.#fits(bytes)) return true;
    this.#refused = true;
    return false;
  }

  /** For how long the socket has taken nothing while there was too much for it; 0 when that is not so. About to be asked every second. */
  stalledMs(monotonicMs: number): number {
    if (!this.#refused) return 0;
    if (this.#refusedMs === 0) this.#refusedMs = monotonicMs;
    return monotonicMs - this.#refusedMs;
  }

  isIn(fanOut: FanOut): boolean {
    return this.#fanOut === fanOut;
  }

  /** Takes part in `fanOut` from its offset `from` on. False when it has output of its own, which must come first. */
  join(fanOut: FanOut, from: number): boolean {
    if (this.#used > 0 || this.#unsent > 0 || this.#blocked || this.#closed || this.#fanOut !== undefined) return false;
    this.#fanOut = fanOut;
    this.#fanFrom = from;
    return true;
  }

  publish(view: PublishView, header: PublishHeader): void {
    const bytes = publishBytes(view, header);
    const at = this.#reserve(bytes);
    const end = writePublish(view, header, { target: this.#batch as Buffer, at });
    assert(end === at + bytes, 'a packet fills exactly its room');
  }

  /** PUBLISH packets that are ready as they are: `source[from..to)`. */
  appendRun(source: Buffer, from: number, to: number): void {
    const at = this.#reserve(to - from);
    source.copy(this.#batch as Buffer, at, from, to);
  }

  /** PUBLISH packets that are ready but for their packet ids, which `window` gives for `message`. */
  publishRun(run: AckedRun, window: InflightWindow, message: PendingMessage): void {
    const { buffer, from, to } = run;
    const at = this.#reserve(to - from);
    const target = this.#batch as Buffer;
    buffer.copy(target, at, from, to);
    window.stamp(message, run, { target, at });
  }

  /** Acknowledgements of `type` for the packets of `run`. */
  ackRun(type: number, run: AckedRun): void {
    const { buffer, idsAt, count } = run;
    this.#share.load.controls += count;
    let into = this.#reserve(count * ackBytes);
    const target = this.#batch as Buffer;
    const firstByte = ackFirstByte(type);
    for (let index = 0; index < count; index++) {
      const idAt = idsAt[index] as number;
      target[into] = firstByte;
      target[into + 1] = packetIdBytes;
      target[into + packetIdBytes] = buffer[idAt] as number;
      target[into + packetIdBytes + 1] = buffer[idAt + 1] as number;
      into += ackBytes;
    }
  }

  /** Answers of `type` to the acknowledgements of four bytes in `source[from..to)`. */
  answerRun(type: number, source: Buffer, { from, to }: { readonly from: number; readonly to: number }): void {
    const at = this.#reserve(to - from);
    this.#share.load.controls += (to - from) / ackBytes;
    const target = this.#batch as Buffer;
    const firstByte = ackFirstByte(type);
    copyBytes({ buffer: source, from, to }, target, at);
    for (let into = at, end = at + to - from; into < end; into += ackBytes) target[into] = firstByte;
  }

  /** One packet of another type. */
  append(source: Buffer, from: number, to: number): void {
    this.#share.load.controls++;
    this.appendRun(source, from, to);
  }

  ack(type: number, packetId: number): void {
    this.#share.load.controls++;
    const at = this.#reserve(ackBytes);
    writeAck(type, packetId, { target: this.#batch as Buffer, at });
  }

  /** Resolves when everything added so far was handed to the socket; never when the connection ends first. */
  whenFlushed(done: () => void): void {
    this.#flushWaiters ??= [];
    this.#flushWaiters.push(done);
  }

  /** The turn that wake() announced is over. */
  endTurn(): void {
    this.#awake = false;
    this.flush();
  }

  /** Hands the batch to the socket, unless that still has the last one. */
  flush(): void {
    if (this.#fanOut !== undefined) this.#flushShared(this.#fanOut);
    if (this.#used === 0 || this.#blocked || this.#closed) return;
    const batch = this.#batch as Buffer;
    const free = this.#connection.write(batch.subarray(0, this.#used));
    this.#share.load.written += this.#used;
    this.#usual = Math.min(this.#used, usualBytesMax);
    this.#unsent = this.#connection.bufferedBytes;
    this.#used = 0;
    this.#batch = undefined;
    if (this.#unsent === 0) {
      this.#share.pool.give(batch);
    } else {
      this.#lent ??= [];
      this.#lent.push(batch);
    }
    this.#blocked = !free && this.#unsent > 0;
    this.#account();
    const waiters = this.#flushWaiters;
    if (waiters === undefined) return;
    this.#flushWaiters = undefined;
    for (const done of waiters) done();
  }

  /** The socket took everything. */
  drained(): void {
    this.#blocked = false;
    this.#refused = false;
    this.#refusedMs = 0;
    this.#unsent = this.#connection.bufferedBytes;
    if (this.#unsent === 0) this.#takeBack();
    this.#account();
    this.flush();
  }

  /** Forgets what was not written. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#batch !== undefined) this.#share.pool.give(this.#batch);
    this.#batch = undefined;
    this.#used = 0;
    this.#unsent = 0;
    // A write that was under way may still read them.
    this.#lent = undefined;
    this.#fanOut = undefined;
    this.#flushWaiters = undefined;
    this.#account();
  }

  #takeBack(): void {
    for (const buffer of this.#lent ?? []) this.#share.pool.give(buffer);
    this.#lent = undefined;
  }

  #fits(bytes: number): boolean {
    const pending = this.pendingBytes;
    if (pending === 0) return true;
    const { limits, load } = this.#share;
    return pending + bytes <= limits.outputBytesMax && load.bytes + bytes <= limits.outputBytesTotalMax;
  }

  #reserve(bytes: number): number {
    assert(!this.#closed, 'nothing is sent to a connection that ended');
    if (this.#fanOut !== undefined) this.#leaveShared(this.#fanOut);
    const at = this.#used;
    const needed = at + bytes;
    if (this.#batch === undefined) {
      this.#batch = this.#share.pool.take(Math.max(needed, this.#usual));
    } else if (needed > this.#batch.length) {
      const grown = this.#share.pool.take(Math.max(needed, 2 * this.#batch.length));
      this.#batch.copy(grown, 0, 0, at);
      this.#share.pool.give(this.#batch);
      this.#batch = grown;
    }
    this.#used = needed;
    this.#accounted += bytes;
    this.#share.load.bytes += bytes;
    if (!this.#awake) {
      this.#awake = true;
      this.#share.wake(this);
    }
    return at;
  }

  /** What the shared buffer has for this client, to its socket. */
  #flushShared(fanOut: FanOut): void {
    const bytes = fanOut.slice(this.#fanFrom);
    this.#fanOut = undefined;
    if (this.#closed) return;
    const free = this.#connection.write(bytes);
    this.#share.load.written += bytes.length;
    this.#unsent = this.#connection.bufferedBytes;
    if (this.#unsent === 0) return;
    fanOut.hold();
    this.#blocked = !free;
    this.#account();
  }

  /** Something private follows: what the shared buffer has for this client comes before it, in its own batch. */
  #leaveShared(fanOut: FanOut): void {
    const bytes = fanOut.slice(this.#fanFrom);
    this.#fanOut = undefined;
    const at = this.#reserve(bytes.length);
    bytes.copy(this.#batch as Buffer, at);
  }

  #account(): void {
    // The shared buffer is memory of its own: it counts once a socket keeps it.
    const owed = this.#used + this.#unsent;
    this.#share.load.bytes += owed - this.#accounted;
    this.#accounted = owed;
    assert(this.#share.load.bytes >= 0, 'nobody owes less than nothing');
  }
}
