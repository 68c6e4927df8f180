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
  const refused = (code: StoreErrorCode): Promise<void> =>
    health
      .commit(() => Promise.reject(new StoreError({ code, message: 'no', retryable: true })))
      .then(
        () => undefined,
        () => undefined,
      );
  const taken = async (messages: number, low = true): Promise<void> => {
    const space = { freeBytes: low ? 0 : 1e9, reserveBytes: 1e6, low };
    const appended = Array.from({ length: messages }, (_, index) => index);
    await health.commit(() =>
      Promise.resolve({ appended, documentOutcomes: new Uint8Array(0), space } as unknown as CommitResult),
    );
  };
  return { clock, said, refused, taken };
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
