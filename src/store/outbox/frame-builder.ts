// One frame being put together: records, the lanes they are for, and notes, in memory used again for the next.
//
// A record is copied once, to the place from which the disk takes it, and its checksum is made there; or it lies there
// already, in memory adopted for the frame. Nothing is allocated for a record; the arrays and sinks keep their memory
// between frames.
//
// Offsets of a lane within a frame follow each other and are not written, except after a hole.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { ByteSink } from './byte-sink.ts';
import { crc } from './crc.ts';
import { type Note, writeNote } from './frame-index.ts';
import type { RecordPlace } from './placed-records.ts';
import {
  alignUp,
  bodiesAt,
  type FrameHead,
  frameAlignment,
  headBytes,
  recordAlignment,
  writeHead,
} from './segment-format.ts';

const keptNoteBytes = 4096;
/** A file system's page: what a device writes at least. */
const pageBytes = 4096;
/** A frame is filled up to the end of its page when that costs at most this share of it: the next one then begins in a page of its own, and this one's last page is not written twice. */
const paddingShare = 1 / 8;
const never = -1;

/** What a frame holds of one lane. */
export interface FrameLane {
  readonly lane: number;
  readonly base: number;
  /** One more than the last offset. */
  next: number;
  count: number;
  bytes: number;
  /** The shortest time to live; undefined when nothing expires. */
  ttlMin: number | undefined;
  lastTtl: number;
  lastTrack: number;
  readonly tracks: Map<number, number>;
}

export interface FrameStamp {
  readonly position: number;
  readonly sequence: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly boot: number;
  readonly flags: number;
}

export interface BuiltFrame {
  readonly frameBytes: number;
  readonly buffers: Buffer[];
}

export class FrameBuilder {
  readonly #index: ByteSink;
  readonly #records: ByteSink;
  readonly #ownBodies: ByteSink;
  /** Its own, or adopted for this frame. */
  #bodies: ByteSink;
  readonly #notes = new ByteSink(keptNoteBytes);
  readonly #tracks = new ByteSink(keptNoteBytes);
  readonly #lanes = new Map<number, FrameLane>();
  /** Of the record being put in, the first #targets of each. */
  readonly #targetTracks: number[] = [];
  readonly #targetOffsets: number[] = [];
  readonly #zeros = Buffer.alloc(pageBytes);
  #targets = 0;
  #lastLane: FrameLane | undefined;
  #explicit = false;
  #recordLength = 0;
  #recordCrc = 0;
  #trackCount = 0;
  #noteCount = 0;
  #recordCount = 0;
  #recordBytes = 0;

  /** `keptBytes` is the memory it keeps between frames for the records, a multiple of 8; the index has a quarter of it. */
  constructor(keptBytes: number) {
    this.#ownBodies = new ByteSink(keptBytes);
    this.#bodies = this.#ownBodies;
    this.#index = new ByteSink(keptBytes / 4);
    this.#records = new ByteSink(keptBytes / 4);
  }

  get records(): number {
    return this.#recordCount;
  }

  get empty(): boolean {
    return this.#recordCount === 0 && this.#noteCount === 0;
  }

  /** Bytes of records so far. */
  get recordBytes(): number {
    return this.#recordBytes;
  }

  get lanes(): ReadonlyMap<number, FrameLane> {
    return this.#lanes;
  }

