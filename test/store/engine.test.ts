// The synchronous half on real files, without a thread.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { outboxLanesMax, storeDocumentsMax, storeStreamsMax, storeTargetsMax } from '../../src/limits.ts';
import { type Lane, laneKey, priorityUnset } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import type { TimeStamp } from '../../src/model/time-stamp.ts';
import type { FileSystemSpace } from '../../src/platform/file-system.ts';
import { type LogFiles, systemLogFiles } from '../../src/platform/log-files.ts';
import { type Sqlite, type SqliteDatabase, systemSqlite } from '../../src/platform/sqlite.ts';
import { ByteReader } from '../../src/store/byte-buffer.ts';
import { CommitBatch, type StoreTarget } from '../../src/store/commit-batch.ts';
import { Engine } from '../../src/store/engine.ts';
import { readRecord } from '../../src/store/record.ts';
import type {
  CommitMemory,
  CommitResult,
  Confirmation,
  DocumentChange,
  Epochs,
  Opened,
} from '../../src/store/thread-protocol.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const nobody = { resolve: () => undefined, reject: () => undefined };
const quotaBytes = 1_048_576;
let seed = 1;

const lane = (queue: string, priority = priorityUnset): Lane => ({ queue, priority, live: false });
const into = (queue: string, timeToLiveMs?: number, priority = priorityUnset): StoreTarget => ({
  ...lane(queue, priority),
  timeToLiveMs,
});
const a = into('a');
/** An instant of one boot whose wall clock is right. */
const at = (ms: number): TimeStamp => ({
  wallMs: Date.UTC(2026, 0, 1) + ms,
  monotonicMs: ms,
  bootId: 'boot-1',
  trusted: true,
});

interface Commit {
  readonly messages?: readonly (readonly [Message, readonly StoreTarget[]])[];
  readonly confirms?: readonly Confirmation[];
  readonly documents?: readonly DocumentChange[];
  readonly now?: TimeStamp;
  readonly epochs?: Epochs;
  readonly held?: readonly string[];
}

interface Machine {
  readonly sqlite: Sqlite;
  readonly files: LogFiles;
  readonly space: () => FileSystemSpace | undefined;
  readonly reserveBytes: number;
  readonly stamp: TimeStamp;
}

function openEngine(directory: string, over: Partial<Machine> = {}) {
  const renewed: Opened[] = [];
  const machine: Machine = {
    sqlite: systemSqlite(),
    files: systemLogFiles(),
    space: () => undefined,
    reserveBytes: 0,
    stamp: at(0),
    ...over,
  };
  const { sqlite, files, space, reserveBytes, stamp } = machine;
  const engine = new Engine(
    { sqlite, files, fileSystem: { space }, entropy: seededEntropy(seed++), onRenewed: (found) => renewed.push(found) },
    {
      path: join(directory, 'weir.db'),
      outbox: join(directory, 'outbox'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes,
      reserveBytes,
      stamp,
    },
  );
  const opened = engine.open();
  const commit = (work: Commit): CommitResult => {
    const batch = new CommitBatch();
    const now = work.now ?? at(0);
    for (const [message, targets] of work.messages ?? []) batch.append(message, targets, { waiter: nobody, now });
    for (const change of work.documents ?? []) batch.save(change, nobody);
    return engine.commit(
      batch.seal({
        epochs: work.epochs ?? opened.epochs,
        stamp: now,
        confirms: work.confirms ?? [],
        held: work.held ?? [],
        journal: undefined,
      }),
    );
  };
  const put = (from: number, to: number, target: StoreTarget = a, over: Partial<Message> = {}): CommitResult =>
    commit({
      messages: Array.from(
        { length: to - from + 1 },
        (_, index) => [numberedMessage(from + index, over), [target]] as const,
      ),
    });
  const rows = (from: Lane = a, now = at(0)): [number, Message][] => {
    const found: [number, Message][] = [];
    for (let afterOffset = 0; ; ) {
      const result = engine.read({
        lane: lane(from.queue, from.priority),
        messagesMax: 1000,
        bytesMax: 10_000_000,
        afterOffset,
        stamp: now,
      });
      if (result.count === 0 && !result.more) return found;
      const reader = new ByteReader(Buffer.from(result.bytes, 0, result.byteLength));
      for (let left = result.count; left > 0; left--) {
        afterOffset = reader.float64();
        const shiftMs = reader.float64();
        found.push([afterOffset, readRecord(reader.bytes(reader.uint32()), shiftMs)]);
      }
    }
  };
  const read = (...from: Parameters<typeof rows>): [number, number][] =>
    rows(...from).map(([offset, message]) => [offset, sequenceOf(message)]);
  const offsets = (...from: Parameters<typeof rows>): number[] => rows(...from).map(([offset]) => offset);
  const readMessages = (): readonly Message[] => rows().map(([, message]) => message);
  const facts = (of: Lane = a, now = at(0)) => engine.lanes(now).find((found) => laneKey(found) === laneKey(of));
  const dropped = (of: Lane = a, now = at(0)) => facts(of, now)?.dropped;
  return { engine, opened, renewed, commit, put, rows, read, offsets, readMessages, facts, dropped };
}

t.test('offsets go on after a restart, also when the queue has run empty', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.put(1, 3);
  first.commit({ confirms: [{ lane: lane('a'), offset: 3 }] });
  t.same(first.read(), []);
  t.match(first.engine.lanes(at(0)), [
    { queue: 'a', priority: priorityUnset, live: false, messages: 0, bytes: 0, oldestEnqueuedMs: undefined },
  ]);
  first.engine.close();
  const second = openEngine(directory);
  t.same(second.opened.epochs, first.opened.epochs, 'the epochs belong to what is on the disk');
  second.put(4, 4);
  t.same(second.read(), [[4, 4]]);
  second.engine.close();
});

