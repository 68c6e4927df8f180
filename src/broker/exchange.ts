// Ordinary publish and subscribe: from a topic to the sessions that get the message.
//
//   topic ──route()──► TopicRoute { targets } ──publish() / forwardRun()──► sessions, or groups of them (FanOut)
//
// A route is resolved once per topic and kept; the epochs of the subscription tree and of the authoriser tell when
// its targets are out of date. Routes of topics that the topic service owns are not kept: their topics differ from
// message to message. Does not know connections, packets' acknowledgements, or who may publish what.

import { Buffer } from 'node:buffer';
import {
  brokerFilterCharactersMax,
  brokerFilterCharactersPerSessionMax,
  brokerSubscriptionLevelsMax,
  brokerTopicCacheCharactersMax,
  brokerTopicCacheMax,
  topicLevelsMax,
} from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { MqttVersion } from '../protocol/mqtt/frame.ts';
import { type PublishView, publishBytes } from '../protocol/mqtt/publish.ts';
import { canonicalBytes } from '../protocol/mqtt/publish-view.ts';
import { isValidTopicName, parseShare } from '../protocol/mqtt/topic.ts';
import type { AckedRun } from './acked-run.ts';
import type { BrokerLimits } from './broker-limits.ts';
import { noSubscriptionIds, type SubscriptionOptions } from './delivery.ts';
import type { FanOutShare } from './fan-out.ts';
import type { Authoriser, MessageTap, SessionStore, StoredState, TopicProtocol } from './ports.ts';
import { Replay } from './replay.ts';
import { type RetainedMessage, RetainedMessages } from './retained.ts';
import { type PacketRun, packetsOf, RunForms } from './run-forms.ts';
import type { Session } from './session.ts';
import { type SharedMember, SharedSubscription } from './shared-subscription.ts';
import { StoredViews } from './stored-views.ts';
import { SubscriptionTree } from './subscription-tree.ts';
import { isSysTopic } from './sys-topics.ts';
import { type SharedTarget, type Subscriber, TargetCollection, type TargetList, TargetLists } from './target-list.ts';

export type { PacketRun } from './run-forms.ts';

/** What is decided about a topic once for all its messages. */
export interface TopicRoute {
  readonly topic: string;
  /** The topic service takes its messages; there are no targets. */
  readonly owned: boolean;
  list: TargetList | undefined;
  epoch: number;
  rulesEpoch: number;
  /** A tap takes its messages, as far as that was asked in the tap's epoch. */
  tapped: boolean;
  tapEpoch: number;
}

/** What became of a published message; one object, used again for the next. */
export interface PublishOutcome {
  /** Sessions it is for, a shared subscription being one. */
  readonly receivers: number;
  /** Something of it went to the session store: it is acknowledged once that is flushed. */
  readonly durable: boolean;
  /** A receiver that is behind: the publisher waits for it, if it can. */
  readonly pressing: Session | undefined;
}

export interface ExchangePorts extends FanOutShare {
  readonly clock: Clock;
  readonly service: TopicProtocol | undefined;
  readonly authoriser: Authoriser;
  readonly store: SessionStore | undefined;
  readonly tap: MessageTap | undefined;
  readonly outcome: { receivers: number; durable: boolean; pressing: Session | undefined };
}

/** What a run of QoS 1 or 2 is made of, and by whom. */
export interface RunOrigin {
  readonly qos: 1 | 2;
  readonly version: MqttVersion;
  readonly from: Session;
}

const neverResolved = -1;
const usualFilterCharacters = 1024;
/** For subscribers behind a share the tree has no options: each member has its own. */
const sharedOptions: SubscriptionOptions = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 2,
  subscriptionId: 0,
};

export class Exchange {
  readonly retained: RetainedMessages;
  readonly #ports: ExchangePorts;
  readonly #limits: BrokerLimits;
  readonly #tree = new SubscriptionTree<Subscriber, SubscriptionOptions>();
  readonly #shared = new Map<string, SharedSubscription>();
  readonly #routes = new Map<string, TopicRoute>();
  readonly #lists: TargetLists;
  readonly #forms = new RunForms();
  /** Members of shared subscriptions beyond the first, which the tree does not count. */
  #sharedMembers = 0;
  #listsEpoch = neverResolved;
  #filterCharacters = 0;

