// The index of a frame: which records it holds for which lanes, and what else changed with that commit.
//
//   varint number of tracks, each:   a track is a lane together with a time to live
//     varint lane id
//     varint first offset of the lane in this frame
//     varint time to live in milliseconds plus 1, 0 for never
//   for each record (their number stands in the frame's head):
//     varint length
//     u32    CRC-32 of the record
//     varint targets × 2 + 1 if they carry offsets
//     each:  varint track; varint offset if carried. Without, it is the lane's next one in this frame.
//   varint number of notes, each one byte of kind and:
//     1 lane       varint id, text key (model/lane.ts), text stream
//     2 boot       varint number, text id
//     3 floor      varint lane, varint offset: everything up to it has left the lane
//     4 dead       varint lane, varint from, varint to: these have left it out of turn
//     5 dropped    varint lane, byte reason, varint total
//     6 stream     varint slot, text name: a sender's stream takes this slot
//     7 position   varint slot, varint sequence
//     8 next       varint lane, varint offset: of the next message
//     9 segment    varint first, last, generation, end, bytes of records, number of parts, each
//                  varint lane, first, last, count, bytes, position, shortest time to live + 1
//     10 clock     varint boot, f64 wall minus monotonic, f64 latest monotonic, byte trusted
//     11 counters  varint next lane id, varint next boot number
//
// Totals, floors and positions are absolute, so that a frame lost to damage is healed by the next.

import type { ByteSink } from './byte-sink.ts';
import { type ByteSource, UnreadableFrame } from './byte-source.ts';
import { type LaneDropReason, laneDropReasons } from './shapes.ts';

const noteKinds = {
  lane: 1,
  boot: 2,
  floor: 3,
  dead: 4,
  dropped: 5,
  stream: 6,
  position: 7,
  next: 8,
  segment: 9,
  clock: 10,
  counters: 11,
} as const;

export interface PartNote {
  readonly lane: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly bytes: number;
  readonly position: number;
  readonly ttlMin: number | undefined;
}

export interface SegmentNote {
  readonly kind: 'segment';
  readonly first: number;
  readonly last: number;
  readonly generation: number;
  readonly end: number;
  readonly recordBytes: number;
  readonly parts: readonly PartNote[];
}

/** What changes in one lane. */
export type LaneNote =
  | { readonly kind: 'floor'; readonly lane: number; readonly offset: number }
  | { readonly kind: 'dead'; readonly lane: number; readonly from: number; readonly to: number }
  | { readonly kind: 'dropped'; readonly lane: number; readonly reason: LaneDropReason; readonly total: number }
  | { readonly kind: 'next'; readonly lane: number; readonly offset: number };

export type Note =
  | LaneNote
  | SegmentNote
  | { readonly kind: 'lane'; readonly lane: number; readonly key: string; readonly stream: string }
  | { readonly kind: 'boot'; readonly boot: number; readonly id: string }
  | { readonly kind: 'stream'; readonly slot: number; readonly name: string }
  | { readonly kind: 'position'; readonly slot: number; readonly sequence: number }
  | {
      readonly kind: 'clock';
      readonly boot: number;
      readonly wallOffsetMs: number;
      readonly monotonicMs: number;
      readonly trusted: boolean;
    }
  | { readonly kind: 'counters'; readonly laneNext: number; readonly bootNext: number };

export interface Track {
  readonly lane: number;
  readonly base: number;
  readonly ttlMs: number | undefined;
}

export function writeNote(sink: ByteSink, note: Note): void {
  sink.byte(noteKinds[note.kind]);
  switch (note.kind) {
    case 'lane':
      sink.varint(note.lane);
      sink.text(note.key);
      sink.text(note.stream);
      break;
    case 'boot':
      sink.varint(note.boot);
      sink.text(note.id);
      break;
    case 'floor':
    case 'next':
      sink.varint(note.lane);
      sink.varint(note.offset);
      break;
    case 'dead':
      sink.varint(note.lane);
      sink.varint(note.from);
      sink.varint(note.to);
      break;
    case 'dropped':
      sink.varint(note.lane);
      sink.byte(laneDropReasons.indexOf(note.reason));
      sink.varint(note.total);
      break;
    case 'stream':
      sink.varint(note.slot);
      sink.text(note.name);
      break;
    case 'position':
      sink.varint(note.slot);
      sink.varint(note.sequence);
      break;
    case 'segment':
      writeSegment(sink, note);
      break;
    case 'clock':
      sink.varint(note.boot);
      sink.float64(note.wallOffsetMs);
      sink.float64(note.monotonicMs);
      sink.byte(note.trusted ? 1 : 0);
      break;
    case 'counters':
      sink.varint(note.laneNext);
      sink.varint(note.bootNext);
      break;
  }
}

