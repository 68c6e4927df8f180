// From reads to packets, for one connection: used where the read buffer has them, carried over when cut.
//
//   feed() ──► whole packets ──► sink.packet()        and runs of like ones ──► sink.run()
//      │ cut: PacketCarry, until the next read
//      └ held: kept here, and the socket paused, until release(); the packet at hand too when its receiver cannot
//        take it yet: keepPacket()
//
// Held is the one way to wait: while a client is being authenticated, while the topic service has too much to
// settle, while the client does not take its own output. Bounded: a paused socket gives at most what one read
// had left; more than brokerHeldBytesMax, a packet that comes again apart, is an overrun. What is held is copied once,
// however often it is held again, into a buffer of the pool: publishers that wait for a slow receiver are held and
// released many times a second.

import { strict as assert } from 'node:assert';
import type { Buffer } from 'node:buffer';
import { brokerHeldBytesMax } from '../limits.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { lengthFieldBytes, lengthFieldValue, PacketCarry } from '../protocol/mqtt/frame.ts';
import type { BufferPool } from './buffer-pool.ts';

export interface PacketSink {
  /** One whole packet `buffer[at..end)`, its fixed header ending at `bodyAt`. Both are borrowed until the call returns. */
  packet(buffer: Buffer, range: PacketRange): void;
  /** Neighbouring packets that start at `at`: returns the offset behind those it took, or `at`. */
  run(buffer: Buffer, at: number, end: number): number;
  problem(problem: ProtocolProblem | 'input-overrun'): void;
}

export interface PacketRange {
  readonly at: number;
  readonly bodyAt: number;
  readonly end: number;
}

export class PacketReader {
  packetBytesMax: number;
  readonly #sink: PacketSink;
  readonly #pool: BufferPool;
  readonly #carry = new PacketCarry();
  /** Bytes kept while holding: `#held[#heldAt..#heldEnd)`. */
  #held: Buffer | undefined;
  #heldAt = 0;
  #heldEnd = 0;
  #consumingHeld = false;
  /** The packet at hand is not done with. */
  #keepsPacket = false;
  /** Of the packet that is kept to come again. */
  #keptPacketBytes = 0;
  /** One for all packets: they allocate nothing. */
  readonly #range = { at: 0, bodyAt: 0, end: 0 };
  #holding = false;
  #stopped = false;

  constructor(sink: PacketSink, pool: BufferPool, packetBytesMax: number) {
    this.#sink = sink;
    this.#pool = pool;
    this.packetBytesMax = packetBytesMax;
  }

  /** Bytes of the network: `chunk[0..length)`, borrowed. */
  feed(chunk: Buffer, length: number): void {
    if (this.#stopped) return;
    if (this.#holding) {
      this.#keep(chunk, 0, length);
      return;
    }
    let at = 0;
    if (!this.#carry.isEmpty) {
      const taken = this.#carry.fill(chunk, { at, end: length, packetBytesMax: this.packetBytesMax });
      if (typeof taken === 'string') {
        this.#sink.problem(taken);
        return;
      }
      if (!this.#carry.isWhole) return;
      at = taken;
      const packet = this.#carry.take();
      this.#consume(packet, 0, packet.length);
    }
    this.#consume(chunk, at, length);
  }

  /** From now on bytes are kept. The owner pauses the socket. */
  hold(): void {
    this.#holding = true;
  }

  /** From within the sink's packet(), while holding: that packet is kept too, and comes again after release(). */
  keepPacket(): void {
    assert(this.#holding, 'a packet is kept while holding');
    this.#keepsPacket = true;
  }

  /** Goes on with what was kept. True when nothing holds any more: the owner resumes the socket. */
  release(): boolean {
    this.#holding = false;
    const held = this.#held;
    if (held !== undefined && !this.#consumingHeld) {
      assert(this.#carry.isEmpty, 'nothing is held behind a packet that is cut');
      const from = this.#heldAt;
      this.#heldAt = this.#heldEnd;
      this.#consumingHeld = true;
      this.#consume(held, from, this.#heldEnd);
      this.#consumingHeld = false;
      if (!this.#holding || this.#stopped) this.#dropHeld();
    }
    return !this.#holding && !this.#stopped;
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#stopped = true;
    if (!this.#consumingHeld) this.#dropHeld();
    this.#carry.clear();
  }

  #consume(buffer: Buffer, from: number, end: number): void {
    let at = from;
    while (at < end && !this.#stopped) {
      if (this.#holding) {
        if (buffer === this.#held) this.#heldAt = at;
        else this.#keep(buffer, at, end);
        return;
      }
      const next = this.#sink.run(buffer, at, end);
      if (next > at) {
        at = next;
        continue;
      }
      const field = lengthFieldBytes(buffer, at + 1, end);
      const bodyAt = at + 1 + field;
      const packetEnd = field > 0 ? bodyAt + lengthFieldValue(buffer, at + 1, field) : end + 1;
      if (field >= 0 && packetEnd <= end && packetEnd - at <= this.packetBytesMax) {
        this.#range.at = at;
        this.#range.bodyAt = bodyAt;
        this.#range.end = packetEnd;
        this.#keptPacketBytes = 0;
        this.#sink.packet(buffer, this.#range);
        if (this.#keepsPacket) {
          this.#keepsPacket = false;
          this.#keptPacketBytes = packetEnd - at;
        } else {
          at = packetEnd;
        }
        continue;
      }
      // Cut, malformed or too large: the carry tells, byte by byte of the header.
      const taken = this.#carry.fill(buffer, { at, end, packetBytesMax: this.packetBytesMax });
      if (typeof taken === 'string') this.#sink.problem(taken);
      return;
    }
  }

  #dropHeld(): void {
    if (this.#held !== undefined) this.#pool.give(this.#held);
    this.#held = undefined;
  }

  #keep(buffer: Buffer, from: number, end: number): void {
    const bytes = end - from;
    const kept = this.#held === undefined ? 0 : this.#heldEnd - this.#heldAt;
    if (kept + bytes > brokerHeldBytesMax + this.#keptPacketBytes) {
      this.#sink.problem('input-overrun');
      return;
    }
    if (this.#held === undefined || this.#heldEnd + bytes > this.#held.length) {
      // Doubled, so that many small reads are not copied again and again.
      assert(!this.#consumingHeld, 'nothing comes while what came before is gone through');
      const grown = this.#pool.take(this.#held === undefined ? bytes : 2 * (kept + bytes));
      this.#held?.copy(grown, 0, this.#heldAt, this.#heldEnd);
      this.#dropHeld();
      this.#held = grown;
      this.#heldAt = 0;
      this.#heldEnd = kept;
    }
    buffer.copy(this.#held, this.#heldEnd, from, end);
    this.#heldEnd += bytes;
  }
}
