// One lane in memory: which offsets wait, in which segments they lie, what left it undelivered, and the places where
// its reader goes on and its oldest message is looked for.
//
// Invariants
//   An offset waits when it is above the floor, below the next one, and not in `dead`. Nothing counts messages
//   beside that: the figures follow from the ranges and cannot drift from them.
//   touch() before every change: it keeps what a failed commit has to bring back. Parts change only once a commit
//   is on storage.
//
// Bytes of a part (a lane's share of one segment) are known as a whole; of a part half gone they are taken in
// proportion to the number of messages, because knowing each would need an index in memory or a look at the disk.

import { strict as assert } from 'node:assert';
import { outboxRangesMax, storeOffsetMax } from '../../limits.ts';
import type { Lane } from '../../model/lane.ts';
import { OffsetRanges } from './offset-ranges.ts';
import type { Segment } from './segment.ts';
import type { LaneDropReason } from './shapes.ts';

/** What one segment holds of one lane. */
export interface LanePart {
  readonly lane: LaneState;
  readonly segment: Segment;
  readonly first: number;
  last: number;
  /** Messages, without the holes that were never written. */
  count: number;
  bytes: number;
  /** Of the first frame with a message of the lane. */
  readonly position: number;
  /** The shortest time to live; undefined when nothing expires. */
  ttlMin: number | undefined;
  /** Nothing of it expires before this monotonic time of the present boot; undefined: to be looked at. */
  freshUntilMs: number | undefined;
}

/** Where a reader was, so that the next read goes on there. */
export interface LaneCursor {
  readonly segment: Segment;
  readonly position: number;
  /** Everything at or behind this place has at least this offset. */
  readonly offset: number;
  /** Within the frame: index byte, body byte, records passed and the lane's next offset; 0 records: from its start. */
  readonly indexAt: number;
  readonly bodyAt: number;
  readonly records: number;
  readonly next: number;
}

/** Messages that left undelivered. */
export interface Loss {
  readonly from: number;
  readonly to: number;
  readonly reason: LaneDropReason;
}

export type DropCounts = Readonly<Record<LaneDropReason, number>>;

export interface LaneCommitted {
  readonly offsetNext: number;
  readonly floor: number;
  readonly dead: OffsetRanges;
  readonly dropped: DropCounts;
}

export const noDrops: DropCounts = { quota: 0, ttl_expiry: 0, damaged: 0 };

export class LaneState {
  readonly id: number;
  readonly lane: Lane;
  readonly key: string;
  readonly stream: string;
  offsetNext = 1;
  floor = 0;
  dead: OffsetRanges = OffsetRanges.none;
  dropped: DropCounts = noDrops;
  readonly parts: LanePart[] = [];
  /** Bytes of all parts. */
  partBytes = 0;
  /** Messages and bytes staged. */
  stagedCount = 0;
  stagedBytes = 0;
  /** As it was before the staged changes; undefined when there are none. */
  before: LaneCommitted | undefined;
  /** Expired or damaged, found since the last commit that counted them: its reader has gone past them. */
  found: Loss[] = [];
  #cursor: LaneCursor | undefined;
  /** Where to look for the oldest message, and a later place that takes over when everything before it has left. */
  #oldestAt: LaneCursor | undefined;
  #oldestNext: LaneCursor | undefined;
  /** The segment whose snapshot tells of this lane; in any other each frame with messages of it has to. */
  toldIn: Segment | undefined;

  constructor(facts: { readonly id: number; readonly lane: Lane; readonly key: string; readonly stream: string }) {
    this.id = facts.id;
    this.lane = facts.lane;
    this.key = facts.key;
    this.stream = facts.stream;
  }

  /** Where the last read ended. */
  get cursor(): LaneCursor | undefined {
    return this.#cursor;
  }

  /** A place at or before the oldest message that waits, about two reads before it at most; undefined: none is known. */
  get oldestAt(): LaneCursor | undefined {
    this.#findOldest();
    return this.#oldestAt;
  }

  /** A read ended there. */
  readTo(cursor: LaneCursor): void {
    this.#cursor = cursor;
    this.#findOldest();
    this.#oldestNext ??= cursor;
  }

  #findOldest(): void {
    // A floor that is only staged may be taken back.
    if (this.#oldestNext === undefined || this.#oldestNext.offset > this.committed.floor + 1) return;
    this.#oldestAt = this.#oldestNext;
    this.#oldestNext = undefined;
  }

