// The synchronous half on a real file, without a thread.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { storeDocumentsMax, storeQueuesMax, storeStreamsMax } from '../../src/limits.ts';
import type { Message } from '../../src/model/message.ts';
import { type Sqlite, type SqliteDatabase, systemSqlite } from '../../src/platform/sqlite.ts';
import { ByteReader } from '../../src/store/byte-buffer.ts';
import { type AppendTarget, CommitBatch } from '../../src/store/commit-batch.ts';
import { Engine } from '../../src/store/engine.ts';
import { readRecord } from '../../src/store/record.ts';
import type { CommitResult, Confirmation, DocumentChange, Opened } from '../../src/store/thread-protocol.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const nobody = { resolve: () => undefined, reject: () => undefined };
const a: AppendTarget = { queue: 'a', expiresAtMs: undefined };
const quotaBytes = 1_048_576;
let seed = 1;

interface Commit {
  readonly messages?: readonly (readonly [Message, readonly AppendTarget[]])[];
  readonly confirms?: readonly Confirmation[];
  readonly documents?: readonly DocumentChange[];
  readonly nowMs?: number;
  readonly epoch?: string;
  readonly held?: readonly string[];
}

function openEngine(directory: string, sqlite: Sqlite = systemSqlite()) {
  const renewed: Opened[] = [];
  const path = join(directory, 'weir.db');
  const engine = new Engine(
    { sqlite, entropy: seededEntropy(seed++), onRenewed: (opened) => renewed.push(opened) },
    { path, quarantine: join(directory, 'quarantine'), quotaBytes },
  );
  const opened = engine.open();
  const commit = (work: Commit): CommitResult => {
    const batch = new CommitBatch();
    for (const [message, targets] of work.messages ?? []) batch.append(message, targets, nobody);
    for (const change of work.documents ?? []) batch.save(change, nobody);
    const rest = {
      epoch: work.epoch ?? opened.epoch,
      nowMs: work.nowMs ?? 0,
      confirms: work.confirms ?? [],
      held: work.held ?? [],
      journal: undefined,
    };
    return engine.commit(batch.seal(rest));
  };
  const put = (from: number, to: number, target: AppendTarget = a, over: Partial<Message> = {}): CommitResult =>
    commit({
      messages: Array.from(
        { length: to - from + 1 },
        (_, index) => [numberedMessage(from + index, over), [target]] as const,
      ),
    });
  const rows = (queue = 'a', over: { afterOffset?: number; nowMs?: number } = {}): [number, Message][] => {
    const limits = { afterOffset: 0, messagesMax: 10_000, bytesMax: 100_000_000, nowMs: 0 };
    const result = engine.read({ queue, ...limits, ...over });
    const reader = new ByteReader(Buffer.from(result.bytes, 0, result.byteLength));
    return Array.from({ length: result.count }, () => [reader.float64(), readRecord(reader.bytes(reader.uint32()))]);
  };
  const read = (...from: Parameters<typeof rows>): [number, number][] =>
    rows(...from).map(([offset, message]) => [offset, sequenceOf(message)]);
  const readMessages = (): readonly Message[] => rows().map(([, message]) => message);
  const dropped = (queue = 'a') => engine.queues().find((facts) => facts.queue === queue)?.dropped;
  return { engine, opened, renewed, commit, put, read, readMessages, dropped };
}

t.test('offsets go on after a restart, also when the queue has run empty', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.put(1, 3);
  first.commit({ confirms: [{ queue: 'a', offset: 3 }] });
  t.same(first.read(), []);
  t.match(first.engine.queues(), [{ queue: 'a', messages: 0, bytes: 0, oldestEnqueuedMs: undefined }]);
  first.engine.close();
  const second = openEngine(directory);
  t.equal(second.opened.epoch, first.opened.epoch, 'the epoch belongs to the file');
  second.put(4, 4);
  t.same(second.read(), [[4, 4]]);
  second.engine.close();
});

