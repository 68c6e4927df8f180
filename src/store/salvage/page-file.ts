// A database file that SQLite does not trust any more, as pages: the file with its write-ahead log laid over it.
//
// Owns the two containers and nothing of what is in a page (tree.ts). Reads only; what lies there is evidence.
// Formats: https://www.sqlite.org/fileformat2.html §1.3 (header) and §4 (the log). All numbers big-endian.
//
//   log    32 bytes  magic 0x377f0682 | …83, version, page size, sequence, salt 1, salt 2, checksum 1, checksum 2
//          frames    page number, pages after commit (0: no commit), salt 1, salt 2, checksum 1, checksum 2, page
//
// The checksum of a frame is a running one. SQLite ends the log at the first frame that does not fit, which is right
// after a power cut and drops every later commit when one bit flipped. Here a frame is judged from the sum its
// predecessor carries, or from the one computed for it, so that one bad frame costs one page; and a frame in which one
// bit flipped is believed again once that bit is put back (flipped-bit.ts). The log counts as damaged when
//   a single bit explains why a frame does not fit, or its salt is wrong and its sum is right
//   a frame that fits lies behind a commit with one that does not: what is behind a commit was written after its sync
// Anything else is what a power cut may leave of the last commit.
//
// A page size other than the one every file of ours has is a flipped bit as well, and is not believed.

import type { Buffer } from 'node:buffer';
import type { RawFile } from '../../platform/sqlite.ts';
import { type Bit, flippedBits, type Sum } from './flipped-bit.ts';

export const pageBytes = 4096;
const logHeaderBytes = 32;
const frameHeaderBytes = 24;
const frameBytes = frameHeaderBytes + pageBytes;
const logMagic = 0x377f0682;
const saltAt = 16;
const logSumAt = 24;
const frameSaltAt = 8;
const frameSumAt = 16;
const endsAt = 4;
const sumStepBytes = 8;
const pagesMax = 0xffff_fffe;
/** Frames that are searched for a flipped bit: more of them are no flips. */
const flipSearchesMax = 64;
const summedParts = [
  [0, frameSaltAt],
  [frameHeaderBytes, frameBytes],
] as const;

const noSum: Sum = { first: 0, second: 0 };

interface Frame {
  readonly page: number;
  /** A commit ends with it. */
  readonly ends: boolean;
  readonly good: boolean;
  /** It is not what was written, whether or not it is good again. */
  readonly flipped: boolean;
  /** To be put back when its page is read. */
  readonly bit?: Bit | undefined;
  readonly offset: number;
}

export class PageFile {
  readonly #database: RawFile;
  readonly #log: RawFile | undefined;
  /** Where the newest committed content of a page is in the log. */
  readonly #inLog = new Map<number, number>();
  readonly #bits = new Map<number, Bit>();
  /** Pages whose newest content cannot be believed: what is read for them is older. */
  readonly #stale = new Set<number>();
  /** A commit lies behind a frame that does not fit: that is no torn end but damage. */
  readonly logDamaged: boolean;
  readonly pageCount: number;

  constructor(database: RawFile, log: RawFile | undefined) {
    this.#database = database;
    this.#log = log;
    const { frames, headerGood } = log === undefined ? noFrames : readFrames(log);
    const lastCommit = frames.findLastIndex(({ good, ends }) => good && ends);
    let pages = Math.ceil(database.bytes / pageBytes);
    let [badInCommit, badBefore] = [false, false];
    let damaged = (lastCommit >= 0 && !headerGood) || frames.some(({ flipped }) => flipped);
    for (const { page, ends, good, offset, bit } of frames.slice(0, lastCommit + 1)) {
      if (good) {
        this.#inLog.set(page, offset + frameHeaderBytes);
        if (bit !== undefined) this.#bits.set(offset + frameHeaderBytes, { ...bit, at: bit.at - frameHeaderBytes });
        this.#stale.delete(page);
        pages = Math.max(pages, page);
      } else if (page > 0 && page <= pagesMax) this.#stale.add(page);
      if (good && badBefore) damaged = true;
      badInCommit ||= !good;
      // Within the last commit it may be what a power cut left of it: that was never acknowledged.
      if (ends && badInCommit) badBefore = true;
    }
    this.logDamaged = damaged;
    this.pageCount = pages;
  }

