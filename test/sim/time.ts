// True time of a simulated run, and the clock of one boot of the simulated device.
//
// SimTime is the world's: the hub, the lines and the operator live by it, and it goes on while the device has no
// power. Events happen in order of their time, those of one time in the order in which they were asked for, each
// with all promise jobs behind it done. Nothing else moves: a run is a function of its seed.
//
// DeviceClock is what the processes of the device see of it: monotonic since the boot, a wall clock that may be
// years off and may be disbelieved, and timers that die with the process that set them.

import type { Clock, Timer } from '../../src/platform/clock.ts';

/** Of one instant: more are a loop that never ends. */
const atOnceMax = 20_000;

interface Event {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export class SimTime {
  /** Since the beginning of the run. */
  nowMs = 0;
  /** Wall time of the beginning. */
  readonly startWallMs = Date.UTC(2026, 0, 1);
  #order = 0;
  #atOnce = 0;
  /** A heap by time and order. */
  readonly #events: Event[] = [];
  /** Told of each event before it happens. */
  onEvent: ((atMs: number, order: number) => void) | undefined;

  get wallMs(): number {
    return this.startWallMs + this.nowMs;
  }

  /** In whole milliseconds, as a process has its timers. */
  after(delayMs: number, run: () => void): Timer {
    const event: Event = { atMs: this.nowMs + Math.max(0, Math.ceil(delayMs)), order: this.#order++, run };
    this.#push(event);
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Lets `deltaMs` pass, or less: until `stop` says so. */
  async advance(deltaMs: number, stop: () => boolean = () => false): Promise<void> {
    const endMs = this.nowMs + deltaMs;
    await turn();
    for (let next = this.#events[0]; next !== undefined && next.atMs <= endMs; next = this.#events[0]) {
      if (stop()) return;
      this.#pop();
      if (next.run === undefined) continue;
      if (next.atMs > this.nowMs) this.#atOnce = 0;
      else if (++this.#atOnce > atOnceMax)
        throw new Error(`time stands still: ${atOnceMax} events at ${this.nowMs} ms`);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.onEvent?.(next.atMs, next.order);
      next.run();
      await turn();
    }
    if (!stop()) this.nowMs = endMs;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Lets all promise jobs that are ready run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The hardware: survives processes, forgets its monotonic time with the power. */
export class DeviceTime {
  readonly #time: SimTime;
  #bootMs = 0;
  #boots = 1;
  /** By how much the wall clock is wrong. */
  wrongMs = 0;
  trusted = true;
  /** It was wrong while somebody vouched for it: ages counted by it across boots mean nothing any more. */
  lied = false;

  constructor(time: SimTime) {
    this.#time = time;
  }

  get bootId(): string {
    return `boot-${this.#boots}`;
  }

  get monotonicMs(): number {
    return this.#time.nowMs - this.#bootMs;
  }

  get wallMs(): number {
    return this.#time.wallMs + this.wrongMs;
  }

  boot(): void {
    this.#boots++;
    this.#bootMs = this.#time.nowMs;
  }
}

/** One process's view. */
export class DeviceClock implements Clock {
  readonly #time: SimTime;
  readonly #device: DeviceTime;
  readonly #timers = new Set<Timer>();
  #dead = false;
  readonly bootId: string;

  constructor(time: SimTime, device: DeviceTime) {
    this.#time = time;
    this.#device = device;
    this.bootId = device.bootId;
  }

  wallMs(): number {
    return Math.floor(this.#device.wallMs);
  }

  machineWallMs(): number {
    return this.wallMs();
  }

  wallTrusted(): boolean {
    return this.#device.trusted;
  }

  monotonicMs(): number {
    return this.#device.monotonicMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    if (this.#dead) return { cancel: () => undefined };
    const timer = this.#time.after(delayMs, () => {
      this.#timers.delete(own);
      callback();
    });
    const own = {
      cancel: (): void => {
        this.#timers.delete(own);
        timer.cancel();
      },
    };
    this.#timers.add(own);
    return own;
  }

  soon(callback: () => void): void {
    this.setTimer(0, callback);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  /** The process is gone. */
  die(): void {
    this.#dead = true;
    for (const timer of [...this.#timers]) timer.cancel();
  }
}
