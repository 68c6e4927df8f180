// Two cursors over bytes, for the store's own formats: one writes into a buffer that grows, one reads.
//
// Numbers are little-endian; `varint` is unsigned LEB128 (7 bits a byte, low bits first, at most 5 bytes);
// `text` is its length in UTF-8 bytes as a varint and then the bytes.
//
// The writer's memory is an ArrayBuffer of its own, never a slice of Node's pool, because it is transferred to
// another thread; it begins at a word boundary and is whole words long, so that checksums can run over it. The reader
// throws STORE_RECORD_UNREADABLE at the first byte that is not there.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { StoreError } from './errors.ts';

const varintBits = 7;
const varintMore = 0x80;
const varintMask = 0x7f;
const varintBytesMax = 5;
const uint32Bytes = 4;
const float64Bytes = 8;
/** Text up to here is written character by character, which is faster than asking for its length and its bytes. */
const shortText = 64;

export class ByteWriter {
  bytes: Buffer;
  words: Int32Array;
  #view: DataView;
  #length = 0;

  /** `memory`: to write into, of a length that is a multiple of 8; or how much to begin with. */
  constructor(memory: ArrayBuffer | number) {
    const buffer = typeof memory === 'number' ? new ArrayBuffer(wholeWords(memory)) : memory;
    this.bytes = Buffer.from(buffer);
    this.words = new Int32Array(buffer);
    this.#view = new DataView(buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** The memory written to; only the first `length` bytes mean something. The writer must not be used afterwards. */
  release(): ArrayBuffer {
    return this.bytes.buffer as ArrayBuffer;
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    assert(length <= this.#length);
    this.#length = length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.bytes[this.#length++] = value;
  }

  /** Of a signed number, its 32 bits. */
  uint32(value: number): void {
    this.#reserve(uint32Bytes);
    this.#view.setUint32(this.#length, value, true);
    this.#length += uint32Bytes;
  }

  /** Overwrites four bytes written before: a length that was not known then. */
  patchUint32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  float64(value: number): void {
    this.#reserve(float64Bytes);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += float64Bytes;
  }

  varint(value: number): void {
    this.#reserve(varintBytesMax);
    let rest = value;
    while (rest >= varintMore) {
      this.bytes[this.#length++] = (rest & varintMask) | varintMore;
      rest >>>= varintBits;
    }
    this.bytes[this.#length++] = rest;
  }

  text(value: string): void {
    if (value.length < shortText && this.#ascii(value)) return;
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.#reserve(length);
    this.#length += this.bytes.write(value, this.#length, 'utf8');
  }

  append(value: Uint8Array): void {
    this.#reserve(value.byteLength);
    this.bytes.set(value, this.#length);
    this.#length += value.byteLength;
  }

  /** Zeros up to the next multiple of `unit`. */
  align(unit: number): void {
    const end = Math.ceil(this.#length / unit) * unit;
    this.#reserve(end - this.#length);
    this.bytes.fill(0, this.#length, end);
    this.#length = end;
  }

  /** Text of less than 128 plain characters; false, and nothing is written, when there are others in it. */
  #ascii(value: string): boolean {
    const { length } = value;
    this.#reserve(length + 1);
    const { bytes } = this;
    let at = this.#length;
    bytes[at++] = length;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code >= varintMore) return false;
      bytes[at++] = code;
    }
    this.#length = at;
    return true;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.bytes.byteLength) return;
    const larger = new ArrayBuffer(wholeWords(Math.max(needed, this.bytes.byteLength * 2)));
    const before = this.bytes;
    this.bytes = Buffer.from(larger);
    this.words = new Int32Array(larger);
    this.#view = new DataView(larger);
    before.copy(this.bytes, 0, 0, this.#length);
  }
}

function wholeWords(bytes: number): number {
  return Math.ceil(bytes / float64Bytes) * float64Bytes;
}

export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(uint32Bytes));
  }

  float64(): number {
    return this.#bytes.readDoubleLE(this.#take(float64Bytes));
  }

  varint(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < varintMore) {
      this.#at++;
      return first;
    }
    let value = 0;
    for (let index = 0; index < varintBytesMax; index++) {
      const byte = this.byte();
      value += (byte & varintMask) * 2 ** (varintBits * index);
      if (byte < varintMore) return value;
    }
    throw unreadable('a length runs over five bytes');
  }

  text(): string {
    const length = this.varint();
    const start = this.#take(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  /** A view, not a copy. */
  bytes(length: number): Buffer {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  #take(count: number): number {
    const start = this.#at;
    if (start + count > this.#bytes.byteLength)
      throw unreadable(`${count} bytes wanted at ${start}, ${this.#bytes.byteLength} are there`);
    this.#at = start + count;
    return start;
  }
}

export function unreadable(why: string): StoreError {
  return new StoreError({
    code: 'STORE_RECORD_UNREADABLE',
    message: `A stored record cannot be read (${why}). It is left out; nothing needs to be done.`,
  });
}
