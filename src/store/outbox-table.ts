// The outbox: messages accepted on this device and not yet accepted by their destination.
//
// Owns the rows of `outbox`, `queue` and `dropped`, and a copy in memory of the last two, so that an append reads
// nothing. Does not know what a queue leads to, who reads it or how to send. Runs on the store thread, inside
// transactions that engine.ts opens; after one that failed, engine.ts calls load() and the copy is true again.
//
// Invariants
//   Offsets of a queue start at 1, grow by one and are never used twice, also across restarts and also when the
//   queue has run empty.
//   remove() takes rows up to an offset that was confirmed; nothing else takes rows except expiry, the quota and
//   a checksum that does not fit, and those are counted by reason in the same transaction.
//   `messages` and `bytes` of a queue are the exact sums of its rows. Where that turns out untrue the file is
//   damaged, not the program: DamagedFile is thrown, because an assertion would fail again at every start.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { storeOffsetMax, storeQueuesMax, storeScanRowsMax } from '../limits.ts';
import type { SqliteDatabase, SqliteRow, SqliteStatement } from '../platform/sqlite.ts';
import { checksum } from './checksum.ts';
import { DamagedFile } from './errors.ts';
import { readEnqueuedMs } from './record.ts';
import type { Drop, DropReason, QueueFacts, ReadSpec } from './thread-protocol.ts';

/** Key, expiry, checksum and the page's own accounting, about; counted so that a quota of small messages is honest. */
export const rowOverheadBytes = 24;

const keysPerQueue = storeOffsetMax + 1;
/** Rows taken at a time when room has to be made. */
const dropRows = 256;

interface Queue {
  readonly id: number;
  readonly name: string;
  offsetNext: number;
  messages: number;
  bytes: number;
  readonly dropped: Map<DropReason, number>;
}

export interface StoredRow {
  readonly offset: number;
  readonly record: Buffer;
}

export interface ReadRows {
  readonly rows: readonly StoredRow[];
  readonly bytes: number;
  /** Keys of rows met on the way that must go, by reason. */
  readonly gone: ReadonlyMap<DropReason, readonly number[]>;
  /** The walk ended at its own limit, not at the end of the queue. */
  readonly cut: boolean;
}

export class OutboxTable {
  readonly #database: SqliteDatabase;
  readonly #byName = new Map<string, Queue>();
  readonly #byId = new Map<number, Queue>();
  readonly #changed = new Set<Queue>();
  readonly #drops = new Map<Queue, Map<DropReason, number>>();
  readonly #statements: ReturnType<typeof prepareStatements>;
  #sweepAfterKey = 0;
  #bytes = 0;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  /** Makes the copy in memory the truth of the file. */
  load(): void {
    this.#byName.clear();
    this.#byId.clear();
    this.#changed.clear();
    this.#drops.clear();
    this.#bytes = 0;
    for (const row of this.#database.prepare('SELECT id, name, offset_next, messages, bytes FROM queue').all()) {
      const queue = queueOf(row);
      const last = this.#statements.last.get(...rangeOf(queue));
      if (last !== undefined && Number(last['key']) >= queue.id * keysPerQueue + queue.offsetNext)
        throw new DamagedFile(`queue ${queue.name} would give out offset ${queue.offsetNext} twice`);
      this.#remember(queue);
      this.#bytes += queue.bytes;
    }
    for (const row of this.#database.prepare('SELECT queue_id, reason, messages FROM dropped').all()) {
      this.#byId
        .get(Number(row['queue_id']))
        ?.dropped.set(String(row['reason']) as DropReason, Number(row['messages']));
    }
  }

