// The last retained message of each topic, found by topic at once and by filter through a tree of levels.
//
// Bounded by messages, by bytes and by the levels of their topics: when full, a topic that has none yet stays
// without (`reject`, counted by the caller); a topic that has one may change it as far as the bytes allow. The same
// holds for each client's share, so that one cannot take all the room: a message counts against who sent it last, and
// against nobody after a restart of the broker. Replay
// to a new subscriber is lazy, at the subscriber's pace: match() walks the living tree, and `sequence` tells what is
// younger than the walk. A walk that stands still costs the tree nothing (retained-level.ts).
//
// A message lives as its canonical bytes: short ones as a string of one byte a character, which V8 keeps without
// the four hundred bytes that a buffer of its own costs. Its view is made when somebody reads it. One whose expiry
// is over is removed when it is met, or by the sweep, which looks at a bounded number of topics each time.

import { Buffer } from 'node:buffer';
import { brokerRetainedLevelsMax, topicLevelsMax } from '../limits.ts';
import { PublishView, type Qos } from '../protocol/mqtt/publish.ts';
import { Level } from './retained-level.ts';

export interface RetainedMessage {
  readonly view: PublishView;
  /** Grows with every message retained. */
  readonly sequence: number;
  /** It is still the message of its topic. */
  readonly isCurrent: boolean;
}

/** What one client has retained. */
interface Share {
  messages: number;
  bytes: number;
}

/** Longer messages stay in a buffer outside V8's heap. */
const stringBytesMax = 4096;
const sweepTopicsMax = 1024;

interface KeptFacts {
  readonly qos: Qos;
  readonly expiresAtMs: number;
  readonly owner?: string | undefined;
}

class Kept implements RetainedMessage {
  readonly sequence: number;
  isCurrent = true;
  readonly bytes: number;
  readonly expiresAtMs: number;
  /** Client id of who sent it, if that counts. */
  readonly owner: string | undefined;
  readonly #canonical: Buffer | string;
  readonly #qos: Qos;

  constructor(canonical: Buffer, facts: KeptFacts & { readonly sequence: number }) {
    this.owner = facts.owner;
    this.sequence = facts.sequence;
    this.bytes = canonical.length;
    this.expiresAtMs = facts.expiresAtMs;
    this.#qos = facts.qos;
    this.#canonical = canonical.length <= stringBytesMax ? canonical.toString('latin1') : canonical;
  }

