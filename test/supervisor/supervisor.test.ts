// The supervisor with everything real: the shim, processes, sockets, files. Only the pacing is fast.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formerModuleLogsMax } from '../../src/limits.ts';
import { type Disk, systemDisk } from '../../src/platform/disk.ts';
import { defaultPacing, type LaunchSpec, type ModuleObservation, type Pacing } from '../../src/supervisor/index.ts';
import { eventually, fast, forever, isAlive, module, Site, spec, state, until } from '../support/supervised-site.ts';

t.test('a listed module runs, an unlisted one is ended and its traces are removed, but for its log', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec(), spec({ name: '$odd/na me' })]);
  const running = await module(supervisor, { runtimeStatus: 'running' });
  t.match(running, {
    generation: '1',
    exitCode: 0,
    statusDescription: 'running',
    restartCount: 0,
    lastRestartAtMs: null,
    exitedAtMs: null,
    adopted: false,
  });
  t.ok(isAlive(running.pid));
  const odd = await module(supervisor, { runtimeStatus: 'running' }, '$odd/na me');
  t.ok(existsSync(site.module('%24odd%2Fna%20me')));
  await supervisor.apply([spec()]);
  await until(supervisor, 'the odd one is gone', (all) => all.length === 1);
  t.notOk(isAlive(odd.pid));
  t.same(readdirSync(join(site.directory, 'run/modules')), ['m']);
  t.same(readdirSync(join(site.directory, 'log')).sort(), ['%24odd%2Fna%20me.log', 'm.log']);
  await supervisor.keepLogs(['m']);
  t.same(readdirSync(join(site.directory, 'log')), ['m.log']);
  t.equal((await module(supervisor, {})).pid, running.pid);
});

t.test('the log of a module that is still ending goes with it, unless it is to stay or is wanted again', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const names = ['goes', 'stays', 'returns'];
  const script = `trap 'sleep 0.3; exit 0' TERM; echo here; ${forever}`;
  const specs = names.map((name) => spec({ name, script }));
  await supervisor.apply(specs);
  for (const name of names)
    await eventually(`${name} wrote`, () => {
      const log = join(site.directory, 'log', `${name}.log`);
      return existsSync(log) && readFileSync(log, 'utf8').includes('here');
    });
  await supervisor.apply([]);
  await supervisor.keepLogs(['stays']);
  t.equal(supervisor.observe().length, names.length, 'all are still there');
  await supervisor.apply(specs.filter(({ name }) => name === 'returns'));
  await until(supervisor, 'two are gone', (all) => all.length === 1);
  await module(supervisor, (one) => one.runtimeStatus === 'running' && one.pid !== null, 'returns');
  await supervisor.apply([]);
  await until(supervisor, 'all are gone', (all) => all.length === 0);
  t.same(readdirSync(join(site.directory, 'log')).sort(), ['returns.log', 'stays.log']);
});

t.test('of modules that are gone so many logs are kept; the one written to longest ago goes', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const logs = join(site.directory, 'log');
  mkdirSync(logs, { recursive: true });
  for (let number = 0; number < formerModuleLogsMax; number++) {
    for (const file of [`gone${number}.log`, `gone${number}.log.1`]) {
      writeFileSync(join(logs, file), '');
      utimesSync(join(logs, file), 1000, 1000 + ((number + 5) % formerModuleLogsMax));
    }
  }
  await supervisor.apply([spec()]);
  await module(supervisor, { runtimeStatus: 'running' });
  t.equal(readdirSync(logs).length, 2 * formerModuleLogsMax + 1);
  await supervisor.apply([]);
  await until(supervisor, 'it is gone', (all) => all.length === 0);
  await eventually('the oldest went', () => !existsSync(join(logs, `gone${formerModuleLogsMax - 5}.log`)));
  await eventually('all of it', () => readdirSync(logs).length === 2 * formerModuleLogsMax - 1);
});

t.test('applying the same again changes nothing', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec()]);
  const { pid } = await module(supervisor, { runtimeStatus: 'running' });
  let changes = 0;
  supervisor.onChange(() => (changes += 1));
  await supervisor.apply([spec()]);
  await supervisor.apply([spec({ restartPolicy: 'never', graceMs: 1 })]);
  t.equal(changes, 0);
  t.equal((await module(supervisor, {})).pid, pid);
});

