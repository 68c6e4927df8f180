// Who subscribed to what: a tree of filter levels, walked by the levels of a topic.
//
//   sport/+/player1 and sport/# of two clients:
//      (root) ── sport ─┬─ + ── player1 {A: options}
//                       └─ # {B: options}
//
// A walk follows at each level the level's own name and `+`, and collects `#`; topicLevelsMax bounds it. The
// answer has each matching subscription once: what overlapping ones of one subscriber come to is the caller's to
// say. `epoch` grows with every change: whoever caches an answer compares it.
//
// Filters and topics are valid (protocol/mqtt/topic.ts); they are not checked again.

interface Level<Subscriber, Options> {
  children: Map<string, Level<Subscriber, Options>> | undefined;
  subscribers: Map<Subscriber, Options> | undefined;
}

const oneLevel = '+';
const allBelow = '#';

/** Told of each subscription that matches. */
export type Visit<Subscriber, Options> = (subscriber: Subscriber, options: Options) => void;

export class SubscriptionTree<Subscriber, Options> {
  readonly #root: Level<Subscriber, Options> = { children: undefined, subscribers: undefined };
  #epoch = 0;
  #size = 0;
  #levels = 0;

  /** Changes whenever an answer of match() may have changed. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Subscriptions in the tree. */
  get size(): number {
    return this.#size;
  }

  /** Levels that the filters make: what the tree's memory goes by. */
  get levels(): number {
    return this.#levels;
  }

  /** Something that answers were made of has changed elsewhere. */
  touch(): void {
    this.#epoch++;
  }

  /** Adds the subscription, or changes its options. */
  add(filter: string, subscriber: Subscriber, options: Options): void {
    let level = this.#root;
    for (const name of filter.split('/')) {
      level.children ??= new Map();
      let child = level.children.get(name);
      if (child === undefined) {
        child = { children: undefined, subscribers: undefined };
        level.children.set(name, child);
        this.#levels++;
      }
      level = child;
    }
    level.subscribers ??= new Map();
    if (!level.subscribers.has(subscriber)) this.#size++;
    level.subscribers.set(subscriber, options);
    this.#epoch++;
  }

  /** Removes the subscription and the levels nobody uses any more; one that is not there is ignored. */
  remove(filter: string, subscriber: Subscriber): void {
    const path: { readonly parent: Level<Subscriber, Options>; readonly name: string }[] = [];
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
      this.#levels--;
      if (parent.children?.size === 0) parent.children = undefined;
    }
  }

  /** Visits every subscription whose filter matches `topic`. */
  match(topic: string, visit: Visit<Subscriber, Options>): void {
    const levels = topic.split('/');
    // A topic that starts with `$` is not for filters that start with a wildcard [MQTT-4.7.2-1].
    collect(this.#root, { levels, at: 0, wildcards: !topic.startsWith('$'), visit });
  }
}

interface Walk<Subscriber, Options> {
  readonly levels: readonly string[];
  readonly at: number;
  readonly wildcards: boolean;
  readonly visit: Visit<Subscriber, Options>;
}

function collect<Subscriber, Options>(level: Level<Subscriber, Options>, walk: Walk<Subscriber, Options>): void {
  const { levels, at, wildcards, visit } = walk;
  if (wildcards) tell(level.children?.get(allBelow), visit);
  if (at === levels.length) {
    tell(level, visit);
    return;
  }
  const next = { levels, at: at + 1, wildcards: true, visit };
  const named = level.children?.get(levels[at] as string);
  if (named !== undefined) collect(named, next);
  const any = wildcards ? level.children?.get(oneLevel) : undefined;
  if (any !== undefined) collect(any, next);
}

function tell<Subscriber, Options>(
  level: Level<Subscriber, Options> | undefined,
  visit: Visit<Subscriber, Options>,
): void {
  if (level?.subscribers === undefined) return;
  for (const [subscriber, options] of level.subscribers) visit(subscriber, options);
}
