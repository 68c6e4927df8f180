// When a module that waits is started next: a timer, and the wall time of it that records and people are told.
//
// A wait outlives the runtime by that wall time. A wall clock that jumped meanwhile must not make the wait longer than
// it ever was, so what is left of it is bounded by the longest wait of its kind.

import type { Clock, Timer } from '../platform/clock.ts';

export class StartTimer {
  readonly #clock: Clock;
  readonly #due: () => void;
  #timer: Timer | undefined;
  /** Null while nothing is waited for. */
  atMs: number | null = null;

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock;
    this.#due = due;
  }

  arm(delayMs: number): void {
    this.disarm();
    this.atMs = this.#clock.wallMs() + delayMs;
    this.#timer = this.#clock.setTimer(delayMs, this.#due);
  }

  /** Goes on with the wait of an earlier life, that `atMs` tells of. */
  rearm(longestMs: number): void {
    this.arm(Math.min(longestMs, Math.max(0, (this.atMs ?? 0) - this.#clock.wallMs())));
  }

  disarm(): void {
    this.stop();
    this.atMs = null;
  }

  /** Without forgetting when it would have been. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
