// The Store in a process of its own, for tests that kill it, or that want a process without test machinery.
//
//   store-process.cjs THREAD DIRECTORY MARKS PLAN   one life; marks go to the file. Ends with 0 when the plan is
//                                                   through and the store closed.
//   store-process.cjs THREAD                        a life for each line of standard input, {directory, size, plan?};
//                                                   answers with one line {marks, log} each.

import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/platform/clock.ts';
import { startThread } from '../../src/platform/thread.ts';
import { inventoryOf, live, openStore, type Plan } from './store-life.ts';
import type { Mark, Size } from './workload.ts';

export interface LifeRequest {
  readonly directory: string;
  readonly size: Size;
  /** Absent: the store is opened, looked at and closed. */
  readonly plan?: Plan;
}

export interface LifeReply {
  readonly marks: readonly Mark[];
  readonly log: string;
}

async function oneLife(
  threadPath: string,
  { directory, size, plan }: LifeRequest,
  say: (mark: Mark) => void,
): Promise<string> {
  const { store, logged } = await openStore(directory, {
    clock: systemClock(),
    startThread: () => startThread({ path: threadPath }, undefined),
  });
  say(['found', await inventoryOf(store, size)]);
  if (plan !== undefined) await live(store, plan, say);
  await store.close();
  say(['closed']);
  return logged();
}

async function serve(threadPath: string): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const marks: Mark[] = [];
    const log = await oneLife(threadPath, JSON.parse(line) as LifeRequest, (mark) => void marks.push(mark)).catch(
      String,
    );
    const reply: LifeReply = { marks, log };
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

async function main(): Promise<void> {
  const [threadPath = '', directory, marksPath = '', planText = ''] = process.argv.slice(2);
  if (directory === undefined) return serve(threadPath);
  const plan = JSON.parse(planText) as Plan;
  const marks = openSync(marksPath, 'a');
  const say = (mark: Mark): void => void writeSync(marks, `${JSON.stringify(mark)}\n`);
  process.stderr.write(await oneLife(threadPath, { directory, size: plan.size, plan }, say));
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
