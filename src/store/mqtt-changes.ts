// What changed since the last commit, as the last state of each thing: the contents of mqtt-journal.ts.
//
//   delivery    (nothing) ─put─► put ─sent─► put ─delete─► (nothing)         it was never sealed: no trace
//               (nothing) ─sent─► step ─sent─► step ─delete─► gone           it is on the disk, or on its way there
//               (nothing) ─delete─► gone
//
// Not a log: a thing put and deleted is forgotten, a thing changed twice is written once, and what waits can
// never be more than what lives in the broker and what the disk has to forget. seal() writes it as bytes and empties
// it; restore() takes a sealed part back after a commit that failed: whatever changed meanwhile wins.
//
// `fresh`: the disk cannot have it. After a commit that failed nobody knows, so nothing restored is fresh.

import { ByteWriter } from './byte-buffer.ts';
import { factsOf, operation, optionsOf, writeLong, writeSession } from './mqtt-record.ts';
import type { MessageView, SessionRecord, SubscriptionRecord } from './mqtt-shapes.ts';

/** Counts what a promise waits for: things of one window that may still vanish without a commit. */
export interface Window {
  open: number;
}

/** A message, put for whoever gets it. */
export interface Body {
  readonly view: MessageView;
  readonly id: number;
  /** Deliveries and retained topics that wait with it. */
  uses: number;
  sealedIn: number;
}

export interface Delivery {
  kind: 'put' | 'step' | 'gone';
  fresh: boolean;
  readonly body: Body | undefined;
  readonly facts: number;
  readonly subscriptionIds: readonly number[];
  packetId: number;
  awaiting: number;
  window: Window;
}

export interface Receiving {
  kind: 'put' | 'gone';
  fresh: boolean;
  window: Window;
}

/** One session: what the disk is to learn of it. */
export class SessionChanges {
  readonly id: number;
  record: SessionRecord | undefined;
  deliveries = new Map<number, Delivery>();
  /** Undefined: unsubscribed. */
  subscriptions = new Map<string, SubscriptionRecord | undefined>();
  receiving = new Map<number, Receiving>();
  /** Inbound packet ids that the disk has, or may have. */
  readonly receivingStored = new Set<number>();
  /** The disk may know this session. */
  sealed = false;
  ended = false;

  constructor(id: number) {
    this.id = id;
  }

  get dirty(): boolean {
    return (
      this.record !== undefined || this.deliveries.size > 0 || this.subscriptions.size > 0 || this.receiving.size > 0
    );
  }

  /** Takes the changes out, and leaves the session without any. */
  take(): SealedSession {
    const { record, deliveries, subscriptions, receiving } = this;
    this.record = undefined;
    if (deliveries.size > 0) this.deliveries = new Map();
    if (subscriptions.size > 0) this.subscriptions = new Map();
    if (receiving.size > 0) this.receiving = new Map();
    this.sealed = true;
    for (const [packetId, { kind }] of receiving) if (kind === 'put') this.receivingStored.add(packetId);
    return { session: this, record, deliveries, subscriptions, receiving };
  }

  /** Takes back what a failed commit held, below what came since. */
  restore({ record, deliveries, subscriptions, receiving }: SealedSession, window: Window): void {
    if (this.ended) return;
    this.record ??= record;
    for (const [ordinal, old] of deliveries) {
      const now = this.deliveries.get(ordinal);
      if (now !== undefined && (now.kind !== 'step' || old.kind !== 'put')) continue;
      if (now !== undefined) {
        old.packetId = now.packetId;
        old.awaiting = now.awaiting;
      } else window.open++;
      if (old.body !== undefined) old.body.uses++;
      old.fresh = false;
      old.window = now?.window ?? window;
      this.deliveries.set(ordinal, old);
    }
    for (const [filter, old] of subscriptions) {
      if (!this.subscriptions.has(filter)) this.subscriptions.set(filter, old);
    }
    for (const [packetId, old] of receiving) {
      if (this.receiving.has(packetId)) continue;
      old.fresh = false;
      old.window = window;
      window.open++;
      this.receiving.set(packetId, old);
    }
  }
}

export interface SealedSession {
  readonly session: SessionChanges;
  readonly record: SessionRecord | undefined;
  readonly deliveries: Map<number, Delivery>;
  readonly subscriptions: Map<string, SubscriptionRecord | undefined>;
  readonly receiving: Map<number, Receiving>;
}

