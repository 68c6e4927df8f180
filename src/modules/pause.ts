// Waiting, on the injected clock.
//
// platform/clock.ts is known here by its types only, so the few lines that turn its timers into promises live
// in this folder.

import type { Clock } from '../platform/clock.ts';

/** Resolves after `delayMs`, or at once when `signal` is aborted. Never rejects. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
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

/** A wait that somebody else may end early: `wake()` ends the present one, or the next if none is under way. */
export class Alarm {
  readonly #clock: Clock;
  #controller = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#controller.abort();
  }

  async sleep(delayMs: number): Promise<void> {
    await pause(this.#clock, delayMs, this.#controller.signal);
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
  }
}
