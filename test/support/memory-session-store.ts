// A SessionStore in memory with the same contract as the real one (test/contract/session-store.test.ts runs on both).
//
// `disk` outlives the object: a second one over the same disk is the broker's next life. What was not flushed
// is lost when the first is thrown away; flushes can be made to fail or to wait.

import type {
  LoadedSession,
  SessionStore,
  StoredDelivery,
  StoredMessage,
  StoredSession,
  StoredState,
  StoredSubscription,
} from '../../src/broker/ports.ts';
import type { PublishView } from '../../src/protocol/mqtt/publish.ts';

interface SessionRows {
  session: StoredSession;
  readonly subscriptions: Map<string, StoredSubscription>;
  readonly deliveries: Map<number, StoredDelivery>;
  readonly receiving: Set<number>;
}

export class MemoryDisk {
  readonly sessions = new Map<string, SessionRows>();
  readonly retained = new Map<string, StoredMessage>();
  commits = 0;
}

export class MemorySessionStore implements SessionStore {
  full = false;
  isBehind = false;
  readonly #disk: MemoryDisk;
  readonly #waiting: (() => void)[] = [];
  readonly #listeners: (() => void)[] = [];
  #flush: Promise<void> | undefined;
  /** The next flushes reject with these. */
  readonly failures: Error[] = [];
  /** While set, flushes wait for it. */
  held: Promise<void> | undefined;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  load(): Promise<StoredState> {
    const sessions: LoadedSession[] = [...this.#disk.sessions.values()].map((rows) => ({
      ...rows.session,
      subscriptions: [...rows.subscriptions.values()],
      deliveries: [...rows.deliveries.values()].sort((a, b) => a.ordinal - b.ordinal),
      receiving: [...rows.receiving].sort((a, b) => a - b),
    }));
    const retained = [...this.#disk.retained].map(([topic, message]) => ({ topic, message }));
    return Promise.resolve({ sessions, retained, damaged: 0 });
  }

  onLost(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The disk was replaced by an empty one. */
  lose(): void {
    this.#waiting.length = 0;
    this.#disk.sessions.clear();
    this.#disk.retained.clear();
    for (const listener of this.#listeners) listener();
  }

  putSession(session: StoredSession): void {
    this.#later(() => {
      const rows = this.#disk.sessions.get(session.clientId);
      if (rows !== undefined) rows.session = session;
      else
        this.#disk.sessions.set(session.clientId, {
          session,
          subscriptions: new Map(),
          deliveries: new Map(),
          receiving: new Set(),
        });
    });
  }

  deleteSession(clientId: string): void {
    this.#later(() => this.#disk.sessions.delete(clientId));
  }

  putSubscription(clientId: string, subscription: StoredSubscription): void {
    this.#of(clientId, ({ subscriptions }) => subscriptions.set(subscription.filter, subscription));
  }

  deleteSubscription(clientId: string, filter: string): void {
    this.#of(clientId, ({ subscriptions }) => subscriptions.delete(filter));
  }

  putMessage(
    clientId: string,
    ordinal: number,
    put: {
      readonly view: PublishView;
      readonly qos: 1 | 2;
      readonly retain: boolean;
      readonly subscriptionIds: readonly number[];
    },
  ): void {
    const { view, ...facts } = put;
    const message: StoredMessage = { ...facts, canonical: view.canonical(), expiresAtMs: view.expiresAtMs };
    this.#of(clientId, ({ deliveries }) => deliveries.set(ordinal, { ordinal, packetId: 0, awaiting: 0, message }));
  }

  sentMessage(clientId: string, ordinal: number, step: { readonly packetId: number; readonly awaiting: number }): void {
    this.#of(clientId, ({ deliveries }) => {
      const before = deliveries.get(ordinal);
      if (before !== undefined) deliveries.set(ordinal, { ...before, ...step });
    });
  }

  deleteMessage(clientId: string, ordinal: number): void {
    this.#of(clientId, ({ deliveries }) => deliveries.delete(ordinal));
  }

  putReceiving(clientId: string, packetId: number): void {
    this.#of(clientId, ({ receiving }) => receiving.add(packetId));
  }

  deleteReceiving(clientId: string, packetId: number): void {
    this.#of(clientId, ({ receiving }) => receiving.delete(packetId));
  }

  putRetained(topic: string, view: PublishView): void {
    const { qos, expiresAtMs } = view;
    const message = { canonical: view.canonical(), qos, retain: true, expiresAtMs, subscriptionIds: [] };
    this.#later(() => this.#disk.retained.set(topic, message));
  }

  deleteRetained(topic: string): void {
    this.#later(() => this.#disk.retained.delete(topic));
  }

  flushed(): Promise<void> {
    this.#flush ??= this.#commit();
    return this.#flush;
  }

  async #commit(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#flush = undefined;
    await this.held;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    if (this.#waiting.length > 0) this.#disk.commits++;
    for (const work of this.#waiting.splice(0)) work();
  }

  #of(clientId: string, work: (rows: SessionRows) => unknown): void {
    this.#later(() => {
      const rows = this.#disk.sessions.get(clientId);
      if (rows !== undefined) work(rows);
    });
  }

  #later(work: () => unknown): void {
    this.#waiting.push(() => void work());
  }
}