  /** Bytes of all queues. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True when each of the queues exists or may be created. */
  admits(names: readonly string[]): boolean {
    const fresh = new Set(names.filter((name) => !this.#byName.has(name)));
    return this.#byName.size + fresh.size <= storeQueuesMax;
  }

  append(name: string, record: Buffer, expiresMs: number | undefined): void {
    const queue = this.#byName.get(name) ?? this.#create(name);
    const offset = queue.offsetNext++;
    assert(offset <= storeOffsetMax, `queue ${name} has used up its offsets`);
    this.#statements.insert.run(queue.id * keysPerQueue + offset, expiresMs ?? null, checksum(record), record);
    this.#account(queue, 1, record.byteLength + rowOverheadBytes);
  }

  /** Removes everything up to `offset`: it has arrived. */
  remove(name: string, offset: number): void {
    const queue = this.#byName.get(name);
    if (queue === undefined) return;
    // What was never given out cannot have arrived: a wrong caller loses nothing of the future.
    const last = Math.min(offset, queue.offsetNext - 1);
    const range = [queue.id * keysPerQueue, queue.id * keysPerQueue + last] as const;
    const sums = this.#statements.sumRange.get(...range);
    this.#statements.deleteRange.run(...range);
    this.#account(queue, -Number(sums?.['messages'] ?? 0), -Number(sums?.['bytes'] ?? 0));
  }

  /** Rows after an offset, oldest first, within the limits; at least one, however large, when there is any. */
  read({ queue: name, afterOffset, messagesMax, bytesMax, nowMs }: ReadSpec): ReadRows {
    const queue = this.#byName.get(name);
    const rows: StoredRow[] = [];
    const gone = new Map<DropReason, number[]>();
    let bytes = 0;
    let seen = 0;
    if (queue === undefined || queue.messages === 0) return { rows, bytes, gone, cut: false };
    const [start, end] = rangeOf(queue);
    for (const row of this.#statements.walk.iterate(start + afterOffset + 1, end)) {
      seen++;
      const key = Number(row['key']);
      const record = blobOf(row);
      const reason = reasonToDrop(row, record, nowMs);
      if (reason !== undefined) {
        gone.set(reason, [...(gone.get(reason) ?? []), key]);
        continue;
      }
      if (rows.length > 0 && bytes + record.byteLength > bytesMax) break;
      rows.push({ offset: key - start, record });
      bytes += record.byteLength;
      if (rows.length >= messagesMax) break;
    }
    return { rows, bytes, gone, cut: seen >= storeScanRowsMax };
  }

  /** Removes single rows and counts them as lost. */
  drop(keys: readonly number[], reason: DropReason): void {
    for (const key of keys) {
      const queue = this.#byId.get(Math.floor(key / keysPerQueue));
      const row = this.#statements.sizeOf.get(key);
      if (queue === undefined || row === undefined) continue;
      this.#statements.deleteOne.run(key);
      this.#account(queue, -1, -Number(row['bytes']));
      this.#count(queue, reason, 1);
    }
  }

  /** Removes expired rows among the next few thousand of the outbox; further calls go on where this one ended. True when any went. */
  sweep(nowMs: number): boolean {
    const rows = this.#statements.expiryWalk.all(this.#sweepAfterKey);
    this.#sweepAfterKey = rows.length < storeScanRowsMax ? 0 : Number(rows.at(-1)?.['key']);
    const expired = rows.filter((row) => isExpired(row, nowMs)).map((row) => Number(row['key']));
    this.drop(expired, 'ttl_expiry');
    return expired.length > 0;
  }

  /** Makes room: what has expired first, then the oldest of the largest queue, until at most `quotaBytes` remain. */
  enforceQuota(quotaBytes: number, nowMs: number): void {
    if (this.#bytes <= quotaBytes) return;
    for (const queue of this.#byName.values()) this.#dropExpiredHead(queue, nowMs);
    if (this.#bytes > quotaBytes) this.sweep(nowMs);
    while (this.#bytes > quotaBytes) {
      const largest = [...this.#byName.values()].reduce((a, b) => (b.bytes > a.bytes ? b : a));
      const excess = this.#bytes - quotaBytes;
      const keys: number[] = [];
      let bytes = 0;
      for (const row of this.#head(largest)) {
        if (bytes >= excess) break;
        keys.push(Number(row['key']));
        bytes += Number(row['bytes']);
      }
      if (keys.length === 0)
        throw new DamagedFile(`queue ${largest.name} counts ${largest.bytes} bytes and has no rows`);
      this.drop(keys, 'quota');
    }
  }

  /** Writes the changed sums. Belongs at the end of every transaction that called anything above. */
  flush(): void {
    for (const queue of this.#changed) {
      this.#statements.saveQueue.run(queue.id, queue.name, queue.offsetNext, queue.messages, queue.bytes);
    }
    for (const [queue, reasons] of this.#drops) {
      for (const reason of reasons.keys()) {
        this.#statements.saveDropped.run(queue.id, reason, queue.dropped.get(reason) ?? 0);
      }
    }
    this.#changed.clear();
  }

  /** What was dropped since the last call. */
  takeDrops(): readonly Drop[] {
    const taken = [...this.#drops].flatMap(([queue, reasons]) =>
      [...reasons].map(([reason, messages]) => ({ queue: queue.name, reason, messages })),
    );
    this.#drops.clear();
    return taken;
  }

  facts(): readonly QueueFacts[] {
    return [...this.#byName.values()].map((queue) => {
      const oldest = queue.messages === 0 ? undefined : this.#statements.oldest.get(...rangeOf(queue));
      return {
        queue: queue.name,
        messages: queue.messages,
        bytes: queue.bytes,
        oldestEnqueuedMs: oldest === undefined ? undefined : enqueuedMsOf(oldest),
        dropped: Object.fromEntries(queue.dropped),
      };
    });
  }

  #dropExpiredHead(queue: Queue, nowMs: number): void {
    for (;;) {
      const head = this.#head(queue);
      const alive = head.findIndex((row) => !isExpired(row, nowMs));
      const expired = alive === -1 ? head : head.slice(0, alive);
      this.drop(
        expired.map((row) => Number(row['key'])),
        'ttl_expiry',
      );
      if (expired.length < dropRows) return;
    }
  }

  #head(queue: Queue): readonly SqliteRow[] {
    return this.#statements.head.all(...rangeOf(queue));
  }

  #create(name: string): Queue {
    let id = 1;
    while (this.#byId.has(id)) id++;
    assert(id <= storeQueuesMax, 'admits() was not asked');
    const queue: Queue = { id, name, offsetNext: 1, messages: 0, bytes: 0, dropped: new Map() };
    this.#remember(queue);
    return queue;
  }

  #remember(queue: Queue): void {
    this.#byName.set(queue.name, queue);
    this.#byId.set(queue.id, queue);
  }

  #account(queue: Queue, messages: number, bytes: number): void {
    queue.messages += messages;
    queue.bytes += bytes;
    this.#bytes += bytes;
    this.#changed.add(queue);
    if (queue.messages < 0 || queue.bytes < 0 || (queue.messages === 0 && queue.bytes !== 0))
      throw new DamagedFile(`queue ${queue.name} counts ${queue.messages} messages and ${queue.bytes} bytes`);
  }

  #count(queue: Queue, reason: DropReason, messages: number): void {
    queue.dropped.set(reason, (queue.dropped.get(reason) ?? 0) + messages);
    const reasons = this.#drops.get(queue) ?? new Map<DropReason, number>();
    reasons.set(reason, (reasons.get(reason) ?? 0) + messages);
    this.#drops.set(queue, reasons);
  }
}