t.test('a changed generation is restarted, at once', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec()]);
  const before = await module(supervisor, { runtimeStatus: 'running' });
  await supervisor.apply([spec({ generation: '2' })]);
  const after = await module(
    supervisor,
    (one) => one.runtimeStatus === 'running' && one.generation === '2' && one.pid !== null,
  );
  t.not(after.pid, before.pid);
  t.notOk(isAlive(before.pid));
  t.equal(after.restartCount, 0, 'a new generation begins its count anew');
});

t.test('a module is stopped and started again as wanted', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec()]);
  const { pid } = await module(supervisor, { runtimeStatus: 'running' });
  await supervisor.apply([spec({ wanted: 'stopped' })]);
  const stopped = await module(supervisor, { runtimeStatus: 'stopped' });
  t.match(stopped, { pid: null, exitCode: 143, statusDescription: 'stopped as wanted' });
  t.notOk(isAlive(pid));
  await t.rejects(supervisor.restart('m'), { code: 'SUPERVISOR_MODULE_NOT_WANTED' });
  await supervisor.apply([spec()]);
  await module(supervisor, { runtimeStatus: 'running' });
});

t.test('a disk that was full once does not keep later deployments from being applied', async (t) => {
  const site = new Site(t);
  const real = systemDisk();
  let isFull = true;
  const disk: Disk = {
    ...real,
    writeFileAtomic: (operation, path, content) =>
      isFull && operation === 'accounts:write'
        ? Promise.reject(new Error('no space left on device'))
        : real.writeFileAtomic(operation, path, content),
  };
  const supervisor = await site.supervisor(fast, { disk, firstUid: 64_000 });
  await t.rejects(supervisor.apply([spec({ wanted: 'stopped' })]), /no space left/);
  isFull = false;
  await supervisor.apply([spec({ wanted: 'stopped' })]);
  await module(supervisor, { runtimeStatus: 'stopped' });
});

t.test('a module that fails is tried again, with its count and its code', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const waits: ModuleObservation[] = [];
  supervisor.onChange(() => waits.push(...supervisor.observe().filter((one) => one.runtimeStatus === 'backoff')));
  await supervisor.apply([spec({ script: 'exit 3' })]);
  const third = await module(supervisor, (one) => one.restartCount >= 3);
  t.equal(third.exitCode, 3);
  t.type(third.lastRestartAtMs, 'number');
  const wait = waits[0];
  t.match(wait, { pid: null, exitCode: 3, statusDescription: 'exited with code 3; waiting before the next start' });
  t.type(wait?.nextStartAtMs, 'number');
});

t.test('policies and exit codes are followed', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor({ ...fast, brokenFailures: 3, brokenDelayMs: 3_600_000 });
  await supervisor.apply([
    spec({ name: 'once', script: 'exit 0', restartPolicy: 'on-failure' }),
    spec({ name: 'never', script: 'exit 1', restartPolicy: 'never' }),
    spec({ name: 'misconfigured', script: 'exit 78' }),
    spec({ name: 'absent', command: ['/does/not/exist'], restartPolicy: 'never' }),
    spec({ name: 'broken', script: 'exit 1' }),
  ]);
  t.match(await module(supervisor, { runtimeStatus: 'stopped' }, 'once'), {
    exitCode: 0,
    restartCount: 0,
    statusDescription: 'finished: exited with code 0',
  });
  t.match(await module(supervisor, { runtimeStatus: 'failed' }, 'never'), { exitCode: 1, nextStartAtMs: null });
  t.match(await module(supervisor, { runtimeStatus: 'failed' }, 'misconfigured'), { exitCode: 78, restartCount: 0 });
  t.match(await module(supervisor, { runtimeStatus: 'failed' }, 'absent'), {
    exitCode: 127,
    statusDescription: /cannot execute for \/does\/not\/exist: No such file/,
  });
  const broken = await module(supervisor, { runtimeStatus: 'failed' }, 'broken');
  t.equal(broken.restartCount, 2);
  t.ok((broken.nextStartAtMs ?? 0) > Date.now() + 2_000_000);
  await supervisor.apply([spec({ name: 'broken', generation: '2' })]);
  await module(supervisor, { runtimeStatus: 'running', generation: '2' }, 'broken');
  await supervisor.apply([
    spec({ name: 'broken', generation: '2' }),
    spec({ name: 'once', script: 'exit 0', restartPolicy: 'on-failure' }),
  ]);
});