t.test(
  'confirmations remove up to their offset, never beyond what was given out, and not from another epoch',
  async (t: Test) => {
    const { engine, commit, put, read } = openEngine(t.testdir());
    put(1, 5);
    commit({
      confirms: [
        { queue: 'a', offset: 2 },
        { queue: 'unknown', offset: 7 },
      ],
    });
    t.same(
      read().map(([offset]) => offset),
      [3, 4, 5],
    );
    commit({ confirms: [{ queue: 'a', offset: 4 }], epoch: 'another' });
    t.equal(read().length, 3);
    commit({ confirms: [{ queue: 'a', offset: 99 }] });
    put(6, 6);
    t.same(read(), [[6, 6]]);
    engine.close();
  },
);

t.test('a repetition is recognised within a commit, after it, and after a restart', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  const hop = (sequence: number) => [numberedMessage(sequence, { hop: { stream: 's', sequence } }), [a]] as const;
  t.same([...first.commit({ messages: [hop(1), hop(2), hop(2), hop(1)] }).outcomes], [0, 0, 1, 1]);
  first.engine.close();
  const second = openEngine(directory);
  const { outcomes, appended } = second.commit({ messages: [hop(2)] });
  t.same([...outcomes], [1]);
  t.same(appended, []);
  t.same([...second.commit({ messages: [hop(3)] }).outcomes], [0]);
  t.equal(second.read().length, 3);
  second.engine.close();
});

t.test('of too many streams the one unused for longest is forgotten', async (t: Test) => {
  const directory = t.testdir();
  const send = (engine: ReturnType<typeof openEngine>, streams: readonly number[]) =>
    engine.commit({
      messages: streams.map(
        (n) => [numberedMessage(1, { hop: { stream: `s${n}`, sequence: engine === second ? 1 : 2 } }), [a]] as const,
      ),
    });
  let second: ReturnType<typeof openEngine> | undefined;
  const first = openEngine(directory);
  send(
    first,
    Array.from({ length: storeStreamsMax }, (_, index) => index),
  );
  send(first, [storeStreamsMax]);
  first.engine.close();
  second = openEngine(directory);
  t.same([...send(second, [1, storeStreamsMax, 0]).outcomes], [1, 1, 0], 's0 was forgotten, others were not');
  second.engine.close();
});

t.test('when the quota is reached expired messages go first, then the oldest of the largest queue', async (t: Test) => {
  const { engine, commit, put, read, dropped } = openEngine(t.testdir());
  const body = Buffer.alloc(10_000);
  put(1, 20, { queue: 'short', expiresAtMs: 500 }, { body });
  put(1, 10, { queue: 'small', expiresAtMs: undefined }, { body });
  put(1, 60, a, { body });
  t.same(dropped(), {});
  const result = commit({
    nowMs: 1000,
    messages: Array.from({ length: 30 }, (_, n) => [numberedMessage(61 + n, { body }), [a]] as const),
  });
  t.same(result.dropped, [{ queue: 'short', reason: 'ttl_expiry', messages: 20 }]);
  const more = put(91, 120, a, { body });
  const lost = more.dropped[0]?.messages ?? 0;
  t.match(more.dropped, [{ queue: 'a', reason: 'quota' }]);
  t.ok(lost > 20 && lost < 40, `${lost} dropped`);
  t.same(
    read().map(([, sequence]) => sequence),
    Array.from({ length: 120 - lost }, (_, n) => lost + 1 + n),
    'the oldest',
  );
  t.equal(read('small').length, 10);
  t.same(dropped(), { quota: lost });
  t.same(dropped('short'), { ttl_expiry: 20 });
  const total = engine.queues().reduce((sum, { bytes }) => sum + bytes, 0);
  t.ok(total <= quotaBytes && total > quotaBytes - 20_000, `${total} bytes stay`);
  engine.close();
});

t.test('losses are remembered over a restart', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.put(1, 3, { queue: 'a', expiresAtMs: 10 });
  t.same(first.read('a', { nowMs: 10 }), []);
  first.engine.close();
  const second = openEngine(directory);
  t.same(second.dropped(), { ttl_expiry: 3 });
  second.engine.close();
});

