// Time as a parameter: the wall clock, the monotonic clock and timers.
//
// Everybody who needs time receives a Clock, so that a whole device can run in simulated time. Wall time may
// jump (no RTC, NTP, an operator); durations and deadlines use monotonicMs only, and what must survive a restart
// is kept as a stamp of both (model/time-stamp.ts).
//
// Monotonic time counts from the boot of the machine (CLOCK_MONOTONIC), so that stamps of several processes and
// several lives of one process compare for as long as `bootId` is the same. After a boot they mean nothing.
//
// A wall clock without a battery wakes up in 1970, or where it was switched off, and may be set by years while we run.
// A process that keeps things asks a WallSource (wall-keeper.ts), which knows when not to follow it; machineWallMs()
// is the clock itself, for judging what others on this machine wrote by it.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970 UTC, as far as this process knows; may jump in both directions. */
  wallMs(): number;
  /** False while nobody vouches for the wall clock: what it says must not let anything expire. */
  wallTrusted(): boolean;
  /** What the machine's wall clock says, right or wrong. */
  machineWallMs(): number;
  /** Milliseconds since the machine was booted, never backwards. */
  monotonicMs(): number;
  /** Changes with every boot of the machine. */
  readonly bootId: string;
  /** Runs `callback` once after `delayMs`. The timer keeps the process alive unless `background`. */
  setTimer(delayMs: number, callback: () => void, options?: { readonly background?: boolean }): Timer;
  /** Runs `callback` after the events already pending have been handled (one loop turn). */
  soon(callback: () => void): void;
}

/** What a process knows of the time besides its machine's clock. */
export interface WallSource {
  wallMs(): number;
  trusted(): boolean;
}

const timerDelayMsMax = 0x7fffffff;
const nsPerMs = 1e6;
const bootIdFile = '/proc/sys/kernel/random/boot_id';

/** Without a source the machine is believed: right for a process that keeps nothing beyond its own life. */
export function systemClock(source?: WallSource): Clock {
  // Both count CLOCK_MONOTONIC, one of them from this thread's birth and without an allocation for each look.
  const bornMs = Number(process.hrtime.bigint()) / nsPerMs - performance.now();
  const monotonicMs = (): number => bornMs + performance.now();
  return {
    bootId: readBootId(),
    wallMs: source === undefined ? Date.now : () => source.wallMs(),
    wallTrusted: () => source?.trusted() ?? true,
    machineWallMs: Date.now,
    monotonicMs,
    setTimer(delayMs, callback, options) {
      const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), timerDelayMsMax));
      if (options?.background === true) timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    soon: (callback) => {
      setImmediate(callback);
    },
  };
}

/** Where the kernel does not tell, each process is a boot of its own: its stamps then compare with nobody else's. */
function readBootId(): string {
  try {
    return readFileSync(bootIdFile, 'utf8').trim();
  } catch {
    return randomUUID();
  }
}
