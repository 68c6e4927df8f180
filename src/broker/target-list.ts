// Who gets the messages of a topic, and how: resolved once, used for every message until a subscription changes.
//
//   tree.match(topic) ──► one Delivery per session (overlapping subscriptions merged), one target per shared
//   subscription ──► split for QoS 0 messages, and for QoS 1 and 2:
//        groups    more than three plain receivers of one form: FanOut, one copy for all
//        singles   everybody else
//
// Lists that come to the same are one list: a thousand topics that a single `#` receives share one (TargetLists).

import { brokerTargetsMax, packetBytesMax } from '../limits.ts';
import { type Delivery, noSubscriptionIds, type SubscriptionOptions } from './delivery.ts';
import { FanOut, type FanOutShare, type WireForm } from './fan-out.ts';
import type { Session } from './session.ts';
import { type SharedMember, SharedSubscription } from './shared-subscription.ts';

export interface Target {
  readonly session: Session;
  readonly delivery: Delivery;
  /** The same for what the session itself publishes: without its no-local subscriptions [MQTT-3.8.3-3]. */
  readonly own: Delivery | undefined;
  readonly form: WireForm;
}

export interface SharedTarget {
  readonly shared: SharedSubscription;
  readonly members: readonly (SharedMember & { readonly form: WireForm })[];
}

export interface Split {
  readonly groups: readonly FanOut[];
  readonly singles: readonly Target[];
}

export interface TargetList {
  readonly targets: readonly Target[];
  readonly shared: readonly SharedTarget[];
  /** For QoS 0 messages. */
  readonly plain: Split;
  /** For messages of QoS 1 and 2, which receivers of QoS 0 get as plain ones. */
  readonly acknowledged: Split;
  /** Receivers, a shared subscription being one. */
  readonly count: number;
}

/** Who may be in the subscription tree. */
export type Subscriber = Session | SharedSubscription;

interface Merged {
  main: Delivery | undefined;
  own: Delivery | undefined;
}

const groupReceiversMin = 4;
const hashFactor = 31;
const noTargets: Split = { groups: [], singles: [] };
const nobody: TargetList = { targets: [], shared: [], plain: noTargets, acknowledged: noTargets, count: 0 };

/** Puts the matches of one topic together. */
export class TargetCollection {
  readonly #merged = new Map<Session, Merged>();
  readonly #shared: SharedSubscription[] = [];

  add(subscriber: Subscriber, options: SubscriptionOptions): void {
    if (subscriber instanceof SharedSubscription) {
      this.#shared.push(subscriber);
      return;
    }
    let merged = this.#merged.get(subscriber);
    if (merged === undefined) {
      merged = { main: undefined, own: undefined };
      this.#merged.set(subscriber, merged);
    }
    merged.main = merge(merged.main, options);
    if (!options.noLocal) merged.own = merge(merged.own, options);
  }

  targets(mayReceive: (session: Session) => boolean): readonly Target[] {
    const targets: Target[] = [];
    for (const [session, { main, own }] of this.#merged) {
      if (main !== undefined && mayReceive(session))
        targets.push({
          session,
          delivery: main,
          own: isSameDelivery(main, own) ? main : own,
          form: formOf(session, main),
        });
    }
    return targets;
  }

  shared(mayReceive: (session: Session) => boolean): readonly SharedTarget[] {
    return this.#shared.map((shared) => {
      const members: (SharedMember & { readonly form: WireForm })[] = [];
      for (const [session, delivery] of shared.members) {
        if (mayReceive(session)) members.push({ session, delivery, form: formOf(session, delivery) });
      }
      return { shared, members };
    });
  }
}

/** Every list that is in use, each once. */
export class TargetLists {
  readonly #share: FanOutShare;
  #byHash = new Map<number, TargetList[]>();
  #targets = 0;

  constructor(share: FanOutShare) {
    this.#share = share;
  }

  /** False when there are too many receivers in all lists: whoever holds one forgets it, after clear(). */
  get hasRoom(): boolean {
    return this.#targets < brokerTargetsMax;
  }

  clear(): void {
    this.#byHash = new Map();
    this.#targets = 0;
  }

