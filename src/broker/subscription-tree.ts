// Who subscribed to what: a tree of filter levels, walked by the levels of a topic.
//
//   sport/+/player1 and sport/# of two clients:
//      (root) ── sport ─┬─ + ── player1 {A: 1}
//                       └─ # {B: 0}
//
// A walk follows at each level the level's own name and `+`, and collects `#`; topicLevelsMax bounds it. The
// answer has each subscriber once, with the highest QoS of its matching filters (overlapping subscriptions,
// [MQTT-3.3.5-1]). `epoch` grows with every change: whoever caches an answer compares it.
//
// Filters and topics are valid (protocol/mqtt/topic.ts); they are not checked again.

import type { Qos } from '../protocol/mqtt/publish.ts';

interface Level<Subscriber> {
  children: Map<string, Level<Subscriber>> | undefined;
  subscribers: Map<Subscriber, Qos> | undefined;
}

const oneLevel = '+';
const allBelow = '#';

export class SubscriptionTree<Subscriber> {
  readonly #root: Level<Subscriber> = { children: undefined, subscribers: undefined };
  #epoch = 0;
  #size = 0;

  /** Changes whenever an answer of match() may have changed. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Subscriptions in the tree. */
  get size(): number {
    return this.#size;
  }

  /** Adds the subscription, or changes its QoS. */
  add(filter: string, subscriber: Subscriber, qos: Qos): void {
    let level = this.#root;
    for (const name of filter.split('/')) {
      level.children ??= new Map();
      let child = level.children.get(name);
      if (child === undefined) {
        child = { children: undefined, subscribers: undefined };
        level.children.set(name, child);
      }
      level = child;
    }
    level.subscribers ??= new Map();
    if (!level.subscribers.has(subscriber)) this.#size++;
    level.subscribers.set(subscriber, qos);
    this.#epoch++;
  }

  /** Removes the subscription and the levels nobody uses any more; one that is not there is ignored. */
  remove(filter: string, subscriber: Subscriber): void {
    const path: { readonly parent: Level<Subscriber>; readonly name: string }[] = [];
    let level = this.#root;
    for (const name of filter.split('/')) {
      const child = level.children?.get(name);
      if (child === undefined) return;
      path.push({ parent: level, name });
      level = child;
    }
    if (level.subscribers?.delete(subscriber) !== true) return;
    this.#size--;
    this.#epoch++;
    if (level.subscribers.size === 0) level.subscribers = undefined;
    for (const { parent, name } of path.reverse()) {
      const child = parent.children?.get(name);
      if (child === undefined || child.subscribers !== undefined || child.children !== undefined) return;
      parent.children?.delete(name);
      if (parent.children?.size === 0) parent.children = undefined;
    }
  }

  /** Every subscriber with a filter that matches `topic`, with its highest QoS. */
  match(topic: string): Map<Subscriber, Qos> {
    const found = new Map<Subscriber, Qos>();
    const levels = topic.split('/');
    // A topic that starts with `$` is not for filters that start with a wildcard [MQTT-4.7.2-1].
    const wildcards = !topic.startsWith('$');
    collect(this.#root, { levels, at: 0, wildcards, found });
    return found;
  }
}

interface Walk<Subscriber> {
  readonly levels: readonly string[];
  readonly at: number;
  readonly wildcards: boolean;
  readonly found: Map<Subscriber, Qos>;
}

function collect<Subscriber>(level: Level<Subscriber>, walk: Walk<Subscriber>): void {
  const { levels, at, wildcards, found } = walk;
  if (wildcards) merge(level.children?.get(allBelow), found);
  if (at === levels.length) {
    merge(level, found);
    return;
  }
  const next = { levels, at: at + 1, wildcards: true, found };
  const named = level.children?.get(levels[at] as string);
  if (named !== undefined) collect(named, next);
  const any = wildcards ? level.children?.get(oneLevel) : undefined;
  if (any !== undefined) collect(any, next);
}

function merge<Subscriber>(level: Level<Subscriber> | undefined, found: Map<Subscriber, Qos>): void {
  if (level?.subscribers === undefined) return;
  for (const [subscriber, qos] of level.subscribers) {
    if (qos >= (found.get(subscriber) ?? 0)) found.set(subscriber, qos);
  }
}