t.test('a sweep removes what has expired in queues that nobody reads', async (t: Test) => {
  const { engine, put, dropped, read } = openEngine(t.testdir());
  put(1, 3000, { queue: 'b', expiresAtMs: undefined });
  put(1, 3000, { queue: 'a', expiresAtMs: 10 });
  t.same(engine.sweep(9), []);
  engine.sweep(10);
  engine.sweep(10);
  engine.sweep(10);
  t.same(dropped(), { ttl_expiry: 3000 });
  t.equal(read('b', { nowMs: 10 }).length, 3000);
  engine.close();
});

t.test('documents are saved, replaced and deleted in the same commits', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.commit({
    documents: [
      { table: 'twin', key: 'd/m', document: '1' },
      { table: 'state', key: 'x', document: 'old' },
    ],
  });
  first.commit({
    documents: [
      { table: 'state', key: 'x', document: 'new' },
      { table: 'state', key: 'y', document: 'y' },
    ],
  });
  first.engine.close();
  const second = openEngine(directory);
  t.same(second.engine.twins(), [{ key: 'd/m', document: '1' }]);
  t.equal(second.engine.state('x'), 'new');
  second.commit({ documents: [{ table: 'state', key: 'x', document: undefined }] });
  t.equal(second.engine.state('x'), undefined);
  t.equal(second.engine.state('y'), 'y');
  second.engine.close();
});

t.test('one queue or document too many is refused alone', async (t: Test) => {
  const { engine, commit, read } = openEngine(t.testdir());
  const targets = Array.from({ length: storeQueuesMax - 1 }, (_, n) => ({ queue: `q${n}`, expiresAtMs: undefined }));
  commit({ messages: [[numberedMessage(1), targets]] });
  const two = [a, { queue: 'b', expiresAtMs: undefined }];
  const { outcomes } = commit({
    messages: [
      [numberedMessage(2), two],
      [numberedMessage(3), [a]],
      [numberedMessage(4), two],
    ],
  });
  t.same([...outcomes], [2, 0, 2]);
  t.same(read(), [[1, 3]]);
  const documents = Array.from({ length: storeDocumentsMax + 1 }, (_, n) => ({
    table: 'state' as const,
    key: `k${n}`,
    document: '',
  }));
  t.equal(commit({ documents }).documentOutcomes.at(-1), 2);
  t.same([...commit({ documents: [{ table: 'state', key: 'k1', document: 'changed' }] }).documentOutcomes], [0]);
  engine.close();
});

t.test('a file written by a newer weir is refused and left as it is', async (t: Test) => {
  const directory = t.testdir();
  openEngine(directory).engine.close();
  const path = join(directory, 'weir.db');
  const database = new BetterSqlite(path);
  database.pragma('user_version = 99');
  database.prepare("UPDATE meta SET value = '99' WHERE key = 'schema'").run();
  database.close();
  const before = readFileSync(path);
  t.throws(() => openEngine(directory), { code: 'STORE_SCHEMA_NEWER', retryable: false, message: /schema 99/ });
  t.same(readFileSync(path), before);
  t.notOk(existsSync(join(directory, 'quarantine')));
});

t.test('a flipped bit in the number of the schema is damage and not the future: nothing is lost', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.commit({ documents: [{ table: 'state', key: 'x', document: 'kept' }] });
  first.engine.close();
  const database = new BetterSqlite(join(directory, 'weir.db'));
  database.pragma('user_version = 1026');
  database.close();
  const { engine, opened } = openEngine(directory);
  t.match(opened.quarantined, { reason: /schema is 1026/, salvaged: { lost: 0, pages: 0 } });
  t.equal(engine.state('x'), 'kept');
  engine.close();
});

t.test('a file in use by somebody else is refused', async (t: Test) => {
  const directory = t.testdir();
  const { engine } = openEngine(directory);
  const impatient = systemSqlite();
  const hurried: Sqlite = {
    ...impatient,
    open: (file) => {
      const database = impatient.open(file);
      return {
        ...database,
        pragma: (text) =>
          text.startsWith('busy_timeout') ? database.pragma('busy_timeout = 1') : database.pragma(text),
      };
    },
  };
  t.throws(() => openEngine(directory, hurried), { code: 'STORE_LOCKED', retryable: true });
  engine.close();
});