  /** Places in the segment are no longer where they were. */
  forgetPlaces(isGone: (segment: Segment) => boolean): void {
    const kept = (cursor: LaneCursor | undefined): LaneCursor | undefined =>
      cursor !== undefined && isGone(cursor.segment) ? undefined : cursor;
    this.#cursor = kept(this.#cursor);
    this.#oldestAt = kept(this.#oldestAt);
    this.#oldestNext = kept(this.#oldestNext);
  }

  get committed(): LaneCommitted {
    return this.before ?? this;
  }

  get messages(): number {
    return this.offsetNext - 1 - this.floor - this.dead.size;
  }

  get bytes(): number {
    let gone = 0;
    for (const part of this.parts) {
      if (part.first > this.floor && this.dead.count === 0) break;
      gone += part.bytes - this.bytesOf(part);
    }
    return this.partBytes - gone + this.#stagedAlive();
  }

  /** Of a part, the messages that still wait. */
  countOf(part: LanePart): number {
    const first = Math.max(part.first, this.floor + 1);
    if (first > part.last) return 0;
    return part.last - first + 1 - this.dead.countIn(first, part.last);
  }

  bytesOf(part: LanePart): number {
    const count = this.countOf(part);
    return count >= part.count ? part.bytes : Math.ceil((part.bytes / part.count) * count);
  }

  /** The first offset from `offset` on that waits (or would, if it were given out). */
  nextAlive(offset: number): number {
    const from = Math.max(offset, this.floor + 1);
    return (this.dead.endOf(from) ?? from - 1) + 1;
  }

  /** The first part whose last offset is at least `offset`. */
  partFrom(offset: number): LanePart | undefined {
    let [low, high] = [0, this.parts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.parts[middle] as LanePart).last < offset) low = middle + 1;
      else high = middle;
    }
    return this.parts[low];
  }

  touch(): void {
    this.before ??= { offsetNext: this.offsetNext, floor: this.floor, dead: this.dead, dropped: this.dropped };
  }

  /** The next offset, or the one the message brings with it; what lies between was never given out. */
  takeOffset(wanted: number | undefined): number {
    this.touch();
    const next = this.offsetNext;
    const offset = wanted ?? next;
    if (offset < next || offset > storeOffsetMax) assert.fail(`lane ${this.key} cannot take offset ${offset}`);
    this.offsetNext = offset + 1;
    if (offset > next) this.removeRange(next, offset - 1);
    return offset;
  }

  /** Everything up to `offset` has left. */
  raiseFloor(offset: number): void {
    assert(offset < this.offsetNext, 'only what was given out leaves a lane');
    if (offset <= this.floor) return;
    this.touch();
    this.floor = this.dead.endOf(offset + 1) ?? offset;
    this.dead = this.dead.after(this.floor);
  }

  /** from … to have left. Whoever can wait asks hasRoomFor() first. */
  removeRange(from: number, to: number): void {
    if (from <= this.floor + 1) {
      this.raiseFloor(to);
      return;
    }
    this.touch();
    this.dead = this.dead.with(from, to);
  }

  /** False when another range would be one too many. */
  hasRoomFor(from: number, to: number): boolean {
    if (this.dead.count < outboxRangesMax || from <= this.floor + 1) return true;
    return this.dead.endOf(from - 1) !== undefined || this.dead.endOf(to + 1) !== undefined;
  }

  countDrops(reason: LaneDropReason, messages: number): void {
    if (messages === 0) return;
    this.touch();
    this.dropped = { ...this.dropped, [reason]: this.dropped[reason] + messages };
  }

  /** Keeps a loss beyond restore(). */
  remember(loss: Loss): void {
    const last = this.found.at(-1);
    if (last !== undefined && last.reason === loss.reason && last.to + 1 === loss.from)
      this.found[this.found.length - 1] = { ...last, to: loss.to };
    else this.found.push(loss);
  }

  /** Takes the staged changes back; what was found remains to be staged again. */
  restore(): void {
    const before = this.before;
    this.before = undefined;
    this.stagedCount = 0;
    this.stagedBytes = 0;
    if (before === undefined) return;
    this.offsetNext = before.offsetNext;
    this.floor = before.floor;
    this.dead = before.dead;
    this.dropped = before.dropped;
  }

  #stagedAlive(): number {
    if (this.stagedCount === 0) return 0;
    const first = this.offsetNext - this.stagedCount;
    const alive = this.offsetNext - Math.max(first, this.floor + 1);
    return Math.ceil((this.stagedBytes / this.stagedCount) * Math.max(0, alive));
  }
}