t.test(
  'confirmations remove up to their offset, never beyond what was given out, and not from another epoch',
  async (t: Test) => {
    const { engine, opened, commit, put, read, offsets } = openEngine(t.testdir());
    put(1, 5);
    commit({
      confirms: [
        { lane: lane('a'), offset: 2 },
        { lane: lane('unknown'), offset: 7 },
        { lane: lane('a', 3), offset: 4 },
      ],
    });
    t.same(offsets(), [3, 4, 5]);
    commit({ confirms: [{ lane: lane('a'), offset: 4 }], epochs: { ...opened.epochs, outbox: 'another' } });
    t.equal(read().length, 3);
    commit({ confirms: [{ lane: lane('a'), offset: 99 }] });
    put(6, 6);
    t.same(read(), [[6, 6]]);
    engine.close();
  },
);

t.test('lanes of one queue count for themselves, and a message in several of them is one', async (t: Test) => {
  const { engine, commit, read, facts } = openEngine(t.testdir());
  const [first, second] = [into('a', undefined, 0), into('a', undefined, 9)];
  commit({
    messages: [
      [numberedMessage(1), [first]],
      [numberedMessage(2), [second, into('b')]],
      [numberedMessage(3), [first]],
    ],
  });
  t.same(read(first), [
    [1, 1],
    [2, 3],
  ]);
  t.same(read(second), [[1, 2]]);
  t.same(read(lane('b')), [[1, 2]]);
  t.match(facts(first), { priority: 0, messages: 2 });
  engine.close();
});

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

