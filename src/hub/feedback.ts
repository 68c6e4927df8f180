// Feedback: what became of the cloud-to-device messages whose sender asked for it.
//
// Owns table `feedback`: a small log of its own, read from any offset like the event log; reading removes nothing.
// Bounded in records: the oldest go with the transaction that adds (hubFeedbackRecordsMax).
//
//   Success                 the device acknowledged it
//   Expired                 nobody took it in time
//   DeliveryCountExceeded   it was sent too often and never acknowledged
//   Purged                  somebody emptied the device's queue

import { strict as assert } from 'node:assert';
import { hubFeedbackRecordsMax, hubReadEventsMax } from '../limits.ts';
import type { HubDatabase } from './database.ts';
import { invalidArgument } from './errors.ts';

export type Outcome = 'Success' | 'Expired' | 'DeliveryCountExceeded' | 'Purged';

export interface FeedbackRecord {
  readonly offset: number;
  readonly deviceId: string;
  readonly generationId: string;
  readonly messageId: string;
  readonly outcome: Outcome;
  /** When it happened. */
  readonly atMs: number;
}

interface FeedbackRow {
  readonly offset: number;
  readonly device: string;
  readonly generation: string;
  readonly message_id: string;
  readonly status: string;
  readonly at_ms: number;
}

export class Feedback {
  readonly #database: HubDatabase;
  readonly #followers = new Set<() => void>();

  constructor(ports: { readonly database: HubDatabase }) {
    this.#database = ports.database;
  }

  /** Inside the transaction that ends the message; `committed()` follows it. */
  add(record: Omit<FeedbackRecord, 'offset'>): void {
    assert(this.#database.inTransaction, 'feedback goes with the message it is about');
    const { deviceId, generationId, messageId, outcome, atMs } = record;
    this.#database.run(
      'INSERT INTO feedback (device, generation, message_id, status, at_ms) VALUES (?, ?, ?, ?, ?)',
      deviceId,
      generationId,
      messageId,
      outcome,
      atMs,
    );
    this.#database.run('DELETE FROM feedback WHERE "offset" <= ?', this.nextOffset() - 1 - hubFeedbackRecordsMax);
  }

  /** The transaction is on disk: wakes the followers. */
  committed(): void {
    for (const wake of [...this.#followers]) wake();
  }

  onCommitted(wake: () => void): () => void {
    this.#followers.add(wake);
    return () => void this.#followers.delete(wake);
  }

  /** Oldest first, bounded in number. */
  read(afterOffset: number): readonly FeedbackRecord[] {
    const rows = this.#database.all<FeedbackRow>(
      'SELECT * FROM feedback WHERE "offset" > ? ORDER BY "offset" LIMIT ?',
      afterOffset,
      hubReadEventsMax,
    );
    return rows.map((row) => ({
      offset: row.offset,
      deviceId: row.device,
      generationId: row.generation,
      messageId: row.message_id,
      outcome: row.status as Outcome,
      atMs: row.at_ms,
    }));
  }

  nextOffset(): number {
    const row = this.#database.get<{ readonly seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'feedback'");
    return (row?.seq ?? 0) + 1;
  }

  /** The offset to read after, for `earliest`, `latest` or an offset (inclusive). Throws HUB_ARGUMENT_INVALID. */
  positionOf(from: string): number {
    if (from === 'earliest') return 0;
    if (from === 'latest') return this.nextOffset() - 1;
    if (/^\d{1,15}$/.test(from)) return Math.max(0, Number(from) - 1);
    throw invalidArgument(`from=${from} is no place in the feedback: use earliest, latest or an offset such as 12.`);
  }
}
