// What the log says when it is opened, after whatever happened to it.
//
// Reads the headers, the newest segment's snapshot, and the frames behind it. Writes nothing.
//
//   the newest file has no snapshot and no frame    its segment was never begun: left out
//   its last frame is not whole                     a power cut; nobody was told that it is there: cut off
//   a frame before others is not whole              damage: the others are taken, what was in it is counted
//   the newest file has lost its header             that of another names epoch and salt; it is written again
//   the newest snapshot is damaged, in both copies  an older one is taken and all frames behind it are replayed
//   a file is gone                                  its messages are counted as damaged
//   no header can be read                           nothing is known: the files are set aside, a new epoch begins
//
// After a cut or damage nobody can say which offsets the missing bytes had given out. Therefore all lanes skip
// outboxOffsetJump offsets, because one given out twice would be taken for a repetition by the next receiver and
// lost. The next commit begins a new segment, whose snapshot says all that was found out here.

import { Buffer } from 'node:buffer';
import { outboxOffsetJump } from '../../limits.ts';
import type { Entropy } from '../../platform/entropy.ts';
import { StoreError } from '../errors.ts';
import { ByteSource, UnreadableFrame } from './byte-source.ts';
import { type Note, readNotes, type SegmentNote, skipRecords } from './frame-index.ts';
import type { Frame, FrameSource } from './frame-source.ts';
import { lose } from './lane-reader.ts';
import type { LaneState } from './lane-state.ts';
import { LogState, type PartFacts } from './log-state.ts';
import type { LogTail } from './log-writer.ts';
import { RecordWalk } from './record-walk.ts';
import { Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';
import {
  decodeHeader,
  fileNameOf,
  flagSnapshot,
  frameAlignment,
  frameMagic,
  headBytes,
  headerBytes,
  type SegmentHeader,
  type SegmentName,
} from './segment-format.ts';

const idBytes = 8;

export interface Recovered {
  readonly state: LogState;
  /** The last segment with frames. */
  readonly tail: LogTail | undefined;
  /** Files that nothing needs. */
  readonly leftovers: readonly Segment[];
  readonly fresh: boolean;
  readonly damage: Damage | undefined;
}

export interface Damage {
  readonly reasons: readonly string[];
  readonly segments: readonly Segment[];
  /** Messages known to be lost whose lane is not known. */
  readonly lostElsewhere: number;
}

interface Gap {
  readonly lane: LaneState;
  readonly from: number;
  readonly to: number;
}

export function newIds(entropy: Entropy): { readonly epoch: string; readonly salt: string } {
  const id = (): string => Buffer.from(entropy.bytes(idBytes)).toString('hex');
  return { epoch: id(), salt: id() };
}

export function recover(files: SegmentFiles, source: FrameSource, entropy: Entropy): Recovered {
  const names = files.list();
  const recovery = new Recovery(files, source);
  const recovered = recovery.run(names, newIds(entropy));
  recovered.state.segmentNext = 1 + Math.max(0, ...names.map(({ last }) => last));
  return recovered;
}

class Recovery {
  readonly #files: SegmentFiles;
  readonly #source: FrameSource;
  readonly #reasons: string[] = [];
  readonly #damaged = new Set<Segment>();
  readonly #leftovers: Segment[] = [];
  readonly #gaps: Gap[] = [];
  readonly #headless = new Set<Segment>();
  #lostRecords = 0;
  #cut = false;
  /** The newest segment, when only the second copy of its snapshot can be read. */
  #halved: Segment | undefined;

  constructor(files: SegmentFiles, source: FrameSource) {
    this.#files = files;
    this.#source = source;
  }

  run(names: readonly SegmentName[], ids: { readonly epoch: string; readonly salt: string }): Recovered {
    const headers = names.map((name) => ({ name, header: this.#header(name) }));
    const known = headers.map(({ header }) => header).filter((header) => typeof header === 'object');
    const newest = known.at(-1);
    if (newest === undefined) {
      for (const { name } of headers) this.#setAside(new Segment({ ...ids, ...name }));
      return this.#result(new LogState(ids), undefined, this.#damaged.size === 0);
    }
    const segments = this.#candidates(headers, newest);
    const { base, state, later } = this.#base(segments, newest);
    const tail = this.#replayAll(state, { base, later });
    this.#source.forget();
    return this.#result(state, tail, false);
  }

  /** No header anywhere: either a first segment that was never begun, or everything is lost. */
  #setAside(segment: Segment): void {
    segment.fileBytes = this.#files.sizeOf(segment);
    segment.end = segment.fileBytes;
    this.#leftovers.push(segment);
    let frames = 0;
    for (let place = headerBytes; place + headBytes <= segment.end; place += frameAlignment) {
      const at = this.#source.place(segment, place, { bytes: headBytes, limit: segment.end });
      if (at !== undefined && this.#source.memory.words[at >> 2] === frameMagic) frames++;
      // Two are the snapshot, written in one go with the header that is missing.
      if (frames > 2) {
        this.#damage(segment, 'no header can be read');
        return;
      }
    }
  }

  /** Files that may belong to the log, in order, without those that others have replaced. */
  #candidates(
    headers: readonly { readonly name: SegmentName; readonly header: SegmentHeader | 'damaged' }[],
    { epoch, salt }: SegmentHeader,
  ): readonly Segment[] {
    const found: Segment[] = [];
    for (const { name, header } of headers) {
      if (typeof header === 'object' && header.epoch !== epoch) continue;
      const segment = new Segment({ epoch, salt, ...name });
      segment.fileBytes = this.#files.sizeOf(segment);
      const stale =
        typeof header === 'object' && (header.first !== name.first || header.generation !== name.generation);
      const replaced = headers.some((other) => typeof other.header === 'object' && replaces(other.name, name));
      if (header === 'damaged') this.#headless.add(segment);
      if (stale || replaced) this.#leftovers.push(segment);
      else found.push(segment);
    }
    return found;
  }

  /** The newest segment with a snapshot, its state, and the segments behind it that have frames. */
  #base(segments: readonly Segment[], { epoch, salt }: SegmentHeader) {
    const later: Segment[] = [];
    const state = new LogState({ epoch, salt });
    for (const segment of [...segments].reverse()) {
      segment.end = segment.fileBytes;
      const first = this.#source.findHead(segment, headerBytes, segment.end);
      if (first === undefined || segment.header.generation > 0) {
        if (first === undefined && segment.header.generation === 0) this.#leftovers.push(segment);
        continue;
      }
      const notes = this.#snapshot(segment, first.position);
      if (notes === undefined) {
        this.#damage(segment, 'its snapshot is damaged');
        later.unshift(segment);
        continue;
      }
      if (first.position > headerBytes) this.#halved = segment;
      state.sequence = first.sequence;
      this.#list(state, segments, notes);
      return { base: segment, state, later };
    }
    return { base: undefined, state, later };
  }

  #snapshot(segment: Segment, position: number): readonly Note[] | undefined {
    for (let place: number | undefined = position; place !== undefined; ) {
      const head = this.#source.head(segment, place, segment.end);
      if (head === undefined || (head.flags & flagSnapshot) === 0) return undefined;
      const frame = this.#source.frame(segment, place, segment.end);
      const notes = frame === undefined ? undefined : notesOf(frame);
      if (notes !== undefined) return notes;
      place = this.#source.findHead(segment, place + head.frameBytes, segment.end)?.position;
    }
    return undefined;
  }

  /** Takes a snapshot's notes, and finds the files of the segments it names. */
  #list(state: LogState, segments: readonly Segment[], notes: readonly Note[]): void {
    const listed: SegmentNote[] = [];
    for (const note of notes) {
      if (note.kind === 'segment') listed.push(note);
      else state.apply(note);
    }
    const used = new Set<Segment>();
    for (const note of listed) {
      const exact = segments.find(({ header }) => sameName(header, note));
      const segment = exact ?? segments.find(({ header }) => replaces(header, note)) ?? this.#missing(state, note);
      if (used.has(segment)) continue;
      used.add(segment);
      state.segments.push(segment);
      if (exact !== undefined || !segment.present) adoptParts(state, segment, note);
      else this.#survey(state, segment);
    }
    const newest = Math.max(0, ...listed.map(({ last }) => last));
    for (const segment of segments)
      if (!used.has(segment) && segment.header.last <= newest) this.#leftovers.push(segment);
  }

  #missing(state: LogState, note: SegmentNote): Segment {
    const segment = new Segment({ epoch: state.epoch, salt: state.salt, ...note });
    segment.present = false;
    return segment;
  }

  /** A rewritten segment that is newer than the snapshot: what is in it is read from itself. */
  #survey(state: LogState, segment: Segment): void {
    segment.end = segment.fileBytes;
    let position = headerBytes;
    while (position < segment.end) {
      const frame = this.#source.frame(segment, position, segment.end);
      if (frame === undefined) {
        const found = this.#source.findHead(segment, position + 1, segment.end);
        if (found !== undefined || position + headBytes < segment.end) this.#damage(segment, 'a frame is damaged');
        position = found?.position ?? segment.end;
        continue;
      }
      addFrame(state, frame);
      position += frame.head.frameBytes;
    }
  }

  /** Frames behind the base's snapshot, and the segments behind it. Answers where the log ends. */
  #replayAll(
    state: LogState,
    { base, later }: { readonly base: Segment | undefined; readonly later: readonly Segment[] },
  ): LogTail | undefined {
    let tail: Omit<LogTail, 'goOn' | 'headerLost'> | undefined;
    if (base !== undefined) for (const lane of state.lanes.all) lane.toldIn = base;
    for (const segment of base === undefined ? later : [base, ...later]) {
      state.segments.push(segment);
      tail = { segment, from: this.#replay(state, segment) };
    }
    if (tail === undefined) return undefined;
    // With frames behind it the snapshot was once on storage; without, a power cut may have come before.
    if (this.#halved !== undefined && (tail.segment !== this.#halved || tail.from > 0))
      this.#damage(this.#halved, 'the first copy of its snapshot is damaged');
    else if (this.#halved !== undefined) this.#cut = true;
    const headerLost = this.#headless.has(tail.segment);
    return { ...tail, headerLost, goOn: !headerLost && !this.#cut && this.#damaged.size === 0 };
  }

  /** Answers where the last frame begins. */
  #replay(state: LogState, segment: Segment): number {
    const limit = segment.fileBytes;
    segment.end = limit;
    // The first copy of the snapshot may be unreadable; what matters begins with the first head that is not.
    const first = this.#source.findHead(segment, headerBytes, limit);
    let position = first !== undefined && (first.flags & flagSnapshot) !== 0 ? first.position : headerBytes;
    let last = 0;
    for (;;) {
      const head = this.#source.head(segment, position, limit);
      if (head !== undefined && (head.flags & flagSnapshot) !== 0) {
        position += head.frameBytes;
        continue;
      }
      const frame = this.#source.frame(segment, position, limit);
      const later = this.#headBehind(state, segment, position);
      if (frame !== undefined && frame.head.sequence > state.sequence && (later || this.#whole(frame))) {
        this.#take(state, frame);
        last = position;
        position += frame.head.frameBytes;
        continue;
      }
      if (!later) {
        if (head !== undefined || this.#begun(state, segment, position)) this.#cut = true;
        break;
      }
      this.#damage(segment, `the frame at ${position} is damaged`);
      this.#lostRecords += head?.records ?? 0;
      const from = position + (head?.frameBytes ?? 1);
      position = this.#source.findHead(segment, from, limit)?.position ?? limit;
    }
    segment.end = position;
    return last;
  }

  #take(state: LogState, frame: Frame): void {
    const notes = notesOf(frame);
    if (notes === undefined) {
      this.#damage(frame.segment, `the frame at ${frame.head.position} makes no sense`);
      return;
    }
    const births = notes.filter(({ kind }) => kind === 'lane' || kind === 'boot');
    for (const note of births) if (note.kind !== 'segment') state.apply(note);
    state.boots.see(frame.head.boot, frame.head);
    this.#gaps.push(...addFrame(state, frame));
    for (const note of notes) if (note.kind !== 'segment' && !births.includes(note)) state.apply(note);
    state.streams.trim();
    state.sequence = frame.head.sequence;
  }

  /** A frame behind this place proves that whatever stands here was committed. */
  #headBehind(state: LogState, segment: Segment, position: number): boolean {
    const limit = segment.fileBytes;
    const here = this.#source.head(segment, position, limit);
    const next = here === undefined ? undefined : this.#source.head(segment, position + here.frameBytes, limit);
    if (next !== undefined) return next.sequence > state.sequence;
    const found = this.#source.findHead(segment, position + (here?.frameBytes ?? 1), limit);
    return found !== undefined && found.sequence > state.sequence;
  }

  #whole(frame: Frame): boolean {
    const walk = new RecordWalk(frame);
    const nexts = new Map<number, number>();
    try {
      while (walk.step(nexts) !== undefined) if (this.#source.record(frame, walk) === undefined) return false;
      return true;
    } catch (error) {
      if (error instanceof UnreadableFrame) return false;
      throw error;
    }
  }

  /** Whether somebody has begun to write the next frame here. */
  #begun(state: LogState, segment: Segment, position: number): boolean {
    const at = this.#source.place(segment, position, { bytes: headBytes, limit: segment.fileBytes });
    if (at === undefined) return false;
    const { bytes } = this.#source.memory;
    return bytes.readUInt32LE(at) === frameMagic && bytes.readDoubleLE(at + 16) === state.sequence + 1;
  }

  #header(name: SegmentName): SegmentHeader | 'damaged' {
    const segment = new Segment({ epoch: '', salt: '', ...name });
    const bytes = Buffer.alloc(headerBytes);
    try {
      const count = this.#files.read(segment, bytes, 0);
      const header = decodeHeader(bytes.subarray(0, count));
      if (header !== 'newer') return header;
    } finally {
      this.#files.forget(segment);
    }
    throw new StoreError({
      code: 'STORE_SCHEMA_NEWER',
      message: `${this.#files.pathOf(name)} was written by a newer weir. Install that version again, or move the directory away to start empty.`,
      fields: { file: this.#files.pathOf(name) },
    });
  }

  #damage(segment: Segment, reason: string): void {
    this.#damaged.add(segment);
    this.#reasons.push(`${fileNameOf(segment.header)}: ${reason}`);
  }

  #result(state: LogState, tail: LogTail | undefined, fresh: boolean): Recovered {
    for (const lane of state.lanes.all) lane.before = undefined;
    const missing = state.segments.filter(({ present }) => !present);
    for (const segment of missing) this.#loseSegment(segment);
    for (const gap of this.#gaps) lose(gap.lane, { ...gap, reason: 'damaged' });
    const damaged = this.#reasons.length > 0;
    if (damaged) state.streams.doubt();
    if (this.#cut || damaged) for (const lane of state.lanes.all) jump(lane);
    const counted = [...state.lanes.all].reduce((sum, lane) => sum + lostIn(lane), 0);
    return {
      state,
      tail,
      fresh,
      leftovers: this.#leftovers,
      damage: damaged
        ? {
            reasons: this.#reasons,
            segments: [...this.#damaged].filter(({ present }) => present),
            lostElsewhere: Math.max(0, this.#lostRecords - counted),
          }
        : undefined,
    };
  }

  #loseSegment(segment: Segment): void {
    const parts = [...segment.parts].filter((part) => part.lane.countOf(part) > 0);
    if (parts.length > 0) this.#damage(segment, 'the file is gone');
    for (const { lane, first, last } of parts) lose(lane, { from: first, to: last, reason: 'damaged' });
  }
}

function lostIn(lane: LaneState): number {
  return lane.before === undefined ? 0 : lane.dropped.damaged - lane.before.dropped.damaged;
}

function jump(lane: LaneState): void {
  lane.touch();
  const from = lane.offsetNext;
  lane.offsetNext += outboxOffsetJump;
  lane.removeRange(from, lane.offsetNext - 1);
}

function replaces(other: SegmentName, name: SegmentName): boolean {
  return other.generation > name.generation && other.first <= name.first && other.last >= name.last;
}

function sameName(a: SegmentName, b: SegmentName): boolean {
  return a.first === b.first && a.last === b.last && a.generation === b.generation;
}

function notesOf(frame: Frame): readonly Note[] | undefined {
  const source = new ByteSource(frame.index, { start: frame.recordsAt, end: frame.index.byteLength });
  try {
    skipRecords(source, frame.head.records);
    return readNotes(source);
  } catch (error) {
    if (error instanceof UnreadableFrame) return undefined;
    throw error;
  }
}

function adoptParts(state: LogState, segment: Segment, note: SegmentNote): void {
  segment.end = note.end;
  segment.recordBytes = note.recordBytes;
  for (const part of note.parts) {
    const lane = state.lanes.byId(part.lane);
    if (lane !== undefined) state.addToLane(segment, { ...part, lane });
  }
}

/** The messages of a frame, in their lanes. Answers the offsets that should have come before them. */
function addFrame(state: LogState, frame: Frame): readonly Gap[] {
  const { segment, head } = frame;
  const found = new Map<LaneState, { -readonly [Key in keyof PartFacts]: PartFacts[Key] }>();
  const walk = new RecordWalk(frame);
  const nexts = new Map<number, number>();
  for (let targets = walk.step(nexts); targets !== undefined; targets = walk.step(nexts)) {
    segment.recordBytes += walk.length;
    for (const { lane: id, offset, ttlMs } of targets) {
      const lane = state.lanes.byId(id);
      if (lane === undefined) continue;
      const facts = found.get(lane);
      if (facts === undefined) {
        const bytes = walk.length;
        found.set(lane, { lane, first: offset, last: offset, count: 1, bytes, position: head.position, ttlMin: ttlMs });
        continue;
      }
      facts.last = offset;
      facts.count++;
      facts.bytes += walk.length;
      if (ttlMs !== undefined) facts.ttlMin = Math.min(facts.ttlMin ?? ttlMs, ttlMs);
    }
  }
  const gaps: Gap[] = [];
  for (const facts of found.values()) {
    const { lane } = facts;
    if (facts.first > lane.offsetNext) gaps.push({ lane, from: lane.offsetNext, to: facts.first - 1 });
    state.addToLane(segment, facts);
    lane.offsetNext = Math.max(lane.offsetNext, facts.last + 1);
  }
  return gaps;
}