t.test('a repetition between others leaves nothing behind, also in memory that is used again', async (t: Test) => {
  const { engine, opened, rows } = openEngine(t.testdir());
  const hop = (sequence: number, bytes: number) =>
    numberedMessage(sequence, { hop: { stream: 's', sequence }, body: Buffer.alloc(bytes, sequence) });
  let memory: CommitMemory | undefined;
  const expected: [number, Message][] = [];
  for (const [from, bytes] of [
    [1, 50_000],
    [5, 3],
    [9, 1001],
  ] as const) {
    const batch = new CommitBatch(memory);
    const messages = [from, from + 1, from + 1, from, from + 2].map((sequence) => hop(sequence, bytes + sequence));
    for (const message of messages) batch.append(message, [a, into('b')], { waiter: nobody, now: at(0) });
    const rest = { epochs: opened.epochs, stamp: at(0), confirms: [], held: [], journal: undefined };
    const { outcomes, spent } = engine.commit(batch.seal(rest));
    t.same([...outcomes], [0, 0, 1, 1, 0]);
    memory = spent;
    for (const message of [messages[0], messages[1], messages[4]])
      if (message !== undefined) expected.push([expected.length + 1, message]);
  }
  t.same(rows(), expected);
  t.same(rows(lane('b')), expected);
  engine.close();
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

t.test(
  'when the quota is reached expired messages go first, then the oldest of the lowest priority',
  async (t: Test) => {
    const { engine, commit, put, read, dropped } = openEngine(t.testdir());
    const body = Buffer.alloc(10_000);
    const [short, first] = [into('short', 500), into('first', undefined, 0)];
    put(1, 20, short, { body });
    put(1, 50, first, { body });
    put(1, 20, a, { body });
    t.same(dropped(), {});
    const result = commit({
      now: at(1000),
      messages: Array.from({ length: 30 }, (_, n) => [numberedMessage(21 + n, { body }), [a]] as const),
    });
    t.same(result.dropped, [{ lane: lane('short'), reason: 'ttl_expiry', messages: 20 }]);
    const more = put(51, 80, a, { body });
    const lost = more.dropped.reduce((sum, { messages }) => sum + messages, 0);
    t.match(more.dropped, [{ lane: lane('a'), reason: 'quota' }]);
    t.ok(lost >= 25 && lost < 50, `${lost} dropped`);
    t.same(
      read().map(([, sequence]) => sequence),
      Array.from({ length: 80 - lost }, (_, n) => lost + 1 + n),
      'the oldest',
    );
    t.equal(read(first).length, 50, 'a higher priority keeps its messages');
    t.same(dropped(), { quota: lost });
    t.same(dropped(short), { ttl_expiry: 20 });
    t.ok(engine.facts().messageBytes <= quotaBytes);
    engine.close();
  },
);

t.test('with too little space on the disk the store shrinks before anything fails, and says so', async (t: Test) => {
  let freeBytes = 100_000_000;
  let asked = 0;
  const space = (): FileSystemSpace => {
    asked++;
    return { freeBytes, totalBytes: 1_000_000_000 };
  };
  const { engine, put, commit, read } = openEngine(t.testdir(), { space, reserveBytes: 50_000_000 });
  const big = Array.from({ length: 80 }, (_, n) => [numberedMessage(n), [a]] as const);
  const body = Buffer.alloc(10_000);
  t.same(put(1, 80, a, { body }).space, { freeBytes, reserveBytes: 50_000_000, low: false });
  const before = asked;
  for (const ms of [1, 2, 3]) commit({ messages: big.slice(0, 1), now: at(ms) });
  t.equal(asked, before, 'not with every commit');
  freeBytes = 49_800_000;
  t.equal(commit({ messages: big.slice(0, 1), now: at(1500) }).space.low, true);
  t.ok(read(a, at(1500)).length > 0, 'some are kept in any case');
  freeBytes = 60_000_000;
  t.equal(engine.sweep(at(1501)).space.low, false, 'asked with every commit while it is low');
  engine.close();
});

t.test('losses are remembered over a restart', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.put(1, 3, into('a', 10));
  t.same(first.read(a, at(11)), []);
  first.engine.sweep(at(11));
  first.engine.close();
  const second = openEngine(directory, { stamp: at(12) });
  t.same(second.dropped(a, at(12)), { ttl_expiry: 3 });
  second.engine.close();
});

t.test('a sweep removes what has expired in lanes that nobody reads', async (t: Test) => {
  const { engine, put, dropped, read } = openEngine(t.testdir());
  put(1, 3000, into('b'));
  put(1, 3000, into('a', 10));
  t.same(engine.sweep(at(9)).dropped, []);
  for (let round = 0; round < 3; round++) engine.sweep(at(11));
  t.same(dropped(a, at(11)), { ttl_expiry: 3000 });
  t.equal(read(lane('b'), at(11)).length, 3000);
  engine.close();
});

t.test('a wall clock that is put right corrects the times of what was accepted before', async (t: Test) => {
  const wrong = { ...at(1000), wallMs: 5000, trusted: false };
  const { engine, commit, readMessages } = openEngine(t.testdir(), { stamp: wrong });
  commit({ messages: [[numberedMessage(1, { enqueuedMs: 4900 }), [a]]], now: wrong });
  t.equal(readMessages()[0]?.enqueuedMs, 4900);
  commit({ messages: [[numberedMessage(2, { enqueuedMs: at(2000).wallMs }), [a]]], now: at(2000) });
  t.same(
    readMessages().map(({ enqueuedMs }) => enqueuedMs),
    [at(900).wallMs, at(2000).wallMs],
  );
  engine.close();
});

t.test(
  'messages that waited for their commit while the clock was put right are stored with right times',
  async (t: Test) => {
    const wrong = { ...at(1000), wallMs: 5000, trusted: false };
    const { engine, opened, readMessages } = openEngine(t.testdir(), { stamp: wrong });
    const batch = new CommitBatch();
    const rest = { confirms: [], held: [], journal: undefined, epochs: opened.epochs };
    batch.append(numberedMessage(1, { enqueuedMs: 5000 }), [a], { waiter: nobody, now: wrong });
    batch.append(numberedMessage(2, { enqueuedMs: at(1100).wallMs }), [a], { waiter: nobody, now: at(1100) });
    engine.commit(batch.seal({ ...rest, stamp: at(1200) }));
    t.same(
      readMessages().map(({ enqueuedMs }) => enqueuedMs),
      [at(1000).wallMs, at(1100).wallMs],
    );
    engine.close();
  },
);

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

/** Opens so many lanes. */
function fillLanes(commit: (work: Commit) => CommitResult, count: number): void {
  for (let first = 0; first < count; first += storeTargetsMax) {
    const length = Math.min(storeTargetsMax, count - first);
    commit({ messages: [[numberedMessage(1), Array.from({ length }, (_, n) => into(`q${first + n}`))]] });
  }
}

t.test('one lane or document too many is refused alone', async (t: Test) => {
  const { engine, commit, read } = openEngine(t.testdir());
  fillLanes(commit, outboxLanesMax - 1);
  const two = [a, into('b')];
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
  t.throws(() => openEngine(directory, { sqlite: hurried }), { code: 'STORE_LOCKED', retryable: true });
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

/** A copy of the store with some bits of the database and of a segment flipped, a third of the time in their first pages. */
function flipBits(source: string, directory: string, round: number): void {
  const dice = seededEntropy(round);
  mkdirSync(join(directory, 'outbox'), { recursive: true });
  const names = ['weir.db', ...readdirSync(join(source, 'outbox')).map((name) => join('outbox', name))];
  for (const name of names) {
    const bytes = readFileSync(join(source, name));
    for (let flip = 0; flip <= round % 8; flip++) {
      const reach = round % 3 === 0 ? Math.min(32_768, bytes.length) : bytes.length;
      const at = Math.floor(dice.fraction() * reach);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(dice.fraction() * 8));
    }
    writeFileSync(join(directory, name), bytes);
  }
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
    confirms: [{ lane: lane('a'), offset: 40 }],
  });
  original.engine.close();
  let quarantined = 0;
  let lost = 0;
  let changed = 0;
  for (let round = 1; round <= 150; round++) {
    const target = join(directory, `r${round}`);
    flipBits(join(directory, 'original'), target, round);
    const { engine, opened, renewed, commit, readMessages } = openEngine(target);
    persist(() => engine.sweep(at(0)));
    persist(() => engine.lanes(at(0)));
    persist(() => engine.twins());
    const found = persist(() => readMessages());
    changed += found.filter((message) => !body.equals(message.body)).length;
    lost += 260 - found.length;
    const epochs = (): Epochs => renewed.at(-1)?.epochs ?? opened.epochs;
    const { outcomes } = persist(() => commit({ epochs: epochs(), messages: [[numberedMessage(1000), [a]]] }));
    t.same([...outcomes], [0], `round ${round}: it takes messages`);
    quarantined += renewed.length + (opened.quarantined === undefined ? 0 : 1);
    engine.close();
  }
  t.equal(changed, 0);
  t.ok(quarantined > 10, `${quarantined} quarantined`);
  t.ok(lost > 10, `${lost} messages caught by their checksums`);
});

