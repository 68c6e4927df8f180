// Which lane of a queue is sent from next: a pure decision, taken anew for each batch.
//
//   1. A lane that could have been sent for drainStarvationMsMax while drainStarvationBatches of others passed it,
//      the longest waiting of them first: it gets one batch, and then waits anew. That is the fairness guard: no
//      lane waits for ever. Both, because on a slow link the time alone would make all lanes starve, and equal.
//   2. Otherwise strict priority: 0 first, no priority last; of one priority, live before backlog.
//
// Two things keep a lane from being chosen. `notBeforeMs` is a rate that is used up: nothing goes before it.
// `heldUntilMs` is a courtesy after failures in a row: the others go first, but held lanes among themselves go as
// if they were not held, because the pause after a failure is the drain's business.
//
// A lane is a candidate as long as it may have messages; whether it really has is found out by reading it, and
// only when it is chosen. So a lane far behind costs no memory, and a higher one is never passed while it is read.

import { drainStarvationBatches, drainStarvationMsMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';

/** All times are monotonic, in milliseconds. */
export interface LaneCandidate {
  readonly lane: Lane;
  /** Since when it may have messages, or when it was last sent from. */
  readonly waitingSinceMs: number;
  /** Batches of other lanes that were sent since then. */
  readonly passedBy: number;
  readonly heldUntilMs: number;
  readonly notBeforeMs: number;
}

export type LaneChoice<Candidate extends LaneCandidate> =
  | { readonly kind: 'send'; readonly candidate: Candidate }
  /** Undefined: until something happens. */
  | { readonly kind: 'wait'; readonly untilMs: number | undefined };

export function chooseLane<Candidate extends LaneCandidate>(
  candidates: Iterable<Candidate>,
  nowMs: number,
): LaneChoice<Candidate> {
  let best: Candidate | undefined;
  let untilMs: number | undefined;
  for (const candidate of candidates) {
    if (candidate.notBeforeMs > nowMs) {
      untilMs = Math.min(untilMs ?? candidate.notBeforeMs, candidate.notBeforeMs);
    } else if (best === undefined || goesBefore(candidate, best, nowMs)) {
      best = candidate;
    }
  }
  return best === undefined ? { kind: 'wait', untilMs } : { kind: 'send', candidate: best };
}

function goesBefore(a: LaneCandidate, b: LaneCandidate, nowMs: number): boolean {
  const held = Number(a.heldUntilMs > nowMs) - Number(b.heldUntilMs > nowMs);
  if (held !== 0) return held < 0;
  const starved = Number(isStarved(a, nowMs)) - Number(isStarved(b, nowMs));
  if (starved !== 0) return starved > 0;
  if (isStarved(a, nowMs) && a.waitingSinceMs !== b.waitingSinceMs) return a.waitingSinceMs < b.waitingSinceMs;
  return rank(a.lane) < rank(b.lane);
}

function isStarved({ waitingSinceMs, passedBy }: LaneCandidate, nowMs: number): boolean {
  return passedBy >= drainStarvationBatches && nowMs - waitingSinceMs >= drainStarvationMsMax;
}

function rank({ priority, live }: Lane): number {
  return priority * 2 + (live ? 0 : 1);
}
