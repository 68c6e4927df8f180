// The numbers of one lane: what was sent and failed, what is under way, what waits and for how long.
//
// Labels: queue, priority (0 to 9, or `unset`), live (`true` for the lane of fresh messages). The backlog counts
// what the drain knows of; messages that the store dropped are in it until the lane is next read to its end.

import { priorityUnset } from '../model/lane.ts';
import type { Clock } from '../platform/clock.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { DrainLane } from './drain-lane.ts';

export class LaneMetrics {
  readonly #sent: Counter;
  readonly #failed: Counter;

  constructor({ clock, metrics }: { readonly clock: Clock; readonly metrics: Metrics }, lane: DrainLane) {
    const { queue, priority, live } = lane.lane;
    const labels = { queue, priority: priority === priorityUnset ? 'unset' : String(priority), live: String(live) };
    this.#sent = metrics.counter('router_messages_sent_total', labels);
    this.#failed = metrics.counter('router_send_failures_total', labels);
    metrics.gauge('router_messages_inflight', () => lane.underWay, labels);
    metrics.gauge('router_messages_waiting', () => lane.waiting, labels);
    const ageMs = (): number => (lane.oldestMs === undefined ? 0 : Math.max(0, clock.wallMs() - lane.oldestMs));
    metrics.gauge('router_oldest_message_age_ms', ageMs, labels);
  }

  sent(count: number): void {
    this.#sent.add(count);
  }

  /** A batch was not accepted, or only a part of it. */
  failed(): void {
    this.#failed.add();
  }
}
