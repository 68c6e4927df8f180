// MQTT sessions, queued and retained messages on stable storage, as the broker sees them.
//
//   put…, delete… ─► changes of the window (mqtt-changes.ts) ─► group commit, beside the outbox ─► one fsync
//   flushed() ─────► the window's promise ◄── its commit, or nothing of it is left: no commit at all
//
// Owns the pace of the broker's state on its way to the disk. A window is what changed within one turn of the loop
// together with whoever asked flushed() then (mqtt-turns.ts). A message that its receiver acknowledged before the
// commit leaves no trace, and when nothing of a window and of those before is left, its waiters are told at once.
//
// Invariants
//   A commit holds all that waits, and what was put in one go is in one commit: an inbound packet id cannot be on
//   the disk without its message in every queue, else the repetition after a power cut would be acknowledged and
//   nothing more. That is why nothing here wakes the group commit at once.
//   flushed() resolves when everything put and deleted before it is on the disk or needs not be.
//   What a failed commit held is tried again, with back-off and whatever changed since; the commits of the outbox
//   go on without it meanwhile. Nothing the broker has put is lost while the process lives.
//   When a fresh file takes the place of a damaged one the broker puts everything again (onLost).
//
// When full: beyond brokerJournalBytesMax, or beyond its half of the store's quota, `full` tells the broker to
// refuse new messages; `isBehind` tells the two apart. Nobody who asked flushed() is answered early, so publishers
// stop at their own bound before.

import { brokerJournalBytesMax } from '../limits.ts';
import { errorCode } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { StoreError } from './errors.ts';
import {
  type Body,
  ChangesWriter,
  newDelivery,
  type RetainedChange,
  type SealedChanges,
  SessionChanges,
  type Window,
} from './mqtt-changes.ts';
import { type FoundState, MqttLoader, type PageSource } from './mqtt-loader.ts';
import { factsOf } from './mqtt-record.ts';
import type { MessageView, MqttState, SessionRecord, SubscriptionRecord } from './mqtt-shapes.ts';
import { type Turn, Turns } from './mqtt-turns.ts';

const retryDelayMsMin = 100;
const retryDelayMsMax = 5000;
/** A damaged file is replaced while the page that found it fails. */
const damagedRetriesMax = 3;
/** How long changes wait that nobody waits for. */
const lazyDelayMs = 250;

export interface SealedJournal {
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
  readonly changes: SealedChanges;
  readonly turns: readonly Turn[];
  readonly generation: number;
}

export interface MqttJournalPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Something waits that did not before. */
  readonly wake: () => void;
  readonly page: PageSource;
}

export class MqttJournal {
  readonly #ports: MqttJournalPorts;
  readonly #quotaBytes: number;
  readonly #sessions = new Map<string, SessionChanges>();
  readonly #listeners = new Set<() => void>();
  readonly #dirty = new Set<SessionChanges>();
  readonly #turns: Turns;
  #ended = new Set<number>();
  #retained = new Map<string, RetainedChange>();
  #sealed: SealedJournal | undefined;
  #body: Body | undefined;
  #sessionIdNext = 1;
  #messageIdNext = 1;
  #generation = 0;
  #commit = 0;
  #pendingBytes = 0;
  #sealedBytes = 0;
  #storedBytes = 0;
  #dirtySinceMs: number | undefined;
  #notBeforeMs = 0;
  #failures = 0;
  #waking = false;
  #low = false;
  #closed = false;

