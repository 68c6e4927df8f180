// What /proc tells of this machine's own processes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { startTicksNow, systemProcessTable } from '../../src/platform/process-lineage.ts';

const table = systemProcessTable();

t.test('a child has us among its ancestors, and a start time', async (t) => {
  const child: ChildProcess = spawn('/bin/sh', ['-c', 'sleep 60 & echo $!; wait']);
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  const grandchild = Number(line.toString());
  t.teardown(() => process.kill(grandchild, 'SIGKILL'));
  const found = await table.lineage(grandchild);
  t.equal(found?.ancestors[0], child.pid);
  t.equal(found?.ancestors[1], process.pid);
  t.ok((found?.ancestors.length ?? 0) <= 64);
  t.equal(found?.startTicks, startTicksNow(grandchild));
  t.equal(found?.isNested, false);
  const own = await table.lineage(process.pid);
  t.same(found?.cgroups, own?.cgroups, 'nobody moved it');
});

t.test('who is not there has no lineage', async (t) => {
  const child = spawn('/bin/true');
  await once(child, 'exit');
  t.equal(await table.lineage(child.pid ?? 0), undefined);
  t.equal(startTicksNow(child.pid ?? 0), undefined);
  t.equal(await table.lineage(0), undefined);
});

t.test('a process that nobody has waited for yet counts as gone', async (t) => {
  const child = spawn('/bin/sh', ['-c', '/bin/true & echo $!; exec sleep 60']);
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const zombie = Number(line.toString());
  while (startTicksNow(zombie) !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(await table.lineage(zombie), undefined);
});