t.test('a file that is no database goes to quarantine and a fresh one takes its place', async (t: Test) => {
  const directory = t.testdir({ 'weir.db': 'this is not a database, whatever its name may be. '.repeat(100) });
  const { engine, opened, put, read } = openEngine(directory);
  t.equal(opened.quarantined?.path, join(directory, 'quarantine', 'weir.db-1'));
  t.match(opened.quarantined?.reason, /SQLITE_NOTADB/);
  put(1, 2);
  t.equal(read().length, 2);
  t.same(engine.facts().quarantined, [join(directory, 'quarantine', 'weir.db-1')]);
  engine.close();
});

t.test('only the last few damaged files are kept', async (t: Test) => {
  const directory = t.testdir();
  for (let round = 1; round <= 5; round++) {
    writeFileSync(join(directory, 'weir.db'), 'x'.repeat(5000));
    openEngine(directory).engine.close();
  }
  const { engine } = openEngine(directory);
  t.same(
    engine.facts().quarantined.map((path) => path.split('-').at(-1)),
    ['3', '4', '5'],
  );
  engine.close();
});

/** A copy of the file with some bits flipped, a third of the time in its first pages. */
function flipBits(source: string, directory: string, round: number): void {
  const dice = seededEntropy(round);
  const bytes = readFileSync(source);
  for (let flip = 0; flip <= round % 8; flip++) {
    const reach = round % 3 === 0 ? 32_768 : bytes.length;
    const at = Math.floor(dice.fraction() * reach);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(dice.fraction() * 8));
  }
  mkdirSync(directory);
  writeFileSync(join(directory, 'weir.db'), bytes);
}

/** What `work` answers, tried again while the store says that it has just replaced a damaged file. */
function persist<T>(work: () => T): T {
  for (let attempt = 1; ; attempt++) {
    try {
      return work();
    } catch (error) {
      if ((error as { code?: string }).code !== 'STORE_DAMAGED' || attempt > 3) throw error;
    }
  }
}

t.test('whatever bits flip, the store starts, works, and hands out no message that was changed', async (t: Test) => {
  const directory = t.testdir({ original: {} });
  const original = openEngine(join(directory, 'original'));
  const body = Buffer.alloc(400, 0x55);
  for (let n = 1; n <= 300; n += 20) original.put(n, n + 19, a, { body });
  original.commit({
    documents: [{ table: 'state', key: 'x', document: '{}' }],
    confirms: [{ queue: 'a', offset: 40 }],
  });
  original.engine.close();
  let quarantined = 0;
  let damaged = 0;
  let changed = 0;
  for (let round = 1; round <= 150; round++) {
    const target = join(directory, `r${round}`);
    flipBits(join(directory, 'original', 'weir.db'), target, round);
    const { engine, opened, renewed, commit, readMessages, dropped } = openEngine(target);
    persist(() => engine.sweep(0));
    persist(() => engine.queues());
    const found = persist(() => readMessages());
    changed += found.filter((message) => !body.equals(message.body)).length;
    damaged += Number(dropped()?.['damaged'] ?? 0);
    const epoch = (): string => renewed.at(-1)?.epoch ?? opened.epoch;
    const { outcomes } = persist(() => commit({ epoch: epoch(), messages: [[numberedMessage(1000), [a]]] }));
    t.same([...outcomes], [0], `round ${round}: it takes messages`);
    quarantined += renewed.length + (opened.quarantined === undefined ? 0 : 1);
    engine.close();
  }
  t.equal(changed, 0);
  t.ok(quarantined > 10, `${quarantined} quarantined`);
  t.ok(damaged > 10, `${damaged} records caught by their checksum`);
});

