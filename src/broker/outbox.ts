// What one client is still to get: packets of a turn collected in one buffer and written at once.
//
//   publish(), ack(), append()  ──►  batch  ──endTurn()──►  socket
//                                                     │ not all taken: the buffer belongs to the socket until
//                                                     ▼ it is; further packets wait in the next batch
//                                                 onDrain → drained()
//
// Invariants
//   A buffer given to the socket and not taken at once is never touched again.
//   hasRoom() is asked for PUBLISH; acknowledgements are always taken, because the connection stops reading its
//   client when the output is over its bound: a client can only fill its output with answers it asked for.
//   load.bytes is the sum of what all outboxes owe.

import { strict as assert } from 'node:assert';
import type { Buffer } from 'node:buffer';
import type { Connection } from '../platform/net.ts';
import { ackBytes, writeAck } from '../protocol/mqtt/packet.ts';
import { type PublishHeader, type PublishView, publishBytes, writePublish } from '../protocol/mqtt/publish.ts';
import type { BufferPool } from './buffer-pool.ts';

/** What all outboxes of a broker share. */
export interface OutboxShare {
  readonly pool: BufferPool;
  readonly load: { bytes: number };
  readonly limits: { readonly outputBytesMax: number; readonly outputBytesTotalMax: number };
  /** Sees to it that endTurn() is called once, after this turn's reads. */
  wake(outbox: Outbox): void;
}

export class Outbox {
  readonly #connection: Connection;
  readonly #share: OutboxShare;
  #batch: Buffer | undefined;
  #used = 0;
  /** Bytes the socket had not taken when we last looked. */
  #unsent = 0;
  #accounted = 0;
  #awake = false;
  #blocked = false;
  #closed = false;
  #flushWaiters: (() => void)[] = [];

  constructor(connection: Connection, share: OutboxShare) {
    this.#connection = connection;
    this.#share = share;
  }

  /** Bytes that the socket has not taken. */
  get pendingBytes(): number {
    return this.#used + this.#unsent;
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
    return this.#fits(bytes);
  }

  publish(view: PublishView, header: PublishHeader): void {
    const bytes = publishBytes(view, header.qos);
    const at = this.#reserve(bytes);
    const end = writePublish(view, header, { target: this.#batch as Buffer, at });
    assert(end === at + bytes, 'a packet fills exactly its room');
  }

  /** Packets that are ready as they are: `source[from..to)`. */
  append(source: Buffer, from: number, to: number): void {
    const at = this.#reserve(to - from);
    source.copy(this.#batch as Buffer, at, from, to);
  }

  ack(type: number, packetId: number): void {
    const at = this.#reserve(ackBytes);
    writeAck(type, packetId, { target: this.#batch as Buffer, at });
  }

  /** Resolves when everything added so far was handed to the socket; never when the connection ends first. */
  whenFlushed(done: () => void): void {
    this.#flushWaiters.push(done);
  }

  /** The turn that wake() announced is over. */
  endTurn(): void {
    this.#awake = false;
    this.flush();
  }

  /** Hands the batch to the socket, unless that still has the last one. */
  flush(): void {
    if (this.#used === 0 || this.#blocked || this.#closed) return;
    const batch = this.#batch as Buffer;
    const free = this.#connection.write(batch.subarray(0, this.#used));
    this.#unsent = this.#connection.bufferedBytes;
    this.#used = 0;
    this.#batch = undefined;
    if (this.#unsent === 0) this.#share.pool.give(batch);
    this.#blocked = !free && this.#unsent > 0;
    this.#account();
    const waiters = this.#flushWaiters;
    if (waiters.length === 0) return;
    this.#flushWaiters = [];
    for (const done of waiters) done();
  }

  /** The socket took everything. */
  drained(): void {
    this.#blocked = false;
    this.#unsent = this.#connection.bufferedBytes;
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
    this.#flushWaiters = [];
    this.#account();
  }

  #fits(bytes: number): boolean {
    const pending = this.#used + this.#unsent;
    if (pending === 0) return true;
    const { limits, load } = this.#share;
    return pending + bytes <= limits.outputBytesMax && load.bytes + bytes <= limits.outputBytesTotalMax;
  }

  #reserve(bytes: number): number {
    assert(!this.#closed, 'nothing is sent to a connection that ended');
    const at = this.#used;
    const needed = at + bytes;
    if (this.#batch === undefined) {
      this.#batch = this.#share.pool.take(needed);
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

  #account(): void {
    this.#share.load.bytes += this.pendingBytes - this.#accounted;
    this.#accounted = this.pendingBytes;
    assert(this.#share.load.bytes >= 0, 'nobody owes less than nothing');
  }
}
