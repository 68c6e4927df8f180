// Back-pressure: a receiver that is behind for the moment holds back those who publish to it, instead of losing
// their acknowledged messages.
//
//   easy ──queue more than half full──► pressing ──queue a quarter full, or the receiver leaves──► easy
//                                          └──── it stands still, or is at it for too long ───► given up
//   given up ──queue a quarter full──► easy
//
// Owns who waits and for how long, not the queue. A slow receiver costs itself: one that acknowledges nothing within
// brokerPressStepMs, or does not catch up within brokerPressMsMax, holds nobody back any more. What does not fit is
// dropped and counted then, as it is while its client is away.
//
// Nobody waits who owes acknowledgements of its own (Publisher): a circle of clients that wait for each other would
// need one that began to wait while it was itself waited for.

import { brokerPressMsMax, brokerPressStepMs } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';

export class Pressure {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;
  #steps = 0;
  #hasMoved = false;
  #gaveUp = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether publishers are to wait while the queue is long. */
  get isOn(): boolean {
    return !this.#gaveUp;
  }

  /** `goOn` is called once, in a turn of its own. */
  wait(goOn: () => void): void {
    this.#waiting.push(goOn);
    if (this.#timer !== undefined) return;
    this.#steps = 0;
    this.#watch();
  }

  /** The receiver acknowledged something, or was looked at, which happens once a second. */
  moved(isShort: boolean): void {
    this.#hasMoved = true;
    if (!isShort) return;
    this.#gaveUp = false;
    this.release();
  }

  /** Everybody goes on. */
  release(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    // What they publish comes here again: not within a packet of the receiver.
    this.#clock.soon(() => {
      for (const goOn of waiting) goOn();
    });
  }

  #watch(): void {
    this.#hasMoved = false;
    this.#timer = this.#clock.setTimer(brokerPressStepMs, () => {
      this.#steps++;
      if (this.#hasMoved && this.#steps * brokerPressStepMs < brokerPressMsMax) {
        this.#watch();
        return;
      }
      this.#gaveUp = true;
      this.release();
    });
  }
}
