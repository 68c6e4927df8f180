// Files of schema 1 and 2, made with the SQL of those versions, opened by this one: their messages move into the log.

import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { type Lane, priorityUnset } from '../../src/model/lane.ts';
import type { TimeStamp } from '../../src/model/time-stamp.ts';
import type { FileSystemSpace } from '../../src/platform/file-system.ts';
import { type LogFiles, systemLogFiles } from '../../src/platform/log-files.ts';
import { type Sqlite, type SqliteDatabase, systemSqlite } from '../../src/platform/sqlite.ts';
import { ByteReader } from '../../src/store/byte-buffer.ts';
import { checksum } from '../../src/store/checksum.ts';
import { CommitBatch } from '../../src/store/commit-batch.ts';
import { Engine } from '../../src/store/engine.ts';
import { schemaVersion } from '../../src/store/migrations.ts';
import { readRecord } from '../../src/store/record.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { storeSchemas } from '../support/store-schemas.ts';

const epoch = '0123456789abcdef';
const keysPerQueue = 2 ** 43;
const bornMs = Date.UTC(2026, 0, 1);
const stamp: TimeStamp = { wallMs: bornMs + 100_000, monotonicMs: 5000, bootId: 'boot-1', trusted: true };
const upstream: Lane = { queue: '$upstream', priority: priorityUnset, live: false };
const input: Lane = { queue: 'filter/inputs/in', priority: priorityUnset, live: false };

/** A record as those versions wrote it. */
function oldRecord(sequence: number, bodyBytes: number): Buffer {
  const head = Buffer.alloc(2 + 8);
  head[0] = 1;
  head.writeDoubleLE(bornMs + sequence, 2);
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const properties = Buffer.concat([Buffer.from([0, 1]), text('sequenceNumber'), text(String(sequence))]);
  return Buffer.concat([head, text('gateway'), properties, Buffer.alloc(bodyBytes, sequence)]);
}

interface OldFile {
  readonly version?: 1 | 2;
  readonly messages?: number;
  readonly bodyBytes?: number;
  readonly expiresMs?: (sequence: number) => number | undefined;
  readonly damaged?: readonly number[];
}

/** $upstream holds offsets 11 …, the input every tenth of them from 1; both have lost some before. */
function writeOldFile(directory: string, over: OldFile = {}): void {
  const { version = 2, messages = 400, bodyBytes = 250, damaged = [] } = over;
  mkdirSync(directory, { recursive: true });
  const database = new BetterSqlite(join(directory, 'weir.db'));
  database.pragma('journal_mode = WAL');
  database.exec(storeSchemas[version]);
  database.exec(`
    INSERT INTO meta VALUES ('epoch', '${epoch}');
    INSERT INTO twin VALUES ('gateway', '{}');
    INSERT INTO state VALUES ('deployment', 'kept');
    INSERT INTO dropped VALUES (1, 'quota', 10);
    INSERT INTO position VALUES ('gateway/modbus/s', 77, 1), ('gateway/modbus/old', 5, 0);
  `);
  const insert = database.prepare('INSERT INTO outbox VALUES (?, ?, ?, ?)');
  const bytes = [0, 0];
  database.transaction(() => {
    for (let n = 1; n <= messages; n++) {
      const record = oldRecord(n, bodyBytes);
      const sum = checksum(record) + (damaged.includes(n) ? 1 : 0);
      const expiresMs = over.expiresMs?.(n) ?? null;
      insert.run(1 * keysPerQueue + 10 + n, expiresMs, sum, record);
      bytes[0] = (bytes[0] ?? 0) + record.byteLength + 24;
      if (n % 10 !== 0) continue;
      insert.run(2 * keysPerQueue + n / 10, expiresMs, sum, record);
      bytes[1] = (bytes[1] ?? 0) + record.byteLength + 24;
    }
  })();
  const queue = database.prepare('INSERT INTO queue VALUES (?, ?, ?, ?, ?)');
  queue.run(1, '$upstream', 10 + messages + 1, messages, bytes[0]);
  queue.run(2, 'filter/inputs/in', messages / 10 + 1, messages / 10, bytes[1]);
  queue.run(3, 'empty/inputs/in', 900, 0, 0);
  database.close();
}

