// A RouterStore in memory with the same contract as the real one (test/contract/router-store.test.ts runs on both).
//
// Everything is durable at once. Time to live counts by `nowMs`, given at construction.

import { type Lane, laneKey } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import type { LaneFacts, RouterStore, StoredMessage, StoreTarget } from '../../src/router/ports.ts';

interface Row extends StoredMessage {
  readonly expiresAtMs: number | undefined;
}

interface MemoryLane {
  readonly lane: Lane;
  readonly id: number;
  offsetNext: number;
  rows: Row[];
  expired: number;
}

export class MemoryStore implements RouterStore {
  epoch = 'epoch-1';
  readonly #nowMs: () => number;
  readonly #lanes = new Map<string, MemoryLane>();
  readonly #streams = new Map<string, number>();
  #listeners = new Set<(lane: Lane) => void>();
  /** Thrown by the next call of that name. */
  readonly failures: { name: 'append' | 'read' | 'confirm'; error: Error }[] = [];
  /** What each append asked for beside its targets. */
  readonly durable: ('now' | undefined)[] = [];
  reads = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  async append(
    message: Message,
    targets: readonly StoreTarget[],
    options: { readonly durable?: 'now' } = {},
  ): Promise<'stored' | 'duplicate'> {
    await this.#failing('append');
    this.durable.push(options.durable);
    const { hop } = message;
    if (hop !== undefined) {
      if (hop.sequence <= (this.#streams.get(hop.stream) ?? 0)) return 'duplicate';
      this.#streams.set(hop.stream, hop.sequence);
    }
    const lanes = targets.map(({ queue, priority, live, timeToLiveMs }) => {
      const found = this.#open({ queue, priority, live });
      const offset = found.offsetNext++;
      const expiresAtMs = timeToLiveMs === undefined ? undefined : this.#nowMs() + timeToLiveMs;
      found.rows.push({ offset, message, hop: { stream: `${this.epoch}.${found.id}`, sequence: offset }, expiresAtMs });
      return found.lane;
    });
    for (const lane of new Set(lanes)) for (const listener of this.#listeners) listener(lane);
    return 'stored';
  }

  async read(
    lane: Lane,
    from: { readonly afterOffset: number; readonly messagesMax: number; readonly bytesMax: number },
  ): Promise<readonly StoredMessage[]> {
    this.reads++;
    await this.#failing('read');
    const found = this.#lanes.get(laneKey(lane));
    if (found === undefined) return [];
    const alive = found.rows.filter(({ expiresAtMs }) => expiresAtMs === undefined || expiresAtMs > this.#nowMs());
    found.expired += found.rows.length - alive.length;
    found.rows = alive;
    const answer: StoredMessage[] = [];
    let bytes = 0;
    for (const { offset, message, hop } of alive.filter((row) => row.offset > from.afterOffset)) {
      if (answer.length >= from.messagesMax) break;
      if (answer.length > 0 && bytes + message.body.byteLength > from.bytesMax) break;
      answer.push({ offset, message, hop });
      bytes += message.body.byteLength;
    }
    return answer;
  }

  async confirm(lane: Lane, offset: number): Promise<void> {
    const found = this.#lanes.get(laneKey(lane));
    if (found !== undefined) found.rows = found.rows.filter((row) => row.offset > offset);
    await this.#failing('confirm');
  }

  onAppended(listener: (lane: Lane) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async lanes(): Promise<readonly LaneFacts[]> {
    return [...this.#lanes.values()].map(({ lane, rows, expired }) => ({
      ...lane,
      messages: rows.length,
      bytes: rows.reduce((sum, { message }) => sum + message.body.byteLength, 0),
      oldestEnqueuedMs: rows[0]?.message.enqueuedMs,
      dropped: expired === 0 ? {} : { ttl_expiry: expired },
    }));
  }

  /** The outbox was damaged and a fresh one took its place. */
  renew(epoch: string): void {
    this.epoch = epoch;
    this.#lanes.clear();
  }

  /** Messages of all lanes of a queue. */
  waiting(queue: string): number {
    const lanes = [...this.#lanes.values()].filter(({ lane }) => lane.queue === queue);
    return lanes.reduce((sum, { rows }) => sum + rows.length, 0);
  }

  #open(lane: Lane): MemoryLane {
    const key = laneKey(lane);
    const found = this.#lanes.get(key) ?? { lane, id: this.#lanes.size + 1, offsetNext: 1, rows: [], expired: 0 };
    this.#lanes.set(key, found);
    return found;
  }

  async #failing(name: 'append' | 'read' | 'confirm'): Promise<void> {
    await Promise.resolve();
    const index = this.failures.findIndex((failure) => failure.name === name);
    if (index !== -1) throw (this.failures.splice(index, 1)[0] as { error: Error }).error;
  }
}
