// What a loop sleeps by: rung by whoever has news, heard once however often it rang.
//
// A ring that comes while nobody waits is kept, so news between a look and the sleep is never missed. Who wakes
// looks at everything anew; the bell does not say what happened.

import type { Clock, Timer } from '../platform/clock.ts';

export class Bell {
  readonly #clock: Clock;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring, at once when it rang since the last wait, or at `untilMs` of the monotonic clock. */
  async wait(untilMs?: number): Promise<void> {
    let timer: Timer | undefined;
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (untilMs !== undefined) timer = this.#clock.setTimer(untilMs - this.#clock.monotonicMs(), resolve);
      });
    }
    timer?.cancel();
    this.#wake = undefined;
    this.#rung = false;
  }
}
