import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { Store, type StoreOptions } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const upstream = '$upstream';
const never = { queue: upstream, expiresAtMs: undefined };

function world(directory: string, over: Partial<StoreOptions> = {}) {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const threads: InlineThread[] = [];
  const entropy = seededEntropy(Math.floor(Math.random() * 1e9));
  const store = new Store(
    {
      clock,
      log,
      metrics,
      startThread: () => {
        const thread = new InlineThread({ sqlite: systemSqlite(), entropy });
        threads.push(thread);
        return thread;
      },
    },
    { path: join(directory, 'weir.db'), quarantine: join(directory, 'quarantine'), quotaBytes: 4_194_304, ...over },
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
