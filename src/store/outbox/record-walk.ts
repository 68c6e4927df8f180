// The records of one frame, passed one by one without making an object for each.
//
// step() goes on to the next record; then `length`, `sum` and `bodyAt` say where its bytes are, and targets() gives
// the lanes it is for. Readers of a single lane use stepTo(), which does nothing for the others but pass them.

import { ByteSource } from './byte-source.ts';
import type { Track } from './frame-index.ts';
import type { Frame } from './frame-source.ts';
import { alignUp, recordAlignment } from './segment-format.ts';

export interface WalkPlace {
  readonly indexAt: number;
  readonly bodyAt: number;
  readonly records: number;
}

export interface WalkTarget {
  readonly lane: number;
  readonly offset: number;
  readonly ttlMs: number | undefined;
}

export class RecordWalk {
  readonly frame: Frame;
  readonly #source: ByteSource;
  #left: number;
  #bodyNext = 0;
  #indexBefore = 0;
  bodyAt = 0;
  length = 0;
  sum = 0;
  /** After stepTo(): the record's place in the lane. */
  offset = 0;
  ttlMs: number | undefined;
  /** The lane's next offset in this frame. */
  next = 0;

  constructor(frame: Frame, place?: WalkPlace) {
    this.frame = frame;
    this.#source = new ByteSource(frame.index, {
      start: place === undefined ? frame.recordsAt : place.indexAt,
      end: frame.index.byteLength,
    });
    this.#left = frame.head.records - (place?.records ?? 0);
    this.#bodyNext = place?.bodyAt ?? 0;
  }

  /** Where the next step begins. */
  get place(): WalkPlace {
    return { indexAt: this.#source.at, bodyAt: this.#bodyNext, records: this.frame.head.records - this.#left };
  }

  /** Where the last step began. */
  get placeBefore(): WalkPlace {
    return { indexAt: this.#indexBefore, bodyAt: this.bodyAt, records: this.frame.head.records - this.#left - 1 };
  }

  /** The next record with a place in the lane; false at the end. Set `next` before the first call. */
  stepTo(lane: number): boolean {
    const { tracks } = this.frame;
    const source = this.#source;
    while (this.#left > 0) {
      this.#record();
      const head = source.varint();
      const explicit = (head & 1) === 1;
      let found = false;
      for (let target = head >>> 1; target > 0; target--) {
        const track = tracks[source.varint()];
        const carried = explicit ? source.varint() : 0;
        if (track === undefined || track.lane !== lane) continue;
        found = true;
        this.offset = explicit ? carried : this.next;
        this.ttlMs = track.ttlMs;
        this.next = this.offset + 1;
      }
      if (found) return true;
    }
    return false;
  }

  /** The next record with all its targets; undefined at the end. `nexts` keeps each lane's next offset. */
  step(nexts: Map<number, number>): readonly WalkTarget[] | undefined {
    if (this.#left <= 0) return undefined;
    this.#record();
    const head = this.#source.varint();
    const targets: WalkTarget[] = [];
    for (let target = head >>> 1; target > 0; target--) {
      const track = this.frame.tracks[this.#source.varint()] as Track | undefined;
      const carried = (head & 1) === 1 ? this.#source.varint() : undefined;
      if (track === undefined) continue;
      const offset = carried ?? nexts.get(track.lane) ?? track.base;
      nexts.set(track.lane, offset + 1);
      targets.push({ lane: track.lane, offset, ttlMs: track.ttlMs });
    }
    return targets;
  }

  #record(): void {
    const source = this.#source;
    this.#left--;
    this.#indexBefore = source.at;
    this.length = source.varint();
    this.sum = source.int32();
    this.bodyAt = this.#bodyNext;
    this.#bodyNext = alignUp(this.#bodyNext + this.length, recordAlignment);
  }
}

/** The first offset a frame has for a lane; undefined when it has none. */
export function baseIn(frame: Frame, lane: number): number | undefined {
  for (const track of frame.tracks) if (track.lane === lane) return track.base;
  return undefined;
}
