// A segment of the log as bytes: its name, its header, and the head of each frame in it.
//
// name   <first>.seg                        as written, `first` its sequence number in 16 hexadecimal digits
//        <first>-<last>.<generation>.seg    rewritten: takes the place of segments first … last
//        <number>.spare                     a released file, waiting to be written over
//
// header, 512 bytes (one sector): twice the same 64, at 0 and at 256, the rest zero
//   0   8   "WEIRLOG\n"
//   8   u32 format, 1                       a reader refuses newer ones
//   12  u32 flags: 1 rewritten (no snapshot, no notes)
//   16  8   epoch
//   24  8   salt: random, the same in all segments of an epoch, never leaves the disk
//   32  f64 first sequence
//   40  f64 last sequence                   the same unless rewritten
//   48  u32 generation                      0 unless rewritten
//   60  u32 checksum of bytes 0 … 59
//
// 512: frames, each at a multiple of 8, one a commit; the first two of a segment as written are its snapshot, twice
//   0   u32 "WFR1"
//   4   u32 bytes of the whole frame, a multiple of 8
//   8   u32 bytes of the index, from byte 64 (frame-index.ts)
//   12  u32 bytes of the bodies, from the next multiple of 8 behind the index
//   16  f64 commit sequence: 1, 2, 3 … through all segments
//   24  f64 monotonic milliseconds of the commit
//   32  f64 wall milliseconds of the commit, as the clock said
//   40  u32 boot number (boot-table.ts)
//   44  u32 flags: 1 the wall clock was right, 2 snapshot
//   48  u32 records
//   52  u32 checksum of the index
//   56  u32 0
//   60  u32 checksum of bytes 0 … 59, seeded
//   64  index, bodies (each record at a multiple of 4), zeros
//
// Checksums are CRC-32; that of a record stands in the index. The seed is made of epoch, salt, sequence, generation
// and the frame's position: what an earlier life of a recycled file left behind never passes, nor does a message
// whose content looks like a frame. A frame is whole when head, index and all its records are.

import { Buffer } from 'node:buffer';
import { crc, type WordMemory } from './crc.ts';

const formatNewest = 1;
export const headerBytes = 512;
export const headBytes = 64;
export const frameAlignment = 8;
export const recordAlignment = 4;
export const frameMagic = 0x31524657;

export const flagTrusted = 1;
export const flagSnapshot = 2;

const headerMagic = 'WEIRLOG\n';
const headerCopyAt = 256;
const headCrcAt = 60;
const headerFlagRewritten = 1;
const idBytes = 8;

/** Which segments a file stands for. */
export interface SegmentName {
  readonly first: number;
  readonly last: number;
  readonly generation: number;
}

export interface SegmentHeader extends SegmentName {
  /** 16 hexadecimal digits each. */
  readonly epoch: string;
  readonly salt: string;
}

export interface FrameHead {
  readonly position: number;
  readonly frameBytes: number;
  readonly indexBytes: number;
  readonly bodiesBytes: number;
  readonly sequence: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly boot: number;
  readonly flags: number;
  readonly records: number;
  readonly indexCrc: number;
}

const namePattern = /^([0-9a-f]{16})(?:-([0-9a-f]{16})\.([1-9]\d{0,8}))?\.seg$/;
const sparePattern = /^\d{1,9}\.spare$/;

export function fileNameOf({ first, last, generation }: SegmentName): string {
  if (generation === 0) return `${hexOf(first)}.seg`;
  return `${hexOf(first)}-${hexOf(last)}.${generation}.seg`;
}

/** Undefined for a file that is none of ours. */
export function segmentNameOf(fileName: string): SegmentName | undefined {
  const found = namePattern.exec(fileName);
  if (found === null) return undefined;
  const first = Number.parseInt(found[1] as string, 16);
  const last = found[2] === undefined ? first : Number.parseInt(found[2], 16);
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last) || last < first) return undefined;
  return { first, last, generation: Number(found[3] ?? 0) };
}

export function isSpareName(fileName: string): boolean {
  return sparePattern.test(fileName);
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.from(new ArrayBuffer(headerBytes));
  bytes.write(headerMagic, 0, 'latin1');
  bytes.writeUInt32LE(formatNewest, 8);
  bytes.writeUInt32LE(header.generation === 0 ? 0 : headerFlagRewritten, 12);
  bytes.write(header.epoch, 16, idBytes, 'hex');
  bytes.write(header.salt, 24, idBytes, 'hex');
  bytes.writeDoubleLE(header.first, 32);
  bytes.writeDoubleLE(header.last, 40);
  bytes.writeUInt32LE(header.generation, 48);
  bytes.writeInt32LE(crc(wordsOf(bytes), { start: 0, length: headCrcAt, seed: 0 }), headCrcAt);
  bytes.copy(bytes, headerCopyAt, 0, headBytes);
  return bytes;
}