function prepareStatements(
  database: SqliteDatabase,
): Record<
  | 'insert'
  | 'sumRange'
  | 'deleteRange'
  | 'walk'
  | 'sizeOf'
  | 'deleteOne'
  | 'head'
  | 'expiryWalk'
  | 'oldest'
  | 'last'
  | 'saveQueue'
  | 'saveDropped',
  SqliteStatement
> {
  const size = `length(record) + ${rowOverheadBytes}`;
  const range = 'key BETWEEN ? AND ?';
  return {
    insert: database.prepare('INSERT INTO outbox (key, expires_ms, checksum, record) VALUES (?, ?, ?, ?)'),
    sumRange: database.prepare(
      `SELECT count(*) AS messages, coalesce(sum(${size}), 0) AS bytes FROM outbox WHERE ${range}`,
    ),
    deleteRange: database.prepare(`DELETE FROM outbox WHERE ${range}`),
    walk: database.prepare(
      `SELECT key, expires_ms, checksum, record FROM outbox WHERE ${range} ORDER BY key LIMIT ${storeScanRowsMax}`,
    ),
    sizeOf: database.prepare(`SELECT ${size} AS bytes FROM outbox WHERE key = ?`),
    deleteOne: database.prepare('DELETE FROM outbox WHERE key = ?'),
    head: database.prepare(
      `SELECT key, expires_ms, ${size} AS bytes FROM outbox WHERE ${range} ORDER BY key LIMIT ${dropRows}`,
    ),
    expiryWalk: database.prepare(
      `SELECT key, expires_ms FROM outbox WHERE key > ? ORDER BY key LIMIT ${storeScanRowsMax}`,
    ),
    oldest: database.prepare(`SELECT record FROM outbox WHERE ${range} ORDER BY key LIMIT 1`),
    last: database.prepare(`SELECT key FROM outbox WHERE ${range} ORDER BY key DESC LIMIT 1`),
    saveQueue: database.prepare(
      'INSERT INTO queue (id, name, offset_next, messages, bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET offset_next = excluded.offset_next, messages = excluded.messages, bytes = excluded.bytes',
    ),
    saveDropped: database.prepare(
      'INSERT INTO dropped (queue_id, reason, messages) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET messages = excluded.messages',
    ),
  };
}

/** The keys a queue's rows have. */
function rangeOf(queue: Queue): readonly [number, number] {
  return [queue.id * keysPerQueue, (queue.id + 1) * keysPerQueue - 1];
}

function queueOf(row: SqliteRow): Queue {
  const [id, offsetNext] = [Number(row['id']), Number(row['offset_next'])];
  const [messages, bytes] = [Number(row['messages']), Number(row['bytes'])];
  const name = String(row['name']);
  if (id < 1 || id > storeQueuesMax || offsetNext < 1 || messages < 0 || bytes < 0)
    throw new DamagedFile(`the row of queue ${id} (${name}) makes no sense`);
  return { id, name, offsetNext, messages, bytes, dropped: new Map() };
}

function reasonToDrop(row: SqliteRow, record: Buffer, nowMs: number): DropReason | undefined {
  if (isExpired(row, nowMs)) return 'ttl_expiry';
  return checksum(record) === Number(row['checksum']) ? undefined : 'damaged';
}

function isExpired(row: SqliteRow, nowMs: number): boolean {
  const expiresMs = row['expires_ms'];
  return typeof expiresMs === 'number' && expiresMs <= nowMs;
}

function blobOf(row: SqliteRow): Buffer {
  const blob = row['record'];
  assert(Buffer.isBuffer(blob), 'a STRICT table holds blobs where it says so');
  return blob;
}

/** A damaged record must not spoil the figures of its queue: it will be counted when it is read. */
function enqueuedMsOf(row: SqliteRow): number | undefined {
  try {
    return readEnqueuedMs(blobOf(row));
  } catch {
    return undefined;
  }
}
