// Waiting on a clock, ended early by who no longer wants to wait.
//
// A signal that lives long keeps no listener of a wait that is over.

/** Of platform/clock.ts, what a wait needs. */
interface Timers {
  setTimer(delayMs: number, callback: () => void): { cancel(): void };
}

/** Resolves after `delayMs`, or at once when `signal` is aborted. Never rejects. */
export function pause(clock: Timers, delayMs: number, signal?: AbortSignal): Promise<void> {
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
