// What the log says of a disk that refuses, and of one that takes and refuses by turns.

import t, { type Test } from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';
import { StoreError, type StoreErrorCode } from '../../src/store/errors.ts';
import { StoreHealth } from '../../src/store/health.ts';
import type { CommitResult } from '../../src/store/thread-protocol.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

function world() {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const health = new StoreHealth({ clock, log, metrics }, '/data/weir.db');
  const said = (text: string): number => lines.filter((line) => line.includes(text)).length;
  /** Answers whether the disk was asked. */
  const refused = async (code: StoreErrorCode, needsDatabase = false): Promise<boolean> => {
    let isAsked = false;
    const work = (): Promise<never> => {
      isAsked = true;
      return Promise.reject(new StoreError({ code, message: 'no', retryable: true }));
    };
    await health.commit(work, { needsDatabase }).catch(() => undefined);
    return isAsked;
  };
  const taken = async (messages: number, low = true): Promise<void> => {
    const space = { freeBytes: low ? 0 : 1e9, reserveBytes: 1e6, low };
    const appended = Array.from({ length: messages }, (_, index) => index);
    const result = { appended, documentOutcomes: new Uint8Array(0), space } as unknown as CommitResult;
    await health.commit(() => Promise.resolve(result), { needsDatabase: false });
  };
  return { clock, health, said, refused, taken };
}

t.test('a full disk that takes what says that messages have left does not take messages again', async (t: Test) => {
  const { said, refused, taken } = world();
  await refused('STORE_DISK_FULL');
  await taken(0);
  await refused('STORE_DISK_FULL');
  t.equal(said('nothing can be stored'), 1);
  t.equal(said('takes messages again'), 0);
  await taken(1);
  t.equal(said('takes messages again'), 1);
});

t.test('nobody sends, and somebody has made room: that is told as well', async (t: Test) => {
  const { said, refused, taken } = world();
  await refused('STORE_DISK_FULL');
  await taken(0, false);
  t.equal(said('takes messages again'), 1);
});

t.test('a disk that is full by turns is told of once a minute, and what is so in the end always', async (t: Test) => {
  const { clock, said, refused, taken } = world();
  for (let second = 0; second < 600; second++) {
    await refused('STORE_DISK_FULL');
    await taken(1);
    await clock.advance(1000);
  }
  t.equal(said('nothing can be stored'), 10);
  t.equal(said('takes messages again'), 10);
  for (let second = 0; second < 70; second++) {
    await refused('STORE_DISK_FULL');
    await clock.advance(1000);
  }
  t.equal(said('nothing can be stored'), 11);
  t.equal(said('takes messages again'), 10);
});

t.test('a disk that cannot be used is asked ever more seldom, whatever is to be written', async (t: Test) => {
  const { clock, refused } = world();
  const asked: number[] = [];
  for (let second = 0; second < 60; second++) {
    if (await refused('STORE_UNAVAILABLE', second % 2 === 0)) asked.push(second);
    await clock.advance(1000);
  }
  t.same(asked, [0, 1, 2, 3, 4, 6, 10, 17, 27, 37, 47, 57]);
});

t.test('while a copy in memory stands in for the database, messages do not wait for its next try', async (t: Test) => {
  const { clock, health, refused, taken } = world();
  const readOnly = 'database or disk is full';
  health.opened({ quarantined: undefined, salvaged: undefined, readOnly });
  for (const code of ['STORE_DISK_FULL', 'STORE_UNAVAILABLE'] as const) {
    let tries = 0;
    for (let tenth = 0; tenth < 600; tenth++) {
      if (await refused(code, true)) tries++;
      // Goes to the disk, or this would throw; and does not make the database asked sooner.
      await taken(1);
      await clock.advance(100);
    }
    t.ok(tries >= 5 && tries <= 15, `${tries} tries in a minute`);
  }
  t.equal(await refused('STORE_DISK_FULL'), true);
  t.equal(await refused('STORE_DISK_FULL'), true, 'for want of room alone nobody waits: what has left makes some');
  t.equal(await refused('STORE_UNAVAILABLE'), true);
  t.equal(await refused('STORE_UNAVAILABLE'), false, 'a disk that takes nothing is left alone');
});
