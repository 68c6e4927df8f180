// Connections that were closed before they became one: counted each, told at a pace that nobody can drive.
//
// One line, then silence for refusalLogMs; the next line has the number of what was left out.

import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { EntryRefusal } from '../platform/net.ts';

const refusalLogMs = 10_000;

export class Refusals {
  readonly #ports: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics };
  #quietUntilMs = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  constructor(ports: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics }) {
    this.#ports = ports;
  }

  add(listener: string, { remote, reason, detail }: EntryRefusal): void {
    const { clock, log, metrics } = this.#ports;
    metrics.counter('weir_broker_refused_total', { listener, reason }).add();
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#quietUntilMs) {
      this.#leftOut++;
      return;
    }
    log.warn('connection refused', { remote, listener, reason, detail, leftOut: this.#leftOut });
    this.#quietUntilMs = nowMs + refusalLogMs;
    this.#leftOut = 0;
  }
}