  of(targets: readonly Target[], shared: readonly SharedTarget[]): TargetList {
    if (targets.length === 0 && shared.length === 0) return nobody;
    const hash = hashOf(targets);
    const alike = this.#byHash.get(hash) ?? [];
    const known = alike.find((list) => isSame(list, targets, shared));
    if (known !== undefined) return known;
    const list = this.#make(targets, shared);
    alike.push(list);
    this.#byHash.set(hash, alike);
    this.#targets += targets.length + shared.reduce((sum, { members }) => sum + members.length, 0);
    return list;
  }

  #make(targets: readonly Target[], shared: readonly SharedTarget[]): TargetList {
    const plain = this.#split(targets, () => true);
    const allPlain = targets.every(({ delivery }) => delivery.qos === 0);
    const acknowledged = allPlain ? plain : this.#split(targets, ({ delivery }) => delivery.qos === 0);
    return { targets, shared, plain, acknowledged, count: targets.length + shared.length };
  }

  /** Receivers with the same bytes in groups, as far as `takesPlain` and nothing of their own is to be decided. */
  #split(targets: readonly Target[], takesPlain: (target: Target) => boolean): Split {
    const byForm = new Map<string, Target[]>();
    const singles: Target[] = [];
    for (const target of targets) {
      const { session, delivery, own, form } = target;
      if (!takesPlain(target) || own !== delivery || session.wire.packetBytesMax < packetBytesMax) {
        singles.push(target);
        continue;
      }
      const key = `${form.version} ${form.subscriptionIds.join(' ')}`;
      const alike = byForm.get(key);
      if (alike === undefined) byForm.set(key, [target]);
      else alike.push(target);
    }
    const groups: FanOut[] = [];
    for (const alike of byForm.values()) {
      if (alike.length < groupReceiversMin) singles.push(...alike);
      else
        groups.push(
          new FanOut(
            (alike[0] as Target).form,
            alike.map(({ session }) => session),
            this.#share,
          ),
        );
    }
    return { groups, singles };
  }
}

function merge(before: Delivery | undefined, options: SubscriptionOptions): Delivery {
  const ids = before?.subscriptionIds ?? noSubscriptionIds;
  const { qos, retainAsPublished, subscriptionId } = options;
  const isNew = subscriptionId !== 0 && !ids.includes(subscriptionId);
  return {
    qos: before !== undefined && before.qos > qos ? before.qos : qos,
    retainAsPublished: retainAsPublished || before?.retainAsPublished === true,
    subscriptionIds: isNew ? [...ids, subscriptionId] : ids,
    share: undefined,
  };
}

const form4: WireForm = { version: 4, subscriptionIds: noSubscriptionIds };
const form5: WireForm = { version: 5, subscriptionIds: noSubscriptionIds };

function formOf(session: Session, { subscriptionIds }: Delivery): WireForm {
  if (session.wire.version !== 5) return form4;
  return subscriptionIds.length === 0 ? form5 : { version: 5, subscriptionIds };
}

function hashOf(targets: readonly Target[]): number {
  let hash = targets.length;
  for (const { session } of targets) hash = (Math.imul(hash, hashFactor) + session.serial) | 0;
  return hash;
}

function isSame(list: TargetList, targets: readonly Target[], shared: readonly SharedTarget[]): boolean {
  if (list.targets.length !== targets.length || list.shared.length !== shared.length) return false;
  const sameShared = list.shared.every((one, index) => {
    const other = shared[index] as SharedTarget;
    return one.shared === other.shared && isSameMembers(one.members, other.members);
  });
  return sameShared && list.targets.every((target, index) => isSameTarget(target, targets[index] as Target));
}

function isSameMembers(some: readonly SharedMember[], others: readonly SharedMember[]): boolean {
  return some.length === others.length && some.every(({ session }, index) => session === others[index]?.session);
}

function isSameTarget(one: Target, other: Target): boolean {
  return (
    one.session === other.session && isSameDelivery(one.delivery, other.delivery) && isSameDelivery(one.own, other.own)
  );
}

function isSameDelivery(one: Delivery | undefined, other: Delivery | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (one.qos !== other.qos || one.retainAsPublished !== other.retainAsPublished) return false;
  if (one.subscriptionIds.length !== other.subscriptionIds.length) return false;
  return one.subscriptionIds.every((id, index) => id === other.subscriptionIds[index]);
}
