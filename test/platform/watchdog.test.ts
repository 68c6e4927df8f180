// The watchdog is fed while every part answers, and not a moment longer than it may be silent.

import { join } from 'node:path';
import t from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { stuckParts, type VitalPart, Watchdog } from '../../src/platform/watchdog.ts';
import { Store } from '../../src/store/index.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const periodMs = 40_000;

function bench(parts: readonly VitalPart[], clock = new SimClock()) {
  const { log, lines } = keptLog(clock);
  const fedAtMs: number[] = [];
  const stuck: string[] = [];
  const watchdog = new Watchdog(
    {
      clock,
      log,
      parts,
      feed: () => void fedAtMs.push(clock.monotonicMs()),
      stuck: (names) => void stuck.push(names.join()),
    },
    { periodMs },
  );
  return { clock, watchdog, fedAtMs, stuck, lines };
}

t.test('a part is stuck when it has owed an answer for too long', async (t) => {
  const at = { nowMs: 100, patienceMs: 20 };
  t.same(stuckParts([{ name: 'a', askedAtMs: undefined }], at), []);
  t.same(stuckParts([{ name: 'a', askedAtMs: 81 }], at), []);
  t.same(
    stuckParts(
      [
        { name: 'a', askedAtMs: 80 },
        { name: 'b', askedAtMs: 99 },
        { name: 'c', askedAtMs: 0 },
      ],
      at,
    ),
    ['a', 'c'],
  );
});

t.test('it is fed each quarter of the period; a refusal is an answer', async (t) => {
  const { clock, watchdog, fedAtMs, stuck } = bench([
    { name: 'well', ask: () => Promise.resolve() },
    { name: 'refuses', ask: () => Promise.reject(new Error('the disk is full')) },
  ]);
  watchdog.start();
  await clock.advance(periodMs);
  t.same(fedAtMs, [0, 10_000, 20_000, 30_000, 40_000]);
  watchdog.close();
  await clock.advance(periodMs);
  t.equal(fedAtMs.length, 5, 'not after its end');
  t.same(stuck, []);
});

t.test('a part that says nothing ends the feeding, and its answer begins it again', async (t) => {
  let answer: () => void = () => undefined;
  let isSilent = false;
  let asked = 0;
  const part = {
    name: 'store',
    ask: () => {
      asked += 1;
      if (!isSilent) return Promise.resolve();
      return new Promise<void>((resolve) => {
        answer = resolve;
      });
    },
  };
  const { clock, watchdog, fedAtMs, stuck, lines } = bench([part, { name: 'other', ask: () => Promise.resolve() }]);
  watchdog.start();
  await clock.advance(10_000);
  isSilent = true;
  await clock.advance(10_000 + 5 * periodMs);
  t.same(fedAtMs, [0, 10_000, 20_000, 30_000], 'silent since 20 s: it has half the period');
  t.same(stuck, ['store']);
  t.equal(asked, 3, 'it is not asked again while it owes an answer');
  t.equal(lines.filter((line) => line.includes('no sign of life')).length, 1);
  isSilent = false;
  answer();
  const before = fedAtMs.length;
  await clock.advance(periodMs / 4);
  t.equal(fedAtMs.length, before + 1);
  t.same(stuck, ['store', '']);
});

t.test('a store whose thread stands still is no longer alive', async (t) => {
  const clock = new SimClock();
  const { log } = keptLog(clock);
  let thread: InlineThread | undefined;
  const startThread = (): InlineThread => {
    thread = new InlineThread({ sqlite: systemSqlite(), entropy: seededEntropy(1) });
    return thread;
  };
  const directory = t.testdir();
  const store = new Store(
    { startThread, clock, log, metrics: createMetrics() },
    { path: join(directory, 'weir.db'), quarantine: join(directory, 'q'), quotaBytes: 1 << 26 },
  );
  await store.start();
  const { watchdog, fedAtMs, stuck } = bench([{ name: 'store', ask: () => store.alive() }], clock);
  watchdog.start();
  await clock.advance(periodMs);
  const before = fedAtMs.length;
  t.ok(before >= 4);
  thread?.hold();
  await clock.advance(4 * periodMs);
  t.ok(fedAtMs.length - before <= 3, `fed ${fedAtMs.length - before} times more`);
  t.same(stuck, ['store']);
  thread?.resume();
  await clock.advance(periodMs);
  t.same(stuck, ['store', '']);
  watchdog.close();
  await store.close();
});
