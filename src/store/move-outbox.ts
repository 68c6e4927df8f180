// The outbox that was four tables of the database moves into the log, once, when an older file is opened.
//
// Owns what the old rows mean. Runs before the step that drops those tables (migrations.ts); nothing is deleted
// here. Each call begins with a fresh log and the old epoch, so it may be killed at any instant and repeated: what
// a half-done move left behind is removed by the next one.
//
//   queue     name, offset_next             ─► lane (name, no priority), next offset; its stream is the old epoch,
//   dropped   reason, messages              ─► its counters                  so that the hub goes on recognising
//   position  stream, sequence, touched     ─► positions, least recently used first               repetitions
//   outbox    key = queue id × 2^43 + offset, expires_ms, checksum, record ─► the record at its old offset
//
// A record whose checksum does not fit is left out and counted (`damaged`). Where the disk has no room for a second
// copy of a backlog, the oldest messages of each queue are left out and counted (`quota`).
// A time to live counts from now on with what is left of it. With a clock that nobody vouches for that is
// unknown, and the message gets its whole time again.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { type Lane, priorityUnset } from '../model/lane.ts';
import type { TimeStamp } from '../model/time-stamp.ts';
import type { SqliteDatabase, SqliteRow } from '../platform/sqlite.ts';
import { ByteWriter } from './byte-buffer.ts';
import { checksum } from './checksum.ts';
import { DamagedFile } from './errors.ts';
import type { Outbox, OutboxOpened, OutboxSeed } from './outbox/index.ts';
import { readRecord, writeRecord } from './record.ts';
import { type DropReason, dropReasons, outcome } from './thread-protocol.ts';

const keysPerQueue = 2 ** 43;
/** What a queue's sum of bytes has for each row besides its record. */
const oldRowOverheadBytes = 24;
/** Rows taken, and committed, at a time. */
const moveRows = 128;
const placeholderBytes = 64;

interface OldQueue {
  readonly id: number;
  readonly lane: Lane;
  readonly offsetNext: number;
  readonly bytes: number;
  readonly dropped: Map<DropReason, number>;
  /** Offsets of the messages that move; undefined when none does. */
  first: number | undefined;
  /** Messages behind the last that moves are gone: their offsets must not be given out again. */
  hasHole: boolean;
}

interface OldPlace {
  readonly queue: OldQueue;
  readonly offset: number;
}

export interface MovePorts {
  readonly database: SqliteDatabase;
  readonly outbox: Outbox;
  readonly stamp: TimeStamp;
  /** What a copy of the backlog may take of the disk; undefined: whatever it needs. */
  readonly roomBytes: number | undefined;
}

/** Fills a fresh outbox with what the tables hold. Throws OutboxFault, or what SQLite throws. */
export function moveOutbox(ports: MovePorts): OutboxOpened {
  const { database, outbox, stamp } = ports;
  const queues = readQueues(database);
  findEnds(database, queues);
  leaveOut(database, queues, ports.roomBytes);
  const opened = outbox.startAfresh(seedOf(database, queues), stamp);
  const damaged = moveRowsOf(ports, queues);
  if (damaged.length === 0) return opened;
  // Damaged rows belong into the counters an outbox begins with, and were not known then: once more. The last of a
  // queue leaves a hole: it may have arrived before it was damaged, and the receiver knows its offset.
  for (const { queue, offset } of damaged) {
    add(queue, 'damaged', 1);
    if (offset === queue.offsetNext - 1) queue.hasHole = true;
  }
  const again = outbox.startAfresh(seedOf(database, queues), stamp);
  moveRowsOf(ports, queues);
  return again;
}

function readQueues(database: SqliteDatabase): ReadonlyMap<number, OldQueue> {
  const queues = new Map<number, OldQueue>();
  for (const row of database.prepare('SELECT id, name, offset_next, bytes FROM queue ORDER BY id').all()) {
    const [id, offsetNext] = [Number(row['id']), Number(row['offset_next'])];
    const lane = { queue: String(row['name']), priority: priorityUnset, live: false };
    if (offsetNext < 1) throw new DamagedFile(`the row of queue ${id} (${lane.queue}) makes no sense`);
    queues.set(id, {
      id,
      lane,
      offsetNext,
      bytes: Number(row['bytes']),
      dropped: new Map(),
      first: undefined,
      hasHole: false,
    });
  }
  for (const row of database.prepare('SELECT queue_id, reason, messages FROM dropped').all()) {
    const reason = dropReasons.find((known) => known === row['reason']);
    if (reason !== undefined) queues.get(Number(row['queue_id']))?.dropped.set(reason, Number(row['messages']));
  }
  return queues;
}

function findEnds(database: SqliteDatabase, queues: ReadonlyMap<number, OldQueue>): void {
  const ends = database.prepare('SELECT min(key) AS first, max(key) AS last FROM outbox WHERE key BETWEEN ? AND ?');
  for (const queue of queues.values()) {
    const base = queue.id * keysPerQueue;
    const row = ends.get(base, base + keysPerQueue - 1);
    if (typeof row?.['first'] !== 'number' || typeof row['last'] !== 'number') continue;
    queue.first = row['first'] - base;
    const last = row['last'] - base;
    queue.hasHole = last < queue.offsetNext - 1;
    if (last >= queue.offsetNext)
      throw new DamagedFile(`queue ${queue.lane.queue} would give out offset ${queue.offsetNext} twice`);
  }
}

