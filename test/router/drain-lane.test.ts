// What one lane confirms when batches under way end in another order, or not wholly.

import t, { type Test } from 'tap';
import { priorityUnset } from '../../src/model/lane.ts';
import { type Batch, DrainLane } from '../../src/router/drain-lane.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage } from '../support/messages.ts';
import { SimClock } from '../support/sim-clock.ts';

const lane = { queue: '$upstream', priority: priorityUnset, live: false };

/** Three batches of four messages under way, offsets 1 to 12. */
async function underWay(): Promise<{ readonly drained: DrainLane; readonly batches: readonly Batch[] }> {
  const store = new MemoryStore(() => 0);
  for (let n = 1; n <= 12; n++) await store.append(numberedMessage(n), [{ ...lane, timeToLiveMs: undefined }]);
  const drained = new DrainLane({ store, clock: new SimClock() }, lane);
  await drained.load({ messagesMax: 12, bytesMax: 1_000_000 });
  const batches = [1, 2, 3].map(() => drained.cut({ messages: 4, bytes: 1_000_000 }));
  return { drained, batches };
}

t.test('a batch that is acknowledged before those ahead of it waits for them', async (t: Test) => {
  const { drained, batches } = await underWay();
  const [first, second, third] = batches as [Batch, Batch, Batch];
  t.same(drained.settle(third, 4), { confirm: undefined, overtook: false });
  t.same(drained.settle(first, 4), { confirm: 4, overtook: false });
  t.same(drained.settle(second, 4), { confirm: 12, overtook: false });
});

t.test('what an endpoint took behind a message it had not taken is not confirmed, and told', async (t: Test) => {
  for (const accepted of [0, 3]) {
    const { drained, batches } = await underWay();
    const [first, second, third] = batches as [Batch, Batch, Batch];
    t.same(drained.settle(first, accepted), { confirm: accepted || undefined, overtook: false });
    t.same(drained.settle(second, 4), { confirm: undefined, overtook: true });
    t.same(drained.settle(third, 0), { confirm: undefined, overtook: false });
    drained.rewind();
    await drained.load({ messagesMax: 1, bytesMax: 1_000_000 });
    const { messages } = drained.cut({ messages: 1, bytes: 1_000_000 });
    t.equal(messages[0]?.offset, accepted + 1, 'it goes on at the first that was not taken');
  }
});

t.test('of another outbox nothing counts any more', async (t: Test) => {
  const { drained, batches } = await underWay();
  drained.reset('another');
  for (const batch of batches) t.same(drained.settle(batch, 4), { confirm: undefined, overtook: false });
});