/** SQLite whose next transaction fails with the code that is set. */
function sabotaged(): { sqlite: Sqlite; fail: (code: string) => void } {
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
  const fail = (code: string): void => {
    sabotage = code;
  };
  return { sqlite, fail };
}

t.test(
  'SQLite fails: nothing of the commit is there; what damage costs is documents, not messages',
  async (t: Test) => {
    const directory = t.testdir();
    const { sqlite, fail } = sabotaged();
    const { engine, opened, renewed, put, offsets, commit } = openEngine(directory, { sqlite });
    const both = (sequence: number): CommitResult =>
      commit({
        messages: [[numberedMessage(sequence, { hop: { stream: 's', sequence } }), [a]]],
        documents: [{ table: 'state', key: 'x', document: String(sequence) }],
        epochs: renewed.at(-1)?.epochs ?? opened.epochs,
      });
    put(1, 3);
    fail('SQLITE_FULL');
    t.throws(() => both(4), { code: 'STORE_DISK_FULL', retryable: true });
    t.same(offsets(), [1, 2, 3]);
    t.same([...both(4).outcomes], [0], 'nothing of the failed commit is there, also not its offset or its position');
    t.same(offsets(), [1, 2, 3, 4]);
    fail('SQLITE_IOERR_READ');
    t.throws(() => both(5), { code: 'STORE_UNAVAILABLE', retryable: true });
    t.equal(engine.state('x'), '4', 'the file was opened again and is whole');
    t.same(renewed, []);
    fail('SQLITE_CORRUPT_INDEX');
    t.throws(() => both(5), { code: 'STORE_DAMAGED', retryable: true });
    t.equal(renewed.length, 1);
    t.not(renewed[0]?.epochs.file, opened.epochs.file);
    t.equal(renewed[0]?.epochs.outbox, opened.epochs.outbox);
    t.ok(statSync(join(directory, 'quarantine', 'weir.db-1')).size > 0);
    t.same([...both(5).outcomes], [0]);
    t.same(offsets(), [1, 2, 3, 4, 5], 'the outbox is another file');
    engine.close();
  },
);

