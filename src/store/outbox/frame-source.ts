// Frames read from segment files, a chunk at a time, checked before anybody sees them.
//
// One chunk of memory serves all readers; a frame's index is copied out of it, because the chunk moves on while the
// records are taken. Records are checked one by one when they are taken, so that a lane that is thin in a big
// backlog costs the reading of the frames around it and not their checksums.
//
// Errors of the disk pass through as they are.

import { Buffer } from 'node:buffer';
import { ByteSource, UnreadableFrame } from './byte-source.ts';
import { type CopyPlace, crc, crcCopy, type WordMemory } from './crc.ts';
import { readTracks, type Track } from './frame-index.ts';
import type { Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';
import {
  alignUp,
  bodiesAt,
  type FrameHead,
  frameAlignment,
  frameMagic,
  frameSeed,
  headBytes,
  readHead,
} from './segment-format.ts';

const chunkBytes = 262_144;
const pageBytes = 4096;

export interface Frame {
  readonly segment: Segment;
  readonly head: FrameHead;
  readonly tracks: readonly Track[];
  /** The index; records begin at `recordsAt` in it. */
  readonly index: Buffer;
  readonly recordsAt: number;
  /** Where its bodies begin in the file. */
  readonly bodies: number;
}

/** Where a record lies among a frame's bodies, and its checksum. */
export interface RecordPlace {
  readonly bodyAt: number;
  readonly length: number;
  readonly sum: number;
}

export class FrameSource {
  readonly #files: SegmentFiles;
  #memory: WordMemory & { readonly bytes: Buffer } = memoryOf(chunkBytes);
  #segment: Segment | undefined;
  #from = 0;
  #length = 0;
  #frame: Frame | undefined;
  /** Segments the disk refuses to read in part: what it does not give is taken for zeros, which pass no checksum. */
  readonly #broken = new WeakSet<Segment>();

  constructor(files: SegmentFiles) {
    this.#files = files;
  }

  get memory(): WordMemory & { readonly bytes: Buffer } {
    return this.#memory;
  }

  /** Forgets what it read: the files have changed. */
  forget(): void {
    this.#segment = undefined;
    this.#length = 0;
    this.#frame = undefined;
  }

  /** Reads around what the disk refuses in this segment from now on. */
  giveUpOn(segment: Segment): void {
    this.#broken.add(segment);
    this.forget();
  }

  /** The frame that begins there and ends by `limit`; undefined when there is none or its index is damaged. */
  frame(segment: Segment, position: number, limit: number): Frame | undefined {
    const known = this.#frame;
    if (known !== undefined && known.segment === segment && known.head.position === position) return known;
    const head = this.head(segment, position, limit);
    if (head === undefined) return undefined;
    const bytes = headBytes + head.indexBytes;
    const at = this.place(segment, position, { bytes, limit });
    if (at === undefined) return undefined;
    const seed = frameSeed(segment.seed, position);
    if (crc(this.#memory, { start: at + headBytes, length: head.indexBytes, seed }) !== head.indexCrc) return undefined;
    const index = Buffer.allocUnsafe(head.indexBytes);
    this.#memory.bytes.copy(index, 0, at + headBytes, at + bytes);
    const source = new ByteSource(index, { start: 0, end: index.byteLength });
    try {
      const tracks = readTracks(source);
      this.#frame = {
        segment,
        head,
        tracks,
        index,
        recordsAt: source.at,
        bodies: position + bodiesAt(head.indexBytes),
      };
    } catch (error) {
      if (error instanceof UnreadableFrame) return undefined;
      throw error;
    }
    return this.#frame;
  }

  head(segment: Segment, position: number, limit: number): FrameHead | undefined {
    const at = this.place(segment, position, { bytes: headBytes, limit });
    if (at === undefined) return undefined;
    const head = readHead(this.#memory, { at, position, seed: segment.seed });
    return head !== undefined && position + head.frameBytes <= limit ? head : undefined;
  }

  /** The next frame head behind a place where none could be read. */
  findHead(segment: Segment, position: number, limit: number): FrameHead | undefined {
    for (let place = alignUp(position, frameAlignment); place + headBytes <= limit; place += frameAlignment) {
      const at = this.place(segment, place, { bytes: headBytes, limit });
      if (at === undefined) return undefined;
      if (this.#memory.words[at >> 2] !== frameMagic) continue;
      const head = this.head(segment, place, limit);
      if (head !== undefined) return head;
    }
    return undefined;
  }

  /** Where in `memory` the record lies; undefined when it does not fit its checksum. Valid until the next call. */
  record(frame: Frame, place: RecordPlace): number | undefined {
    const at = this.#recordAt(frame, place);
    if (at === undefined) return undefined;
    return crc(this.#memory, { start: at, length: place.length, seed: 0 }) === place.sum ? at : undefined;
  }

  /** Copies the record; false when it does not fit its checksum, and then whatever it was has been copied. */
  copyRecord(frame: Frame, place: RecordPlace, into: CopyPlace): boolean {
    const at = this.#recordAt(frame, place);
    if (at === undefined) return false;
    return crcCopy(this.#memory, { start: at, length: place.length, seed: 0 }, into) === place.sum;
  }

  #recordAt(frame: Frame, place: RecordPlace): number | undefined {
    const position = frame.bodies + place.bodyAt;
    if (place.bodyAt + place.length > frame.head.bodiesBytes) return undefined;
    const here = position - this.#from;
    if (this.#segment === frame.segment && here >= 0 && here + place.length <= this.#length) return here;
    return this.place(frame.segment, position, { bytes: place.length, limit: position + place.length });
  }

  /** Brings bytes of the file into memory and answers where; undefined when the file, or `limit`, ends before. */
  place(
    segment: Segment,
    position: number,
    { bytes, limit }: { readonly bytes: number; readonly limit: number },
  ): number | undefined {
    const here = this.#segment === segment && position >= this.#from;
    if (here && position + bytes <= this.#from + this.#length) return position - this.#from;
    if (position + bytes > limit) return undefined;
    return this.#load(segment, position, bytes);
  }

  #load(segment: Segment, position: number, bytes: number): number | undefined {
    const from = Math.floor(position / pageBytes) * pageBytes;
    const needed = position + bytes - from;
    const capacity = needed <= chunkBytes ? chunkBytes : alignUp(needed, pageBytes);
    if (this.#memory.bytes.byteLength !== capacity) this.#memory = memoryOf(capacity);
    this.#segment = undefined;
    // What lies behind the committed end may change under us: it is never kept.
    const wanted = Math.max(needed, Math.min(capacity, segment.end - from));
    const into = this.#memory.bytes.subarray(0, Math.min(capacity, wanted));
    this.#length = this.#broken.has(segment)
      ? readPages(this.#files, segment, { into, from })
      : this.#files.read(segment, into, from);
    this.#segment = segment;
    this.#from = from;
    return position + bytes <= from + this.#length ? position - from : undefined;
  }
}

/** Page by page, with zeros where the disk gives nothing. */
function readPages(
  files: SegmentFiles,
  segment: Segment,
  { into, from }: { readonly into: Uint8Array; readonly from: number },
): number {
  for (let at = 0; at < into.byteLength; at += pageBytes) {
    const page = into.subarray(at, Math.min(at + pageBytes, into.byteLength));
    try {
      const count = files.read(segment, page, from + at);
      if (count < page.byteLength) return at + count;
    } catch {
      page.fill(0);
    }
  }
  return into.byteLength;
}

/** Memory seen both ways. */
export function memoryOf(bytes: number): WordMemory & { readonly bytes: Buffer } {
  const memory = new ArrayBuffer(bytes);
  return { bytes: Buffer.from(memory), words: new Int32Array(memory) };
}
