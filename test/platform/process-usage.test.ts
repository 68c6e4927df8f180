import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { processUsage } from '../../src/platform/process-usage.ts';

t.test('a process is counted with what it started, or alone; one that is gone is left out', async (t) => {
  const script =
    'const {spawn}=require("child_process");spawn("sleep",["60"]);let u;do u=process.cpuUsage();while(u.user+u.system<200e3);console.log("busy");setInterval(()=>{},1e3)';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  t.teardown(() => process.kill(-(child.pid ?? 0), 'SIGKILL'));
  await once(child.stdout, 'data');
  const pid = child.pid ?? 0;
  const usages = await processUsage([pid, 999_999_999], { alone: [process.pid] });
  t.same([...usages.keys()].sort(), [pid, process.pid].sort());
  const usage = usages.get(pid);
  t.equal(usage?.processes, 2, 'node and sleep');
  t.ok((usage?.cpuMs ?? 0) >= 100, `${usage?.cpuMs} ms of processor`);
  t.ok((usage?.memoryBytes ?? 0) > 1_000_000, `${usage?.memoryBytes} bytes`);
  t.equal(usages.get(process.pid)?.processes, 1);
  t.same(await processUsage([]), new Map());
});