t.test('an operator restarts a module, whatever its phase', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec(), spec({ name: 'once', script: 'exit 0', restartPolicy: 'never' })]);
  const before = await module(supervisor, { runtimeStatus: 'running' });
  await supervisor.restart('m');
  const after = await module(
    supervisor,
    (one) => one.runtimeStatus === 'running' && one.pid !== before.pid && one.pid !== null,
  );
  t.equal(after.restartCount, 1);
  await module(supervisor, { runtimeStatus: 'stopped' }, 'once');
  await supervisor.restart('once');
  await module(supervisor, { runtimeStatus: 'stopped', restartCount: 1 }, 'once');
  await t.rejects(supervisor.restart('nobody'), { code: 'SUPERVISOR_MODULE_UNKNOWN', fields: { status: 404 } });
});

t.test('the next life of the runtime adopts what runs, and hears its end', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec()]);
  const { pid, startedAtMs } = await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  t.ok(isAlive(pid), 'it runs on');
  const second = await site.supervisor();
  t.match(second.observe(), [
    { name: 'm', pid, generation: '1', runtimeStatus: 'running', adopted: true, startedAtMs, restartCount: 0 },
  ]);
  await second.apply([spec()]);
  t.equal((await module(second, {})).pid, pid, 'the same deployment leaves it alone');
  process.kill(pid ?? 0, 'SIGKILL');
  const again = await module(second, (one) => one.runtimeStatus === 'running' && one.pid !== pid && one.pid !== null);
  t.match(again, { adopted: false, exitCode: 137, restartCount: 1 });
});

t.test('an end while nobody watched is found and counted', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec()]);
  const { pid } = await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  process.kill(pid ?? 0, 'SIGKILL');
  await eventually('the record of the end', () => existsSync(join(site.module('m'), 'exit.json')));
  const second = await site.supervisor();
  t.match(second.observe(), [{ runtimeStatus: 'unknown', exitCode: 137, pid: null }]);
  const seen: string[] = [];
  second.onChange(() => seen.push(second.observe()[0]?.runtimeStatus ?? ''));
  await second.apply([spec()]);
  await module(second, { runtimeStatus: 'running', restartCount: 1 });
  t.ok(seen.includes('backoff'), 'as an end like any other');
});

t.test('what finished by itself is not begun again by the next life', async (t) => {
  const site = new Site(t);
  const once = spec({ script: 'echo ran', restartPolicy: 'never' });
  const first = await site.supervisor();
  await first.apply([once]);
  await module(first, { runtimeStatus: 'stopped' });
  await first.close({ stopModules: true });
  const second = await site.supervisor();
  await second.apply([once]);
  t.match(second.observe(), [{ runtimeStatus: 'stopped', restartCount: 0, exitCode: 0 }]);
  await second.apply([{ ...once, generation: '2' }]);
  await module(second, { runtimeStatus: 'stopped', generation: '2' });
  t.equal(readFileSync(join(site.directory, 'log/m.log'), 'utf8').trim().split('\n').length, 2);
});

t.test('a wait goes on in the next life', async (t) => {
  const site = new Site(t);
  const slow: Pacing = { ...defaultPacing, firstDelayMs: 3_600_000, delayMsMax: 3_600_000 };
  const first = await site.supervisor(slow);
  await first.apply([spec({ script: 'exit 1' })]);
  const { nextStartAtMs } = await module(first, { runtimeStatus: 'backoff' });
  const second = await site.supervisor(slow);
  await second.apply([spec({ script: 'exit 1' })]);
  const waiting = await module(second, { runtimeStatus: 'backoff' });
  t.ok(Math.abs((waiting.nextStartAtMs ?? 0) - (nextStartAtMs ?? 0)) < 1000);
});