  /** Undefined: there is no such page, or its storage does not give it. */
  page(number: number): Buffer | undefined {
    if (number < 1 || number > this.pageCount) return undefined;
    const at = this.#inLog.get(number);
    const page =
      at === undefined || this.#log === undefined
        ? readPage(this.#database, (number - 1) * pageBytes)
        : readPage(this.#log, at);
    const bit = at === undefined ? undefined : this.#bits.get(at);
    if (page !== undefined && bit !== undefined && bit.at >= 0) page[bit.at] = (page[bit.at] as number) ^ bit.mask;
    return page?.byteLength === pageBytes ? page : undefined;
  }

  isStale(number: number): boolean {
    return this.#stale.has(number);
  }
}

interface Frames {
  readonly frames: readonly Frame[];
  readonly headerGood: boolean;
}

const noFrames: Frames = { frames: [], headerGood: true };

/** Frames of the log's present generation, in order; those of the one before it carry other salts. */
function readFrames(log: RawFile): Frames {
  const header = readPage(log, 0, logHeaderBytes);
  const first = readPage(log, logHeaderBytes, frameBytes);
  if (header?.byteLength !== logHeaderBytes || first?.byteLength !== frameBytes) return noFrames;
  const carried = sumAt(header, logSumAt);
  for (const bigEndian of [false, true]) {
    const computed = runningSum(noSum, header.subarray(0, logSumAt), bigEndian);
    const headerGood = sameSum(computed, carried) && header.readUInt32BE(0) === logMagic + Number(bigEndian);
    const salts = headerGood ? header.subarray(saltAt, logSumAt) : first.subarray(frameSaltAt, frameSumAt);
    const reading = { bigEndian, salts, sums: [carried, computed], chained: headerGood, flipSearches: 0 };
    if (headerGood || judge(first, reading).good) return { frames: walkFrames(log, reading), headerGood };
  }
  return noFrames;
}

interface Reading {
  readonly bigEndian: boolean;
  readonly salts: Buffer;
  /** What the sum may have been before this frame: as its predecessor says, and as computed. */
  sums: readonly Sum[];
  /** The frame before this one fits. */
  chained: boolean;
  flipSearches: number;
}

function walkFrames(log: RawFile, reading: Reading): readonly Frame[] {
  const frames: Frame[] = [];
  for (let offset = logHeaderBytes; offset + frameBytes <= log.bytes; offset += frameBytes) {
    const frame = readPage(log, offset, frameBytes);
    if (frame?.byteLength !== frameBytes) {
      reading.chained = false;
      frames.push({ page: 0, ends: false, good: false, flipped: false, offset });
      continue;
    }
    const { good, salted, flipped, bit, sums } = judge(frame, reading);
    reading.sums = sums;
    reading.chained = good;
    const ends = (salted || flipped) && frame.readUInt32BE(endsAt) > 0;
    frames.push({ page: frame.readUInt32BE(0), ends, good, flipped, bit, offset });
  }
  return frames;
}

/** Puts a flipped bit back in `frame`, when there is one and its place is known. */
function judge(frame: Buffer, reading: Reading) {
  const { bigEndian, salts, chained } = reading;
  const own = sumAt(frame, frameSumAt);
  const salted = frame.subarray(frameSaltAt, frameSumAt).equals(salts);
  const after = reading.sums.map((before) => sumOfFrame(before, frame, bigEndian));
  const fits = after.some((sum) => sameSum(sum, own));
  const sums = [own, after[0] ?? own];
  if (fits || !salted || !chained || reading.flipSearches >= flipSearchesMax)
    return { salted, good: fits && (salted || chained), flipped: fits && chained && !salted, bit: undefined, sums };
  reading.flipSearches++;
  const found = after.flatMap((computed) =>
    flippedBits(frame, summedParts, { computed, carried: own, carriedAt: frameSumAt, bigEndian }),
  );
  const places = new Map(found.map((bit) => [`${bit.at} ${bit.mask}`, bit]));
  const [bit] = places.values();
  if (bit === undefined || places.size > 1)
    return { salted, good: false, flipped: places.size > 1, bit: undefined, sums };
  frame[bit.at] = (frame[bit.at] as number) ^ bit.mask;
  return { salted, good: true, flipped: true, bit, sums: [sumAt(frame, frameSumAt)] };
}

function sumOfFrame(before: Sum, frame: Buffer, bigEndian: boolean): Sum {
  const head = runningSum(before, frame.subarray(0, frameSaltAt), bigEndian);
  return runningSum(head, frame.subarray(frameHeaderBytes, frameBytes), bigEndian);
}

/** §4.2: eight bytes at a time, in the byte order that the magic number names. */
function runningSum(before: Sum, bytes: Buffer, bigEndian: boolean): Sum {
  let { first, second } = before;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + sumStepBytes <= bytes.byteLength; at += sumStepBytes) {
    first = (first + view.getUint32(at, !bigEndian) + second) >>> 0;
    second = (second + view.getUint32(at + sumStepBytes / 2, !bigEndian) + first) >>> 0;
  }
  return { first, second };
}

function sumAt(bytes: Buffer, at: number): Sum {
  return { first: bytes.readUInt32BE(at), second: bytes.readUInt32BE(at + sumStepBytes / 2) };
}

function sameSum(a: Sum, b: Sum): boolean {
  return a.first === b.first && a.second === b.second;
}

function readPage(file: RawFile, offset: number, bytes: number = pageBytes): Buffer | undefined {
  try {
    return file.read(offset, bytes);
  } catch {
    // A sector the storage does not give any more. The pages around it are what this is for.
    return undefined;
  }
}