t.test('damage found while running: the call fails, the next one works on a fresh file', async (t: Test) => {
  const directory = t.testdir();
  let sabotage: string | undefined;
  const real = systemSqlite();
  const sqlite: Sqlite = {
    ...real,
    open: (file) => {
      const database = real.open(file);
      const transaction: SqliteDatabase['transaction'] = (work) =>
        database.transaction(() => {
          const result = work();
          if (sabotage === undefined) return result;
          const code = sabotage;
          sabotage = undefined;
          throw Object.assign(new Error('injected'), { code });
        });
      return { ...database, transaction };
    },
  };
  const { engine, opened, renewed, put, read, commit } = openEngine(directory, sqlite);
  put(1, 3);
  sabotage = 'SQLITE_FULL';
  t.throws(() => put(4, 4), { code: 'STORE_DISK_FULL', retryable: true });
  put(4, 4);
  t.same(
    read().map(([offset]) => offset),
    [1, 2, 3, 4],
    'nothing of the failed commit is there, also not its offset',
  );
  sabotage = 'SQLITE_IOERR_READ';
  t.throws(() => put(5, 5), { code: 'STORE_UNAVAILABLE', retryable: true });
  t.equal(read().length, 4, 'the file was opened again and is whole');
  t.same(renewed, []);
  sabotage = 'SQLITE_CORRUPT_INDEX';
  t.throws(() => put(5, 5), { code: 'STORE_DAMAGED', retryable: true });
  t.equal(renewed.length, 1);
  t.not(renewed[0]?.epoch, opened.epoch);
  t.ok(statSync(join(directory, 'quarantine', 'weir.db-1')).size > 0);
  put(6, 6);
  t.same(read(), [[1, 6]]);
  commit({ confirms: [{ queue: 'a', offset: 1 }], epoch: opened.epoch });
  t.equal(read().length, 1, 'a confirmation that speaks of the old file deletes nothing');
  engine.close();
});

t.test('a full disk: nothing is acknowledged, and it goes on when space returns', async (t: Test) => {
  const real = systemSqlite();
  let handle: SqliteDatabase | undefined;
  const { engine, put, read, commit } = openEngine(t.testdir(), {
    ...real,
    open: (file) => {
      handle = real.open(file);
      return handle;
    },
  });
  put(1, 10);
  const pages = Number(handle?.pragma('page_count'));
  handle?.pragma(`max_page_count = ${pages + 3}`);
  t.throws(() => put(11, 400), { code: 'STORE_DISK_FULL', retryable: true });
  t.equal(read().length, 10);
  t.match(engine.queues(), [{ messages: 10 }]);
  commit({ confirms: [{ queue: 'a', offset: 5 }] });
  t.equal(read().length, 5, 'what has arrived can still be removed');
  handle?.pragma('max_page_count = 100000');
  put(11, 400);
  t.same(
    read().map(([offset]) => offset),
    Array.from({ length: 395 }, (_, n) => n + 6),
  );
  engine.close();
});

t.test(
  'a refused message holds its stream for the rest of the commit, and of the next one if told to',
  async (t: Test) => {
    const { engine, commit } = openEngine(t.testdir());
    for (let n = 0; n < storeQueuesMax; n++) commit({ messages: [[numberedMessage(n), [{ ...a, queue: `q${n}` }]]] });
    const hop = (stream: string, sequence: number, queue: string) =>
      [numberedMessage(sequence, { hop: { stream, sequence } }), [{ queue, expiresAtMs: undefined }]] as const;
    const first = commit({ messages: [hop('s', 1, 'one-too-many'), hop('s', 2, 'q1'), hop('other', 1, 'q1')] });
    t.same([...first.outcomes], [2, 3, 0], 'refused, held, stored');
    t.equal(first.held.length, 1);
    const gathered = commit({ messages: [hop('s', 3, 'q1'), hop('other', 2, 'q1')], held: first.held });
    t.same([...gathered.outcomes], [3, 0]);
    t.same(gathered.held, [], 'told once');
    t.same([...commit({ messages: [hop('s', 1, 'q1'), hop('s', 2, 'q1')] }).outcomes], [0, 0], 'sent again: taken');
    engine.close();
  },
);
