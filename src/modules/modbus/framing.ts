// Frames on the wire: where an answer starts and ends, over a serial line and over TCP.
//
//   RTU   unit(1) function(1) data(n) crc(2, low byte first)      no length: it follows from the function
//   TCP   transaction(2) 0000 length(2) unit(1) function(1) data(n)
//
// Inside the module a frame is always in the RTU form, with CRC, because that is what the codec speaks.
// Pure. The RTU reader looks for the answer to one request and steps over everything else: noise before it,
// frames of other units, late answers of another length, our own echo is told apart by its CRC'd content only
// where it differs in length. Timing is not used to find frames: a user process cannot measure t1.5.

import { strict as assert } from 'node:assert';
import { modbusFrameBytesMax } from '../../limits.ts';

const crcBytes = 2;
const exceptionBit = 0x80;
const exceptionFrameBytes = 5;
const writeFrameBytes = 8;
const headerBytes = 3;
const mbapBytes = 6;
const crcStart = 0xffff;
const crcPolynomial = 0xa001;
const byteBits = 8;

export function crc16(bytes: Uint8Array): number {
  let crc = crcStart;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < byteBits; bit += 1) crc = (crc & 1) === 0 ? crc >> 1 : (crc >> 1) ^ crcPolynomial;
  }
  return crc;
}

/** `body` (unit, function, data) with its CRC behind it. */
export function withCrc(body: Uint8Array): Buffer {
  const frame = Buffer.alloc(body.length + crcBytes);
  frame.set(body);
  frame.writeUInt16LE(crc16(body), body.length);
  return frame;
}

/** Length of the good answer to `request` (RTU form), CRC included. Functions 1–6, 15 and 16. */
export function answerBytes(request: Uint8Array): number {
  const view = Buffer.from(request.buffer, request.byteOffset, request.byteLength);
  const count = view.readUInt16BE(4);
  switch (view[1]) {
    case 1:
    case 2:
      return headerBytes + Math.ceil(count / byteBits) + crcBytes;
    case 3:
    case 4:
      return headerBytes + count * 2 + crcBytes;
    default:
      return writeFrameBytes;
  }
}

export type RtuProgress =
  | { readonly state: 'more' }
  | { readonly state: 'frame'; readonly frame: Buffer }
  | { readonly state: 'garbled' };

/** Collects bytes until the answer to one request is there. */
export class RtuReader {
  readonly #request: Uint8Array;
  readonly #answerBytes: number;
  #bytes = Buffer.alloc(0);

  constructor(request: Uint8Array) {
    this.#request = request;
    this.#answerBytes = answerBytes(request);
  }

  /** `garbled`: something of the right shape is complete but its CRC is wrong, and nothing behind it helps so far. */
  push(chunk: Uint8Array): RtuProgress {
    this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-2 * modbusFrameBytesMax);
    let isGarbled = false;
    for (let start = 0; start + exceptionFrameBytes <= this.#bytes.length; start += 1) {
      const length = this.#lengthAt(start);
      if (length === undefined || start + length > this.#bytes.length) continue;
      const frame = this.#bytes.subarray(start, start + length);
      if (frame.readUInt16LE(length - crcBytes) !== crc16(frame.subarray(0, -crcBytes))) isGarbled = true;
      else return { state: 'frame', frame: Buffer.from(frame) };
    }
    return { state: isGarbled ? 'garbled' : 'more' };
  }

  /** Length of the answer if one starts here, judged by unit, function and byte count. */
  #lengthAt(start: number): number | undefined {
    const [unit, code] = this.#request;
    if (this.#bytes[start] !== unit || code === undefined) return undefined;
    const found = this.#bytes[start + 1];
    if (found === (code | exceptionBit)) return exceptionFrameBytes;
    if (found !== code) return undefined;
    const hasCount = this.#answerBytes !== writeFrameBytes || code <= 4;
    if (hasCount && this.#bytes[start + 2] !== this.#answerBytes - headerBytes - crcBytes) return undefined;
    return this.#answerBytes;
  }
}

/** RTU form → TCP form. */
export function toTcp(frame: Uint8Array, transaction: number): Buffer {
  assert(frame.length > crcBytes);
  const body = frame.subarray(0, frame.length - crcBytes);
  const bytes = Buffer.alloc(mbapBytes + body.length);
  bytes.writeUInt16BE(transaction, 0);
  bytes.writeUInt16BE(body.length, 4);
  bytes.set(body, mbapBytes);
  return bytes;
}

export type TcpProgress =
  | { readonly state: 'more' }
  | { readonly state: 'frame'; readonly transaction: number; readonly frame: Buffer }
  | { readonly state: 'garbled' };

/** Cuts a TCP stream into frames. After `garbled` the stream cannot be followed any more: close it. */
export class TcpReader {
  #bytes = Buffer.alloc(0);

  push(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
  }

  next(): TcpProgress {
    if (this.#bytes.length < mbapBytes) return { state: 'more' };
    const length = this.#bytes.readUInt16BE(4);
    if (this.#bytes.readUInt16BE(2) !== 0 || length < headerBytes || length > modbusFrameBytesMax)
      return { state: 'garbled' };
    if (this.#bytes.length < mbapBytes + length) return { state: 'more' };
    const transaction = this.#bytes.readUInt16BE(0);
    const frame = withCrc(this.#bytes.subarray(mbapBytes, mbapBytes + length));
    this.#bytes = this.#bytes.subarray(mbapBytes + length);
    return { state: 'frame', transaction, frame };
  }
}