  /** `quotaBytes`: of messages on the disk. */
  constructor(ports: MqttJournalPorts, options: { readonly quotaBytes: number }) {
    this.#ports = ports;
    this.#turns = new Turns(ports.clock);
    this.#quotaBytes = options.quotaBytes;
    ports.metrics.gauge('store_mqtt_bytes', () => this.#storedBytes);
    ports.metrics.gauge('store_mqtt_pending_bytes', () => this.#pendingBytes + this.#sealedBytes);
  }

  // ── what the broker asks ──

  get full(): boolean {
    const waiting = this.#pendingBytes + this.#sealedBytes;
    return this.#low || waiting > brokerJournalBytesMax || this.#storedBytes + waiting > this.#quotaBytes;
  }

  /** The disk has less space left than is to be left: as if the quota were full. */
  lowOnSpace(low: boolean): void {
    this.#low = low;
  }

  /** Full of what waits for a commit, which the quota has room for. */
  get isBehind(): boolean {
    const waiting = this.#pendingBytes + this.#sealedBytes;
    return waiting > brokerJournalBytesMax && this.#storedBytes + waiting <= this.#quotaBytes;
  }

  /** Once, before anything is put. Rejects STORE_UNAVAILABLE, STORE_DAMAGED, STORE_CLOSED. */
  async load(): Promise<MqttState> {
    const found = await this.#load();
    this.#sessionIdNext = found.sessionIdMax + 1;
    this.#messageIdNext = found.messageIdMax + 1;
    for (const { id, record, receiving } of found.sessions.values()) {
      const changes = new SessionChanges(id);
      changes.sealed = true;
      for (const packetId of receiving) changes.receivingStored.add(packetId);
      this.#sessions.set(record.clientId, changes);
    }
    this.#mend(found);
    const sessions = [...found.sessions.values()].map(({ record, subscriptions, deliveries, receiving }) => ({
      ...record,
      subscriptions,
      deliveries,
      receiving,
    }));
    return { sessions, retained: found.retained, damaged: found.damaged };
  }

  /** A file that turns out to be damaged while it is read is replaced by what can be read of it: then from the beginning. */
  async #load(): Promise<FoundState> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await new MqttLoader(this.#ports.page).load();
      } catch (error) {
        if (errorCode(error) !== 'STORE_DAMAGED' || attempt > damagedRetriesMax) throw error;
      }
    }
  }

  onLost(listener: () => void): void {
    this.#listeners.add(listener);
  }

  putSession(record: SessionRecord): void {
    let session = this.#sessions.get(record.clientId);
    if (session === undefined) {
      session = new SessionChanges(this.#sessionIdNext++);
      this.#sessions.set(record.clientId, session);
    }
    session.record = record;
    this.#touch(session).sticky = true;
  }

  deleteSession(clientId: string): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    this.#sessions.delete(clientId);
    session.ended = true;
    for (const { window, body } of session.deliveries.values()) {
      window.open--;
      if (body !== undefined) this.#unuse(body);
    }
    for (const { window } of session.receiving.values()) window.open--;
    this.#dirty.delete(session);
    if (session.sealed) {
      this.#ended.add(session.id);
      this.#change().sticky = true;
    }
    this.#settle();
  }

  putSubscription(clientId: string, subscription: SubscriptionRecord): void {
    this.#changeSubscription(clientId, subscription.filter, subscription);
  }

  deleteSubscription(clientId: string, filter: string): void {
    this.#changeSubscription(clientId, filter, undefined);
  }

  putMessage(
    clientId: string,
    ordinal: number,
    message: {
      readonly view: MessageView;
      readonly qos: 1 | 2;
      readonly retain: boolean;
      readonly subscriptionIds: readonly number[];
    },
  ): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const turn = this.#touch(session);
    turn.open++;
    session.deliveries.set(ordinal, newDelivery(this.#use(message.view), message, turn));
  }

  sentMessage(
    clientId: string,
    ordinal: number,
    { packetId, awaiting }: { readonly packetId: number; readonly awaiting: number },
  ): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const pending = session.deliveries.get(ordinal);
    if (pending === undefined) {
      const window = this.#touch(session);
      window.open++;
      const step = { kind: 'step', fresh: false, body: undefined, facts: 0, subscriptionIds: [] } as const;
      session.deliveries.set(ordinal, { ...step, packetId, awaiting, window });
    } else if (pending.kind !== 'gone') {
      pending.packetId = packetId;
      pending.awaiting = awaiting;
    }
  }

  deleteMessage(clientId: string, ordinal: number): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const pending = session.deliveries.get(ordinal);
    if (pending?.body !== undefined) this.#unuse(pending.body);
    if (pending?.fresh === true) {
      session.deliveries.delete(ordinal);
      this.#leave(pending.window);
    } else if (pending !== undefined) {
      session.deliveries.set(ordinal, { ...pending, kind: 'gone', body: undefined });
    } else {
      const window = this.#touch(session);
      window.open++;
      const gone = { kind: 'gone', fresh: false, body: undefined, facts: 0, subscriptionIds: [] } as const;
      session.deliveries.set(ordinal, { ...gone, packetId: 0, awaiting: 0, window });
    }
  }

  putReceiving(clientId: string, packetId: number): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const pending = session.receiving.get(packetId);
    if (pending !== undefined) {
      pending.kind = 'put';
      return;
    }
    const window = this.#touch(session);
    window.open++;
    session.receiving.set(packetId, { kind: 'put', fresh: !session.receivingStored.has(packetId), window });
  }

  deleteReceiving(clientId: string, packetId: number): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const pending = session.receiving.get(packetId);
    if (pending?.fresh === true) {
      session.receiving.delete(packetId);
      this.#leave(pending.window);
    } else if (pending !== undefined) pending.kind = 'gone';
    else {
      const window = this.#touch(session);
      window.open++;
      session.receiving.set(packetId, { kind: 'gone', fresh: false, window });
    }
  }

  putRetained(topic: string, view: MessageView): void {
    this.#changeRetained(topic, { body: this.#use(view), facts: factsOf({ qos: view.qos, retain: true }) });
  }

  deleteRetained(topic: string): void {
    this.#changeRetained(topic, { body: undefined, facts: 0 });
  }

  flushed(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#sealed === undefined && this.#turns.isEmpty) return Promise.resolve();
    this.#wake();
    return this.#turns.ask();
  }

  // ── what the group commit asks ──

  /** Nothing waits. */
  get idle(): boolean {
    return this.#dirtySinceMs === undefined && this.#turns.asked === 0;
  }

  /** Who waits for the next commit, by number; 0 while a failed one is not to be tried again yet. */
  get crowd(): number {
    return this.#ports.clock.monotonicMs() < this.#notBeforeMs ? 0 : this.#turns.asked;
  }

  get bytes(): number {
    return this.#ports.clock.monotonicMs() < this.#notBeforeMs ? 0 : this.#pendingBytes;
  }

  /** Monotonic time of the next commit; `commitDelayMs` is what one who waits for it has to wait at most. */
  dueMs(commitDelayMs: number): number {
    const { askedSinceMs } = this.#turns;
    const askedMs = askedSinceMs === undefined ? Number.POSITIVE_INFINITY : askedSinceMs + commitDelayMs;
    const lazyMs = this.#dirtySinceMs === undefined ? Number.POSITIVE_INFINITY : this.#dirtySinceMs + lazyDelayMs;
    return Math.max(this.#notBeforeMs, Math.min(askedMs, lazyMs));
  }

  /** Everything that waits, for the commit that is being sent; undefined when there is nothing, or not yet again. */
  seal(options: { readonly force: boolean }): SealedJournal | undefined {
    if (this.idle || (!options.force && this.#ports.clock.monotonicMs() < this.#notBeforeMs)) return undefined;
    const { clock } = this.#ports;
    const sessions = [...this.#dirty].filter((session) => session.dirty).map((session) => session.take());
    const changes: SealedChanges = { sessions, ended: this.#ended, retained: this.#retained };
    const turns = this.#turns.take();
    this.#dirty.clear();
    this.#ended = new Set();
    this.#retained = new Map();
    this.#body = undefined;
    this.#sealedBytes = this.#pendingBytes;
    this.#pendingBytes = 0;
    this.#dirtySinceMs = undefined;
    if (sessions.length === 0 && changes.ended.size === 0 && changes.retained.size === 0) {
      this.#sealedBytes = 0;
      for (const turn of turns) turn.resolve();
      return undefined;
    }
    const ahead = clock.wallMs() - clock.monotonicMs();
    // An hour from a time that nobody vouches for may be long over when the clock is right: then it is kept.
    const isTrusted = clock.wallTrusted();
    const expiryOf = ({ expiresAtMs }: MessageView): number =>
      expiresAtMs === 0 || !isTrusted ? 0 : expiresAtMs + ahead;
    const written = new ChangesWriter(++this.#commit, expiryOf).write(changes);
    this.#sealed = { ...written, changes, turns, generation: this.#generation };
    return this.#sealed;
  }

  committed(sealed: SealedJournal, storedBytes: number): void {
    this.#sealed = undefined;
    this.#sealedBytes = 0;
    this.#storedBytes = storedBytes;
    this.#failures = 0;
    if (sealed.generation !== this.#generation) {
      // It went to a file that is gone, or past the one that took its place: what comes next tells everything.
      for (const turn of sealed.turns) void this.flushed().then(turn.resolve, turn.reject);
      return;
    }
    for (const { session, receiving } of sealed.changes.sessions) {
      for (const [packetId, { kind }] of receiving) {
        if (kind === 'gone' && !session.receiving.has(packetId)) session.receivingStored.delete(packetId);
      }
    }
    for (const turn of sealed.turns) turn.resolve();
    this.#settle();
  }

  failed(sealed: SealedJournal, error: unknown): void {
    this.#sealed = undefined;
    const delayMs = Math.min(retryDelayMsMax, retryDelayMsMin * 2 ** this.#failures);
    if (this.#failures++ === 0)
      this.#ports.log.warn('MQTT sessions could not be written; it is tried again', {
        code: errorCode(error),
        delayMs,
      });
    this.#notBeforeMs = this.#ports.clock.monotonicMs() + delayMs;
    if (sealed.generation === this.#generation) this.#restore(sealed.changes);
    this.#sealedBytes = 0;
    for (const turn of sealed.turns) turn.reject(error);
    this.#settle();
  }

  /** A fresh file is in use: what was stored and what waits is void, the broker tells everything anew. */
  lost(): void {
    this.#generation++;
    for (const session of this.#sessions.values()) session.ended = true;
    this.#sessions.clear();
    this.#dirty.clear();
    this.#ended = new Set();
    this.#retained = new Map();
    this.#body = undefined;
    this.#pendingBytes = 0;
    this.#storedBytes = 0;
    this.#notBeforeMs = 0;
    this.#turns.renew();
    for (const listener of this.#listeners) listener();
    this.#change();
  }

  /** Nothing more is taken; whoever still waits is told. */
  close(): void {
    this.#closed = true;
    for (const turn of this.#turns.take()) turn.reject(closedError());
    this.#dirtySinceMs = undefined;
  }

  // ── inside ──

  #changeSubscription(clientId: string, filter: string, subscription: SubscriptionRecord | undefined): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    session.subscriptions.set(filter, subscription);
    this.#touch(session).sticky = true;
  }

  #changeRetained(topic: string, change: RetainedChange): void {
    const before = this.#retained.get(topic)?.body;
    if (before !== undefined) this.#unuse(before);
    this.#retained.set(topic, change);
    this.#change().sticky = true;
  }

  /** The turn in which a change belongs that is being made. */
  #change(): Turn {
    if (this.#dirtySinceMs === undefined && !this.#closed) {
      this.#dirtySinceMs = this.#ports.clock.monotonicMs();
      this.#wake();
    }
    return this.#turns.current();
  }

  #wake(): void {
    if (this.#waking) return;
    this.#waking = true;
    this.#ports.clock.soon(() => {
      this.#waking = false;
      this.#ports.wake();
    });
  }

  #touch(session: SessionChanges): Turn {
    this.#dirty.add(session);
    return this.#change();
  }

  /** One more user of a message; the same object is the same message until the next commit. */
  #use(view: MessageView): Body {
    if (this.#body?.view !== view || this.#body.uses === 0) {
      this.#body = { view, id: this.#messageIdNext++, uses: 0, sealedIn: 0 };
      this.#pendingBytes += bytesOf(view);
    }
    this.#body.uses++;
    return this.#body;
  }

  #unuse(body: Body): void {
    if (--body.uses === 0) this.#pendingBytes = Math.max(0, this.#pendingBytes - bytesOf(body.view));
  }

  #leave(window: Window): void {
    if (--window.open === 0) this.#settle();
  }

  /** Tells who waits for changes of which nothing is left; behind a commit that is under way everybody waits. */
  #settle(): void {
    if (this.#sealed !== undefined || !this.#turns.settle()) return;
    this.#dirty.clear();
    this.#dirtySinceMs = undefined;
  }

  #restore({ sessions, ended, retained }: SealedChanges): void {
    const turn = this.#change();
    turn.sticky = true;
    for (const sealed of sessions) {
      if (sealed.session.ended) continue;
      sealed.session.restore(sealed, turn);
      this.#dirty.add(sealed.session);
    }
    for (const id of ended) this.#ended.add(id);
    for (const [topic, change] of retained) {
      if (!this.#retained.has(topic)) this.#retained.set(topic, change);
    }
    this.#pendingBytes += this.#sealedBytes;
  }

  /** What cannot be read leaves the disk, so that it is told of once. */
  #mend({ mend, sessions, damaged }: FoundState): void {
    for (const id of mend.sessions) {
      this.#ended.add(id);
      this.#change().sticky = true;
    }
    for (const topic of mend.topics) this.deleteRetained(topic);
    for (const { record, broken } of sessions.values()) {
      for (const ordinal of broken) this.deleteMessage(record.clientId, ordinal);
    }
    if (damaged === 0) return;
    this.#ports.metrics.counter('store_mqtt_damaged_total').add(damaged);
    this.#ports.log.error('stored MQTT state was damaged: rows that cannot be read are left out', { rows: damaged });
  }
}

function bytesOf({ topicBytes, payloadBytes }: MessageView): number {
  return topicBytes + payloadBytes;
}

function closedError(): StoreError {
  return new StoreError({ code: 'STORE_CLOSED', message: 'The store is closed.' });
}
