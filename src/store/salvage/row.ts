// One row as SQLite writes it: a header of types, then the values.
//
//   varint header length, itself included; varint type for each column; values
//   types 0 NULL · 1–6 integers of 1, 2, 3, 4, 6, 8 bytes · 7 float · 8 the number 0 · 9 the number 1
//         even ≥ 12 bytes, odd ≥ 13 text, of (type − 12) / 2 bytes
//
// https://www.sqlite.org/fileformat2.html §2.1. A column that was added after the row was written is missing at its
// end. Whatever does not fit exactly is no row: the answer is undefined, never an exception.

import { Buffer } from 'node:buffer';
import type { SqliteValue } from '../../platform/sqlite.ts';

const varintBytesMax = 9;
const integerBytes = [0, 1, 2, 3, 4, 6, 8];
const floatType = 7;
const zeroType = 8;
const oneType = 9;
const lengthTypeMin = 12;
const sixBytes = 6;
const eightBytes = 8;

export interface Varint {
  readonly value: number;
  readonly next: number;
}

/** Undefined at the end of the bytes, and for what no exact number holds. */
export function readVarint(bytes: Buffer, at: number): Varint | undefined {
  let value = 0;
  for (let index = 0; index < varintBytesMax; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    const whole = index === varintBytesMax - 1;
    value = whole ? value * 2 ** 8 + byte : value * 2 ** 7 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
    if (whole || byte < 0x80) return { value, next: at + index + 1 };
  }
  return undefined;
}

export function readRow(payload: Buffer): readonly SqliteValue[] | undefined {
  const header = readVarint(payload, 0);
  if (header === undefined || header.value > payload.byteLength || header.value < header.next) return undefined;
  const values: SqliteValue[] = [];
  let body = header.value;
  for (let at = header.next; at < header.value; ) {
    const type = readVarint(payload, at);
    if (type === undefined || type.next > header.value) return undefined;
    at = type.next;
    const bytes = bytesOf(type.value);
    if (bytes === undefined || body + bytes > payload.byteLength) return undefined;
    const value = readValue(type.value, payload.subarray(body, body + bytes));
    if (value === undefined) return undefined;
    values.push(value);
    body += bytes;
  }
  return body === payload.byteLength ? values : undefined;
}

function bytesOf(type: number): number | undefined {
  if (type >= lengthTypeMin) return Math.floor((type - lengthTypeMin) / 2);
  if (type === floatType) return eightBytes;
  if (type === zeroType || type === oneType) return 0;
  return integerBytes[type];
}

function readValue(type: number, bytes: Buffer): SqliteValue | undefined {
  if (type >= lengthTypeMin) {
    if (type % 2 === 0) return bytes;
    const text = bytes.toString('utf8');
    return Buffer.from(text, 'utf8').equals(bytes) ? text : undefined;
  }
  if (type === 0) return null;
  if (type === floatType) return bytes.readDoubleBE(0);
  if (type === zeroType) return 0;
  if (type === oneType) return 1;
  if (bytes.byteLength <= sixBytes) return bytes.readIntBE(0, bytes.byteLength);
  const value = Number(bytes.readBigInt64BE(0));
  return Number.isSafeInteger(value) ? value : undefined;
}
