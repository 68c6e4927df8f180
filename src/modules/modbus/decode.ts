// Registers and bits ⇄ values: types, word orders, scale, and what is no value.
//
// Pure. `decode` never throws and never yields NaN or an infinity: what cannot be a JSON number is a null of
// quality `bad:range`. 64-bit integers beyond 2^53 become decimal texts when they are not scaled, because a JSON
// number would silently lose digits. `encode` is the exact reverse, and refuses what does not fit.
//
// Bytes of a 32-bit value ABCD in two registers:  ABCD → AB CD   CDAB → CD AB   BADC → BA DC   DCBA → DC BA

import { strict as assert } from 'node:assert';
import { isBitTable, type Tag, type ValueType, type WordOrder } from './settings.ts';

export type Scalar = number | boolean | string;

/** `good`, or why there is no value: bad:timeout, bad:crc, bad:exception-N, bad:range, bad:unreachable, bad:garbled. */
export type Quality = 'good' | `bad:${string}`;

export interface Sample {
  readonly v: Scalar | null;
  readonly q: Quality;
}

export type Encoded =
  | { readonly ok: true; readonly words: readonly number[] }
  | { readonly ok: false; readonly reason: string };

const outOfRange: Sample = { v: null, q: 'bad:range' };
const wordBits = 16;
const wordMask = 0xffff;
const byteBits = 8;
const byteMask = 0xff;
/** Decimal digits that survive scaling: one below a double's 15, so that 0.1 × 3 is published as 0.3. */
const scaledDigits = 14;

/** `words` are the tag's own registers in wire order, or its one bit as 0 or 1. */
export function decode(tag: Tag, words: readonly number[]): Sample {
  assert(words.length === tag.at.length, `${tag.name} has its words`);
  const [first = 0] = words;
  if (isBitTable(tag.at.table)) return { v: first !== 0, q: 'good' };
  if (tag.at.bit !== undefined)
    return { v: ((ordered([first], tag.order)[0] ?? 0) & (1 << tag.at.bit)) !== 0, q: 'good' };
  if (tag.type === 'string') return { v: decodeText(words, tag.order), q: 'good' };
  const raw = decodeNumber(tag.type, toBytes(ordered(words, tag.order)));
  const isScaled = tag.scale !== 1 || tag.offset !== 0;
  if (typeof raw === 'bigint') {
    const isExact = raw >= BigInt(Number.MIN_SAFE_INTEGER) && raw <= BigInt(Number.MAX_SAFE_INTEGER);
    if (!isExact && !isScaled) return { v: raw.toString(), q: 'good' };
  }
  const value = isScaled ? tidy(Number(raw) * tag.scale + tag.offset) : Number(raw);
  return Number.isFinite(value) ? { v: value, q: 'good' } : outOfRange;
}

/** The registers to write, in wire order; for a coil one word 0 or 1. Not for bits inside a register: see `encodeBit`. */
export function encode(tag: Tag, value: unknown): Encoded {
  if (isBitTable(tag.at.table))
    return typeof value === 'boolean' ? { ok: true, words: [value ? 1 : 0] } : refused('is no true or false');
  if (tag.type === 'string') return encodeText(tag, value);
  const number = typeof value === 'string' && /^-?\d+$/.test(value) && isWide(tag.type) ? BigInt(value) : value;
  if (typeof number !== 'bigint' && (typeof number !== 'number' || !Number.isFinite(number)))
    return refused('is no number');
  const published = Number(number);
  if (tag.min !== undefined && published < tag.min) return refused(`is below ${tag.min}`);
  if (tag.max !== undefined && published > tag.max) return refused(`is above ${tag.max}`);
  const isScaled = tag.scale !== 1 || tag.offset !== 0;
  const raw = isScaled && typeof number === 'number' ? tidy((number - tag.offset) / tag.scale) : number;
  const bytes = encodeNumber(tag.type, raw);
  if (bytes === undefined) return refused(`does not fit into ${tag.type}`);
  return { ok: true, words: ordered(toWords(bytes), tag.order) };
}

/** The register with the tag's bit set or cleared and all others as they were read. */
export function encodeBit(tag: Tag, register: number, value: boolean): number {
  assert(tag.at.bit !== undefined, 'a bit of a register');
  const [plain = 0] = ordered([register], tag.order);
  const changed = value ? plain | (1 << tag.at.bit) : plain & ~(1 << tag.at.bit);
  return ordered([changed & wordMask], tag.order)[0] ?? 0;
}

