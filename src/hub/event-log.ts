// The event log: every device-to-cloud message the hub acknowledged, in the order of arrival.
//
// Owns tables `event` and `log_state`. Offsets are global, start at 1, grow by one and are never reused, also
// across restarts and after everything was dropped; inside the log they have no holes. Readers keep their own
// position: reading removes nothing.
//
// Bounded by a retention in bytes and in age. Policy when over: dropOldest, counted per reason in `log_state`
// (`bytes_limit`, `age_limit`) and so over restarts. The byte limit is kept in the very transaction that appends.
//
// append() and dropExpired() write; the caller wraps append() in its transaction (ingest.ts) and calls
// `committed()` afterwards, which wakes the readers that follow.

import { strict as assert } from 'node:assert';
import { hubExpireEventsMax, hubReadBytesMax, hubReadEventsMax, hubScanEventsMax } from '../limits.ts';
import type { Identity } from '../model/address.ts';
import type { Message } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import { type HubDatabase, textsColumn } from './database.ts';
import { invalidArgument } from './errors.ts';
import { Notices, type NoticesOptions } from './notices.ts';

export interface LoggedEvent {
  readonly offset: number;
  readonly sender: Identity;
  readonly output: string | undefined;
  readonly enqueuedMs: number;
  readonly system: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface EventLogOptions {
  readonly retentionBytes: number;
  readonly retentionMs: number;
  /** What the hub itself tells in the log, besides telemetry; nothing when absent. */
  readonly notices?: NoticesOptions | undefined;
}

export interface EventLogFacts {
  readonly events: number;
  readonly bytes: number;
  /** The oldest offset that can be read; equal to nextOffset when the log is empty. */
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly dropped: { readonly bytes_limit: number; readonly age_limit: number };
  /** Messages acknowledged but not logged, because they had been before. */
  readonly repeated: number;
}

interface EventRow {
  readonly offset: number;
  readonly device: string;
  readonly module: string | null;
  readonly output: string | null;
  readonly enqueued_ms: number;
  readonly system: string;
  readonly properties: string;
  readonly body: Buffer;
  readonly bytes: number;
}

type FrontRow = Pick<EventRow, 'offset' | 'bytes' | 'enqueued_ms'>;

interface StateRow {
  readonly bytes: number;
  readonly events: number;
  readonly dropped_bytes_limit: number;
  readonly dropped_age_limit: number;
  readonly repeated: number;
}

/** What a row costs beside its texts and body: ids, numbers, index entry. */
const rowOverheadBytes = 64;

const insertSql =
  'INSERT INTO event (device, module, output, enqueued_ms, system, properties, body, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)';

export class EventLog {
  readonly #database: HubDatabase;
  readonly #clock: Clock;
  readonly #options: EventLogOptions;
  readonly #followers = new Set<() => void>();
  readonly notices: Notices;

  constructor(ports: { readonly database: HubDatabase; readonly clock: Clock }, options: EventLogOptions) {
    this.#database = ports.database;
    this.#clock = ports.clock;
    this.#options = options;
    this.notices = new Notices({ ...ports, eventLog: this }, options.notices ?? { hubName: '', kinds: [] });
  }

  /** Adds messages and makes room for them. Inside the caller's transaction; `repeated` are only counted. */
  append(messages: readonly Message[], { repeated }: { readonly repeated: number }): void {
    assert(this.#database.inTransaction, 'the event log is appended to inside a transaction');
    let added = 0;
    for (const message of messages) {
      const system = JSON.stringify(message.system);
      const properties = JSON.stringify(message.properties);
      const bytes =
        message.body.byteLength + Buffer.byteLength(system) + Buffer.byteLength(properties) + rowOverheadBytes;
      const { deviceId, moduleId } = message.sender;
      this.#database.run(
        insertSql,
        deviceId,
        moduleId ?? null,
        message.output ?? null,
        message.enqueuedMs,
        system,
        properties,
        message.body,
        bytes,
      );
      added += bytes;
    }
    this.#database.run(
      'UPDATE log_state SET bytes = bytes + ?, events = events + ?, repeated = repeated + ?',
      added,
      messages.length,
      repeated,
    );
    this.#keepBytesLimit();
  }

