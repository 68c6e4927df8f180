// How one receiver gets a message: what its subscriptions ask for, in which form its connection takes it.
//
// A Delivery is made once per receiver and target list, never per message. The header of a packet is one object
// of the broker, filled anew for each packet (DeliveryHeader): the hot path allocates nothing.

import type { MqttVersion } from '../protocol/mqtt/frame.ts';
import type { PublishHeader, PublishView, Qos } from '../protocol/mqtt/publish.ts';
import type { SharedSubscription } from './shared-subscription.ts';

/** What SUBSCRIBE asks for with a filter; 3.x has the QoS alone. */
export interface SubscriptionOptions {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0 retained messages at every subscribe, 1 at a new subscription, 2 never (MQTT 5 §3.8.3.1). */
  readonly retainHandling: 0 | 1 | 2;
  /** 0 is none. */
  readonly subscriptionId: number;
}

/** What all matching subscriptions of a session come to: one copy, with the highest QoS and every id [MQTT-3.3.4-3]. */
export interface Delivery {
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
  /** Who takes the message when this receiver leaves without having acknowledged it. */
  readonly share: SharedSubscription | undefined;
}

export const noSubscriptionIds: readonly number[] = [];
const version5 = 5;
const millisecondsPerSecond = 1000;

export interface Outgoing {
  readonly qos: Qos;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
}

export class DeliveryHeader implements PublishHeader {
  qos: Qos = 0;
  retain = false;
  duplicate = false;
  packetId = 0;
  version: MqttVersion = 4;
  subscriptionIds: readonly number[] = noSubscriptionIds;
  expirySeconds: number | undefined;
  topicAlias = 0;
  omitTopic = false;
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** The header of a first transmission; the packet id is the caller's to set. Valid until the next call. */
  fill(view: PublishView, outgoing: Outgoing, version: MqttVersion): this {
    this.qos = outgoing.qos;
    this.retain = outgoing.retain;
    this.subscriptionIds = outgoing.subscriptionIds;
    this.version = version;
    this.duplicate = false;
    this.topicAlias = 0;
    this.omitTopic = false;
    this.expirySeconds =
      version === version5 && view.expiresAtMs > 0 ? remainingSeconds(view, this.#monotonicMs()) : undefined;
    return this;
  }
}

/** What is left of the message's time [MQTT-3.3.2-6]. */
function remainingSeconds(view: PublishView, monotonicMs: number): number {
  return Math.max(0, Math.ceil((view.expiresAtMs - monotonicMs) / millisecondsPerSecond));
}