  get view(): PublishView {
    const canonical = this.#canonical;
    const bytes = typeof canonical === 'string' ? Buffer.from(canonical, 'latin1') : canonical;
    return PublishView.fromCanonical(bytes, { qos: this.#qos, retain: true, expiresAtMs: this.expiresAtMs });
  }
}

export interface RetainedLimits {
  readonly retainedMessagesMax: number;
  readonly retainedBytesMax: number;
  readonly retainedMessagesPerClientMax: number;
  readonly retainedBytesPerClientMax: number;
}

export class RetainedMessages {
  readonly #root = new Level<Kept>();
  readonly #limits: RetainedLimits;
  readonly #monotonicMs: () => number;
  /** Topics whose message has an expiry, the one looked at longest ago first. */
  readonly #expiring = new Map<string, number>();
  readonly #shares = new Map<string, Share>();
  #count = 0;
  #bytes = 0;
  #levels = 0;
  #sequence = 0;

  constructor(limits: RetainedLimits, monotonicMs: () => number) {
    this.#limits = limits;
    this.#monotonicMs = monotonicMs;
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

  /**
   * Keeps a copy of `view` as the message of `topic`; an empty payload removes it [MQTT-3.3.1-6]. False when it does not
   * fit. It counts against the share of the client `owner`; without one, against the whole alone.
   */
  store(topic: string, view: PublishView, owner?: string): boolean {
    if (view.payloadBytes === 0) {
      this.remove(topic);
      return true;
    }
    const canonical = view.canonical();
    if (!this.fits(topic, canonical.length, owner)) return false;
    const { qos, expiresAtMs } = view;
    this.#put(topic, new Kept(canonical, { qos, expiresAtMs, owner, sequence: ++this.#sequence }));
    return true;
  }

  /** Whether store() would take a message of `canonicalBytes` for `topic`. */
  fits(topic: string, canonicalBytes: number, owner?: string): boolean {
    const before = this.#find(topic);
    const { retainedMessagesMax, retainedBytesMax } = this.#limits;
    if (before === undefined && this.#count >= retainedMessagesMax) return false;
    if (before === undefined && this.#levels + topicLevelsMax > brokerRetainedLevelsMax) return false;
    if (this.#bytes - (before?.bytes ?? 0) + canonicalBytes > retainedBytesMax) return false;
    return owner === undefined || this.#isWithinShare(owner, before, canonicalBytes);
  }

  /** Puts back what the session store had, whatever the bounds are now. */
  restore(topic: string, canonical: Buffer, facts: { readonly qos: Qos; readonly expiresAtMs: number }): void {
    this.#put(topic, new Kept(canonical, { ...facts, sequence: ++this.#sequence }));
  }

  /** The messages of all topics that `filter` matches, as they are when the walk reaches them; it may take its time. */
  *match(filter: string): Generator<RetainedMessage, void, void> {
    for (const message of walk(this.#root, filter.split('/'), 0)) {
      if (message.expiresAtMs === 0 || message.expiresAtMs > this.#monotonicMs()) yield message;
    }
  }

  /** Whether match() finds something. */
  has(filter: string): boolean {
    return this.#count > 0 && this.match(filter).next().done !== true;
  }

  /** The message of `topic`. */
  get(topic: string): RetainedMessage | undefined {
    return this.#find(topic);
  }

  /** Every message there is, expired ones apart. */
  *all(): Generator<RetainedMessage, void, void> {
    yield* below(this.#root);
  }

  /** Removes some of what expired and returns the topics. */
  sweep(): readonly string[] {
    const nowMs = this.#monotonicMs();
    const over: string[] = [];
    let looked = 0;
    for (const [topic, expiresAtMs] of this.#expiring) {
      if (++looked > Math.min(sweepTopicsMax, this.#expiring.size)) break;
      this.#expiring.delete(topic);
      if (expiresAtMs > nowMs) this.#expiring.set(topic, expiresAtMs);
      else over.push(topic);
    }
    for (const topic of over) this.remove(topic);
    return over;
  }

  /** Forgets the message of `topic`. False when there was none. */
  remove(topic: string): boolean {
    this.#expiring.delete(topic);
    const path: { readonly parent: Level<Kept>; readonly child: Level<Kept> }[] = [];
    let level = this.#root;
    for (const name of topic.split('/')) {
      const child = level.child(name);
      if (child === undefined) return false;
      path.push({ parent: level, child });
      level = child;
    }
    if (level.message === undefined) return false;
    this.#count--;
    this.#bytes -= level.message.bytes;
    this.#uncount(level.message);
    level.message = undefined;
    for (const { parent, child } of path.reverse()) {
      if (child.message !== undefined || !child.isLeaf) break;
      parent.remove(child);
      this.#levels--;
    }
    return true;
  }

  #isWithinShare(owner: string, before: Kept | undefined, canonicalBytes: number): boolean {
    const { retainedMessagesPerClientMax, retainedBytesPerClientMax } = this.#limits;
    const { messages, bytes } = this.#shares.get(owner) ?? { messages: 0, bytes: 0 };
    const own = before?.owner === owner ? before : undefined;
    if (own === undefined && messages >= retainedMessagesPerClientMax) return false;
    return bytes - (own?.bytes ?? 0) + canonicalBytes <= retainedBytesPerClientMax;
  }

  /** `message` is not the one of its topic any more. */
  #uncount(message: Kept): void {
    const { owner, bytes } = message;
    message.isCurrent = false;
    const share = owner === undefined ? undefined : this.#shares.get(owner);
    if (owner === undefined || share === undefined) return;
    share.messages--;
    share.bytes -= bytes;
    if (share.messages === 0) this.#shares.delete(owner);
  }

  #countIn({ owner, bytes }: Kept): void {
    if (owner === undefined) return;
    const share = this.#shares.get(owner) ?? { messages: 0, bytes: 0 };
    share.messages++;
    share.bytes += bytes;
    this.#shares.set(owner, share);
  }

  #put(topic: string, message: Kept): void {
    let level = this.#root;
    for (const name of topic.split('/')) {
      let child = level.child(name);
      if (child === undefined) {
        child = level.add(name);
        this.#levels++;
      }
      level = child;
    }
    if (level.message === undefined) this.#count++;
    else this.#uncount(level.message);
    this.#countIn(message);
    this.#bytes += message.bytes - (level.message?.bytes ?? 0);
    level.message = message;
    this.#expiring.delete(topic);
    if (message.expiresAtMs > 0) this.#expiring.set(topic, message.expiresAtMs);
  }

  #find(topic: string): Kept | undefined {
    let level: Level<Kept> | undefined = this.#root;
    for (const name of topic.split('/')) {
      level = level.child(name);
      if (level === undefined) return undefined;
    }
    return level.message;
  }
}

function* walk(level: Level<Kept>, filter: readonly string[], at: number): Generator<Kept, void, void> {
  const name = filter[at];
  if (name === undefined) {
    if (level.message !== undefined) yield level.message;
    return;
  }
  if (name !== '#' && name !== '+') {
    const child = level.child(name);
    if (child !== undefined) yield* walk(child, filter, at + 1);
    return;
  }
  // `sport/#` includes `sport` itself.
  if (name === '#' && level.message !== undefined) yield level.message;
  for (let child = level.after(0); child !== undefined; child = level.after(child.ordinal)) {
    // [MQTT-4.7.2-1]
    if (at === 0 && child.name.startsWith('$')) continue;
    if (name === '#') yield* below(child);
    else yield* walk(child, filter, at + 1);
  }
}

function* below(level: Level<Kept>): Generator<Kept, void, void> {
  if (level.message !== undefined) yield level.message;
  for (let child = level.after(0); child !== undefined; child = level.after(child.ordinal)) yield* below(child);
}
