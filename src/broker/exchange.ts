// Ordinary publish and subscribe: from a topic to the sessions that get the message.
//
//   topic ──route()──► TopicRoute { targets } ──publish() / forwardRun()──► sessions
//
// A route is resolved once per topic and kept; the subscription tree's epoch tells when its targets are out of
// date. Routes of topics that the topic service owns are not kept: their topics differ from message to message.
// Does not know connections, packets' acknowledgements, or who may do what.

import type { Buffer } from 'node:buffer';
import { brokerTopicCacheMax } from '../limits.ts';
import type { PublishView, Qos } from '../protocol/mqtt/publish.ts';
import { isValidTopicName } from '../protocol/mqtt/topic.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { TopicProtocol } from './ports.ts';
import { RetainedMessages } from './retained.ts';
import type { Session, SubscriptionOptions } from './session.ts';
import { SubscriptionTree } from './subscription-tree.ts';
import type { Traffic } from './traffic.ts';

interface Target {
  readonly session: Session;
  readonly qos: Qos;
}

/** What is decided about a topic once for all its messages. */
export interface TopicRoute {
  readonly topic: string;
  /** The topic service takes its messages; there are no targets. */
  readonly owned: boolean;
  targets: readonly Target[];
  epoch: number;
}

export interface PacketRun {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** Of the publisher: 5 has an empty property field in each packet. */
  readonly version: 3 | 4 | 5;
}

/** What became of a published message; one object, used again for the next. */
export interface PublishOutcome {
  /** Sessions it is for. */
  readonly receivers: number;
  /** Something of it went to the session store: it is acknowledged once that is flushed. */
  readonly durable: boolean;
}

const neverResolved = -1;

export class Exchange {
  readonly retained: RetainedMessages;
  readonly #tree = new SubscriptionTree<Session>();
  readonly #outcome = { receivers: 0, durable: false };
  readonly #routes = new Map<string, TopicRoute>();
  readonly #service: TopicProtocol | undefined;
  readonly #traffic: Traffic;
  readonly #limits: BrokerLimits;

  constructor(ports: { readonly service: TopicProtocol | undefined; readonly traffic: Traffic }, limits: BrokerLimits) {
    this.#service = ports.service;
    this.#traffic = ports.traffic;
    this.#limits = limits;
    this.retained = new RetainedMessages(limits);
  }

  get subscriptionCount(): number {
    return this.#tree.size;
  }

  /** The route of `topic`, or undefined when it is no valid topic name. */
  route(topic: string): TopicRoute | undefined {
    const known = this.#routes.get(topic);
    if (known !== undefined) return known;
    if (!isValidTopicName(topic)) return undefined;
    const owned = this.#service?.ownsTopic(topic) === true;
    const route: TopicRoute = { topic, owned, targets: [], epoch: neverResolved };
    if (!owned) {
      if (this.#routes.size >= brokerTopicCacheMax) this.#routes.clear();
      this.#routes.set(topic, route);
    }
    return route;
  }

  /** Gives the message to everybody who subscribed, and retains it when it says so. */
  publish(view: PublishView, route: TopicRoute, _from: Session | undefined): PublishOutcome {
    if (view.retain && !this.retained.store(route.topic, view)) this.#traffic.dropped('retained-full', 1);
    for (const { session, qos } of this.#targets(route)) session.send(view, Math.min(view.qos, qos) as Qos);
    this.#outcome.receivers = route.targets.length;
    return this.#outcome;
  }

  /** The same for neighbouring plain QoS 0 packets of one topic: whole packets in `buffer`, not looked into again. */
  forwardRun(buffer: Buffer, run: PacketRun, route: TopicRoute, _from: Session | undefined): void {
    for (const { session } of this.#targets(route)) session.sendRun(buffer, run);
  }

  /** False when there are too many subscriptions: this one is refused. */
  subscribe(session: Session, filter: string, options: SubscriptionOptions): 'added' | 'changed' | 'full' {
    const before = session.subscriptions.get(filter);
    if (before === undefined) {
      if (session.subscriptions.size >= this.#limits.subscriptionsPerSessionMax) return 'full';
      if (this.#tree.size >= this.#limits.subscriptionsMax) return 'full';
    }
    session.subscriptions.set(filter, { ...options, owned: false });
    this.#tree.add(filter, session, options.qos);
    return before === undefined ? 'added' : 'changed';
  }

  /** False when there was no such subscription. */
  unsubscribe(session: Session, filter: string): boolean {
    if (!session.subscriptions.delete(filter)) return false;
    session.forgetReplay(filter);
    this.#tree.remove(filter, session);
    return true;
  }

  /** Starts the retained messages of a granted subscription [MQTT-3.3.1-6]. */
  replay(session: Session, filter: string): void {
    const qos = session.subscriptions.get(filter)?.qos;
    if (qos === undefined || this.retained.count === 0) return;
    session.replay(filter, { messages: this.retained.match(filter), qos, upTo: this.retained.sequence });
  }

  /** The session is gone: so are its subscriptions. */
  forget(session: Session): void {
    for (const [filter, { owned }] of session.subscriptions) {
      if (!owned) this.#tree.remove(filter, session);
    }
    session.subscriptions.clear();
  }

  #targets(route: TopicRoute): readonly Target[] {
    if (route.epoch === this.#tree.epoch) return route.targets;
    const targets: Target[] = [];
    for (const [session, qos] of this.#tree.match(route.topic)) targets.push({ session, qos });
    route.targets = targets;
    route.epoch = this.#tree.epoch;
    return targets;
  }
}
