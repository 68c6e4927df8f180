// What the router relies on, run against the real store and against the one in memory.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Lane, priorityUnset } from '../../src/model/lane.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import type { RouterStore } from '../../src/router/ports.ts';
import { Store } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

interface Subject {
  readonly store: RouterStore;
  readonly clock: SimClock;
  close(): Promise<void>;
}

const subjects: Record<string, (t: Test) => Promise<Subject>> = {
  'store on SQLite': async (t) => {
    const clock = new SimClock();
    const { log } = keptLog(clock);
    const directory = t.testdir();
    const store = new Store(
      {
        clock,
        log,
        metrics: createMetrics(),
        startThread: () => new InlineThread({ sqlite: systemSqlite(), entropy: seededEntropy(1) }),
      },
      { path: join(directory, 'weir.db'), quarantine: join(directory, 'q'), quotaBytes: 8_388_608 },
    );
    await store.start();
    return { store, clock, close: () => store.close() };
  },
  'store in memory': async () => {
    const clock = new SimClock();
    return { store: new MemoryStore(() => clock.wallMs()), clock, close: async () => undefined };
  },
};

const limits = { afterOffset: 0, messagesMax: 100, bytesMax: 100_000 };
const lane = (queue: string, priority = priorityUnset): Lane => ({ queue, priority, live: false });
const into = (...queues: string[]) => queues.map((queue) => ({ ...lane(queue), timeToLiveMs: undefined }));

/** Lets time pass until `work` has settled. */
async function within<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  work.then(done, done);
  for (let round = 0; round < 200 && !settled; round++) {
    await clock.advance(10);
    await settle();
  }
  return work;
}

for (const [name, create] of Object.entries(subjects)) {
  t.test(name, async (t) => {
    t.test('offsets of each queue start at one and grow by one', async (t) => {
      const { store, clock, close } = await create(t);
      await within(clock, Promise.all([1, 2].map((n) => store.append(numberedMessage(n), into('a', 'b')))));
      await within(clock, store.append(numberedMessage(3), into('b')));
      t.same(
        (await store.read(lane('a'), limits)).map(({ offset }) => offset),
        [1, 2],
      );
      t.same(
        (await store.read(lane('b'), limits)).map(({ offset, message }) => [offset, sequenceOf(message)]),
        [
          [1, 1],
          [2, 2],
          [3, 3],
        ],
      );
      t.same(await store.read(lane('nothing'), limits), []);
      await close();
    });

    t.test('a repetition is recognised by its stream and put nowhere', async (t) => {
      const { store, clock, close } = await create(t);
      const send = (stream: string, sequence: number) =>
        store.append(numberedMessage(sequence, { hop: { stream, sequence } }), into('a'));
      const outcomes = await within(clock, Promise.all([send('x', 1), send('x', 2), send('x', 1), send('y', 1)]));
      t.same(outcomes, ['stored', 'stored', 'duplicate', 'stored']);
      t.equal(await within(clock, send('x', 2)), 'duplicate');
      t.equal(await within(clock, send('x', 9)), 'stored', 'higher is new, also with a hole');
      t.equal((await store.read(lane('a'), limits)).length, 4);
      await close();
    });

    t.test('what is confirmed is not read again, from the moment of the call', async (t) => {
      const { store, clock, close } = await create(t);
      await within(clock, Promise.all([1, 2, 3].map((n) => store.append(numberedMessage(n), into('a')))));
      const confirmed = store.confirm(lane('a'), 2);
      t.same(
        (await store.read(lane('a'), limits)).map(({ offset }) => offset),
        [3],
      );
      await within(clock, confirmed);
      t.same(
        (await store.read(lane('a'), limits)).map(({ offset }) => offset),
        [3],
      );
      await within(clock, store.confirm(lane('a'), 3));
      await within(clock, store.append(numberedMessage(4), into('a')));
      t.same(
        (await store.read(lane('a'), limits)).map(({ offset }) => offset),
        [4],
        'an empty queue goes on counting',
      );
      await close();
    });

    t.test('reads keep to their limits and always answer at least one', async (t) => {
      const { store, clock, close } = await create(t);
      const body = Buffer.alloc(1000);
      await within(clock, Promise.all([1, 2, 3, 4].map((n) => store.append(numberedMessage(n, { body }), into('a')))));
      const offsets = async (over: Partial<typeof limits>): Promise<number[]> =>
        (await store.read(lane('a'), { ...limits, ...over })).map(({ offset }) => offset);
      t.same(await offsets({ messagesMax: 2 }), [1, 2]);
      t.same(await offsets({ afterOffset: 2, messagesMax: 1 }), [3]);
      t.same(await offsets({ bytesMax: 2600 }), [1, 2]);
      t.same(await offsets({ bytesMax: 10 }), [1]);
      t.same(await offsets({ afterOffset: 4 }), []);
      await close();
    });

    t.test('expired messages are skipped, also in the middle', async (t) => {
      const { store, clock, close } = await create(t);
      await within(
        clock,
        Promise.all(
          [1, 2, 3].map((n) =>
            store.append(numberedMessage(n), [{ ...lane('a'), timeToLiveMs: n === 2 ? 5000 : undefined }]),
          ),
        ),
      );
      t.equal((await store.read(lane('a'), limits)).length, 3);
      await clock.advance(5000);
      t.same(
        (await store.read(lane('a'), limits)).map(({ offset }) => offset),
        [1, 3],
      );
      await close();
    });

    t.test('listeners hear of each queue after the commit, until they stop', async (t) => {
      const { store, clock, close } = await create(t);
      const heard: string[] = [];
      const stop = store.onAppended(({ queue }) => heard.push(queue));
      await within(clock, store.append(numberedMessage(1), into('a', 'b')));
      t.same(heard.sort(), ['a', 'b']);
      t.equal((await store.read(lane('b'), limits)).length, 1);
      stop();
      await within(clock, store.append(numberedMessage(2), into('a')));
      t.equal(heard.length, 2);
      await close();
    });
  });
}
