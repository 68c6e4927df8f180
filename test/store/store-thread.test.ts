// The store over a real worker thread and a real file.

import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Lane, priorityUnset } from '../../src/model/lane.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Thread } from '../../src/platform/thread.ts';
import { Store } from '../../src/store/store.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { bundleStoreThread } from '../support/store-thread.ts';

const upstream: Lane = { queue: '$upstream', priority: priorityUnset, live: false };
const never = { ...upstream, timeToLiveMs: undefined };
const bundleDirectory = t.testdir();
const starter = bundleStoreThread(bundleDirectory);

async function openStore(directory: string) {
  const startThread = await starter;
  const clock = systemClock();
  const { log, lines } = keptLog(clock);
  const threads: Thread[] = [];
  const store = new Store(
    {
      clock,
      log,
      metrics: createMetrics(),
      startThread: () => {
        const thread = startThread();
        threads.push(thread);
        return thread;
      },
    },
    { path: join(directory, 'weir.db'), quarantine: join(directory, 'quarantine'), quotaBytes: 67_108_864 },
  );
  await store.start();
  return { store, threads, lines };
}

async function readAll(store: Store, lane = upstream): Promise<number[]> {
  const found: number[] = [];
  for (let afterOffset = 0; ; ) {
    const batch = await store.read(lane, { afterOffset, messagesMax: 100, bytesMax: 262_144 });
    const last = batch.at(-1);
    if (last === undefined) return found;
    found.push(...batch.map(({ message }) => sequenceOf(message)));
    afterOffset = last.offset;
  }
}

t.test('ten thousand messages are stored, read back in order and confirmed away', async (t: Test) => {
  const { store } = await openStore(t.testdir());
  const total = 10_000;
  const body = Buffer.alloc(250, 7);
  const began = performance.now();
  const appended: Promise<string>[] = [];
  for (let n = 1; n <= total; n++) {
    appended.push(store.append(numberedMessage(n, { body, hop: { stream: 's', sequence: n } }), [never]));
    if (n % 500 === 0) await Promise.all(appended);
  }
  const outcomes = await Promise.all(appended);
  const stored = performance.now();
  t.ok(outcomes.every((outcome) => outcome === 'stored'));
  t.same(
    await readAll(store),
    Array.from({ length: total }, (_, index) => index + 1),
  );
  const read = performance.now();
  const rate = (ms: number): string => `${Math.round(total / (ms / 1000))}/s`;
  t.comment(`appended and committed ${rate(stored - began)}, read ${rate(read - stored)}`);
  await store.confirm(upstream, total);
  t.same(await readAll(store), []);
  t.match(await store.lanes(), [{ queue: '$upstream', messages: 0, bytes: 0 }]);
  await store.close();
});

t.test('whatever was acknowledged is there after the thread was killed at any moment', async (t: Test) => {
  const directory = t.testdir();
  const acknowledged: number[] = [];
  for (let life = 0; life < 5; life++) {
    const { store, threads } = await openStore(directory);
    const first = life * 1000;
    const appends = Array.from({ length: 400 }, (_, index) =>
      store.append(numberedMessage(first + index), [never]).then(
        () => acknowledged.push(first + index),
        () => undefined,
      ),
    );
    await Promise.race(appends.slice(life * 60, life * 60 + 1));
    await threads[0]?.terminate();
    await Promise.all(appends);
    // The store has noticed and starts another thread; this life ends without an orderly close of the first.
    await store.close();
  }
  const { store } = await openStore(directory);
  const found = new Set(await readAll(store));
  t.ok(acknowledged.length > 0);
  t.same(
    acknowledged.filter((sequence) => !found.has(sequence)),
    [],
  );
  await store.close();
});

t.test('the files copied while the store runs hold everything acknowledged until then', async (t: Test) => {
  const directory = t.testdir({ copy: { outbox: {} } });
  const { store } = await openStore(directory);
  for (let n = 1; n <= 50; n++) await Promise.all([store.append(numberedMessage(n), [never])]);
  const segments = readdirSync(join(directory, 'outbox')).map((name) => join('outbox', name));
  for (const name of ['weir.db', 'weir.db-wal', ...segments])
    copyFileSync(join(directory, name), join(directory, 'copy', name));
  await store.close();
  const copy = await openStore(join(directory, 'copy'));
  t.equal((await readAll(copy.store)).length, 50);
  await copy.store.close();
});

t.test('a thread that dies is replaced: what was under way rejects, later calls work', async (t: Test) => {
  const { store, threads, lines } = await openStore(t.testdir());
  await store.append(numberedMessage(1), [never]);
  const lost = store.append(numberedMessage(2), [never]);
  const settled = lost.then(
    () => 'stored',
    (error: { code: string; retryable: boolean }) => `${error.code} ${error.retryable}`,
  );
  await threads[0]?.terminate();
  t.match(await settled, /^(STORE_UNAVAILABLE true|stored)$/);
  const answers = new Set<string>();
  while (!answers.has('stored')) {
    answers.add(await store.append(numberedMessage(3), [never]).catch((error: { code: string }) => error.code));
  }
  t.same([...answers].sort(), ['STORE_UNAVAILABLE', 'stored'], 'refused until another thread has the file, then taken');
  t.equal(threads.length, 2);
  t.ok(lines.some((line) => line.includes('another is started')));
  t.ok((await readAll(store)).includes(1));
  await store.close();
});

t.test('a closed store leaves a database without a log', async (t: Test) => {
  const directory = t.testdir();
  mkdirSync(join(directory, 'deep'));
  const { store } = await openStore(join(directory, 'deep', 'deeper'));
  await store.append(numberedMessage(1), [never]);
  await store.close();
  await store.close();
  t.same(readdirSync(join(directory, 'deep', 'deeper')), ['outbox', 'weir.db']);
  t.notOk(existsSync(join(directory, 'deep', 'deeper', 'weir.db-wal')));
  await t.rejects(store.append(numberedMessage(2), [never]), { code: 'STORE_CLOSED' });
});
