// The Store in a process of its own, for tests that kill it. Arguments: the data directory, the bundled store thread,
// the file for its marks, the plan as JSON. Ends with 0 when the plan is through and the store closed.

import { openSync, writeSync } from 'node:fs';
import { systemClock } from '../../src/platform/clock.ts';
import { startThread } from '../../src/platform/thread.ts';
import { inventoryOf, live, openStore, type Plan } from './store-life.ts';
import type { Mark } from './workload.ts';

async function main(directory: string, threadPath: string, marksPath: string, planText: string): Promise<void> {
  const plan = JSON.parse(planText) as Plan;
  const marks = openSync(marksPath, 'a');
  const say = (mark: Mark): void => void writeSync(marks, `${JSON.stringify(mark)}\n`);
  const { store, logged } = await openStore(directory, {
    clock: systemClock(),
    startThread: () => startThread({ path: threadPath }, undefined),
  });
  say(['found', await inventoryOf(store, plan.size)]);
  await live(store, plan, say);
  await store.close();
  say(['closed']);
  process.stderr.write(logged());
}

const [directory = '', threadPath = '', marksPath = '', planText = ''] = process.argv.slice(2);
main(directory, threadPath, marksPath, planText).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
