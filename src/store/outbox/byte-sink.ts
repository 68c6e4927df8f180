// Memory that grows while a frame is put together, and is used again for the next one.
//
// Numbers are little-endian; `varint` is unsigned LEB128 up to 2^53 - 1; `text` is its length in UTF-8 bytes as a
// varint, then the bytes. The memory begins at a word boundary, so that crc.ts can run over it.

import { Buffer } from 'node:buffer';
import type { WordMemory } from './crc.ts';

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
  readonly #capacity: number;

  /** `capacity` is what it keeps between uses, a multiple of 8. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.bytes = Buffer.from(new ArrayBuffer(capacity));
    this.words = new Int32Array(this.bytes.buffer);
  }

  /** Forgets what is in it, and gives back the memory that one unusually large use took. */
  clear(): void {
    this.length = 0;
    if (this.bytes.byteLength > this.#capacity) this.#take(this.#capacity);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.reserve(wordBytes);
    this.length = this.bytes.writeInt32LE(value | 0, this.length);
  }

  float64(value: number): void {
    this.reserve(2 * wordBytes);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }

  varint(value: number): void {
    this.reserve(varintBytesMax);
    let rest = value;
    while (rest > smallMax) {
      this.bytes[this.length++] = (rest % varintBase) | varintMore;
      rest = Math.floor(rest / varintBase);
    }
    while (rest >= varintMore) {
      this.bytes[this.length++] = (rest & varintMask) | varintMore;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
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
    this.bytes.fill(0, this.length, end);
    this.length = end;
  }

  reserve(count: number): void {
    if (this.length + count > this.bytes.byteLength)
      this.#take(Math.ceil(Math.max(this.length + count, this.bytes.byteLength * 2) / 8) * 8);
  }

  #take(capacity: number): void {
    const old = this.bytes;
    this.bytes = Buffer.from(new ArrayBuffer(capacity));
    this.words = new Int32Array(this.bytes.buffer);
    old.copy(this.bytes, 0, 0, Math.min(this.length, capacity));
  }
}
