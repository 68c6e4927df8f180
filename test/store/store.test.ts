import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { priorityUnset } from '../../src/model/lane.ts';
import type { FileSystem } from '../../src/platform/file-system.ts';
import { type LogFiles, systemLogFiles } from '../../src/platform/log-files.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type Sqlite, systemSqlite } from '../../src/platform/sqlite.ts';
import { Store, type StoreOptions } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const upstream = { queue: '$upstream', priority: priorityUnset, live: false };
let seed = 0;
const never = { ...upstream, timeToLiveMs: undefined };

function world(
  directory: string,
  over: Partial<StoreOptions> = {},
  disk: (sqlite: Sqlite) => Sqlite = (sqlite) => sqlite,
  files: LogFiles = systemLogFiles(),
  fileSystem: FileSystem = { space: () => undefined },
) {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const threads: InlineThread[] = [];
  const entropy = seededEntropy(++seed);
  const store = new Store(
    {
      clock,
      log,
      metrics,
      startThread: () => {
        const thread = new InlineThread({ sqlite: disk(systemSqlite()), entropy, files, fileSystem });
        threads.push(thread);
        return thread;
      },
    },
    {
      path: join(directory, 'weir.db'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes: 4_194_304,
      // One delay for all: what the pace makes of different loads has tests of its own.
      commitDelayMs: 20,
      commitDelayMsMin: 20,
      ...over,
    },
  );
  const count = (name: string): number => threads.flatMap((thread) => thread.requests).filter((r) => r === name).length;
  return { clock, lines, metrics, threads, store, count };
}

const all = { afterOffset: 0, messagesMax: 1000, bytesMax: 1_000_000 };

t.test('a message is answered only after its commit, and commits wait for company', async (t: Test) => {
  const { clock, store, count } = world(t.testdir());
  await store.start();
  const outcomes: string[] = [];
  for (let n = 1; n <= 3; n++) void store.append(numberedMessage(n), [never]).then((outcome) => outcomes.push(outcome));
  await clock.advance(19);
  t.equal(count('commit'), 0);
  t.same(outcomes, []);
  await clock.advance(1);
  await settle();
  await settle();
  t.equal(count('commit'), 1, 'one commit for all three');
  t.same(outcomes, ['stored', 'stored', 'stored']);
  const read = await store.read(upstream, all);
  t.same(
    read.map(({ offset, message }) => [offset, sequenceOf(message)]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
  t.same(read[0]?.message, numberedMessage(1));
  await store.close();
});

/** Lets time pass in small steps until `work` has settled; the pipe needs turns of the loop. */
async function within<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  work.then(done, done);
  for (let round = 0; round < 500 && !settled; round++) {
    await clock.advance(10);
    await settle();
  }
  return work;
}

const append = (store: Store, from: number, to: number): Promise<string[]> =>
  Promise.all(
    Array.from({ length: to - from + 1 }, (_, index) => store.append(numberedMessage(from + index), [never])),
  );

const offsetsOf = async (store: Store): Promise<number[]> =>
  (await store.read(upstream, all)).map(({ offset }) => offset);

t.test('what was confirmed is not read again, also while that waits for a commit', async (t: Test) => {
  const { clock, store, count } = world(t.testdir());
  await store.start();
  await within(clock, append(store, 1, 3));
  const before = count('commit');
  const confirmed = store.confirm(upstream, 2);
  t.same(await offsetsOf(store), [3]);
  t.equal(count('commit'), before);
  await within(clock, confirmed);
  await within(clock, store.close());
});

t.test('an outbox that began afresh is read from its beginning', async (t: Test) => {
  const directory = t.testdir();
  const { clock, store, threads } = world(directory);
  await store.start();
  await within(clock, append(store, 1, 3));
  await within(clock, store.confirm(upstream, 3));
  const { epoch } = store;
  threads[0]?.die(new Error('planted'));
  rmSync(join(directory, 'outbox'), { recursive: true });
  await within(clock, append(store, 4, 4)).catch(() => undefined);
  await clock.advance(20_000);
  await within(clock, append(store, 5, 6));
  t.not(store.epoch, epoch);
  t.equal((await offsetsOf(store))[0], 1, 'an offset that was confirmed in another life');
  await within(clock, store.close());
});

t.test('a full batch does not wait', async (t: Test) => {
  const { clock, store, count } = world(t.testdir(), { commitMessages: 8 });
  await store.start();
  const appended = append(store, 1, 8);
  t.equal(count('commit'), 1, 'sent with the eighth message');
  t.same(await appended, Array(8).fill('stored'));
  t.equal(clock.monotonicMs(), 0);
  const bytes = world(t.testdir({ b: {} }), { commitBytes: 2000 });
  await bytes.store.start();
  await bytes.store.append(numberedMessage(1, { body: Buffer.alloc(2000) }), [never]);
  t.equal(bytes.clock.monotonicMs(), 0);
  await store.close();
  await bytes.store.close();
});

t.test(
  'one commit is under way at a time; what arrives meanwhile is the next, without another wait',
  async (t: Test) => {
    const { clock, store, threads, count } = world(t.testdir());
    await store.start();
    const first = append(store, 1, 1);
    threads[0]?.hold();
    await clock.advance(20);
    t.equal(count('commit'), 1);
    const second = append(store, 2, 100);
    await clock.advance(500);
    t.equal(count('commit'), 1, 'the disk stalls: nothing piles up behind it');
    threads[0]?.resume();
    await first;
    await second;
    t.equal(count('commit'), 2);
    t.equal(clock.monotonicMs(), 520, 'those who had waited longer than the delay are served at once');
    await store.close();
  },
);

t.test('when everybody who was answered is back, the commit goes without delay', async (t: Test) => {
  const { clock, store, count } = world(t.testdir());
  await store.start();
  await within(clock, append(store, 1, 40));
  const atMs = clock.monotonicMs();
  await append(store, 41, 80);
  t.equal(clock.monotonicMs(), atMs);
  t.equal(count('commit'), 2);
  const lone = append(store, 81, 81);
  await settle();
  t.equal(count('commit'), 2, 'a lone message waits for company');
  await within(clock, lone);
  await store.close();
});

t.test('bytes accepted are bodies, bytes submitted what goes to the disk with them', async (t: Test) => {
  const { store, metrics } = world(t.testdir());
  await store.start();
  const message = numberedMessage(1);
  await store.append(message, [never], { durable: 'now' });
  const value = (name: string): number => metrics.snapshot().find((sample) => sample.name === name)?.value ?? 0;
  t.equal(store.acceptedBytes, message.body.byteLength);
  t.equal(value('store_accepted_bytes_total'), message.body.byteLength);
  t.ok(value('store_submitted_bytes_total') > message.body.byteLength);
  await store.close();
});

t.test('what must be durable now does not wait, and takes along what waited', async (t: Test) => {
  const { clock, store, count } = world(t.testdir());
  await store.start();
  const waiting = append(store, 1, 3);
  await store.append(numberedMessage(4), [never], { durable: 'now' });
  await waiting;
  t.equal(clock.monotonicMs(), 0);
  t.equal(count('commit'), 1);
  const lone = append(store, 5, 5);
  await settle();
  t.equal(count('commit'), 1, 'the next one waits again');
  await within(clock, lone);
  await store.close();
});

t.test('confirmations alone wait longer, melt into one, and ride along with messages', async (t: Test) => {
  const { clock, store, count } = world(t.testdir());
  await store.start();
  await within(clock, append(store, 1, 9));
  const commits = count('commit');
  const confirmed = Promise.all([1, 2, 3].map((offset) => store.confirm(upstream, offset)));
  await clock.advance(990);
  t.equal(count('commit'), commits);
  await clock.advance(10);
  await confirmed;
  t.equal(count('commit'), commits + 1);
  const riding = store.confirm(upstream, 4);
  await within(clock, append(store, 10, 10));
  await riding;
  t.equal(count('commit'), commits + 2);
  t.match(await store.lanes(), [{ messages: 6 }]);
  await store.close();
});

t.test('twins and state documents are found again after a restart', async (t: Test) => {
  const directory = t.testdir();
  const first = world(directory);
  await first.store.start();
  const twin = {
    desired: { properties: { interval: 5, nested: { a: null } }, version: 3 },
    reported: { properties: {}, version: 0 },
  };
  const saved = Promise.all([
    first.store.saveTwin({ key: 'gw/m', twin }),
    first.store.saveTwin({ key: 'gw', twin }),
    first.store.saveState('deployment', '{"version":1}'),
    first.store.saveState('deployment', '{"version":2}'),
  ]);
  await within(first.clock, saved);
  t.equal(await first.store.state('deployment'), '{"version":2}');
  await t.rejects(first.store.saveState('big', 'x'.repeat(1_048_577)), { code: 'STORE_DOCUMENT_TOO_LARGE' });
  await within(first.clock, append(first.store, 1, 1));
  const { epoch } = first.store;
  await first.store.close();
  const second = world(directory);
  await second.store.start();
  t.equal(second.store.epoch, epoch);
  t.same(await second.store.twins(), [
    { key: 'gw', twin },
    { key: 'gw/m', twin },
  ]);
  await within(second.clock, second.store.deleteTwin('gw'));
  t.equal((await second.store.twins()).length, 1);
  t.equal(await second.store.state('none'), undefined);
  await second.store.close();
});

t.test('close commits what waits', async (t: Test) => {
  const directory = t.testdir();
  const first = world(directory);
  await first.store.start();
  const appended = append(first.store, 1, 3);
  await first.store.close();
  t.same(await appended, ['stored', 'stored', 'stored']);
  const second = world(directory);
  await second.store.start();
  t.equal((await second.store.read(upstream, all)).length, 3);
  await second.store.close();
  t.equal(second.clock.timerCount, 0);
});

t.test(
  'a thread that dies: appends reject retryable, confirmations survive it, another thread follows',
  async (t: Test) => {
    const { clock, store, threads, lines } = world(t.testdir());
    await store.start();
    await within(clock, append(store, 1, 5));
    threads[0]?.hold();
    const lost = append(store, 6, 6);
    const confirmed = store.confirm(upstream, 2);
    await clock.advance(20);
    threads[0]?.die(new Error('boom'));
    await t.rejects(lost, { code: 'STORE_UNAVAILABLE', retryable: true });
    await t.rejects(store.facts(), { code: 'STORE_UNAVAILABLE' });
    t.ok(lines.some((line) => line.includes('boom')));
    await within(clock, confirmed);
    t.equal(threads.length, 2);
    t.same(
      (await store.read(upstream, all)).map(({ offset }) => offset),
      [3, 4, 5],
    );
    t.match(await store.lanes(), [{ messages: 3 }]);
    await store.close();
  },
);

t.test('what a thread stored and could not say before it died is told when the next one opens', async (t: Test) => {
  const real = systemLogFiles();
  let mortal = false;
  const { clock, store, threads } = world(t.testdir(), {}, undefined, {
    ...real,
    syncData: (...call) => {
      real.syncData(...call);
      if (mortal && call[0] === 'outbox:sync') threads[0]?.die(new Error('out of memory'));
    },
  });
  await store.start();
  await within(clock, append(store, 1, 1));
  const told: string[] = [];
  store.onAppended(({ queue, priority, live }) => told.push(`${queue} ${priority} ${live}`));
  mortal = true;
  const unsaid = store.append(numberedMessage(2), [never]);
  await t.rejects(within(clock, unsaid), { code: 'STORE_UNAVAILABLE' });
  t.same(told, []);
  await within(clock, new Promise<void>((resolve) => void store.onAppended(() => resolve())));
  t.equal(threads.length, 2);
  t.same(told, [`$upstream ${priorityUnset} false`]);
  t.equal((await store.read(upstream, all)).length, 2, 'the second is there, although nobody was told so');
  await store.close();
});

t.test('threads that keep dying are started ever more slowly', async (t: Test) => {
  const { clock, store, threads } = world(t.testdir());
  await store.start();
  for (let death = 0; death < 6; death++) {
    threads.at(-1)?.die();
    await settle();
    for (let waits = 0; waits < 1000 && threads.length === death + 1; waits++) await clock.advance(10);
    await settle();
    await settle();
  }
  t.equal(threads.length, 7);
  t.ok(clock.monotonicMs() >= 100 + 200 + 400 + 800 + 1600 + 3200, `${clock.monotonicMs()} ms`);
  await store.close();
});

t.test('a damaged file: start succeeds, the log says where it went, and it is counted', async (t: Test) => {
  const { store, lines, metrics } = world(t.testdir({ 'weir.db': 'no database'.repeat(1000) }));
  await store.start();
  t.ok(lines.some((line) => line.includes('moved to quarantine') && line.includes('weir.db-1')));
  t.equal(metrics.snapshot().find(({ name }) => name === 'store_quarantined_total')?.value, 1);
  t.equal((await store.facts()).quarantined.length, 1);
  t.match(store.epoch, /^[0-9a-f]{16}$/);
  await store.close();
});

t.test('a file that cannot be used at all makes start reject after some attempts', async (t: Test) => {
  const { clock, store, threads } = world(
    join(t.testdir({ occupied: 'a file where the directory should be' }), 'occupied'),
  );
  await t.rejects(within(clock, store.start()), { code: 'STORE_UNAVAILABLE', message: /weir\.db cannot be used/ });
  t.equal(threads.length, 5);
  await store.close();
  t.equal(clock.timerCount, 0);
});

t.test('losses are counted each and logged in sums', async (t: Test) => {
  const { clock, store, lines, metrics } = world(t.testdir());
  await store.start();
  const expiring = (n: number) => store.append(numberedMessage(n), [{ ...upstream, timeToLiveMs: 1000 }]);
  for (let round = 0; round < 5; round++) {
    await within(clock, Promise.all([expiring(1), expiring(2)]));
    await clock.advance(2000);
    t.same(await store.read(upstream, all), []);
  }
  const warnings = (): string[] => lines.filter((line) => line.includes('time to live'));
  t.equal(warnings().length, 1);
  await clock.advance(60_000);
  await within(clock, expiring(3));
  await clock.advance(61_000);
  await settle();
  t.match(warnings()[1], /messages=9/, 'found by the sweep, logged with what was not logged before');
  const counted = metrics.snapshot().find(({ name }) => name === 'store_messages_dropped_total');
  t.match(counted, { value: 11, labels: { queue: upstream.queue, reason: 'ttl_expiry' } });
  await store.close();
});

t.test('more than memory allows is refused, retryable, and the rest goes on', async (t: Test) => {
  const { clock, store, threads } = world(t.testdir(), { quotaBytes: 67_108_864 });
  await store.start();
  threads[0]?.hold();
  const body = Buffer.alloc(250_000);
  const appends = Array.from({ length: 80 }, (_, n) =>
    store.append(numberedMessage(n, { body }), [never]).catch((error: { code: string }) => error.code),
  );
  await clock.advance(100);
  threads[0]?.resume();
  const answers = await within(clock, Promise.all(appends));
  t.same([...new Set(answers)], ['stored', 'STORE_BUSY']);
  t.equal(answers.filter((answer) => answer === 'stored').length, 67);
  await store.close();
});

/** A disk that refuses the next `count` transactions that write messages. */
function failing(sqlite: Sqlite, count: () => number): Sqlite {
  return {
    ...sqlite,
    open: (file) => {
      const database = sqlite.open(file);
      return {
        ...database,
        transaction: (work) => {
          if (count() <= 0) return database.transaction(work);
          return database.transaction(() => {
            work();
            throw Object.assign(new Error('no space'), { code: 'SQLITE_FULL' });
          });
        },
      };
    },
  };
}

const hop = (sequence: number) => numberedMessage(sequence, { hop: { stream: 's', sequence } });

/** A disk whose next so many writes of the outbox fail. */
function fullDisk(failures: () => number): LogFiles {
  const real = systemLogFiles();
  return {
    ...real,
    write: (...call) => {
      if (failures() > 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return real.write(...call);
    },
  };
}

for (const part of ['database', 'outbox'] as const) {
  t.test(`the ${part} fails: what gathered behind is refused as well, and stored when it is sent again`, async (t) => {
    let failures = 0;
    const next = (): number => failures--;
    const { clock, store, threads } =
      part === 'database'
        ? world(t.testdir(), {}, (sqlite) => failing(sqlite, next))
        : world(t.testdir(), {}, undefined, fullDisk(next));
    await store.start();
    const answers: string[] = [];
    const send = (sequence: number): Promise<unknown> =>
      store.append(hop(sequence), [never]).then(
        (outcome) => answers.push(`${sequence} ${outcome}`),
        (error: { code: string }) => answers.push(`${sequence} ${error.code}`),
      );
    const first = send(1);
    const saved = store.saveState('k', 'v').catch((error: { code: string }) => error.code);
    threads[0]?.hold();
    await clock.advance(20);
    // The commit of the first is under way; the others gather behind it.
    const second = send(2);
    const gathered = store.saveState('l', 'w');
    failures = 1;
    threads[0]?.resume();
    await within(clock, Promise.all([first, second]));
    t.same(answers, ['1 STORE_DISK_FULL', '2 STORE_DISK_FULL']);
    t.equal(await within(clock, saved), part === 'database' ? 'STORE_DISK_FULL' : undefined);
    await within(clock, gathered);
    t.equal(await within(clock, store.state('l')), 'w', 'documents that gathered are saved all the same');
    await within(clock, Promise.all([send(1), send(2)]));
    t.same(answers.slice(2), ['1 stored', '2 stored']);
    t.same(
      (await store.read(upstream, all)).map(({ message }) => sequenceOf(message)),
      [1, 2],
    );
    await store.close();
  });
}

t.test('a confirmation that the outbox did not take is tried again by itself', async (t) => {
  let failures = 0;
  const { clock, store } = world(
    t.testdir(),
    {},
    undefined,
    fullDisk(() => failures--),
  );
  await store.start();
  await within(clock, append(store, 1, 3));
  failures = 1;
  await within(clock, store.confirm(upstream, 2));
  t.match(await store.lanes(), [{ messages: 1 }]);
  await store.close();
});

t.test('too little space is told once, refuses sessions their messages, and is over when it is over', async (t) => {
  let freeBytes = 1_000_000_000;
  const space = () => ({ freeBytes, totalBytes: 10_000_000_000 });
  const { clock, store, lines } = world(t.testdir(), { reserveBytes: 50_000_000 }, undefined, undefined, { space });
  await store.start();
  await within(clock, append(store, 1, 3));
  t.notOk(store.sessions.full);
  freeBytes = 40_000_000;
  await clock.advance(2000);
  await within(clock, append(store, 4, 5));
  await within(clock, append(store, 6, 7));
  t.ok(store.sessions.full);
  t.equal(lines.filter((line) => line.includes('less space left than the reserve')).length, 1);
  t.match((await store.facts()).space, { freeBytes, reserveBytes: 50_000_000, low: true });
  freeBytes = 60_000_000;
  await within(clock, append(store, 8, 9));
  t.notOk(store.sessions.full);
  t.equal(lines.filter((line) => line.includes('has its reserve back')).length, 1);
  await store.close();
});

t.test('a small message does not slip past a large one that was refused for lack of room', async (t) => {
  const { clock, store, threads } = world(t.testdir(), { quotaBytes: 67_108_864 });
  await store.start();
  threads[0]?.hold();
  const body = Buffer.alloc(262_144);
  const answers = new Map<number, string>();
  const send = (sequence: number, bytes: Buffer): Promise<unknown> =>
    store.append(numberedMessage(sequence, { body: bytes, hop: { stream: 's', sequence } }), [never]).then(
      (outcome) => answers.set(sequence, outcome),
      (error: { code: string }) => answers.set(sequence, error.code),
    );
  const sent = Array.from({ length: 64 }, (_, index) => send(index + 1, body));
  sent.push(send(65, Buffer.alloc(1)));
  await settle();
  t.equal(answers.get(64), 'STORE_BUSY');
  t.equal(answers.get(65), 'STORE_BUSY', 'although it would fit');
  threads[0]?.resume();
  await within(clock, Promise.all(sent));
  await within(clock, Promise.all([send(64, body), send(65, Buffer.alloc(1))]));
  t.equal(answers.get(64), 'stored');
  t.equal(answers.get(65), 'stored');
  await store.close();
});