interface Machine {
  readonly sqlite: Sqlite;
  readonly files: LogFiles;
  readonly space: () => FileSystemSpace | undefined;
  readonly stamp: TimeStamp;
}

function engineOn(directory: string, over: Partial<Machine> = {}) {
  const { sqlite = systemSqlite(), files = systemLogFiles(), space = () => undefined, stamp: now = stamp } = over;
  const engine = new Engine(
    { sqlite, files, fileSystem: { space }, entropy: seededEntropy(1), onRenewed: () => undefined },
    {
      path: join(directory, 'weir.db'),
      outbox: join(directory, 'outbox'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes: 67_108_864,
      reserveBytes: 0,
      stamp: now,
    },
  );
  const read = (lane: Lane, at = now): { offset: number; sequence: number; stream: string; enqueuedMs: number }[] => {
    const found = [];
    for (let afterOffset = 0; ; ) {
      const result = engine.read({ lane, afterOffset, messagesMax: 100, bytesMax: 1_000_000, stamp: at });
      if (result.count === 0 && !result.more) return found;
      const reader = new ByteReader(Buffer.from(result.bytes, 0, result.byteLength));
      for (let left = result.count; left > 0; left--) {
        afterOffset = reader.float64();
        const shiftMs = reader.float64();
        const message = readRecord(reader.bytes(reader.uint32()), shiftMs);
        const { enqueuedMs } = message;
        found.push({ offset: afterOffset, sequence: sequenceOf(message), stream: result.stream, enqueuedMs });
      }
    }
  };
  return { engine, read };
}

const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Whatever became of the move: afterwards everything is there once, and goes on where it was. */
function checkMoved(t: Test, directory: string, messages = 400): void {
  const { engine, read } = engineOn(directory);
  const opened = engine.open();
  t.equal(opened.epochs.outbox, epoch);
  const found = read(upstream);
  t.same(
    found.map(({ offset }) => offset),
    upTo(10 + messages, 11),
  );
  t.same(
    found.map(({ sequence }) => sequence),
    upTo(messages),
  );
  t.match(found[0], { stream: epoch, enqueuedMs: bornMs + 1 });
  t.same(
    read(input).map(({ offset, sequence }) => [offset, sequence]),
    upTo(messages / 10).map((n) => [n, n * 10]),
  );
  const lanes = engine.lanes(stamp);
  t.match(
    lanes.find(({ queue }) => queue === '$upstream'),
    { dropped: { quota: 10 } },
  );
  t.equal(engine.state('deployment'), 'kept');
  const batch = new CommitBatch();
  const target = (lane: Lane) => [{ ...lane, timeToLiveMs: undefined }];
  const put = (sequence: number, stream: string, lane: Lane): void =>
    batch.append(
      numberedMessage(sequence, { sender: { deviceId: 'gateway', moduleId: 'modbus' }, hop: { stream, sequence } }),
      target(lane),
      { waiter: { resolve: () => undefined, reject: () => undefined }, now: stamp },
    );
  put(77, 's', upstream);
  put(78, 's', upstream);
  put(1, 'new', { ...upstream, queue: 'empty/inputs/in' });
  const { outcomes } = engine.commit(
    batch.seal({ epochs: opened.epochs, stamp, confirms: [], held: [], journal: undefined }),
  );
  t.same([...outcomes], [1, 0, 0], 'positions came along');
  t.equal(read(upstream).at(-1)?.offset, 10 + messages + 1);
  t.equal(read({ ...upstream, queue: 'empty/inputs/in' })[0]?.offset, 900, 'an empty queue goes on counting');
  engine.close();
}

t.test('the messages of a file of schema 1 or 2 are in the log afterwards, at their offsets', async (t: Test) => {
  for (const version of [1, 2] as const) {
    const directory = t.testdir();
    writeOldFile(directory, { version, messages: 5000 });
    const before = statSync(join(directory, 'weir.db')).size;
    checkMoved(t, directory, 5000);
    t.ok(statSync(join(directory, 'weir.db')).size < before / 10, 'the tables gave back their pages');
    const database = new BetterSqlite(join(directory, 'weir.db'));
    t.equal(database.pragma('user_version', { simple: true }), schemaVersion);
    t.same(database.prepare("SELECT name FROM sqlite_schema WHERE name IN ('outbox', 'queue')").all(), []);
    database.close();
  }
});

class Killed extends Error {}

/** Counts what is done to the disk, and lets nothing happen from the n-th on. */
function killer(n: number): { readonly sqlite: Sqlite; readonly files: LogFiles; readonly done: () => boolean } {
  let steps = 0;
  const step = (): void => {
    if (++steps > n) throw new Killed('the process is gone');
  };
  const real = systemSqlite();
  const open: SqliteDatabase[] = [];
  const sqlite: Sqlite = {
    ...real,
    open: (file) => {
      const database = real.open(file);
      open.push(database);
      return {
        ...database,
        exec: (sql) => {
          step();
          database.exec(sql);
        },
        transaction: (work) => {
          step();
          return database.transaction(() => {
            const result = work();
            step();
            return result;
          });
        },
      };
    },
  };
  const files = new Proxy(systemLogFiles(), {
    get: (target, name: keyof LogFiles) => {
      const call = target[name] as (...args: unknown[]) => unknown;
      if (['list', 'size', 'read', 'close'].includes(name)) return call;
      return (...args: unknown[]) => {
        step();
        return call(...args);
      };
    },
  });
  return { sqlite, files, done: () => steps <= n };
}

t.test('killed at any step of the move, the next start does it again, whole', async (t: Test) => {
  const top = t.testdir();
  let kills = 0;
  for (let n = 0; ; n++) {
    const directory = join(top, String(n));
    writeOldFile(directory);
    const { sqlite, files, done } = killer(n);
    try {
      engineOn(directory, { sqlite, files }).engine.open();
    } catch (error) {
      if (!(error instanceof Killed) && !(error as Error).message.includes('the process is gone')) throw error;
    }
    if (done()) break;
    kills++;
    t.test(`killed after ${n} steps`, async (t) => checkMoved(t, directory));
  }
  t.ok(kills > 10, `${kills} steps`);
});

t.test('what is left of a time to live goes on; with a clock nobody vouches for it begins anew', async (t: Test) => {
  const expiresMs = (sequence: number): number | undefined => {
    if (sequence % 2 === 0) return undefined;
    return sequence < 100 ? stamp.wallMs - 1 : stamp.wallMs + 60_000;
  };
  const later = (ms: number): TimeStamp => ({
    ...stamp,
    wallMs: stamp.wallMs + ms,
    monotonicMs: stamp.monotonicMs + ms,
  });
  const trusted = join(t.testdir(), 'trusted');
  writeOldFile(trusted, { expiresMs });
  const { engine, read } = engineOn(trusted);
  engine.open();
  t.equal(read(upstream, later(1000)).length, 350);
  t.equal(read(upstream, later(61_000)).length, 200);
  engine.close();
  const unknown = join(t.testdir(), 'unknown');
  writeOldFile(unknown, { expiresMs });
  const far = { ...stamp, wallMs: stamp.wallMs + 1e11, trusted: false };
  const second = engineOn(unknown, { stamp: far });
  second.engine.open();
  t.equal(second.read(upstream).length, 400);
  second.engine.close();
});

t.test('an offset whose message was dropped is not given out again', async (t: Test) => {
  const directory = t.testdir();
  writeOldFile(directory);
  const database = new BetterSqlite(join(directory, 'weir.db'));
  database.exec(`
    UPDATE queue SET offset_next = 500 WHERE id = 1;
    INSERT INTO dropped VALUES (1, 'ttl_expiry', 89);
  `);
  database.close();
  const { engine, read } = engineOn(directory);
  const { epochs } = engine.open();
  const later = { ...stamp, monotonicMs: stamp.monotonicMs + 1000, wallMs: stamp.wallMs + 1000 };
  t.equal(read(upstream, later).length, 400);
  const batch = new CommitBatch();
  batch.append(numberedMessage(1), [{ ...upstream, timeToLiveMs: undefined }], {
    waiter: { resolve: () => undefined, reject: () => undefined },
    now: later,
  });
  engine.commit(batch.seal({ epochs, stamp: later, confirms: [], held: [], journal: undefined }));
  t.equal(read(upstream, later).at(-1)?.offset, 500);
  engine.sweep(later);
  const facts = engine.lanes(later).find(({ queue }) => queue === '$upstream');
  t.same(facts?.dropped, { quota: 10, ttl_expiry: 89 });
  engine.close();
});

t.test('the offset of a damaged last record is not given out again: its message may have arrived', async (t: Test) => {
  const directory = t.testdir();
  writeOldFile(directory, { damaged: [400] });
  const { engine, read } = engineOn(directory);
  const { epochs } = engine.open();
  const later = { ...stamp, monotonicMs: stamp.monotonicMs + 1000, wallMs: stamp.wallMs + 1000 };
  const lastOffset = read(upstream, later).at(-1)?.offset ?? 0;
  t.equal(read(upstream, later).length, 399);
  const batch = new CommitBatch();
  batch.append(numberedMessage(1), [{ ...upstream, timeToLiveMs: undefined }], {
    waiter: { resolve: () => undefined, reject: () => undefined },
    now: later,
  });
  engine.commit(batch.seal({ epochs, stamp: later, confirms: [], held: [], journal: undefined }));
  t.equal(read(upstream, later).at(-1)?.offset, lastOffset + 2);
  t.equal(engine.lanes(later).find(({ queue }) => queue === '$upstream')?.dropped['damaged'], 1);
  engine.close();
});

t.test('damaged records are left out and counted', async (t: Test) => {
  const directory = t.testdir();
  writeOldFile(directory, { damaged: [3, 200] });
  const { engine, read } = engineOn(directory);
  engine.open();
  t.equal(read(upstream).length, 398);
  t.equal(read(input).length, 39);
  const dropped = Object.fromEntries(engine.lanes(stamp).map((facts) => [facts.queue, facts.dropped]));
  t.same(dropped['$upstream'], { quota: 10, damaged: 2 });
  t.same(dropped['filter/inputs/in'], { damaged: 1 });
  engine.close();
});

t.test('without room for a second copy the newest of each queue move, the others are counted', async (t: Test) => {
  const directory = t.testdir();
  writeOldFile(directory, { messages: 1000, bodyBytes: 4000 });
  const { engine, read } = engineOn(directory, { space: () => ({ freeBytes: 2_000_000, totalBytes: 100_000_000 }) });
  engine.open();
  const found = read(upstream);
  t.ok(found.length > 300 && found.length < 600, `${found.length} messages`);
  t.equal(found.at(-1)?.sequence, 1000);
  const facts = engine.lanes(stamp).find(({ queue }) => queue === '$upstream');
  t.same(facts?.dropped, { quota: 10 + 1000 - found.length });
  t.ok(read(input).length > 20);
  engine.close();
});

t.test('a fresh database beside an outbox leaves that alone', async (t: Test) => {
  const directory = t.testdir();
  writeOldFile(directory);
  const first = engineOn(directory);
  first.engine.open();
  first.engine.close();
  for (const name of ['weir.db', 'weir.db-wal'])
    if (existsSync(join(directory, name))) systemLogFiles().remove('test', join(directory, name));
  const { engine, read } = engineOn(directory);
  t.equal(engine.open().epochs.outbox, epoch);
  t.equal(read(upstream).length, 400);
  engine.close();
});
