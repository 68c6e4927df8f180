// The last retained message of each topic, found by topic at once and by filter through a tree of levels.
//
// Bounded by messages and by bytes: when full, a topic that has none yet stays without (`reject`, counted by the
// caller); a topic that has one may change it as far as the bytes allow. Replay to a new subscriber is lazy, at
// the subscriber's pace: match() walks the living tree, and `sequence` tells what is younger than the walk.

import type { PublishView } from '../protocol/mqtt/publish.ts';

export interface RetainedMessage {
  readonly view: PublishView;
  /** Grows with every message retained. */
  readonly sequence: number;
}

interface Level {
  readonly children: Map<string, Level>;
  message: RetainedMessage | undefined;
}

export class RetainedMessages {
  readonly #root: Level = { children: new Map(), message: undefined };
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;
  #sequence = 0;

  constructor(limits: { readonly retainedMessagesMax: number; readonly retainedBytesMax: number }) {
    this.#messagesMax = limits.retainedMessagesMax;
    this.#bytesMax = limits.retainedBytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The sequence of the youngest message. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Keeps a copy of `view` as the message of `topic`; an empty payload removes it [MQTT-3.3.1-10]. False when it does not fit. */
  store(topic: string, view: PublishView): boolean {
    if (view.payloadBytes === 0) {
      this.#remove(topic);
      return true;
    }
    const before = this.#find(topic);
    const count = before === undefined ? this.#count + 1 : this.#count;
    const bytes = this.#bytes + view.to - view.from - (before === undefined ? 0 : before.view.to);
    if (count > this.#messagesMax || bytes > this.#bytesMax) return false;
    this.#sequence++;
    this.#count = count;
    this.#bytes = bytes;
    let level = this.#root;
    for (const name of topic.split('/')) {
      let child = level.children.get(name);
      if (child === undefined) {
        child = { children: new Map(), message: undefined };
        level.children.set(name, child);
      }
      level = child;
    }
    level.message = { view: view.kept(), sequence: this.#sequence };
    return true;
  }

  /** The messages of all topics that `filter` matches, as they are when the walk reaches them. */
  match(filter: string): Generator<RetainedMessage, void, void> {
    return walk(this.#root, filter.split('/'), 0);
  }

  #find(topic: string): RetainedMessage | undefined {
    let level: Level | undefined = this.#root;
    for (const name of topic.split('/')) {
      level = level.children.get(name);
      if (level === undefined) return undefined;
    }
    return level.message;
  }

  #remove(topic: string): void {
    const path: { readonly parent: Level; readonly name: string }[] = [];
    let level = this.#root;
    for (const name of topic.split('/')) {
      const child = level.children.get(name);
      if (child === undefined) return;
      path.push({ parent: level, name });
      level = child;
    }
    if (level.message === undefined) return;
    this.#count--;
    this.#bytes -= level.message.view.to;
    level.message = undefined;
    for (const { parent, name } of path.reverse()) {
      const child = parent.children.get(name);
      if (child === undefined || child.message !== undefined || child.children.size > 0) return;
      parent.children.delete(name);
    }
  }
}

function* walk(level: Level, filter: readonly string[], at: number): Generator<RetainedMessage, void, void> {
  const name = filter[at];
  if (name === undefined) {
    if (level.message !== undefined) yield level.message;
    return;
  }
  if (name === '#') {
    // `sport/#` includes `sport` itself.
    if (level.message !== undefined) yield level.message;
    for (const [childName, child] of level.children) {
      if (at > 0 || !childName.startsWith('$')) yield* below(child);
    }
    return;
  }
  if (name === '+') {
    for (const [childName, child] of level.children) {
      if (at > 0 || !childName.startsWith('$')) yield* walk(child, filter, at + 1);
    }
    return;
  }
  const child = level.children.get(name);
  if (child !== undefined) yield* walk(child, filter, at + 1);
}

function* below(level: Level): Generator<RetainedMessage, void, void> {
  if (level.message !== undefined) yield level.message;
  for (const child of level.children.values()) yield* below(child);
}