  /** The transaction that appended is on disk: wakes the followers. */
  committed(): void {
    for (const wake of [...this.#followers]) wake();
  }

  /** Drops events over the age limit, a bounded number; true when there may be more. None by a clock that nobody vouches for. */
  dropExpired(): boolean {
    if (!this.#clock.wallTrusted()) return false;
    const nowMs = this.#clock.wallMs();
    const before = nowMs - this.#options.retentionMs;
    return this.#database.transaction(() => {
      // Only the front of the log goes: an offset older than a younger one stays until that one goes too.
      const rows = this.#database.all<FrontRow>(
        'SELECT "offset", bytes, enqueued_ms FROM event ORDER BY "offset" LIMIT ?',
        hubExpireEventsMax,
      );
      const young = rows.findIndex((row) => row.enqueued_ms >= before && row.enqueued_ms <= nowMs);
      const last = young === -1 ? this.#lastExpired(rows, before) : lastBefore(rows.slice(0, young), before);
      const expired = rows.filter(({ offset }) => offset <= last);
      this.#dropFront(expired, 'dropped_age_limit');
      return expired.length === hubExpireEventsMax;
    });
  }

  /**
   * The last that has expired, at a front of which none is young. Events dated ahead of now were logged while this clock
   * was wrong: they are older than whatever lies behind them, and must not keep that.
   */
  #lastExpired(front: readonly FrontRow[], before: number): number {
    if ((front.at(-1)?.enqueued_ms ?? 0) < before) return front.at(-1)?.offset ?? 0;
    const row = this.#database.get<{ readonly last: number | null }>(
      'SELECT max("offset") AS last FROM event WHERE enqueued_ms < ?',
      before,
    );
    return row?.last ?? 0;
  }

  /**
   * Events after `afterOffset`, oldest first, bounded in number and bytes; `scannedTo` is where to go on. Nothing
   * found and `scannedTo` unmoved means: the end. With `deviceId` only that device's; a step without a hit still moves on.
   */
  read({ afterOffset, deviceId }: { readonly afterOffset: number; readonly deviceId?: string | undefined }): {
    readonly events: readonly LoggedEvent[];
    readonly scannedTo: number;
  } {
    const { firstOffset, nextOffset } = this.#bounds();
    const after = Math.max(afterOffset, firstOffset - 1);
    const scanEnd = Math.min(nextOffset - 1, after + hubScanEventsMax);
    if (scanEnd <= after) return { events: [], scannedTo: afterOffset };
    const events: LoggedEvent[] = [];
    let bytes = 0;
    for (const row of this.#rows({ after, scanEnd, deviceId })) {
      bytes += row.bytes;
      if (events.length === hubReadEventsMax || (events.length > 0 && bytes > hubReadBytesMax)) {
        return { events, scannedTo: events.at(-1)?.offset ?? after };
      }
      events.push(toEvent(row));
    }
    return { events, scannedTo: scanEnd };
  }

  /**
   * The offset to read after, for a reader's `from`: `earliest`, `latest` (only what comes), an offset (inclusive)
   * or an ISO 8601 time (the first event accepted then or later). Throws HUB_ARGUMENT_INVALID.
   */
  positionOf(from: string): number {
    const { firstOffset, nextOffset } = this.#bounds();
    if (from === 'earliest') return firstOffset - 1;
    if (from === 'latest') return nextOffset - 1;
    if (/^\d{1,15}$/.test(from)) return Math.max(0, Number(from) - 1);
    const timeMs = /^\d{4}-\d{2}-\d{2}/.test(from) ? Date.parse(from) : Number.NaN;
    if (Number.isNaN(timeMs)) {
      throw invalidArgument(
        `from=${from} is no place in the log: use earliest, latest, an offset such as 1200, or a time such as 2026-05-01T08:00:00Z.`,
      );
    }
    const row = this.#database.get<{ readonly offset: number }>(
      'SELECT "offset" FROM event WHERE enqueued_ms >= ? ORDER BY enqueued_ms, "offset" LIMIT 1',
      timeMs,
    );
    return row === undefined ? nextOffset - 1 : row.offset - 1;
  }

  /** Calls `wake` after every commit that added events; returns how to stop. */
  onCommitted(wake: () => void): () => void {
    this.#followers.add(wake);
    return () => void this.#followers.delete(wake);
  }

  facts(): EventLogFacts {
    const state = this.#state();
    return {
      events: state.events,
      bytes: state.bytes,
      ...this.#bounds(),
      dropped: { bytes_limit: state.dropped_bytes_limit, age_limit: state.dropped_age_limit },
      repeated: state.repeated,
    };
  }

  #rows({
    after,
    scanEnd,
    deviceId,
  }: {
    readonly after: number;
    readonly scanEnd: number;
    readonly deviceId: string | undefined;
  }): IterableIterator<EventRow> {
    if (deviceId === undefined) {
      return this.#database.iterate<EventRow>(
        'SELECT * FROM event WHERE "offset" > ? AND "offset" <= ? ORDER BY "offset"',
        after,
        scanEnd,
      );
    }
    return this.#database.iterate<EventRow>(
      'SELECT * FROM event WHERE "offset" > ? AND "offset" <= ? AND device = ? ORDER BY "offset"',
      after,
      scanEnd,
      deviceId,
    );
  }

  #keepBytesLimit(): void {
    let over = this.#state().bytes - this.#options.retentionBytes;
    while (over > 0) {
      const rows = this.#database.all<Pick<EventRow, 'offset' | 'bytes'>>(
        'SELECT "offset", bytes FROM event ORDER BY "offset" LIMIT ?',
        hubExpireEventsMax,
      );
      if (rows.length === 0) return;
      let count = 0;
      while (count < rows.length && over > 0) {
        over -= rows[count]?.bytes ?? 0;
        count += 1;
      }
      this.#dropFront(rows.slice(0, count), 'dropped_bytes_limit');
    }
  }

  #dropFront(
    rows: readonly Pick<EventRow, 'offset' | 'bytes'>[],
    reason: 'dropped_bytes_limit' | 'dropped_age_limit',
  ): void {
    const last = rows.at(-1);
    if (last === undefined) return;
    const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
    this.#database.run('DELETE FROM event WHERE "offset" <= ?', last.offset);
    this.#database.run(
      `UPDATE log_state SET bytes = bytes - ?, events = events - ?, ${reason} = ${reason} + ?`,
      bytes,
      rows.length,
      rows.length,
    );
  }

  #bounds(): { readonly firstOffset: number; readonly nextOffset: number } {
    const row = this.#database.get<{ readonly first: number | null }>('SELECT min("offset") AS first FROM event');
    const last =
      this.#database.get<{ readonly seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?.seq ?? 0;
    return { firstOffset: row?.first ?? last + 1, nextOffset: last + 1 };
  }

  #state(): StateRow {
    const state = this.#database.get<StateRow>('SELECT * FROM log_state');
    assert(state !== undefined, 'log_state has its one row from the first migration on');
    return state;
  }
}

function lastBefore(rows: readonly FrontRow[], timeMs: number): number {
  return rows.findLast((row) => row.enqueued_ms < timeMs)?.offset ?? 0;
}

function toEvent(row: EventRow): LoggedEvent {
  return {
    offset: row.offset,
    sender: row.module === null ? { deviceId: row.device } : { deviceId: row.device, moduleId: row.module },
    output: row.output ?? undefined,
    enqueuedMs: row.enqueued_ms,
    system: textsColumn(row.system),
    properties: textsColumn(row.properties),
    body: row.body,
  };
}
