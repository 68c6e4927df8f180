// Reading one lane: from its place in the segments to rows, passing what has expired or is damaged.
//
// Owns the walk and the memory the rows lie in. A lane remembers where its last read ended; a read that begins
// before that starts at the lane's first frame in the segment. One call passes at most outboxScanBytesMax.
//
// Offsets of a lane follow each other without gaps, except those that left it and are known to have. So a gap met
// while reading is a loss: a frame or record that could not be read. It is counted when the walk has passed it.

import { Buffer } from 'node:buffer';
import { outboxReadFaultsMax, outboxReadFaultsMs, outboxScanBytesMax } from '../../limits.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import type { BootTable } from './boot-table.ts';
import { UnreadableFrame } from './byte-source.ts';
import { type FrameSource, memoryOf } from './frame-source.ts';
import type { LanePart, LaneState, Loss } from './lane-state.ts';
import { faultFrom, OutboxFault } from './outbox-fault.ts';
import { baseIn, RecordWalk } from './record-walk.ts';
import type { Segment } from './segment.ts';
import { alignUp, recordAlignment } from './segment-format.ts';
import type { LaneDropReason, LaneRow } from './shapes.ts';

const blockBytes = 262_144;
const frameStart = { indexAt: 0, bodyAt: 0, records: 0, next: 0 } as const;

export interface ReadLimits {
  readonly afterOffset: number;
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly stamp: TimeStamp;
}

interface Progress {
  readonly lane: LaneState;
  readonly limits: ReadLimits;
  readonly rows: LaneRow[];
  bytes: number;
  scanned: number;
  /** The next offset to be found. */
  expected: number;
  /** Limits are reached. */
  full: boolean;
  /** The walk's own limit is reached. */
  tired: boolean;
  /** What is lost cannot be counted before something in front of it has left. */
  blocked: boolean;
}

export interface ReadProgress {
  readonly rows: readonly LaneRow[];
  readonly bytes: number;
  readonly more: boolean;
}

/** For whoever reads, a disk that does not answer yet: tried again when what lies before has left. */
function tooManyHoles({ key }: LaneState): OutboxFault {
  const message = `Lane ${key} has as many holes as can be noted, and more behind them: what lies before must leave first`;
  return new OutboxFault('io', { code: 'EAGAIN', message });
}

/** Takes from … to out of a lane and counts those that still waited. False when the lane has too many holes already. */
export function lose(lane: LaneState, { from, to, reason }: Loss): boolean {
  if (to < from || to <= lane.floor) return true;
  const start = Math.max(from, lane.floor + 1);
  if (!lane.hasRoomFor(start, to)) return false;
  const count = to - start + 1 - lane.dead.countIn(start, to);
  lane.removeRange(start, to);
  lane.countDrops(reason, count);
  if (reason !== 'quota' && count > 0) lane.remember({ from: start, to, reason });
  return true;
}

export class LaneReader {
  readonly #source: FrameSource;
  readonly #boots: BootTable;
  readonly #faults = new Map<Segment, { count: number; readonly sinceMs: number }>();
  #block = memoryOf(blockBytes);
  #blockLength = blockBytes;
  #blockAt = 0;

  constructor(source: FrameSource, boots: BootTable) {
    this.#source = source;
    this.#boots = boots;
  }

