// WebSocket frames (RFC 6455, section 5.2) as a server reads and writes them. Pure.
//
//   fin 1 | rsv 3 | opcode 4    mask 1 | length 7    [length 16 or 64]    mask key 4 (clients only)    payload
//
// MQTT is a stream of bytes whatever the frames, so payload is handed on as it arrives and never gathered: a frame
// costs no memory. It is unmasked where it lies, in the borrowed read buffer. Only control frames (125 bytes at
// most) and a header that a read cut in two are kept.
//
// Invariant: after `broken` nothing more is handed on.

import { isUtf8 } from 'node:buffer';
import { webSocketFrameBytesMax } from '../../limits.ts';

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** RFC 6455, section 7.4.1. */
export const closeCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  invalidPayload: 1007,
  tooBig: 1009,
} as const;

export interface FrameSink {
  /** Unmasked bytes of binary messages: `chunk[from..to)`. False: take no more now; feed() returns where it stopped. */
  data(chunk: Buffer, from: number, to: number): boolean;
  /** A whole control frame; `payload` is the sink's to keep. */
  control(code: number, payload: Buffer): boolean;
  /** The peer broke a rule; `code` says which. */
  broken(code: number, detail: string): void;
}

const finBit = 0x80;
const rsvBits = 0x70;
const opcodeBits = 0x0f;
const maskBit = 0x80;
const lengthBits = 0x7f;
const length16 = 126;
const length64 = 127;
const shortFieldBytes = 2;
const longFieldBytes = 8;
const length16Max = 0xffff;
const controlBytesMax = 125;
const fixedBytes = 2;
const maskBytes = 4;
const byteBits = 8;
const byteMask = 0xff;
const topShift = 24;
const codeBytes = 2;
/** Of those below it, 1004 to 1006 and 1015 never stand in a frame. */
const standardCodeMax = 1014;
const reservedCodes: readonly number[] = [1004, 1005, 1006];
/** Those that libraries and applications choose. */
const otherCodeMin = 3000;
const otherCodeMax = 4999;

export class FrameReader {
  readonly #sink: FrameSink;
  /** A header, or a control frame's payload, that was cut. */
  #kept: Buffer | undefined;
  #keptBytes = 0;
  #opcode: number = opcode.continuation;
  /** Payload bytes of the current frame still to come. */
  #left = 0;
  #inFrame = false;
  /** A message's last frame has not come. */
  #fragmented = false;
  /** The mask, turned so that its first byte fits the next payload byte. */
  #mask = 0;
  #broken = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Reads `chunk[from..to)`. The result is where it stopped: `to`, or earlier when the sink would take no more. */
  feed(chunk: Buffer, from: number, to: number): number {
    let at = from;
    let goesOn = true;
    while (at < to && goesOn && !this.#broken) {
      if (!this.#inFrame) {
        at = this.#header(chunk, at, to);
        // An empty frame is whole with its header.
        if (this.#inFrame && this.#left === 0) goesOn = this.#payload(chunk, at, at);
        continue;
      }
      const end = Math.min(to, at + this.#left);
      this.#unmask(chunk, at, end);
      this.#left -= end - at;
      goesOn = this.#payload(chunk, at, end);
      at = end;
    }
    return this.#broken ? to : at;
  }

  #payload(chunk: Buffer, from: number, to: number): boolean {
    const isWhole = this.#left === 0;
    if (isWhole) this.#inFrame = false;
    if (this.#opcode < opcode.close) return from === to || this.#sink.data(chunk, from, to);
    this.#keep(chunk, from, to);
    if (!isWhole) return true;
    const payload = this.#kept === undefined ? Buffer.alloc(0) : Buffer.from(this.#kept.subarray(0, this.#keptBytes));
    this.#kept = undefined;
    this.#keptBytes = 0;
    return this.#sink.control(this.#opcode, payload);
  }

  /** Takes header bytes until there is a whole one. */
  #header(chunk: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      this.#keep(chunk, at, at + 1);
      at += 1;
      const kept = this.#kept as Buffer;
      if (this.#keptBytes < fixedBytes || this.#keptBytes < headerBytes(kept)) continue;
      this.#begin(kept);
      this.#kept = undefined;
      this.#keptBytes = 0;
      return at;
    }
    return at;
  }

  #begin(header: Buffer): void {
    const first = header[0] as number;
    const code = first & opcodeBits;
    const isFinal = (first & finBit) !== 0;
    const length = lengthOf(header);
    const problem = this.#problem(header, { code, isFinal, length });
    if (problem !== undefined) {
      this.#broken = true;
      this.#sink.broken(problem.code, problem.detail);
      return;
    }
    this.#opcode = code;
    if (code < opcode.close) this.#fragmented = !isFinal;
    this.#left = length;
    this.#mask = header.readInt32BE(headerBytes(header) - maskBytes);
    this.#inFrame = true;
  }

