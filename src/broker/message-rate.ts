// How fast clients may be: a bucket a client, one for all of them, one a listener; and one clock for all who wait.
//
//   spend(n) ──tokens left──► go on
//      └─ none left ──► the connection is not read (back-pressure, nothing is lost) ──► refilled every waitMs
//
// A bucket holds one second's worth, so that a burst passes at once; a read that took more than was left is a debt
// that is worked off before the next read. Time is looked at when a bucket is empty, not per message.

import type { Clock, Timer } from '../platform/clock.ts';

const waitMs = 100;
const millisecondsPerSecond = 1000;

export class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #filledMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#filledMs = nowMs;
  }

  /** `count` are taken, whether they are there or not. False when that was all there is for now. */
  spend(count: number): boolean {
    this.#tokens -= count;
    return this.#tokens > 0;
  }

  /** Takes one if it is there. */
  take(nowMs: number): boolean {
    this.refill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Adds what time has brought; true when there is something to spend. */
  refill(nowMs: number): boolean {
    const gained = ((nowMs - this.#filledMs) * this.#perSecond) / millisecondsPerSecond;
    this.#filledMs = nowMs;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + gained);
    return this.#tokens > 0;
  }
}

/** The buckets one client spends from (its own, the one of all), and what to do when it may go on. */
export interface MessageRate {
  readonly buckets: readonly TokenBucket[];
  release(): void;
}

/** Takes `count` from each; false when one of them is empty now. */
export function spendAll({ buckets }: MessageRate, count: number): boolean {
  let isLeft = true;
  for (const bucket of buckets) if (!bucket.spend(count)) isLeft = false;
  return isLeft;
}

function refillAll({ buckets }: MessageRate, nowMs: number): boolean {
  return buckets.filter((bucket) => !bucket.refill(nowMs)).length === 0;
}

/** The clients of a broker that wait for their rate. No timer while nobody waits. */
export class RateQueue {
  readonly #clock: Clock;
  readonly #waiting = new Set<MessageRate>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get length(): number {
    return this.#waiting.size;
  }

  /** True when `rate` must wait: it is released later. False when time has filled its buckets meanwhile. */
  wait(rate: MessageRate): boolean {
    if (refillAll(rate, this.#clock.monotonicMs())) return false;
    this.#waiting.add(rate);
    this.#timer ??= this.#clock.setTimer(waitMs, () => this.#tick());
    return true;
  }

  /** The client is gone. */
  forget(rate: MessageRate): void {
    this.#waiting.delete(rate);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (const rate of [...this.#waiting]) {
      if (!refillAll(rate, nowMs)) continue;
      this.#waiting.delete(rate);
      rate.release();
    }
    if (this.#waiting.size > 0) this.#timer ??= this.#clock.setTimer(waitMs, () => this.#tick());
  }
}