function writeSegment(sink: ByteSink, note: SegmentNote): void {
  for (const value of [note.first, note.last, note.generation, note.end, note.recordBytes, note.parts.length])
    sink.varint(value);
  for (const part of note.parts) {
    for (const value of [part.lane, part.first, part.last, part.count, part.bytes, part.position]) sink.varint(value);
    sink.varint(part.ttlMin === undefined ? 0 : part.ttlMin + 1);
  }
}

export function readTracks(source: ByteSource): readonly Track[] {
  const count = source.varint();
  const tracks: Track[] = [];
  for (let index = 0; index < count; index++) {
    const lane = source.varint();
    const base = source.varint();
    const ttl = source.varint();
    tracks.push({ lane, base, ttlMs: ttl === 0 ? undefined : ttl - 1 });
  }
  return tracks;
}

/** Notes from the source's place to its end. */
export function readNotes(source: ByteSource): readonly Note[] {
  const count = source.varint();
  const notes: Note[] = [];
  for (let index = 0; index < count; index++) notes.push(readNote(source));
  return notes;
}

function readNote(source: ByteSource): Note {
  const kind = source.byte();
  switch (kind) {
    case noteKinds.lane:
      return { kind: 'lane', lane: source.varint(), key: source.text(), stream: source.text() };
    case noteKinds.boot:
      return { kind: 'boot', boot: source.varint(), id: source.text() };
    case noteKinds.floor:
      return { kind: 'floor', lane: source.varint(), offset: source.varint() };
    case noteKinds.dead:
      return { kind: 'dead', lane: source.varint(), from: source.varint(), to: source.varint() };
    case noteKinds.dropped:
      return { kind: 'dropped', lane: source.varint(), reason: reasonOf(source.byte()), total: source.varint() };
    case noteKinds.stream:
      return { kind: 'stream', slot: source.varint(), name: source.text() };
    case noteKinds.position:
      return { kind: 'position', slot: source.varint(), sequence: source.varint() };
    case noteKinds.next:
      return { kind: 'next', lane: source.varint(), offset: source.varint() };
    case noteKinds.segment:
      return readSegment(source);
    case noteKinds.clock:
      return {
        kind: 'clock',
        boot: source.varint(),
        wallOffsetMs: source.float64(),
        monotonicMs: source.float64(),
        trusted: source.byte() === 1,
      };
    case noteKinds.counters:
      return { kind: 'counters', laneNext: source.varint(), bootNext: source.varint() };
    default:
      throw new UnreadableFrame(`a note of kind ${kind}`);
  }
}

function readSegment(source: ByteSource): SegmentNote {
  const [first, last, generation] = [source.varint(), source.varint(), source.varint()];
  const [end, recordBytes, count] = [source.varint(), source.varint(), source.varint()];
  const parts: PartNote[] = [];
  for (let index = 0; index < count; index++) {
    const part = {
      lane: source.varint(),
      first: source.varint(),
      last: source.varint(),
      count: source.varint(),
      bytes: source.varint(),
      position: source.varint(),
    };
    const ttl = source.varint();
    parts.push({ ...part, ttlMin: ttl === 0 ? undefined : ttl - 1 });
  }
  return { kind: 'segment', first, last, generation, end, recordBytes, parts };
}

function reasonOf(byte: number): LaneDropReason {
  const reason = laneDropReasons[byte];
  if (reason === undefined) throw new UnreadableFrame(`a drop for reason ${byte}`);
  return reason;
}

/** Skips the records of an index, to reach its notes. */
export function skipRecords(source: ByteSource, records: number): void {
  for (let index = 0; index < records; index++) {
    source.varint();
    source.int32();
    const head = source.varint();
    const values = (head >>> 1) * ((head & 1) + 1);
    for (let value = 0; value < values; value++) source.varint();
  }
}