  clear(): void {
    for (const sink of [this.#index, this.#records, this.#ownBodies, this.#notes, this.#tracks]) sink.clear();
    this.#bodies = this.#ownBodies;
    this.#lanes.clear();
    this.#lastLane = undefined;
    this.#trackCount = 0;
    this.#noteCount = 0;
    this.#recordCount = 0;
    this.#recordBytes = 0;
  }

  /** Takes memory in which the frame's records lie, until clear(). */
  adopt(memory: ArrayBuffer): void {
    assert(this.#recordCount === 0, 'the records of a frame lie in one memory');
    this.#bodies = new ByteSink(memory.byteLength, memory);
  }

  /** A record of the adopted memory, which moves up where others were left out. Goes on like beginRecord(). */
  placeRecord({ start, length, crc: checksum }: RecordPlace): void {
    const bodies = this.#bodies;
    bodies.align(recordAlignment);
    const at = bodies.length;
    if (start < at || start + length > bodies.bytes.byteLength) assert.fail('records lie behind each other');
    if (start > at) bodies.bytes.copyWithin(at, start, start + length);
    bodies.length = at + length;
    this.#begun(length, checksum);
  }

  /** Begins a record; target() at least once and endRecord() follow. */
  beginRecord(record: Uint8Array): void {
    const bodies = this.#bodies;
    bodies.align(recordAlignment);
    const start = bodies.length;
    const length = record.byteLength;
    bodies.append(record);
    this.#begun(length, crc(bodies, { start, length, seed: 0 }));
  }

  target(lane: number, offset: number, ttlMs: number | undefined): void {
    let entry = this.#lastLane;
    if (entry === undefined || entry.lane !== lane) {
      entry = this.#lanes.get(lane) ?? this.#addLane(lane, offset);
      this.#lastLane = entry;
    }
    const ttl = ttlMs ?? never;
    if (entry.lastTtl !== ttl || entry.lastTrack < 0) this.#selectTrack(entry, ttl);
    if (offset !== entry.next) this.#explicit = true;
    entry.next = offset + 1;
    entry.count++;
    entry.bytes += this.#recordLength;
    const at = this.#targets++;
    this.#targetTracks[at] = entry.lastTrack;
    this.#targetOffsets[at] = offset;
  }

  endRecord(): void {
    const records = this.#records;
    const targets = this.#targets;
    records.varint(this.#recordLength);
    records.uint32(this.#recordCrc);
    records.varint(targets * 2 + (this.#explicit ? 1 : 0));
    for (let index = 0; index < targets; index++) {
      records.varint(this.#targetTracks[index] as number);
      if (this.#explicit) records.varint(this.#targetOffsets[index] as number);
    }
    this.#recordCount++;
    this.#recordBytes += this.#recordLength;
  }

  note(note: Note): void {
    writeNote(this.#notes, note);
    this.#noteCount++;
  }

  /** The frame's bytes, valid until the next use. With `pad` it may be filled up to the end of its page. */
  finish(stamp: FrameStamp, { seed, pad }: { readonly seed: number; readonly pad: boolean }): BuiltFrame {
    const index = this.#index;
    index.length = headBytes;
    index.varint(this.#trackCount);
    index.append(this.#tracks.bytes.subarray(0, this.#tracks.length));
    index.append(this.#records.bytes.subarray(0, this.#records.length));
    index.varint(this.#noteCount);
    index.append(this.#notes.bytes.subarray(0, this.#notes.length));
    const indexBytes = index.length - headBytes;
    index.align(frameAlignment);
    this.#bodies.align(frameAlignment);
    const bodiesBytes = this.#bodies.length;
    const bare = bodiesAt(indexBytes) + bodiesBytes;
    const padding = pad ? paddingOf(stamp.position, bare) : 0;
    const frameBytes = bare + padding;
    const head: Omit<FrameHead, 'indexCrc'> = {
      ...stamp,
      frameBytes,
      indexBytes,
      bodiesBytes,
      records: this.#recordCount,
    };
    writeHead(index, head, seed);
    const buffers = [index.bytes.subarray(0, index.length)];
    if (bodiesBytes > 0) buffers.push(this.#bodies.bytes.subarray(0, bodiesBytes));
    if (padding > 0) buffers.push(this.#zeros.subarray(0, padding));
    return { frameBytes, buffers };
  }

  #begun(length: number, checksum: number): void {
    this.#recordLength = length;
    this.#recordCrc = checksum;
    this.#targets = 0;
    this.#explicit = false;
  }

  #addLane(lane: number, offset: number): FrameLane {
    const entry: FrameLane = {
      lane,
      base: offset,
      next: offset,
      count: 0,
      bytes: 0,
      ttlMin: undefined,
      lastTtl: never,
      lastTrack: -1,
      tracks: new Map(),
    };
    this.#lanes.set(lane, entry);
    return entry;
  }

  #selectTrack(entry: FrameLane, ttl: number): void {
    const known = entry.tracks.get(ttl);
    entry.lastTtl = ttl;
    entry.lastTrack = known ?? this.#trackCount;
    if (known !== undefined) return;
    entry.tracks.set(ttl, this.#trackCount++);
    if (ttl !== never) entry.ttlMin = Math.min(entry.ttlMin ?? ttl, ttl);
    this.#tracks.varint(entry.lane);
    this.#tracks.varint(entry.base);
    this.#tracks.varint(ttl + 1);
  }
}

function paddingOf(position: number, frameBytes: number): number {
  const rest = alignUp(position + frameBytes, pageBytes) - position - frameBytes;
  return rest <= frameBytes * paddingShare ? rest : 0;
}
