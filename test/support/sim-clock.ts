// A clock that moves only when told: timers fire in order of their time, each in its own turn.
//
// The wall clock can be made to jump and to lose its trust; a reboot lets the monotonic clock begin anew, which is
// what it looks like to what was written before. Timers belong to the process, so a reboot forgets them.

import type { Clock, Timer } from '../../src/platform/clock.ts';

interface Pending {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export class SimClock implements Clock {
  #monotonicMs = 0;
  #wallOffsetMs: number;
  #trusted = true;
  #boot = 1;
  #order = 0;
  readonly #pending = new Set<Pending>();
  readonly #settle: () => Promise<void>;

  /** `settleJobs` is what lets promise jobs run between timers: `settleOnce` is fast, and right where nothing real is awaited. */
  constructor(startWallMs = Date.UTC(2026, 0, 1), settleJobs: () => Promise<void> = settle) {
    this.#wallOffsetMs = startWallMs;
    this.#settle = settleJobs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#monotonicMs;
  }

  machineWallMs(): number {
    return this.wallMs();
  }

  wallTrusted(): boolean {
    return this.#trusted;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  get bootId(): string {
    return `boot-${this.#boot}`;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const pending: Pending = { atMs: this.#monotonicMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  soon(callback: () => void): void {
    this.setTimer(0, callback);
  }

  /** Lets `deltaMs` pass; every timer due on the way fires, with promise jobs run in between. */
  async advance(deltaMs: number): Promise<void> {
    const endMs = this.#monotonicMs + deltaMs;
    for (;;) {
      await this.#settle();
      const next = [...this.#pending]
        .filter((timer) => timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#monotonicMs = Math.max(this.#monotonicMs, next.atMs);
      this.#pending.delete(next);
      next.callback();
    }
    this.#monotonicMs = endMs;
    await this.#settle();
  }

  /** The wall clock jumps; the monotonic clock does not notice. */
  jumpWall(deltaMs: number): void {
    this.#wallOffsetMs += deltaMs;
  }

  trustWall(trusted: boolean): void {
    this.#trusted = trusted;
  }

  /** The power was away for `offMs`: true time and a clock with a battery went on, the monotonic clock begins anew. */
  reboot(offMs = 0): void {
    this.#wallOffsetMs += this.#monotonicMs + offMs;
    this.#monotonicMs = 0;
    this.#boot++;
    this.#pending.clear();
  }

  get timerCount(): number {
    return this.#pending.size;
  }
}

/** Lets all promise jobs and immediates that are ready run. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

/** The same, once: enough where nothing waits for the event loop itself. */
export function settleOnce(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