/** Each queue keeps its newest messages, as many as its share of the room takes. */
function leaveOut(
  database: SqliteDatabase,
  queues: ReadonlyMap<number, OldQueue>,
  roomBytes: number | undefined,
): void {
  const total = [...queues.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  if (roomBytes === undefined || total <= roomBytes) return;
  const sizes = database.prepare(
    'SELECT key, length(record) AS bytes FROM outbox WHERE key BETWEEN ? AND ? ORDER BY key DESC',
  );
  const count = database.prepare('SELECT count(*) AS messages FROM outbox WHERE key BETWEEN ? AND ?');
  for (const queue of queues.values()) {
    const base = queue.id * keysPerQueue;
    let left = (roomBytes * queue.bytes) / total;
    let first: number | undefined;
    for (const row of sizes.iterate(base, base + keysPerQueue - 1)) {
      left -= Number(row['bytes']) + oldRowOverheadBytes;
      if (left < 0) break;
      first = Number(row['key']) - base;
    }
    if (first === queue.first) continue;
    add(queue, 'quota', Number(count.get(base, base + (first ?? queue.offsetNext) - 1)?.['messages'] ?? 0));
    queue.first = first;
    if (first === undefined) queue.hasHole = false;
  }
}

function seedOf(database: SqliteDatabase, queues: ReadonlyMap<number, OldQueue>): OutboxSeed {
  const epoch = database.prepare("SELECT value FROM meta WHERE key = 'epoch'").get();
  if (epoch === undefined) throw new DamagedFile('the store has no epoch');
  const stream = String(epoch['value']);
  const positions = database.prepare('SELECT stream, sequence FROM position ORDER BY touched').all();
  return {
    epoch: stream,
    lanes: [...queues.values()].map(({ lane, offsetNext, dropped, first, hasHole }) => ({
      lane,
      stream,
      offsetNext: first ?? offsetNext,
      dropped: Object.fromEntries(hasHole ? withoutPlaceholder(dropped) : dropped),
    })),
    positions: positions.map((row) => ({ stream: String(row['stream']), sequence: Number(row['sequence']) })),
  };
}

/** Answers the place of each row that was damaged. */
function moveRowsOf(
  { database, outbox, stamp }: MovePorts,
  queues: ReadonlyMap<number, OldQueue>,
): readonly OldPlace[] {
  const page = database.prepare(
    `SELECT key, expires_ms, checksum, record FROM outbox WHERE key > ? ORDER BY key LIMIT ${moveRows}`,
  );
  const damaged: OldPlace[] = [];
  for (let afterKey = 0; ; ) {
    const rows = page.all(afterKey);
    const last = rows.at(-1);
    if (last === undefined) break;
    afterKey = Number(last['key']);
    for (const row of rows) {
      const queue = queues.get(Math.floor(Number(row['key']) / keysPerQueue));
      const offset = Number(row['key']) % keysPerQueue;
      if (queue?.first === undefined || offset < queue.first) continue;
      if (!moveRow({ outbox, stamp }, { row, queue, offset })) damaged.push({ queue, offset });
    }
    outbox.commit(stamp);
  }
  for (const queue of queues.values()) if (queue.hasHole) placeholder(outbox, queue);
  outbox.commit(stamp);
  return damaged;
}

/**
 * A message that is dropped at once takes the last offset that was given out. The receiver may know that offset: of
 * a message that arrived, was not acknowledged, and expired here.
 */
function placeholder(outbox: Outbox, { lane, offsetNext }: OldQueue): void {
  const writer = new ByteWriter(placeholderBytes);
  const nothing = { sender: { deviceId: '' }, system: {}, properties: {}, body: Buffer.alloc(0), enqueuedMs: 0 };
  const length = writeRecord(writer, nothing, 0);
  const record = Buffer.from(writer.release(), 0, length);
  outbox.append({ targets: [{ lane, timeToLiveMs: 0, offset: offsetNext - 1 }], record, hop: undefined });
}

/** Its drop was counted when the message was dropped whose place it takes. */
function withoutPlaceholder(dropped: ReadonlyMap<DropReason, number>): ReadonlyMap<DropReason, number> {
  const expired = dropped.get('ttl_expiry') ?? 0;
  return expired === 0 ? dropped : new Map(dropped).set('ttl_expiry', expired - 1);
}

/** False when the row is damaged. */
function moveRow(
  { outbox, stamp }: { readonly outbox: Outbox; readonly stamp: TimeStamp },
  { row, queue, offset }: { readonly row: SqliteRow; readonly queue: OldQueue; readonly offset: number },
): boolean {
  const record = row['record'];
  assert(Buffer.isBuffer(record), 'a STRICT table holds blobs where it says so');
  if (checksum(record) !== Number(row['checksum'])) return false;
  const expiresMs = row['expires_ms'];
  const timeToLiveMs = typeof expiresMs === 'number' ? leftToLive(expiresMs, record, stamp) : undefined;
  const target = { lane: queue.lane, timeToLiveMs, offset };
  const became = outbox.append({ targets: [target], record, hop: undefined });
  assert(became === outcome.stored, 'an outbox with these lanes takes their messages');
  return true;
}

function leftToLive(expiresMs: number, record: Buffer, stamp: TimeStamp): number {
  const sinceMs = stamp.trusted ? stamp.wallMs : (enqueuedMsOf(record) ?? expiresMs - 1);
  return Math.max(1, expiresMs - sinceMs);
}

function enqueuedMsOf(record: Buffer): number | undefined {
  try {
    return readRecord(record).enqueuedMs;
  } catch {
    // Its checksum fits: whoever reads it will say what is wrong with it.
    return undefined;
  }
}

function add({ dropped }: OldQueue, reason: DropReason, messages: number): void {
  if (messages > 0) dropped.set(reason, (dropped.get(reason) ?? 0) + messages);
}
