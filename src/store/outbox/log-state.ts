// Everything the log says, in memory: lanes, streams, boots, segments; and the snapshot that says it again.
//
// Owns how a note or a frame changes the state, for replay as for a commit that has just reached the disk. Does no
// I/O. The snapshot is of the committed state: what is staged is left out of it.

import { type Boot, BootTable } from './boot-table.ts';
import type { FrameBuilder, FrameLane } from './frame-builder.ts';
import type { LaneNote, Note, SegmentNote } from './frame-index.ts';
import { type LanePart, type LaneState, noDrops } from './lane-state.ts';
import { LaneTable } from './lane-table.ts';
import type { Segment } from './segment.ts';
import { laneDropReasons } from './shapes.ts';
import { StreamTable } from './stream-table.ts';

/** What a part is made of. */
export type PartFacts = Pick<LanePart, 'lane' | 'first' | 'last' | 'count' | 'bytes' | 'position' | 'ttlMin'>;

export class LogState {
  readonly epoch: string;
  readonly salt: string;
  readonly lanes: LaneTable;
  readonly streams = new StreamTable();
  readonly boots = new BootTable();
  /** In order of their numbers. The last may be the one being written. */
  segments: Segment[] = [];
  /** Of the last commit. */
  sequence = 0;
  /** Number of the next segment. */
  segmentNext = 1;

  constructor(ids: { readonly epoch: string; readonly salt: string }) {
    this.epoch = ids.epoch;
    this.salt = ids.salt;
    this.lanes = new LaneTable(ids.epoch);
  }

  /** Lanes or streams have changes that no frame says yet. */
  get staged(): boolean {
    if (this.streams.staged) return true;
    for (const lane of this.lanes.all) if (lane.before !== undefined) return true;
    return false;
  }

  /** Bytes of messages that wait, with what is staged. */
  get liveBytes(): number {
    let sum = 0;
    for (const lane of this.lanes.all) sum += lane.bytes;
    for (const segment of this.segments) sum -= sharedBytes(segment);
    return sum;
  }

  apply(note: Exclude<Note, SegmentNote>): void {
    switch (note.kind) {
      case 'lane':
        this.lanes.add({ id: note.lane, key: note.key, stream: note.stream });
        break;
      case 'boot':
        this.boots.name(note.boot, note.id);
        break;
      case 'clock':
        this.boots.setClock(note.boot, note);
        break;
      case 'stream':
        this.streams.name(note.slot, note.name);
        break;
      case 'position':
        this.streams.move(note.slot, note.sequence);
        break;
      case 'counters':
        this.lanes.raiseNext(note.laneNext);
        this.boots.raiseNext(note.bootNext);
        break;
      default:
        this.#applyToLane(note);
    }
  }

  /** A segment has begun with a snapshot of this state. */
  tell(segment: Segment): void {
    this.segments.push(segment);
    const fresh = new Set(this.lanes.fresh);
    for (const lane of this.lanes.all) if (!fresh.has(lane)) lane.toldIn = segment;
  }

  /** Messages of one lane in a frame of the log. */
  addToLane(segment: Segment, facts: PartFacts): void {
    const { lane } = facts;
    const last = lane.parts.at(-1);
    lane.partBytes += facts.bytes;
    if (last !== undefined && last.segment === segment) {
      last.last = facts.last;
      last.count += facts.count;
      last.bytes += facts.bytes;
      if (facts.ttlMin !== undefined) {
        last.ttlMin = Math.min(last.ttlMin ?? facts.ttlMin, facts.ttlMin);
        last.freshUntilMs = undefined;
      }
      return;
    }
    const part: LanePart = { ...facts, segment, freshUntilMs: undefined };
    lane.parts.push(part);
    segment.parts.add(part);
  }

  /** A commit is on storage: what was staged is true now. */
  settle(segment: Segment, position: number, lanes: Iterable<FrameLane>): void {
    for (const entry of lanes) {
      const lane = this.lanes.byId(entry.lane);
      if (lane === undefined) continue;
      this.addToLane(segment, { ...entry, lane, first: entry.base, last: entry.next - 1, position });
      lane.stagedCount = 0;
      lane.stagedBytes = 0;
    }
    this.lanes.settle();
    this.streams.settle();
  }

  /** Parts in which nothing waits any more leave. */
  dropEmptyParts(lane: LaneState): void {
    if (lane.dead.count === 0) {
      let gone = 0;
      while (gone < lane.parts.length && (lane.parts[gone] as LanePart).last <= lane.floor) gone++;
      for (const part of lane.parts.splice(0, gone)) this.#leave(lane, part);
      return;
    }
    const kept = lane.parts.filter((part) => {
      if (lane.countOf(part) > 0) return true;
      this.#leave(lane, part);
      return false;
    });
    lane.parts.splice(0, lane.parts.length, ...kept);
  }

