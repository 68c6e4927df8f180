// A wait that others may end: a module's loop sleeps by it.

import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';

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
