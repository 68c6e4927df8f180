// From reads to packets, for one connection: used where the read buffer has them, carried over when cut.
//
//   feed() ──► whole packets ──► sink.packet()        and runs of plain PUBLISH ──► sink.run()
//      │ cut: PacketCarry, until the next read
//      └ held: kept here, and the socket paused, until release()
//
// Held is the one way to wait: while a client is being authenticated, while the topic service has too much to
// settle, while the client does not take its own output. Bounded: a paused socket gives at most what one read
// had left; more than brokerHeldBytesMax is an overrun.

import { Buffer } from 'node:buffer';
import { brokerHeldBytesMax } from '../limits.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { lengthFieldBytes, lengthFieldValue, PacketCarry } from '../protocol/mqtt/frame.ts';
import { plainPublishByte } from '../protocol/mqtt/publish.ts';

export interface PacketSink {
  /** One whole packet `buffer[at..end)`, its fixed header ending at `bodyAt`. Borrowed until the call returns. */
  packet(buffer: Buffer, range: PacketRange): void;
  /** Plain PUBLISH packets that start at `at`: returns the offset behind those it took, or `at`. */
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
  readonly #carry = new PacketCarry();
  #held: Buffer | undefined;
  #holding = false;
  #stopped = false;

  constructor(sink: PacketSink, packetBytesMax: number) {
    this.#sink = sink;
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

  /** Goes on with what was kept. True when nothing holds any more: the owner resumes the socket. */
  release(): boolean {
    this.#holding = false;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.feed(held, held.length);
    return !this.#holding && !this.#stopped;
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#stopped = true;
    this.#held = undefined;
    this.#carry.clear();
  }

  #consume(buffer: Buffer, from: number, end: number): void {
    let at = from;
    while (at < end && !this.#stopped) {
      if (this.#holding) {
        this.#keep(buffer, at, end);
        return;
      }
      if (buffer[at] === plainPublishByte) {
        const next = this.#sink.run(buffer, at, end);
        if (next > at) {
          at = next;
          continue;
        }
      }
      const field = lengthFieldBytes(buffer, at + 1, end);
      const bodyAt = at + 1 + field;
      const packetEnd = field > 0 ? bodyAt + lengthFieldValue(buffer, at + 1, field) : end + 1;
      if (field >= 0 && packetEnd <= end && packetEnd - at <= this.packetBytesMax) {
        this.#sink.packet(buffer, { at, bodyAt, end: packetEnd });
        at = packetEnd;
        continue;
      }
      // Cut, malformed or too large: the carry tells, byte by byte of the header.
      const taken = this.#carry.fill(buffer, { at, end, packetBytesMax: this.packetBytesMax });
      if (typeof taken === 'string') this.#sink.problem(taken);
      return;
    }
  }

  #keep(buffer: Buffer, from: number, end: number): void {
    const kept = this.#held?.length ?? 0;
    if (kept + end - from > brokerHeldBytesMax) {
      this.#sink.problem('input-overrun');
      return;
    }
    const rest = buffer.subarray(from, end);
    this.#held = this.#held === undefined ? Buffer.from(rest) : Buffer.concat([this.#held, rest]);
  }
}