  /** Segments in which nothing waits leave, but the one being written; those with a file are added to `leftovers`. */
  dropFree(writing: Segment | undefined, leftovers: Segment[]): void {
    const free = this.segments.filter((segment) => segment.parts.size === 0 && segment !== writing);
    if (free.length === 0) return;
    leftovers.push(...free.filter(({ present }) => present));
    this.segments = this.segments.filter((segment) => !free.includes(segment));
  }

  /** The committed state as notes, in the order in which replay wants them. */
  *snapshot(): IterableIterator<Note> {
    yield { kind: 'counters', laneNext: this.lanes.next, bootNext: this.boots.next };
    for (const boot of this.boots.boots) {
      yield { kind: 'boot', boot: boot.number, id: boot.id };
      yield { ...boot, kind: 'clock', boot: boot.number };
    }
    yield* this.streams.notes();
    const fresh = new Set(this.lanes.fresh);
    for (const lane of this.lanes.all) if (!fresh.has(lane)) yield* laneNotes(lane);
    for (const segment of this.segments) yield segmentNote(segment);
  }

  #applyToLane(note: LaneNote): void {
    const lane = this.lanes.byId(note.lane);
    if (lane === undefined) return;
    switch (note.kind) {
      case 'next':
        lane.offsetNext = Math.max(lane.offsetNext, note.offset);
        break;
      case 'floor':
        lane.offsetNext = Math.max(lane.offsetNext, note.offset + 1);
        lane.raiseFloor(note.offset);
        break;
      case 'dead':
        lane.offsetNext = Math.max(lane.offsetNext, note.to + 1);
        lane.removeRange(note.from, note.to);
        break;
      case 'dropped':
        lane.dropped = { ...lane.dropped, [note.reason]: note.total };
    }
  }

  #leave(lane: LaneState, part: LanePart): void {
    lane.partBytes -= part.bytes;
    part.segment.parts.delete(part);
    lane.forgetPlaces((segment) => segment === part.segment);
  }
}

/** What a frame of `segment` has to say beside its records. */
export function stageNotes(
  builder: FrameBuilder,
  state: LogState,
  at: { readonly segment: Segment | undefined; readonly boot: Boot },
): void {
  const { segment, boot } = at;
  if (!boot.noted) builder.note({ kind: 'boot', boot: boot.number, id: boot.id });
  for (const id of builder.lanes.keys()) {
    const lane = state.lanes.byId(id);
    // Told again with every frame until the next snapshot: a lane must not hang on one frame.
    if (lane !== undefined && lane.toldIn !== segment)
      builder.note({ kind: 'lane', lane: id, key: lane.key, stream: lane.stream });
  }
  for (const note of state.streams.stagedNotes()) builder.note(note);
  for (const lane of state.lanes.all)
    if (lane.before !== undefined) for (const note of changesOf(lane)) builder.note(note);
}

/** What a commit has to say about a lane that was touched. */
function* changesOf(lane: LaneState): IterableIterator<Note> {
  const before = lane.before;
  if (before === undefined) return;
  if (lane.floor !== before.floor) yield { kind: 'floor', lane: lane.id, offset: lane.floor };
  if (lane.dead !== before.dead)
    for (const [from, to] of lane.dead.entries())
      if (before.dead.countIn(from, to) !== to - from + 1) yield { kind: 'dead', lane: lane.id, from, to };
  for (const reason of laneDropReasons)
    if (lane.dropped[reason] !== before.dropped[reason])
      yield { kind: 'dropped', lane: lane.id, reason, total: lane.dropped[reason] };
}

function* laneNotes(lane: LaneState): IterableIterator<Note> {
  const { offsetNext, floor, dead, dropped } = lane.committed;
  yield { kind: 'lane', lane: lane.id, key: lane.key, stream: lane.stream };
  yield { kind: 'next', lane: lane.id, offset: offsetNext };
  if (floor > 0) yield { kind: 'floor', lane: lane.id, offset: floor };
  for (const [from, to] of dead.entries()) yield { kind: 'dead', lane: lane.id, from, to };
  if (dropped === noDrops) return;
  for (const reason of laneDropReasons)
    if (dropped[reason] > 0) yield { kind: 'dropped', lane: lane.id, reason, total: dropped[reason] };
}

function segmentNote(segment: Segment): SegmentNote {
  const { first, last, generation } = segment.header;
  const parts = [...segment.parts].map((part) => ({ ...part, lane: part.lane.id }));
  return { kind: 'segment', first, last, generation, end: segment.end, recordBytes: segment.recordBytes, parts };
}

/** What the sum over lanes counts more than once. */
function sharedBytes(segment: Segment): number {
  if (segment.parts.size < 2) return 0;
  let whole = 0;
  for (const part of segment.parts) whole += part.bytes;
  if (whole <= segment.recordBytes) return 0;
  let alive = 0;
  for (const part of segment.parts) alive += part.lane.bytesOf(part);
  return Math.max(0, alive - segment.recordBytes);
}