  constructor(ports: ExchangePorts, limits: BrokerLimits) {
    this.#ports = ports;
    this.#limits = limits;
    this.#lists = new TargetLists(ports);
    this.retained = new RetainedMessages(limits, () => ports.clock.monotonicMs());
  }

  get subscriptionCount(): number {
    return this.#tree.size - this.#shared.size + this.#sharedMembers;
  }

  /** Subscriptions that are a member's of a shared one. */
  get sharedSubscriptionCount(): number {
    return this.#sharedMembers;
  }

  /** The route of `topic`, or undefined when it is no valid topic name. */
  route(topic: string): TopicRoute | undefined {
    const known = this.#routes.get(topic);
    if (known !== undefined) return known;
    if (!isValidTopicName(topic)) return undefined;
    const owned = this.#ports.service?.ownsTopic(topic) === true;
    const route: TopicRoute = {
      topic,
      owned,
      list: undefined,
      epoch: neverResolved,
      rulesEpoch: neverResolved,
      tapped: false,
      tapEpoch: neverResolved,
    };
    if (!owned && topic.length <= brokerTopicCacheCharactersMax) {
      if (this.#routes.size >= brokerTopicCacheMax) this.#routes.clear();
      this.#routes.set(topic, route);
    }
    return route;
  }

  /** Gives the message to everybody who subscribed, and retains it when it says so. */
  publish(view: PublishView, route: TopicRoute, from: Session | undefined): PublishOutcome {
    const { outcome, traffic } = this.#ports;
    outcome.durable = false;
    outcome.pressing = undefined;
    if (view.retain) this.#retain(route.topic, view, from);
    const list = this.#listOf(route);
    outcome.receivers = list.count;
    if (list.count === 0) return outcome;
    const full = view.qos > 0 && this.#ports.store?.full === true;
    const split = view.qos === 0 ? list.plain : list.acknowledged;
    // The retain flag may differ from receiver to receiver: no group for a message that has it.
    if (!view.retain) for (const group of split.groups) group.publish(view);
    for (const { session, delivery, own } of view.retain ? list.targets : split.singles) {
      const facts = session === from ? own : delivery;
      if (facts === undefined) outcome.receivers--;
      else if (full && facts.qos > 0 && session.wouldStore(canonicalBytes(view))) traffic.dropped('store-full', 1);
      else session.send(view, facts);
    }
    for (const target of list.shared) this.#publishShared(view, target, full);
    return outcome;
  }

  /** Whether somebody inside takes the messages of the topic along. */
  isTapped(route: TopicRoute): boolean {
    const { tap } = this.#ports;
    if (tap === undefined) return false;
    if (route.tapEpoch !== tap.epoch) {
      route.tapEpoch = tap.epoch;
      route.tapped = tap.takes(route.topic);
    }
    return route.tapped;
  }

  /**
   * Gives the message to the tap, if it takes any of the topic: resolves when it is safe there. `origin` is who
   * published it from inside.
   */
  tap(view: PublishView, route: TopicRoute, origin?: string): Promise<void> | undefined {
    if (!this.isTapped(route)) return undefined;
    const { qos, retain, propertiesBuffer, propertiesAt, propertiesBytes, expiresAtMs } = view;
    const properties = propertiesBuffer.subarray(propertiesAt, propertiesAt + propertiesBytes);
    return this.#ports.tap?.take({
      topic: route.topic,
      payload: view.payload(),
      qos,
      retain,
      propertyBytes: Buffer.from(properties),
      expiresInMs: expiresAtMs === 0 ? undefined : Math.max(0, expiresAtMs - this.#ports.clock.monotonicMs()),
      origin,
    });
  }

  /** Whether there is room to retain the message, if it says that it is to be retained. */
  mayRetain(view: PublishView, { topic }: TopicRoute, from: Session): boolean {
    return !view.retain || view.payloadBytes === 0 || this.retained.fits(topic, canonicalBytes(view), from.clientId);
  }

