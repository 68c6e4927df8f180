// Messages whose time has run out, also in lanes that nobody reads.
//
// A bounded walk through the parts that hold something with a time to live; each call goes on where the last one
// ended. A part remembers until when nothing of it can expire, so that a store that is full at every commit does not
// read itself each time; that is forgotten when the hour becomes known, because ages may then grow.

import { outboxScanBytesMax } from '../../limits.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import type { BootTable } from './boot-table.ts';
import type { FrameSource } from './frame-source.ts';
import { lose } from './lane-reader.ts';
import type { LanePart, LaneState } from './lane-state.ts';
import { baseIn, RecordWalk } from './record-walk.ts';

interface Pass {
  readonly stamp: TimeStamp;
  budget: number;
}

export class LaneExpiry {
  readonly #source: FrameSource;
  readonly #boots: BootTable;
  #trusted = false;
  #laneFrom = 0;

  constructor(source: FrameSource, boots: BootTable) {
    this.#source = source;
    this.#boots = boots;
  }

  /** Takes expired messages out until `enough` or the end of its budget. */
  expire(lanes: readonly LaneState[], stamp: TimeStamp, enough: () => boolean): void {
    this.#noticeTrust(lanes, stamp);
    const pass: Pass = { stamp, budget: outboxScanBytesMax };
    const start = lanes.findIndex(({ id }) => id >= this.#laneFrom);
    const order = start <= 0 ? lanes : [...lanes.slice(start), ...lanes.slice(0, start)];
    for (const lane of order) {
      for (const part of lane.parts) {
        if (part.ttlMin === undefined || (part.freshUntilMs ?? 0) > stamp.monotonicMs) continue;
        if (lane.countOf(part) === 0) continue;
        this.#laneFrom = lane.id;
        if (pass.budget <= 0 || enough()) return;
        this.#expirePart(lane, part, pass);
      }
    }
    this.#laneFrom = 0;
  }

  #noticeTrust(lanes: readonly LaneState[], stamp: TimeStamp): void {
    const { trusted } = this.#boots.observe(stamp);
    if (trusted && !this.#trusted)
      for (const lane of lanes) for (const part of lane.parts) part.freshUntilMs = undefined;
    this.#trusted = trusted;
  }

  #expirePart(lane: LaneState, part: LanePart, pass: Pass): void {
    const { segment, ttlMin = 0 } = part;
    let { position } = part;
    let freshForMs = Number.POSITIVE_INFINITY;
    while (position < segment.end && pass.budget > 0) {
      const frame = this.#source.frame(segment, position, segment.end);
      const next = frame === undefined ? this.#afterDamage(part, position) : position + frame.head.frameBytes;
      pass.budget -= next - position;
      position = next;
      const base = frame === undefined ? undefined : baseIn(frame, lane.id);
      if (frame === undefined || base === undefined) continue;
      const ageMs = this.#boots.ageMs(frame.head, pass.stamp);
      // Whatever lies behind is younger.
      if (ageMs < ttlMin) {
        freshForMs = Math.min(freshForMs, ttlMin - ageMs);
        break;
      }
      const walk = new RecordWalk(frame);
      walk.next = base;
      freshForMs = Math.min(freshForMs, expireFrame(lane, walk, ageMs));
      if (walk.offset >= part.last) break;
    }
    if (pass.budget > 0) part.freshUntilMs = pass.stamp.monotonicMs + freshForMs;
  }

  #afterDamage({ segment }: LanePart, position: number): number {
    const head = this.#source.head(segment, position, segment.end);
    if (head !== undefined) return position + head.frameBytes;
    return this.#source.findHead(segment, position + 1, segment.end)?.position ?? segment.end;
  }
}

/** Answers for how long none of those that stay expires. */
function expireFrame(lane: LaneState, walk: RecordWalk, ageMs: number): number {
  let freshForMs = Number.POSITIVE_INFINITY;
  while (walk.stepTo(lane.id)) {
    const { offset, ttlMs } = walk;
    if (ttlMs === undefined || lane.nextAlive(offset) !== offset) continue;
    if (ageMs < ttlMs) freshForMs = Math.min(freshForMs, ttlMs - ageMs);
    else if (!lose(lane, { from: offset, to: offset, reason: 'ttl_expiry' })) break;
  }
  return freshForMs;
}

/** A time to live as frames have it: whole milliseconds; undefined for ever. */
export function ttlOf(timeToLiveMs: number | undefined): number | undefined {
  if (timeToLiveMs === undefined || !Number.isFinite(timeToLiveMs)) return undefined;
  return Math.min(Math.max(0, Math.ceil(timeToLiveMs)), Number.MAX_SAFE_INTEGER - 1);
}