t.test('a database that finds no room at the start: messages come and go, documents wait for room', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  first.put(1, 3);
  first.commit({ documents: [{ table: 'state', key: 'x', document: 'before' }] });
  first.engine.close();
  const real = systemSqlite();
  let isFull = true;
  const sqlite: Sqlite = {
    ...real,
    open: (file) => {
      if (isFull && file !== ':memory:') throw Object.assign(new Error('injected'), { code: 'SQLITE_FULL' });
      return real.open(file);
    },
  };
  const { engine, opened, put, commit, offsets } = openEngine(directory, { sqlite });
  t.not(opened.readOnly, undefined);
  t.equal(engine.state('x'), 'before');
  put(4, 5);
  commit({ confirms: [{ lane: lane('a'), offset: 2 }] });
  t.same(offsets(), [3, 4, 5]);
  const save = (): CommitResult => commit({ documents: [{ table: 'state', key: 'x', document: 'after' }] });
  t.throws(save, { code: 'STORE_DISK_FULL', retryable: true });
  isFull = false;
  save();
  t.equal(engine.state('x'), 'after');
  t.same(offsets(), [3, 4, 5]);
  engine.close();
});

t.test('a document that is not what was written is missing afterwards, and nothing else', async (t: Test) => {
  const directory = t.testdir();
  const first = openEngine(directory);
  const key = (n: number): string => `gw/module-${n}`;
  first.commit({
    documents: [1, 2, 3].map((n) => ({ table: 'twin' as const, key: key(n), document: `{"twin":{"version":${n}}}` })),
  });
  first.engine.close();
  const file = join(directory, 'weir.db');
  const bytes = readFileSync(file);
  const place = bytes.indexOf('{"twin":{"version":2');
  bytes[place + 19] = (bytes[place + 19] as number) ^ 1;
  writeFileSync(file, bytes);
  const { engine, opened } = openEngine(directory);
  t.same(
    engine.twins().map((row) => row.key),
    [key(1), key(3)],
  );
  t.match(opened.quarantined?.salvaged, { kept: { twin: 2 }, lost: 1 });
  engine.close();
});

t.test('the outbox fails: no message is stored, documents are, and it goes on when space returns', async (t: Test) => {
  const real = systemLogFiles();
  let broken: string | undefined;
  const files: LogFiles = {
    ...real,
    write: (...call) => {
      if (broken !== undefined) throw Object.assign(new Error('injected'), { code: broken });
      return real.write(...call);
    },
  };
  const { engine, put, commit, offsets } = openEngine(t.testdir(), { files });
  put(1, 3);
  for (const [code, expected] of [
    ['ENOSPC', 'STORE_DISK_FULL'],
    ['EIO', 'STORE_UNAVAILABLE'],
    ['EROFS', 'STORE_UNAVAILABLE'],
  ] as const) {
    broken = code;
    const result = commit({
      messages: [[numberedMessage(4), [a]]],
      confirms: [{ lane: lane('a'), offset: 1 }],
      documents: [{ table: 'state', key: code, document: code }],
    });
    t.match(result.outboxFailure, { code: expected, retryable: true });
    t.same(result.appended, []);
    t.equal(engine.state(code), code);
    broken = undefined;
    t.same(offsets(), [1, 2, 3]);
  }
  const result = put(4, 400);
  t.equal(result.outboxFailure, undefined);
  t.same(
    offsets(),
    Array.from({ length: 400 }, (_, n) => n + 1),
  );
  engine.close();
});

t.test(
  'a refused message holds its stream for the rest of the commit, and of the next one if told to',
  async (t: Test) => {
    const { engine, commit } = openEngine(t.testdir());
    fillLanes(commit, outboxLanesMax);
    const hop = (stream: string, sequence: number, queue: string) =>
      [numberedMessage(sequence, { hop: { stream, sequence } }), [into(queue)]] as const;
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