  #problem(
    header: Buffer,
    { code, isFinal, length }: { readonly code: number; readonly isFinal: boolean; readonly length: number },
  ): { readonly code: number; readonly detail: string } | undefined {
    const wrong = (detail: string) => ({ code: closeCode.protocolError, detail });
    if (((header[0] as number) & rsvBits) !== 0) return wrong('a reserved bit is set');
    if (((header[1] as number) & maskBit) === 0) return wrong('a frame is not masked');
    if (length < lengthMin(header)) return wrong('a length is not in its shortest form');
    if (code >= opcode.close) {
      if (code > opcode.pong) return wrong('an unknown opcode');
      if (!isFinal || length > controlBytesMax) return wrong('a control frame is cut or too long');
      return undefined;
    }
    if (code === opcode.text) return { code: closeCode.unsupportedData, detail: 'MQTT comes in binary frames' };
    if (code > opcode.binary) return wrong('an unknown opcode');
    if ((code === opcode.continuation) !== this.#fragmented) return wrong('a fragment is out of place');
    if (length > webSocketFrameBytesMax) return { code: closeCode.tooBig, detail: 'a frame is too large' };
    return undefined;
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    if (from === to) return;
    this.#kept ??= Buffer.allocUnsafe(controlBytesMax);
    chunk.copy(this.#kept, this.#keptBytes, from, to);
    this.#keptBytes += to - from;
  }

  #unmask(chunk: Buffer, from: number, to: number): void {
    let mask = this.#mask;
    for (let at = from; at < to; at += 1) {
      chunk[at] = (chunk[at] as number) ^ ((mask >>> topShift) & byteMask);
      mask = (mask << byteBits) | (mask >>> topShift);
    }
    this.#mask = mask;
  }
}

/** The header of a server's whole frame: never masked. */
export function frameHeader(code: number, length: number): Buffer {
  const first = finBit | code;
  if (length < length16) return Buffer.from([first, length]);
  if (length <= length16Max) {
    const header = Buffer.allocUnsafe(fixedBytes + shortFieldBytes);
    header[0] = first;
    header[1] = length16;
    header.writeUInt16BE(length, fixedBytes);
    return header;
  }
  const header = Buffer.allocUnsafe(fixedBytes + longFieldBytes);
  header[0] = first;
  header[1] = length64;
  header.writeBigUInt64BE(BigInt(length), fixedBytes);
  return header;
}

/** A Close frame; its reason is cut to what a control frame takes. */
export function closeFrame(code: number, reason = ''): Buffer {
  const payload = Buffer.alloc(fixedBytes + Buffer.byteLength(reason)).subarray(0, controlBytesMax);
  payload.writeUInt16BE(code);
  payload.write(reason, fixedBytes);
  return Buffer.concat([frameHeader(opcode.close, payload.length), payload]);
}

/**
 * The code that answers a Close frame of `payload`: its own, unless no endpoint may send that [RFC 6455 §5.5.1, §7.4],
 * or its reason is no UTF-8 [§8.1].
 */
export function answerToClose(payload: Buffer): number {
  if (payload.length === 0) return closeCode.normal;
  if (payload.length < codeBytes) return closeCode.protocolError;
  const code = payload.readUInt16BE();
  if (!mayBeSent(code)) return closeCode.protocolError;
  return isUtf8(payload.subarray(codeBytes)) ? code : closeCode.invalidPayload;
}

function mayBeSent(code: number): boolean {
  if (code >= otherCodeMin) return code <= otherCodeMax;
  return code >= closeCode.normal && code <= standardCodeMax && !reservedCodes.includes(code);
}

/** Of a client's header whose first two bytes are there; a missing mask is told later and counts nothing. */
function headerBytes(header: Buffer): number {
  const second = header[1] as number;
  const field = second & lengthBits;
  const extended = field === length16 ? shortFieldBytes : field === length64 ? longFieldBytes : 0;
  return fixedBytes + extended + ((second & maskBit) === 0 ? 0 : maskBytes);
}

function lengthOf(header: Buffer): number {
  const field = (header[1] as number) & lengthBits;
  if (field === length16) return header.readUInt16BE(fixedBytes);
  return field === length64 ? Number(header.readBigUInt64BE(fixedBytes)) : field;
}

function lengthMin(header: Buffer): number {
  const field = (header[1] as number) & lengthBits;
  if (field === length16) return length16;
  return field === length64 ? length16Max + 1 : 0;
}