t.test('what is not wanted any more after a life without us is ended; what changed is restarted', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec({ name: 'goes' }), spec({ name: 'changes' })]);
  const goes = await module(first, { runtimeStatus: 'running' }, 'goes');
  const changes = await module(first, { runtimeStatus: 'running' }, 'changes');
  const second = await site.supervisor();
  await second.apply([spec({ name: 'changes', generation: '2' })]);
  await module(
    second,
    (one) => one.runtimeStatus === 'running' && one.generation === '2' && one.pid !== changes.pid && one.pid !== null,
    'changes',
  );
  await until(second, 'goes is gone', (all) => all.length === 1);
  t.notOk(isAlive(goes.pid));
  t.notOk(isAlive(changes.pid));
});

t.test('a module whose record is damaged is restarted, because nobody knows what it is', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec()]);
  const { pid } = await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  writeFileSync(join(site.module('m'), 'supervision.json'), '{"half a re');
  const second = await site.supervisor();
  t.match(second.observe(), [{ runtimeStatus: 'running', pid, generation: '' }]);
  await second.apply([spec()]);
  await module(
    second,
    (one) => one.runtimeStatus === 'running' && one.generation === '1' && one.pid !== pid && one.pid !== null,
  );
  t.notOk(isAlive(pid));
});

t.test('a killed shim takes its module and the children with it; the module is started again', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([
    spec({ script: 'sleep 1000 & echo $! > $HOME/child; wait', env: { PATH: '/usr/bin:/bin', HOME: site.directory } }),
  ]);
  const before = await module(supervisor, { runtimeStatus: 'running' });
  await eventually(
    'the child',
    () => existsSync(join(site.directory, 'child')) && readFileSync(join(site.directory, 'child'), 'utf8') !== '',
  );
  const child = Number(readFileSync(join(site.directory, 'child'), 'utf8'));
  process.kill(state(site).shimPid, 'SIGKILL');
  const after = await module(
    supervisor,
    (one) => one.runtimeStatus === 'running' && one.pid !== before.pid && one.pid !== null,
  );
  t.match(after, { exitCode: 137, restartCount: 1 });
  t.notOk(isAlive(before.pid));
  await eventually('the child is gone', () => !isAlive(child));
});

t.test('a shim that was killed while nobody watched is found out; a reused pid is left alone', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec()]);
  const { pid } = await module(first, { runtimeStatus: 'running' });
  const { shimPid } = state(site);
  await first.close({ stopModules: false });
  process.kill(shimPid, 'SIGKILL');
  await eventually('both are gone', () => !isAlive(pid) && !isAlive(shimPid));
  // The pids of the record now belong to somebody else: to this test.
  const record = JSON.parse(readFileSync(join(site.module('m'), 'state.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(
    join(site.module('m'), 'state.json'),
    JSON.stringify({ ...record, shimPid: process.pid, pid: process.pid }),
  );
  const second = await site.supervisor();
  t.match(second.observe(), [{ runtimeStatus: 'unknown', exitCode: 137, pid: null }]);
  await second.apply([spec()]);
  await module(second, { runtimeStatus: 'running', restartCount: 1 });
});

t.test('records of an earlier boot are history', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec({ script: 'exit 1', restartPolicy: 'never' })]);
  await module(first, { runtimeStatus: 'failed' });
  await first.close({ stopModules: false });
  for (const name of ['supervision.json', 'state.json']) {
    const path = join(site.module('m'), name);
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), bootId: 'another' }));
  }
  const second = await site.supervisor();
  t.match(second.observe(), [{ runtimeStatus: 'unknown', exitCode: 0, generation: '' }]);
  await second.apply([spec()]);
  await module(second, { runtimeStatus: 'running', restartCount: 0 });
});

t.test('a shim that nobody knows of is ended before the module is started', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec()]);
  const { pid } = await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  // As after a runtime killed between the spawn and the greeting, then upgraded to one that lost the directory's list.
  rmSync(join(site.module('m'), 'ctl.sock'));
  const second = await site.supervisor();
  await second.apply([spec()]);
  const after = await module(second, (one) => one.runtimeStatus === 'running' && one.pid !== pid && one.pid !== null);
  t.notOk(isAlive(pid), 'two lives of a module never run together');
  t.ok(isAlive(after.pid));
});

