// What left undelivered and was not told yet.
//
// Counted when the commit that says so is on storage: what a lane's counters have risen by since the commit before.
// Kept in memory until whoever logs it takes it; the lanes' own counters, in the log, are the lasting account.

import type { LaneState } from './lane-state.ts';
import { type LaneDrop, type LaneDropReason, laneDropReasons } from './shapes.ts';

export class DropTally {
  readonly #drops = new Map<LaneState, Map<LaneDropReason, number>>();

  /** What the commit that has just reached storage dropped of the lane. */
  count(lane: LaneState): void {
    const before = lane.before?.dropped;
    if (before === undefined || before === lane.dropped) return;
    for (const reason of laneDropReasons) {
      const messages = lane.dropped[reason] - before[reason];
      if (messages === 0) continue;
      const reasons = this.#drops.get(lane) ?? new Map<LaneDropReason, number>();
      reasons.set(reason, (reasons.get(reason) ?? 0) + messages);
      this.#drops.set(lane, reasons);
    }
  }

  of(lane: LaneState, reason: LaneDropReason): number {
    return this.#drops.get(lane)?.get(reason) ?? 0;
  }

  take(): readonly LaneDrop[] {
    const taken = [...this.#drops].flatMap(([{ lane }, reasons]) =>
      [...reasons].map(([reason, messages]) => ({ lane, reason, messages })),
    );
    this.#drops.clear();
    return taken;
  }

  clear(): void {
    this.#drops.clear();
  }
}
