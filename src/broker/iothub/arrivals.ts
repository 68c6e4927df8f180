// Callers that wait until somebody has subscribed, each for a time of its own.
//
// Bounded: beyond methodWaitsMax a caller is told so at once. Whoever owns this looks again after every change of who
// listens to what; a wait holds no place in anybody's queue and ends with its time-out at the latest.

import { methodWaitsMax } from '../../limits.ts';
import type { Clock } from '../../platform/clock.ts';
import { busyError } from './errors.ts';

export class Arrivals {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => boolean>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** What `find` finds now or within the time; undefined when the time is over. Rejects IOTHUB_BUSY. */
  wait<T>(timeoutMs: number, find: () => T | undefined): Promise<T | undefined> {
    const here = find();
    if (here !== undefined || timeoutMs <= 0) return Promise.resolve(here);
    if (this.#waiting.size >= methodWaitsMax) return Promise.reject(busyError('calls', methodWaitsMax));
    return new Promise((resolve) => {
      const look = (): boolean => {
        const found = find();
        if (found === undefined) return false;
        timer.cancel();
        resolve(found);
        return true;
      };
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#waiting.delete(look);
        resolve(undefined);
      });
      this.#waiting.add(look);
    });
  }

  /** Somebody came or subscribed: whoever waited for that goes on. */
  changed(): void {
    for (const look of [...this.#waiting]) {
      if (look()) this.#waiting.delete(look);
    }
  }
}
