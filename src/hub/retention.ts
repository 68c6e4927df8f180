// The age limit of the event log, applied from time to time in bounded steps.
//
// The byte limit needs no timer: event-log.ts keeps it with every append. Between two steps the event loop is
// free for devices. A failing step (a full or failing disk) is logged and tried again at the next time.

import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { EventLog } from './event-log.ts';

/** Age is given in days: a minute more or less is nothing. */
const pauseMs = 60_000;

export class Retention {
  readonly #eventLog: EventLog;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;

  constructor(ports: { readonly eventLog: EventLog; readonly clock: Clock; readonly log: Log }) {
    this.#eventLog = ports.eventLog;
    this.#clock = ports.clock;
    this.#log = ports.log;
  }

  start(): void {
    this.#schedule(0);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#clock.setTimer(delayMs, () => this.#schedule(this.#step() ? 0 : pauseMs), { background: true });
  }

  /** True when there is more to do at once. */
  #step(): boolean {
    try {
      return this.#eventLog.dropExpired();
    } catch (error) {
      this.#log.error('old events could not be dropped; trying again in a minute', { detail: errorMessage(error) });
      return false;
    }
  }
}