  read(lane: LaneState, limits: ReadLimits): ReadProgress {
    this.#blockAt = 0;
    const expected = lane.nextAlive(limits.afterOffset + 1);
    const progress: Progress = {
      lane,
      limits,
      rows: [],
      bytes: 0,
      scanned: 0,
      expected,
      full: false,
      tired: false,
      blocked: false,
    };
    while (!progress.full && !progress.tired) {
      const part = lane.partFrom(progress.expected);
      if (part === undefined) break;
      if (!this.#pass(progress, part.first - 1)) break;
      try {
        if (!this.#readPart(progress, part)) break;
      } catch (error) {
        this.#fault(part.segment, error, limits.stamp);
        if (progress.rows.length === 0) throw faultFrom(error, 'The outbox cannot be read');
        break;
      }
    }
    const { rows, bytes, tired, blocked } = progress;
    if (blocked && rows.length === 0) throw tooManyHoles(lane);
    return { rows, bytes, more: tired && rows.length === 0 };
  }

  /** False when the walk has to end here. */
  #readPart(progress: Progress, part: LanePart): boolean {
    const { segment } = part;
    if (!segment.present) return this.#pass(progress, part.last);
    const { lane } = progress;
    const cursor = lane.cursor;
    const going = cursor !== undefined && cursor.segment === segment && cursor.offset <= progress.expected;
    let position = going ? cursor.position : part.position;
    let resume = going && cursor.records > 0 ? cursor : undefined;
    while (position < segment.end && progress.expected <= part.last) {
      if (progress.scanned > outboxScanBytesMax) {
        progress.tired = true;
        lane.readTo({ segment, position, offset: progress.expected, ...frameStart });
        return false;
      }
      const frame = this.#source.frame(segment, position, segment.end);
      const next = frame === undefined ? this.#afterDamage(segment, position) : position + frame.head.frameBytes;
      progress.scanned += next - position;
      const base = frame === undefined ? undefined : baseIn(frame, lane.id);
      if (frame !== undefined && base !== undefined) {
        const walk = new RecordWalk(frame, resume);
        walk.next = resume?.next ?? base;
        if (!this.#readFrame(progress, walk)) return false;
      }
      resume = undefined;
      position = next;
    }
    lane.readTo({ segment, position, offset: progress.expected, ...frameStart });
    return this.#pass(progress, part.last);
  }

  /** False when the walk has to end here. */
  #readFrame(progress: Progress, walk: RecordWalk): boolean {
    const { lane, limits } = progress;
    const { head } = walk.frame;
    let ageMs: number | undefined;
    const wallShiftMs = this.#boots.wallShiftMs(head);
    try {
      while (!progress.full && walk.stepTo(lane.id)) {
        const { offset } = walk;
        if (offset < progress.expected) continue;
        if (!this.#pass(progress, offset - 1)) return this.#stopBefore(progress, walk);
        // What the gap led to may itself have left the lane already.
        if (offset < progress.expected) continue;
        if (walk.ttlMs !== undefined) ageMs ??= this.#boots.ageMs(head, limits.stamp);
        const isOver = walk.ttlMs !== undefined && (ageMs ?? 0) >= walk.ttlMs;
        // Where no other hole can be noted it goes out late: better than a lane that stands still.
        if (isOver && this.#drop(progress, offset, 'ttl_expiry')) continue;
        if (progress.rows.length > 0 && progress.bytes + walk.length > limits.bytesMax) {
          progress.full = true;
          return this.#stopBefore(progress, walk);
        }
        const record = this.#take(walk);
        if (record === undefined) {
          if (this.#drop(progress, offset, 'damaged')) continue;
          progress.blocked = true;
          return this.#stopBefore(progress, walk);
        }
        progress.rows.push({ offset, record, wallShiftMs });
        progress.bytes += walk.length;
        progress.expected = lane.nextAlive(offset + 1);
        progress.full = progress.rows.length >= limits.messagesMax || progress.bytes >= limits.bytesMax;
      }
    } catch (error) {
      // An index that passes its checksum and makes no sense: what it held is a gap.
      if (!(error instanceof UnreadableFrame)) throw error;
      return true;
    }
    if (!progress.full) return true;
    lane.readTo({
      ...walk.place,
      segment: walk.frame.segment,
      position: head.position,
      offset: progress.expected,
      next: walk.next,
    });
    return false;
  }

  #stopBefore(progress: Progress, walk: RecordWalk): boolean {
    progress.lane.readTo({
      ...walk.placeBefore,
      segment: walk.frame.segment,
      position: walk.frame.head.position,
      offset: progress.expected,
      next: walk.offset,
    });
    return false;
  }

  /** Everything up to `offset` that should have been found by now is lost. */
  #pass(progress: Progress, offset: number): boolean {
    if (offset < progress.expected) return true;
    progress.blocked = !this.#drop(progress, offset, 'damaged');
    return !progress.blocked;
  }

  /** Everything up to `offset` leaves. False when the lane has too many holes already. */
  #drop(progress: Progress, offset: number, reason: LaneDropReason): boolean {
    if (!lose(progress.lane, { from: progress.expected, to: offset, reason })) return false;
    progress.expected = progress.lane.nextAlive(offset + 1);
    return true;
  }

  #afterDamage(segment: Segment, position: number): number {
    const head = this.#source.head(segment, position, segment.end);
    if (head !== undefined) return position + head.frameBytes;
    return this.#source.findHead(segment, position + 1, segment.end)?.position ?? segment.end;
  }

  /** The record, copied out of the reader's way; undefined when it is damaged. */
  #take(walk: RecordWalk): Buffer | undefined {
    const { length } = walk;
    if (this.#blockAt + length > this.#blockLength) {
      this.#blockLength = Math.max(blockBytes, alignUp(length, recordAlignment));
      this.#block = memoryOf(this.#blockLength);
      this.#blockAt = 0;
    }
    const at = this.#blockAt;
    if (!this.#source.copyRecord(walk.frame, walk, { memory: this.#block, at })) return undefined;
    this.#blockAt = alignUp(at + length, recordAlignment);
    return Buffer.from(this.#block.bytes.buffer, at, length);
  }

  /** A disk that refuses the same segment for long is believed: what it does not give is lost, the rest is read. */
  #fault(segment: Segment, error: unknown, stamp: TimeStamp): void {
    faultFrom(error, 'The outbox cannot be read');
    const known = this.#faults.get(segment) ?? { count: 0, sinceMs: stamp.monotonicMs };
    known.count++;
    this.#faults.set(segment, known);
    if (known.count < outboxReadFaultsMax || stamp.monotonicMs - known.sinceMs < outboxReadFaultsMs) return;
    this.#faults.delete(segment);
    this.#source.giveUpOn(segment);
  }
}
