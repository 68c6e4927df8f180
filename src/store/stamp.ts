// The present instant as the store thread is told it: that thread has no clock of its own, so that a whole store
// runs in simulated time and no two of its parts disagree about what time it is.

import type { TimeStamp } from '../model/time-stamp.ts';
import type { Clock } from '../platform/clock.ts';

export function stampOf(clock: Clock): TimeStamp {
  return {
    wallMs: clock.wallMs(),
    monotonicMs: clock.monotonicMs(),
    bootId: clock.bootId,
    trusted: clock.wallTrusted(),
  };
}