  /**
   * Whether publish() would put a QoS 1 or 2 message from `from` into the session store, for a session or retained.
   * While that is full its publisher must not be told that it was taken; asked before anybody got it, for all
   * receivers together, so that the repetition reaches nobody twice.
   */
  needsStore(view: PublishView, route: TopicRoute, from: Session | undefined): boolean {
    const bytes = canonicalBytes(view);
    const isKept = view.retain && view.payloadBytes > 0 && !isSysTopic(route.topic);
    if (isKept && this.retained.fits(route.topic, bytes, from?.clientId)) return true;
    const { targets, shared } = this.#listOf(route);
    for (const { session, delivery, own } of targets) {
      const facts = session === from ? own : delivery;
      if (facts !== undefined && facts.qos > 0 && session.wouldStore(bytes)) return true;
    }
    return shared.some(({ members }) => {
      const others = members.filter(needsNoStore);
      if (others.some(({ session }) => session.outbox !== undefined)) return false;
      return members.some((member) => !needsNoStore(member) && member.session.wouldStore(bytes));
    });
  }

  /** The same for neighbouring plain QoS 0 packets of one topic: whole packets, not looked into again. */
  forwardRun(run: PacketRun, route: TopicRoute, from: Session | undefined): void {
    const list = this.#listOf(route);
    if (list.count === 0) return;
    const forms = this.#forms;
    forms.start(run);
    const { groups, singles } = list.plain;
    for (const group of groups) group.append(forms.as(group.form));
    for (const { session, own, form } of singles) {
      if (session !== from || own !== undefined) session.sendRun(forms.as(form));
    }
    if (list.shared.length > 0) this.#forwardShared(run, list.shared);
    forms.end();
  }

  /**
   * How many packets of QoS `qos` from `from`, of `version`, can go as they came to everybody who subscribed: so many
   * may be in a run. None when nobody did.
   */
  runRoom(route: TopicRoute, { qos, version, from }: RunOrigin): number {
    const { targets, shared, count } = this.#listOf(route);
    if (count === 0 || shared.length > 0 || this.isTapped(route)) return 0;
    let room = Number.MAX_SAFE_INTEGER;
    for (const { session, delivery, own } of targets) {
      if (delivery.qos < qos || delivery.subscriptionIds.length > 0) return 0;
      if (session === from && own !== delivery) return 0;
      room = Math.min(room, session.runRoom(qos, version));
      if (room === 0) return 0;
    }
    return room;
  }

