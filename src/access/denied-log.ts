// What was denied, said in the log at a pace that nobody can drive: one line, then silence for accessDeniedLogMs, with
// the number of what was left out in the next line.

import { accessDeniedLogMs } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Subject } from './ports.ts';

export class DeniedLog {
  readonly #clock: Clock;
  readonly #log: Log;
  #quietUntilMs = 0;
  #leftOut = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  denied(what: 'publish' | 'subscription', { name, clientId }: Subject, topic: string): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#quietUntilMs) {
      this.#leftOut++;
      return;
    }
    this.#log.warn(`${what} denied by the rules`, { client: clientId, user: name, topic, leftOut: this.#leftOut });
    this.#quietUntilMs = nowMs + accessDeniedLogMs;
    this.#leftOut = 0;
  }
}
