// Time as a parameter: the wall clock, the monotonic clock and timers.
//
// Everybody who needs time receives a Clock, so that a whole device can run in simulated time. Wall time may
// jump (no RTC, NTP); durations and deadlines use monotonicMs only.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970 UTC; may jump in both directions. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start, never backwards. */
  monotonicMs(): number;
  /** Runs `callback` once after `delayMs`. The timer keeps the process alive unless `background`. */
  setTimer(delayMs: number, callback: () => void, options?: { readonly background?: boolean }): Timer;
  /** Runs `callback` after the events already pending have been handled (one loop turn). */
  soon(callback: () => void): void;
}

const timerDelayMsMax = 0x7fffffff;

export function systemClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
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

/** Resolves after `delayMs`, or at once when `signal` is aborted. Never rejects. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.setTimer(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