  /** Whether everybody who subscribed has room for the bytes of `run`. */
  takesRun(run: AckedRun, route: TopicRoute): boolean {
    for (const { session } of this.#listOf(route).targets) if (!session.takesRun(run)) return false;
    return true;
  }

  /** Gives the packets of `run`, for which there is room, to everybody who subscribed. */
  forwardAcked(run: AckedRun, route: TopicRoute): void {
    for (const { session } of this.#listOf(route).targets) session.sendAckedRun(run);
  }

  /** `filter` is valid, and may be `$share/<name>/<filter>`. 'full' when there are too many subscriptions: this one is refused. */
  subscribe(session: Session, filter: string, options: SubscriptionOptions): 'added' | 'changed' | 'full' {
    const before = session.subscriptions.get(filter);
    if (before === undefined) {
      if (session.subscriptions.size >= this.#limits.subscriptionsPerSessionMax) return 'full';
      if (this.subscriptionCount >= this.#limits.subscriptionsMax) return 'full';
      if (!this.#hasRoom(session, filter)) return 'full';
      this.#filterCharacters += filter.length;
    }
    session.grant(filter, { ...options, owned: false, replaying: before?.replaying === true });
    this.#enter(session, filter, options);
    return before === undefined ? 'added' : 'changed';
  }

  /** False when there was no such subscription. */
  unsubscribe(session: Session, filter: string): boolean {
    if (!session.revoke(filter)) return false;
    this.#leave(session, filter);
    return true;
  }

  /**
   * Whether there are retained messages for a granted subscription [MQTT-3.3.1-9]; a shared one gets none. Then they are
   * owed from now on, whatever happens until replay(): to the connection, or at QoS 1 and 2 to the broker.
   */
  owesRetained(session: Session, filter: string): boolean {
    const granted = session.subscriptions.get(filter);
    if (granted === undefined || parseShare(filter) !== undefined || !this.retained.has(filter)) return false;
    if (granted.qos > 0) session.grant(filter, { ...granted, replaying: true });
    return true;
  }

  /** Starts the retained messages of a granted subscription. */
  replay(session: Session, filter: string): void {
    const granted = session.subscriptions.get(filter);
    if (granted === undefined) return;
    const mayReceive =
      this.#ports.authoriser.mayReceive === undefined
        ? undefined
        : ({ view }: RetainedMessage) => this.#mayReceive(session, view.topic() ?? '');
    const { qos, subscriptionId } = granted;
    const subscriptionIds = subscriptionId === 0 ? noSubscriptionIds : [subscriptionId];
    const subscription = { qos, subscriptionIds, upTo: this.retained.sequence };
    session.replay(filter, new Replay(() => this.retained.match(filter), subscription, mayReceive));
  }

  /** The client of the session is back: what was owed to it and never began does now. */
  resume(session: Session): void {
    for (const [filter, { replaying }] of session.subscriptions) {
      if (replaying && !session.isReplaying(filter)) this.replay(session, filter);
    }
  }

  /** The session is gone: so are its subscriptions. */
  forget(session: Session): void {
    for (const [filter, { owned }] of session.subscriptions) {
      if (!owned) this.#leave(session, filter);
    }
  }

  /** What decides about deliveries has changed elsewhere: the form of a resumed session's connection. */
  touch(): void {
    this.#tree.touch();
  }

  /** Puts the subscriptions of a session that was restored back into the tree. */
  enter(session: Session): void {
    for (const [filter, grant] of session.subscriptions) {
      if (grant.owned) continue;
      this.#filterCharacters += filter.length;
      this.#enter(session, filter, grant);
      if (grant.replaying) this.replay(session, filter);
    }
  }

  /** Puts back the retained messages of the session store. */
  restore(state: StoredState): void {
    const views = new StoredViews(this.#ports.clock);
    for (const { topic, message } of state.retained) {
      const { canonical, qos } = message;
      this.retained.restore(topic, canonical, { qos, expiresAtMs: views.monotonicMs(message.expiresAtMs) });
    }
  }

  /** The store lost everything: tells it the retained messages again. */
  putAgain(store: SessionStore): void {
    for (const { view } of this.retained.all()) {
      const topic = view.topic() ?? '';
      if (!isSysTopic(topic)) store.putRetained(topic, view);
    }
  }

  /** About once a second: forgets some of the retained messages whose time is over. */
  sweep(): void {
    const over = this.retained.sweep();
    if (over.length > 0) this.#ports.traffic.dropped('expired', over.length);
    for (const topic of over) this.#ports.store?.deleteRetained(topic);
  }

  /** Whether a new `filter` of the session fits, as far as memory goes by its length and its levels. */
  #hasRoom(session: Session, filter: string): boolean {
    if (this.#tree.levels + topicLevelsMax > brokerSubscriptionLevelsMax) return false;
    if (this.#filterCharacters + filter.length > brokerFilterCharactersMax) return false;
    if (filter.length <= usualFilterCharacters) return true;
    // Usual ones cannot reach it by their number: only the others are worth the sum.
    let own = filter.length;
    for (const other of session.subscriptions.keys()) own += other.length;
    return own <= brokerFilterCharactersPerSessionMax;
  }

  #retain(topic: string, view: PublishView, from: Session | undefined): void {
    const { traffic, outcome } = this.#ports;
    // The broker's own numbers change all the time and mean nothing after a restart: they spare the flash.
    const store = isSysTopic(topic) ? undefined : this.#ports.store;
    if (view.payloadBytes === 0) {
      if (!this.retained.remove(topic)) return;
      store?.deleteRetained(topic);
    } else {
      const refused = store?.full === true ? 'store-full' : 'retained-full';
      if (store?.full === true || !this.retained.store(topic, view, from?.clientId)) {
        traffic.dropped(refused, 1);
        return;
      }
      store?.putRetained(topic, view.kept());
    }
    if (store !== undefined) outcome.durable = true;
  }

  /** While the session store is full, members that would need it are passed over. */
  #publishShared(view: PublishView, { shared, members }: SharedTarget, full: boolean): void {
    const able = full ? members.filter(needsNoStore) : members;
    const chosen = shared.choose(able, view.qos, publishBytes(view, view.qos));
    if (chosen === undefined) this.#ports.traffic.dropped(full ? 'store-full' : 'share-unserved', 1);
    else chosen.session.send(view, chosen.delivery);
  }

  /** Packet by packet: members take turns. */
  #forwardShared(run: PacketRun, targets: readonly SharedTarget[]): void {
    const forms = this.#forms;
    for (const packet of packetsOf(run)) {
      forms.start({ ...packet, version: run.version });
      for (const { shared, members } of targets) {
        const chosen = shared.choose(members, 0, packet.to - packet.from);
        if (chosen === undefined) this.#ports.traffic.dropped('share-unserved', 1);
        else chosen.session.sendRun(forms.as(chosen.form));
      }
    }
  }

  #enter(session: Session, filter: string, options: SubscriptionOptions): void {
    const share = parseShare(filter);
    if (share === undefined) {
      this.#tree.add(filter, session, options);
      return;
    }
    let shared = this.#shared.get(filter);
    if (shared === undefined) {
      shared = new SharedSubscription((member, view) => this.#mayReceive(member, view.topic() ?? ''));
      this.#shared.set(filter, shared);
    }
    const { qos, retainAsPublished, subscriptionId } = options;
    const subscriptionIds = subscriptionId === 0 ? noSubscriptionIds : [subscriptionId];
    if (!shared.members.has(session)) this.#sharedMembers++;
    shared.members.set(session, { qos, retainAsPublished, subscriptionIds, share: shared });
    session.joinShared(shared);
    this.#tree.add(share.filter, shared, sharedOptions);
    shared.returned(session);
  }

  #leave(session: Session, filter: string): void {
    this.#filterCharacters -= filter.length;
    const share = parseShare(filter);
    if (share === undefined) {
      this.#tree.remove(filter, session);
      return;
    }
    const shared = this.#shared.get(filter);
    if (shared?.members.delete(session) !== true) return;
    this.#sharedMembers--;
    session.leaveShared(shared);
    if (shared.members.size > 0) {
      this.#tree.touch();
      return;
    }
    this.#shared.delete(filter);
    this.#tree.remove(share.filter, shared);
  }

  #mayReceive(session: Session, topic: string): boolean {
    return this.#ports.authoriser.mayReceive?.(session.principal, topic) !== false;
  }

  #listOf(route: TopicRoute): TargetList {
    const { epoch } = this.#tree;
    const rulesEpoch = this.#ports.authoriser.epoch ?? 0;
    if (route.epoch === epoch && route.rulesEpoch === rulesEpoch && route.list !== undefined) return route.list;
    return this.#resolve(route, rulesEpoch);
  }

  #resolve(route: TopicRoute, rulesEpoch: number): TargetList {
    if (!this.#lists.hasRoom) {
      for (const other of this.#routes.values()) other.list = undefined;
      this.#tree.touch();
    }
    const { epoch } = this.#tree;
    if (this.#listsEpoch !== epoch) {
      this.#lists.clear();
      this.#listsEpoch = epoch;
    }
    const found = new TargetCollection();
    this.#tree.match(route.topic, (subscriber, options) => found.add(subscriber, options));
    const mayReceive = (session: Session): boolean => this.#mayReceive(session, route.topic);
    route.list = this.#lists.of(found.targets(mayReceive), found.shared(mayReceive));
    route.epoch = epoch;
    route.rulesEpoch = rulesEpoch;
    return route.list;
  }
}

/** Whatever this member is given, it is not stored. */
function needsNoStore({ session, delivery }: SharedMember): boolean {
  return delivery.qos === 0 || !session.isStored;
}
