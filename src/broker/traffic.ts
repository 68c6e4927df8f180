// What the broker counts: one handle per number, fetched once, so that the hot path looks nothing up.

import type { Counter, Metrics } from '../platform/metrics.ts';
import type { EndReason } from './errors.ts';

/** Why a message did not reach a subscriber, or was not retained. */
const dropReasons = [
  /** The publisher may not. */
  'not-authorized',
  /** It is not the text that its publisher says it is. */
  'payload-format',
  /** Its socket does not take what it owes already. */
  'slow-client',
  'queue-full',
  /** The session ended, or had to go for others, with messages in its queue. */
  'session-dropped',
  'retained-full',
  /** Larger than the client said it takes. */
  'packet-too-large',
  /** Its message expiry interval ran out. */
  'expired',
  /** The session store has no room. */
  'store-full',
  /** No member of a shared subscription could take it. */
  'share-unserved',
] as const;

export type DropReason = (typeof dropReasons)[number];

/** Why a client is not read for a while: nothing is lost by it. */
const holdReasons = [
  /** Too many of its publishes wait for an acknowledgement, or a receiver is behind. */
  'unsettled',
  /** It does not take its own output. */
  'output',
  /** It is over its rate. */
  'rate',
  /** The session store has no room. */
  'store',
] as const;

export type HoldReason = (typeof holdReasons)[number];

/** Why a session ended whose client was away. */
export type SessionEnd = 'expired' | 'too-many';

/** Why a subscription was refused. */
export type SubscriptionRefusal = 'not-authorized' | 'quota-exceeded' | 'other';

type Counters<Reason extends string> = Readonly<Record<Reason, Counter>>;

export class Traffic {
  readonly #metrics: Metrics;
  readonly #received: Counter;
  readonly #sent: Counter;
  readonly #connects: Counter;
  readonly #throttled: Counter;
  readonly #totals = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 0, connects: 0 };
  readonly #dropped: Counters<DropReason>;
  readonly #held: Counters<HoldReason>;
  /** Made when first needed: most reasons never come. */
  readonly #ended = new Map<EndReason, Counter>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#received = metrics.counter('weir_broker_messages_received_total');
    this.#sent = metrics.counter('weir_broker_messages_sent_total');
    this.#connects = metrics.counter('weir_broker_connects_total');
    this.#throttled = metrics.counter('weir_broker_throttled_total');
    this.#dropped = countersOf(metrics, 'weir_broker_dropped_total', dropReasons);
    this.#held = countersOf(metrics, 'weir_broker_held_total', holdReasons);
  }

  /** Everything since the start. */
  get totals(): Readonly<Record<'received' | 'receivedBytes' | 'sent' | 'sentBytes' | 'dropped' | 'connects', number>> {
    return this.#totals;
  }

  received(count: number, payloadBytes: number): void {
    this.#received.add(count);
    this.#totals.received += count;
    this.#totals.receivedBytes += payloadBytes;
  }

  /** PUBLISH packets to clients, and the bytes of their payloads together. */
  sent(count: number, payloadBytes: number): void {
    this.#sent.add(count);
    this.#totals.sent += count;
    this.#totals.sentBytes += payloadBytes;
  }

  dropped(reason: DropReason, count: number): void {
    this.#dropped[reason].add(count);
    this.#totals.dropped += count;
  }

  connected(): void {
    this.#connects.add();
    this.#totals.connects++;
  }

  /** A client was faster than its rate, and is not read for a while. */
  throttled(): void {
    this.#throttled.add();
  }

  /** A client is not read until something changes. */
  held(reason: HoldReason): void {
    this.#held[reason].add();
  }

  sessionEnded(reason: SessionEnd): void {
    this.#metrics.counter('weir_broker_sessions_ended_total', { reason }).add();
  }

  subscriptionRefused(reason: SubscriptionRefusal): void {
    this.#metrics.counter('weir_broker_subscriptions_refused_total', { reason }).add();
  }

  ended(reason: EndReason): void {
    let counter = this.#ended.get(reason);
    if (counter === undefined) {
      counter = this.#metrics.counter('weir_broker_disconnects_total', { reason });
      this.#ended.set(reason, counter);
    }
    counter.add();
  }
}

function countersOf<Reason extends string>(
  metrics: Metrics,
  name: string,
  reasons: readonly Reason[],
): Counters<Reason> {
  return Object.fromEntries(reasons.map((reason) => [reason, metrics.counter(name, { reason })])) as Counters<Reason>;
}
