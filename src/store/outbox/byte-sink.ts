// Memory that grows while a frame is put together, and is used again for the next one.
//
// Numbers are little-endian; `varint` is unsigned LEB128 up to 2^53 - 1; `text` is its length in UTF-8 bytes as a
// varint, then the bytes. The memory begins at a word boundary, so that crc.ts can run over it.

import { Buffer } from 'node:buffer';
import type { WordMemory } from './crc.ts';

/** With what it begins: a device that writes little needs no more. */
const firstBytes = 4096;
const wordBytes = 4;
const varintMore = 0x80;
const varintMask = 0x7f;
const varintBytesMax = 8;
const smallMax = 2 ** 31 - 1;
const varintBase = 128;

export class ByteSink implements WordMemory {
  bytes: Buffer;
  words: Int32Array;
  length = 0;
  readonly #kept: number;
  #capacity: number;

  /** `capacity` is what it keeps between uses, a multiple of 8. `memory`: of somebody else, to begin with, of a length that is a multiple of 8. */
  constructor(capacity: number, memory?: ArrayBuffer) {
    this.#kept = capacity;
    const first = memory ?? new ArrayBuffer(Math.min(capacity, firstBytes));
    this.#capacity = first.byteLength;
    this.bytes = Buffer.from(first);
    this.words = new Int32Array(first);
  }

  /** Forgets what is in it, and gives back the memory that one unusually large use took. */
  clear(): void {
    this.length = 0;
    if (this.#capacity > this.#kept) this.#take(this.#kept);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.reserve(wordBytes);
    const { bytes, length } = this;
    // A store into bytes takes the low eight bits.
    bytes[length] = value;
    bytes[length + 1] = value >>> 8;
    bytes[length + 2] = value >>> 16;
    bytes[length + 3] = value >>> 24;
    this.length = length + wordBytes;
  }

  float64(value: number): void {
    this.reserve(2 * wordBytes);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }

  varint(value: number): void {
    this.reserve(varintBytesMax);
    const { bytes } = this;
    let at = this.length;
    let rest = value;
    while (rest > smallMax) {
      bytes[at++] = (rest % varintBase) | varintMore;
      rest = Math.floor(rest / varintBase);
    }
    while (rest >= varintMore) {
      bytes[at++] = (rest & varintMask) | varintMore;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.reserve(length);
    this.length += this.bytes.write(value, this.length, 'utf8');
  }

  append(value: Uint8Array): void {
    this.reserve(value.byteLength);
    this.bytes.set(value, this.length);
    this.length += value.byteLength;
  }

  /** Zeros up to the next multiple of `unit`. */
  align(unit: number): void {
    const end = Math.ceil(this.length / unit) * unit;
    this.reserve(end - this.length);
    for (let at = this.length; at < end; at++) this.bytes[at] = 0;
    this.length = end;
  }

  reserve(count: number): void {
    if (this.length + count > this.#capacity)
      this.#take(Math.ceil(Math.max(this.length + count, this.#capacity * 2) / 8) * 8);
  }

  #take(capacity: number): void {
    const old = this.bytes;
    this.#capacity = capacity;
    this.bytes = Buffer.from(new ArrayBuffer(capacity));
    this.words = new Int32Array(this.bytes.buffer);
    old.copy(this.bytes, 0, 0, Math.min(this.length, capacity));
  }
}