/** Wire order → most significant word first, and back: each order is its own inverse. */
function ordered(words: readonly number[], order: WordOrder): readonly number[] {
  const swapped =
    order === 'BADC' || order === 'DCBA'
      ? words.map((word) => ((word & byteMask) << byteBits) | (word >> byteBits))
      : words;
  return order === 'CDAB' || order === 'DCBA' ? [...swapped].reverse() : swapped;
}

function toBytes(words: readonly number[]): DataView {
  const view = new DataView(new ArrayBuffer(words.length * 2));
  for (const [index, word] of words.entries()) view.setUint16(index * 2, word);
  return view;
}

function toWords(view: DataView): readonly number[] {
  return Array.from({ length: view.byteLength / 2 }, (_, index) => view.getUint16(index * 2));
}

function decodeNumber(type: Exclude<ValueType, 'string'>, view: DataView): number | bigint {
  switch (type) {
    case 'bool':
    case 'u16':
      return view.getUint16(0);
    case 'i16':
      return view.getInt16(0);
    case 'u32':
      return view.getUint32(0);
    case 'i32':
      return view.getInt32(0);
    case 'f32':
      return shortest(view.getFloat32(0));
    case 'u64':
      return view.getBigUint64(0);
    case 'i64':
      return view.getBigInt64(0);
    case 'f64':
      return view.getFloat64(0);
  }
}

interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
  readonly words: number;
}

const integerRanges: Readonly<Partial<Record<ValueType, IntegerRange>>> = {
  u16: { min: 0n, max: 0xffffn, words: 1 },
  i16: { min: -0x8000n, max: 0x7fffn, words: 1 },
  u32: { min: 0n, max: 0xffff_ffffn, words: 2 },
  i32: { min: -0x8000_0000n, max: 0x7fff_ffffn, words: 2 },
  u64: { min: 0n, max: 0xffff_ffff_ffff_ffffn, words: 4 },
  i64: { min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn, words: 4 },
};

function encodeNumber(type: ValueType, value: number | bigint): DataView | undefined {
  if (type === 'f32' || type === 'f64') {
    const view = new DataView(new ArrayBuffer(type === 'f32' ? 4 : 8));
    const number = Number(value);
    if (type === 'f64') view.setFloat64(0, number);
    else if (Number.isFinite(Math.fround(number))) view.setFloat32(0, number);
    else return undefined;
    return view;
  }
  const range = integerRanges[type];
  if (range === undefined) return undefined;
  const integer = typeof value === 'bigint' ? value : BigInt(Math.round(value));
  if (integer < range.min || integer > range.max) return undefined;
  const words = Array.from({ length: range.words }, (_, index) => {
    const shift = BigInt((range.words - 1 - index) * wordBits);
    return Number((BigInt.asUintN(range.words * wordBits, integer) >> shift) & BigInt(wordMask));
  });
  return toBytes(words);
}

function isWide(type: ValueType): boolean {
  return type === 'i64' || type === 'u64';
}

/** High byte first; `BADC` and `DCBA` mean low byte first. Ends at the first NUL; blanks behind it are padding. */
function decodeText(words: readonly number[], order: WordOrder): string {
  const view = toBytes(textOrdered(words, order));
  const bytes = Buffer.from(view.buffer);
  const end = bytes.indexOf(0);
  return bytes
    .subarray(0, end < 0 ? bytes.length : end)
    .toString('latin1')
    .trimEnd();
}

function encodeText(tag: Tag, value: unknown): Encoded {
  if (typeof value !== 'string') return refused('is no text');
  if ([...value].some(isNotLatin1)) return refused('has characters that are not Latin-1');
  if (value.length > tag.at.length * 2) return refused(`is longer than ${tag.at.length * 2} characters`);
  const bytes = Buffer.alloc(tag.at.length * 2);
  bytes.write(value, 'latin1');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { ok: true, words: textOrdered(toWords(view), tag.order) };
}

/** NUL is not one either: it would end the text. */
function isNotLatin1(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return code < 1 || code > byteMask;
}

/** In a text only the bytes of a register may be swapped; its registers always stand in reading order. */
function textOrdered(words: readonly number[], order: WordOrder): readonly number[] {
  return ordered(words, order === 'BADC' || order === 'DCBA' ? 'BADC' : 'ABCD');
}

/** The decimal number with the fewest digits that is this very 32-bit float: 12.3, not 12.300000190734863. */
function shortest(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (const digits of [6, 7, 8]) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

function tidy(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(scaledDigits)) : value;
}

function refused(reason: string): Encoded {
  return { ok: false, reason };
}
