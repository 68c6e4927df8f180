import { join } from 'node:path';
import t from 'tap';
import { runCommand } from '../../src/platform/command.ts';

const bounds = { env: { PATH: '/usr/bin:/bin' }, timeoutMs: 120_000, outputBytesMax: 100 };

t.test('a command tells its code and what it wrote', async (t) => {
  const result = await runCommand({ ...bounds, command: ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'] });
  t.match(result, { code: 3, timedOut: false });
  t.match(result.output, /out\n/);
  t.match(result.output, /err\n/);
});

t.test('one that cannot be started says why', async (t) => {
  t.match(await runCommand({ ...bounds, command: ['/does/not/exist'] }), { code: null, output: /ENOENT/ });
  t.match(await runCommand({ ...bounds, command: [] }), { code: null, timedOut: false });
});

t.test('one that takes too long is killed, and what it wrote is bounded', async (t) => {
  const result = await runCommand({ ...bounds, timeoutMs: 5000, command: ['/bin/sh', '-c', 'yes'] });
  t.match(result, { code: null, timedOut: true });
  t.equal(result.output.length, 100);
});

t.test('a child that holds its output is not waited for', async (t) => {
  const held = join(t.testdir({ held: '' }), 'held');
  const holder = `setsid sh -c 'while [ -e ${held} ]; do sleep 0.1; done'`;
  const result = await runCommand({ ...bounds, command: ['/bin/sh', '-c', `${holder} & echo done`] });
  t.match(result, { code: 0, output: 'done\n' });
});

t.test('one that is no longer wanted is killed at once', async (t) => {
  const stop = new AbortController();
  const running = runCommand({ ...bounds, command: ['/bin/sh', '-c', 'sleep 60; echo late'], signal: stop.signal });
  setTimeout(() => stop.abort(), 100);
  t.match(await running, { code: null, timedOut: false, output: '' });
  t.match(await runCommand({ ...bounds, command: ['/bin/sleep', '9'], signal: stop.signal }), { code: null });
});