export interface RetainedChange {
  /** Undefined: the topic has none any more. */
  readonly body: Body | undefined;
  readonly facts: number;
}

export interface SealedChanges {
  readonly sessions: readonly SealedSession[];
  /** Sessions that ended. */
  readonly ended: ReadonlySet<number>;
  readonly retained: ReadonlyMap<string, RetainedChange>;
}

/** Turns monotonic times into those of the wall. */
export type ExpiryOf = (view: MessageView) => number;

/** What a buffer starts with: some hundred small messages. It doubles when they do not fit. */
const initialBytes = 16_384;

/** Writes sealed changes as the operations of one commit (mqtt-record.ts). */
export class ChangesWriter {
  readonly #writer = new ByteWriter(initialBytes);
  readonly #commit: number;
  readonly #expiryOf: ExpiryOf;

  constructor(commit: number, expiryOf: ExpiryOf) {
    this.#commit = commit;
    this.#expiryOf = expiryOf;
  }

  write({ sessions, ended, retained }: SealedChanges): { readonly bytes: ArrayBuffer; readonly byteLength: number } {
    const writer = this.#writer;
    for (const id of ended) {
      writer.byte(operation.ended);
      writer.varint(id);
    }
    for (const sealed of sessions) this.#session(sealed);
    for (const [topic, { body, facts }] of retained) {
      if (body !== undefined) this.#body(body);
      writer.byte(body === undefined ? operation.cleared : operation.retained);
      writer.text(topic);
      if (body === undefined) continue;
      writeLong(writer, body.id);
      writer.byte(facts);
    }
    return { byteLength: writer.length, bytes: writer.release() };
  }

  #session({ session, record, deliveries, subscriptions, receiving }: SealedSession): void {
    const writer = this.#writer;
    if (record !== undefined) {
      writer.byte(operation.session);
      writer.varint(session.id);
      const lengthAt = writer.length;
      writer.uint32(0);
      const from = writer.length;
      writeSession(writer, record);
      writer.patchUint32(lengthAt, writer.length - from);
    }
    for (const [filter, subscription] of subscriptions) {
      writer.byte(subscription === undefined ? operation.unsubscribed : operation.subscription);
      writer.varint(session.id);
      writer.text(filter);
      if (subscription === undefined) continue;
      writer.byte(optionsOf(subscription));
      writer.varint(subscription.subscriptionId);
    }
    for (const [ordinal, delivery] of deliveries) this.#delivery(session.id, ordinal, delivery);
    for (const [packetId, { kind }] of receiving) {
      writer.byte(kind === 'put' ? operation.receiving : operation.released);
      writer.varint(session.id);
      writer.varint(packetId);
    }
  }

  #delivery(session: number, ordinal: number, delivery: Delivery): void {
    const writer = this.#writer;
    const { kind, fresh, body, facts, subscriptionIds, packetId, awaiting } = delivery;
    if (kind === 'put' && body !== undefined) this.#body(body);
    if (kind === 'put') writer.byte(fresh ? operation.delivery : operation.deliveryAgain);
    else writer.byte(kind === 'step' ? operation.step : operation.delivered);
    writer.varint(session);
    writeLong(writer, ordinal);
    if (kind === 'gone') return;
    if (kind === 'put') {
      writeLong(writer, body?.id ?? 0);
      writer.byte(facts);
    }
    writer.varint(packetId);
    writer.byte(awaiting);
    if (kind !== 'put') return;
    writer.varint(subscriptionIds.length);
    for (const id of subscriptionIds) writer.varint(id);
  }

  #body(body: Body): void {
    if (body.sealedIn === this.#commit) return;
    body.sealedIn = this.#commit;
    const writer = this.#writer;
    const canonical = body.view.canonical();
    writer.byte(operation.message);
    writeLong(writer, body.id);
    writer.float64(this.#expiryOf(body.view));
    writer.uint32(canonical.byteLength);
    writer.append(canonical);
  }
}

/** The facts of a message as it is put. */
export function newDelivery(
  body: Body,
  message: { readonly qos: number; readonly retain: boolean; readonly subscriptionIds: readonly number[] },
  window: Window,
): Delivery {
  return {
    kind: 'put',
    fresh: true,
    body,
    facts: factsOf(message),
    subscriptionIds: message.subscriptionIds,
    packetId: 0,
    awaiting: 0,
    window,
  };
}
