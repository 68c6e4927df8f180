// What the broker counts: one handle per number, fetched once, so that the hot path looks nothing up.

import type { Counter, Metrics } from '../platform/metrics.ts';
import type { EndReason } from './errors.ts';

/** Why a message did not reach a subscriber, or was not retained. */
export type DropReason = 'slow-client' | 'queue-full' | 'session-dropped' | 'retained-full';

export class Traffic {
  readonly #metrics: Metrics;
  readonly #received: Counter;
  readonly #sent: Counter;
  readonly #connects: Counter;
  readonly #dropped: Readonly<Record<DropReason, Counter>>;

  constructor(metrics: Metrics) {
    const droppedCounter = (reason: DropReason): Counter => metrics.counter('weir_broker_dropped_total', { reason });
    this.#metrics = metrics;
    this.#received = metrics.counter('weir_broker_messages_received_total');
    this.#sent = metrics.counter('weir_broker_messages_sent_total');
    this.#connects = metrics.counter('weir_broker_connects_total');
    this.#dropped = {
      'slow-client': droppedCounter('slow-client'),
      'queue-full': droppedCounter('queue-full'),
      'session-dropped': droppedCounter('session-dropped'),
      'retained-full': droppedCounter('retained-full'),
    };
  }

  received(count: number): void {
    this.#received.add(count);
  }

  sent(count: number): void {
    this.#sent.add(count);
  }

  dropped(reason: DropReason, count: number): void {
    this.#dropped[reason].add(count);
  }

  connected(): void {
    this.#connects.add();
  }

  ended(reason: EndReason): void {
    this.#metrics.counter('weir_broker_disconnects_total', { reason }).add();
  }
}
