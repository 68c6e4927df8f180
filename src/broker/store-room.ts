// The session store without room: who waits until it has some, and what the log says meanwhile.
//
//   wait() ──room again──► goOn()          in the order in which they came, as long as there is room
//      └─ its time is over ──► giveUp()
//
//   room ──full──► full: a warning, again every fullLogMs ──room, after quietMs──► room: a line
//
// Owns the waiting and the telling; whether a message needs the store is the exchange's to say, what its publisher
// meets the publisher's. No timer while nobody waits.

import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { SessionStore } from './ports.ts';

/** A publisher that waits. */
export interface RoomWaiter {
  /** Monotonic: when it waits no longer. */
  readonly untilMs: number;
  /** There is room. */
  goOn(): void;
  /** There was none in time. */
  giveUp(): void;
}

export interface StoreRoomPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: SessionStore | undefined;
}

const lookMs = 100;
/** At a store that is full by turns: no two lines within this time. */
const quietMs = 10_000;
const fullLogMs = 60_000;
const millisecondsPerSecond = 1000;

export class StoreRoom {
  readonly #ports: StoreRoomPorts;
  readonly #waiting = new Set<RoomWaiter>();
  #timer: Timer | undefined;
  /** Messages refused, and publishers that gave up, since the last line. */
  #refused = 0;
  #gaveUp = 0;
  #isToldFull = false;
  #toldMs = Number.NEGATIVE_INFINITY;
  #fullSinceMs = 0;

  constructor(ports: StoreRoomPorts) {
    this.#ports = ports;
    ports.metrics.gauge('weir_broker_store_full', () => (this.isFull ? 1 : 0));
    ports.metrics.gauge('weir_broker_store_waiting', () => this.#waiting.size);
  }

  get isFull(): boolean {
    return this.#ports.store?.full === true;
  }

  /** Full only until the commits have caught up. */
  get isBehind(): boolean {
    return this.#ports.store?.isBehind === true;
  }

  /** Who waits. */
  get length(): number {
    return this.#waiting.size;
  }

  /** A message was refused. */
  refused(): void {
    this.#refused++;
    this.tell();
  }

  wait(waiter: RoomWaiter): void {
    this.#waiting.add(waiter);
    this.tell();
    this.#lookLater();
  }

  forget(waiter: RoomWaiter): void {
    this.#waiting.delete(waiter);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** About once a second, and when somebody is refused: says what has changed. */
  tell(): void {
    const { clock, log } = this.#ports;
    const full = this.isFull;
    if (!full && !this.#isToldFull) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#toldMs < (full && this.#isToldFull ? fullLogMs : quietMs)) return;
    if (full && !this.#isToldFull) this.#fullSinceMs = nowMs;
    const fields = {
      seconds: Math.round((nowMs - this.#fullSinceMs) / millisecondsPerSecond),
      refused: this.#refused,
      disconnected: this.#gaveUp,
    };
    if (full) {
      const cause = this.isBehind ? 'commits are behind' : 'quota';
      log.warn('session store full: messages for stored sessions are not taken', { cause, ...fields });
    } else {
      log.info('session store has room again', fields);
    }
    this.#isToldFull = full;
    this.#toldMs = nowMs;
    this.#refused = 0;
    this.#gaveUp = 0;
  }

  #lookLater(): void {
    this.#timer ??= this.#ports.clock.setTimer(lookMs, () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#ports.clock.monotonicMs();
    for (const waiter of [...this.#waiting]) {
      if (!this.isFull) {
        // Whoever goes on may fill it again, and take others with it when it ends.
        if (this.#waiting.delete(waiter)) waiter.goOn();
      } else if (nowMs >= waiter.untilMs && this.#waiting.delete(waiter)) {
        this.#gaveUp++;
        waiter.giveUp();
      }
    }
    if (this.#waiting.size > 0) this.#lookLater();
  }
}
