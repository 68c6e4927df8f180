// Which messages go when there is no room: pure arithmetic over the lanes, no look at the disk.
//
// The lowest priority (the highest number) goes first, of its lanes the one with the most bytes, of that the oldest.
// Sizes within a segment are averages, so the last step may take one message more or fewer than exact sizes would.

import { lose } from './lane-reader.ts';
import type { LaneState } from './lane-state.ts';

/** Takes messages out of the lanes until `excess()` is not positive or nothing is left. */
export function makeRoom(lanes: readonly LaneState[], excess: () => number): void {
  for (let bytes = excess(); bytes > 0; bytes = excess()) {
    const victim = victimOf(lanes);
    if (victim === undefined) return;
    dropOldest(victim, bytes);
  }
}

function victimOf(lanes: readonly LaneState[]): LaneState | undefined {
  let victim: LaneState | undefined;
  let victimBytes = 0;
  for (const lane of lanes) {
    if (lane.messages === 0) continue;
    const { bytes } = lane;
    const priority = victim?.lane.priority ?? -1;
    if (lane.lane.priority < priority || (lane.lane.priority === priority && bytes <= victimBytes)) continue;
    victim = lane;
    victimBytes = bytes;
  }
  return victim;
}

function dropOldest(lane: LaneState, bytes: number): void {
  const first = lane.nextAlive(lane.floor + 1);
  const part = lane.partFrom(first);
  const count = part === undefined ? lane.messages : lane.countOf(part);
  const held = part === undefined ? lane.bytes : lane.bytesOf(part);
  const wanted = held <= bytes ? count : Math.min(count, Math.ceil((bytes * count) / held));
  lose(lane, { from: lane.floor + 1, to: offsetOf(lane, Math.max(1, wanted)), reason: 'quota' });
}

/** The offset of the n-th message that waits. */
function offsetOf(lane: LaneState, n: number): number {
  let offset = lane.floor + n;
  for (;;) {
    const alive = offset - lane.floor - lane.dead.countIn(lane.floor + 1, offset);
    if (alive >= n) return offset;
    offset += n - alive;
  }
}