t.test('closing with the modules ends them, and the next life starts them again', async (t) => {
  const site = new Site(t);
  const first = await site.supervisor();
  await first.apply([spec(), spec({ name: 'stubborn', script: `trap "" TERM; ${forever}`, graceMs: 100 })]);
  const pids = [
    await module(first, { runtimeStatus: 'running' }),
    await module(first, { runtimeStatus: 'running' }, 'stubborn'),
  ].map((one) => one.pid);
  await first.close({ stopModules: true });
  for (const pid of pids) t.notOk(isAlive(pid));
  await t.rejects(first.apply([]), { code: 'SUPERVISOR_CLOSED' });
  const second = await site.supervisor();
  await second.apply([spec()]);
  await module(second, { runtimeStatus: 'running' });
});

t.test('a module listed again while it is being removed runs', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec()]);
  const before = await module(supervisor, { runtimeStatus: 'running' });
  const removed = supervisor.apply([]);
  const listed = supervisor.apply([spec()]);
  await Promise.all([removed, listed]);
  await module(supervisor, (one) => one.runtimeStatus === 'running' && one.pid !== before.pid && one.pid !== null);
});

t.test('a specification that cannot be followed changes nothing', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([spec()]);
  const { pid } = await module(supervisor, { runtimeStatus: 'running' });
  const rows: readonly (readonly [readonly LaunchSpec[], RegExp])[] = [
    [[spec({ name: '' })], /its name is empty/],
    [[spec(), spec()], /listed twice/],
    [[spec({ command: [] })], /not an absolute path/],
    [[spec({ command: ['sh'] })], /"sh" is not an absolute path/],
    [[spec({ command: ['/bin/sh', 'a\0b'] })], /zero byte/],
    [[spec({ cwd: 'here' })], /working directory/],
    [[spec({ uid: 1 })], /uid and gid/],
    [[spec({ graceMs: -1 })], /grace/],
    [[spec({ logBytesMax: 10 })], /log file size/],
    [[spec({ logFiles: 0 })], /number of log files/],
    [Array.from({ length: 129 }, (_, at) => spec({ name: `m${at}` })), /more than 128/],
  ];
  for (const [specs, message] of rows)
    await t.rejects(supervisor.apply(specs), { code: 'SUPERVISOR_SPEC_INVALID', message });
  t.equal((await module(supervisor, { runtimeStatus: 'running' })).pid, pid);
  t.equal(supervisor.observe().length, 1);
});

t.test('directories with very long paths work', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const name = 'n'.repeat(150);
  await supervisor.apply([spec({ name })]);
  const { pid } = await module(supervisor, { runtimeStatus: 'running' }, name);
  const second = await site.supervisor();
  t.match(second.observe(), [{ name, pid, adopted: true }]);
});

t.test(
  'what a module left in a session of its own ends, too, when its shim is killed',
  {
    skip: process.getuid?.() !== 0,
  },
  async (t) => {
    const site = new Site(t);
    const supervisor = await site.supervisor();
    const file = join(site.directory, 'stray');
    const script = `setsid sh -c 'echo $$ > ${file}; exec sleep 1000' & ${forever}`;
    await supervisor.apply([spec({ script, restartPolicy: 'never' })]);
    await module(supervisor, { runtimeStatus: 'running' });
    await eventually('the stray runs', () => existsSync(file) && readFileSync(file, 'utf8') !== '');
    const stray = Number(readFileSync(file, 'utf8'));
    process.kill(state(site).shimPid, 'SIGKILL');
    await module(supervisor, { runtimeStatus: 'failed' });
    await eventually('the stray is gone', () => !isAlive(stray));
  },
);

t.test('a health command that hangs holds up neither the end of its module nor that of the runtime', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const command = ['/bin/sleep', '3600'];
  const health = { command, intervalMs: 10, timeoutMs: 3_600_000, retries: 3, startPeriodMs: 0, notify: false };
  await supervisor.apply([spec({ script: 'sleep 1; exit 3', restartPolicy: 'never', health })]);
  t.match(await module(supervisor, { runtimeStatus: 'failed' }), { exitCode: 3 });
});