/** The header, or what is wrong with it. `bytes` are the first 512 of the file, or fewer. */
export function decodeHeader(bytes: Buffer): SegmentHeader | 'damaged' | 'newer' {
  if (bytes.byteLength < headerBytes) return 'damaged';
  const first = decodeHeaderCopy(bytes.subarray(0, headBytes));
  return first === 'damaged' ? decodeHeaderCopy(bytes.subarray(headerCopyAt, headerCopyAt + headBytes)) : first;
}

function decodeHeaderCopy(part: Buffer): SegmentHeader | 'damaged' | 'newer' {
  const bytes = Buffer.from(new ArrayBuffer(headBytes));
  part.copy(bytes);
  if (bytes.toString('latin1', 0, headerMagic.length) !== headerMagic) return 'damaged';
  const sum = crc(wordsOf(bytes), { start: 0, length: headCrcAt, seed: 0 });
  if (sum !== bytes.readInt32LE(headCrcAt)) return 'damaged';
  if (bytes.readUInt32LE(8) > formatNewest) return 'newer';
  return {
    epoch: bytes.toString('hex', 16, 16 + idBytes),
    salt: bytes.toString('hex', 24, 24 + idBytes),
    first: bytes.readDoubleLE(32),
    last: bytes.readDoubleLE(40),
    generation: bytes.readUInt32LE(48),
  };
}

/** What the checksums of a segment's frames begin with. */
export function segmentSeed(header: SegmentHeader): number {
  return crc(wordsOf(encodeHeader(header)), { start: 0, length: headCrcAt, seed: 0 });
}

export function frameSeed(seed: number, position: number): number {
  return Math.imul(seed ^ (position / frameAlignment), 0x9e3779b1) | 0;
}

/** Writes the head into the first 64 bytes of `memory`, whose index from byte 64 on is complete. */
export function writeHead(
  memory: WordMemory & { readonly bytes: Buffer },
  head: Omit<FrameHead, 'indexCrc'>,
  seed: number,
): void {
  const { bytes } = memory;
  const seeded = frameSeed(seed, head.position);
  bytes.writeUInt32LE(frameMagic, 0);
  bytes.writeUInt32LE(head.frameBytes, 4);
  bytes.writeUInt32LE(head.indexBytes, 8);
  bytes.writeUInt32LE(head.bodiesBytes, 12);
  bytes.writeDoubleLE(head.sequence, 16);
  bytes.writeDoubleLE(head.monotonicMs, 24);
  bytes.writeDoubleLE(head.wallMs, 32);
  bytes.writeUInt32LE(head.boot, 40);
  bytes.writeUInt32LE(head.flags, 44);
  bytes.writeUInt32LE(head.records, 48);
  bytes.writeInt32LE(crc(memory, { start: headBytes, length: head.indexBytes, seed: seeded }), 52);
  bytes.writeUInt32LE(0, 56);
  bytes.writeInt32LE(crc(memory, { start: 0, length: headCrcAt, seed: seeded }), headCrcAt);
}

export interface HeadPlace {
  /** Where in the memory; a multiple of 4. */
  readonly at: number;
  /** Where in the file. */
  readonly position: number;
  readonly seed: number;
}

/** The head at a place, or undefined when there is none that was written there. */
export function readHead(
  memory: WordMemory & { readonly bytes: Buffer },
  { at, position, seed }: HeadPlace,
): FrameHead | undefined {
  const { bytes } = memory;
  if (at + headBytes > bytes.byteLength || memory.words[at >> 2] !== frameMagic) return undefined;
  const sum = crc(memory, { start: at, length: headCrcAt, seed: frameSeed(seed, position) });
  if (sum !== bytes.readInt32LE(at + headCrcAt)) return undefined;
  const head: FrameHead = {
    position,
    frameBytes: bytes.readUInt32LE(at + 4),
    indexBytes: bytes.readUInt32LE(at + 8),
    bodiesBytes: bytes.readUInt32LE(at + 12),
    sequence: bytes.readDoubleLE(at + 16),
    monotonicMs: bytes.readDoubleLE(at + 24),
    wallMs: bytes.readDoubleLE(at + 32),
    boot: bytes.readUInt32LE(at + 40),
    flags: bytes.readUInt32LE(at + 44),
    records: bytes.readUInt32LE(at + 48),
    indexCrc: bytes.readInt32LE(at + 52),
  };
  return bodiesAt(head.indexBytes) + head.bodiesBytes <= head.frameBytes ? head : undefined;
}

/** Where the bodies of a frame begin, from its start. */
export function bodiesAt(indexBytes: number): number {
  return alignUp(headBytes + indexBytes, frameAlignment);
}

export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function hexOf(sequence: number): string {
  return sequence.toString(16).padStart(16, '0');
}

/** Memory of its own, which begins at a word boundary. */
function wordsOf(bytes: Buffer): WordMemory {
  return { bytes, words: new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2) };
}
