// Where one MQTT packet ends and the next begins (MQTT 3.1.1 §2.2).
//
//   byte 0        type (4 bits) | flags (4 bits)
//   byte 1..4     remaining length: 7 bits a byte, least significant first, 0x80 = another byte follows
//   …             that many bytes
//
// Packets are used where the network put them. Only one that a read cut in two is carried over: PacketCarry
// collects it, growing with the bytes that really arrive, so an announced length alone reserves nothing.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';

export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  /** MQTT 5 only. */
  auth: 15,
} as const;

/** 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0: the protocol level of CONNECT. */
export type MqttVersion = 3 | 4 | 5;

export const typeShift = 4;
export const flagsMask = 0x0f;
const lengthFieldBytesMax = 4;
const continuationBit = 0x80;
const lengthBits = 7;
const lengthMask = 0x7f;

/** How many bytes the remaining-length field at `at` has: 1 to 4, 0 when it is cut off at `end`, -1 when it is malformed. */
export function lengthFieldBytes(buffer: Buffer, at: number, end: number): number {
  for (let count = 1; count <= lengthFieldBytesMax; count++) {
    if (at + count > end) return 0;
    if (((buffer[at + count - 1] as number) & continuationBit) === 0) return count;
  }
  return -1;
}

/**
 * Like lengthFieldBytes, but -1 also for a field that is cut off, and for one of more bytes than its value needs:
 * malformed in MQTT 5 [MQTT-1.5.5-1], allowed before.
 */
export function minimalFieldBytes(buffer: Buffer, at: number, end: number): number {
  const field = lengthFieldBytes(buffer, at, end);
  return field < 1 || (field > 1 && buffer[at + field - 1] === 0) ? -1 : field;
}

/** The value of the remaining-length field of `count` bytes at `at`. */
export function lengthFieldValue(buffer: Buffer, at: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) {
    value = (value << lengthBits) | ((buffer[at + index] as number) & lengthMask);
  }
  return value;
}

/** How many bytes `value` takes as a remaining-length field. */
export function lengthFieldSize(value: number): number {
  if (value <= lengthMask) return 1;
  if (value < 1 << (2 * lengthBits)) return 2;
  return value < 1 << (3 * lengthBits) ? 3 : lengthFieldBytesMax;
}

/** Writes `value` as a remaining-length field; returns the offset behind it. */
export function writeLengthField(target: Buffer, at: number, value: number): number {
  let rest = value;
  let to = at;
  while (rest > lengthMask) {
    target[to++] = (rest & lengthMask) | continuationBit;
    rest >>>= lengthBits;
  }
  target[to++] = rest;
  return to;
}

const nothing = Buffer.alloc(0);
const carryBytesMin = 64;

/** The one packet of a connection that is not complete yet. */
export class PacketCarry {
  #bytes: Buffer = nothing;
  #length = 0;
  /** Whole length of the packet, 0 while its header is not complete. */
  #needed = 0;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Bytes kept at the moment. */
  get length(): number {
    return this.#length;
  }

  get isWhole(): boolean {
    return this.#needed > 0 && this.#length === this.#needed;
  }

  /**
   * Takes from `chunk[at..end)` what the packet still lacks and returns the offset of the first byte not taken,
   * or the problem. Afterwards either the chunk is used up or `isWhole`.
   */
  fill(
    chunk: Buffer,
    range: { readonly at: number; readonly end: number; readonly packetBytesMax: number },
  ): number | ProtocolProblem {
    let at = range.at;
    while (this.#needed === 0) {
      if (at >= range.end) return at;
      this.#append(chunk, at, at + 1);
      at++;
      const field = lengthFieldBytes(this.#bytes, 1, this.#length);
      if (field === -1) return 'malformed-length';
      if (field > 0) this.#needed = 1 + field + lengthFieldValue(this.#bytes, 1, field);
      if (this.#needed > range.packetBytesMax) return 'packet-too-large';
    }
    const upTo = Math.min(range.end, at + this.#needed - this.#length);
    this.#append(chunk, at, upTo);
    return upTo;
  }

  /** The whole packet; the carry is empty afterwards and keeps no memory. */
  take(): Buffer {
    assert(this.isWhole, 'only a whole packet may be taken');
    const packet = this.#bytes.subarray(0, this.#length);
    this.clear();
    return packet;
  }

  clear(): void {
    this.#bytes = nothing;
    this.#length = 0;
    this.#needed = 0;
  }

  #append(chunk: Buffer, from: number, to: number): void {
    const length = this.#length + to - from;
    if (length > this.#bytes.length) {
      const doubled = Math.max(carryBytesMin, this.#bytes.length * 2, length);
      const grown = Buffer.allocUnsafeSlow(this.#needed > 0 ? Math.min(doubled, this.#needed) : doubled);
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length, from, to);
    this.#length = length;
  }
}
