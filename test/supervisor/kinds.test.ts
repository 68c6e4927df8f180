// Processes and containers side by side, one after the other under one name, and left over from earlier lives.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LaunchSpec, ModuleObservation } from '../../src/supervisor/index.ts';
import { FakeContainers } from '../support/fake-containers.ts';
import { eventually, fast, isAlive, module, Site, spec, until } from '../support/supervised-site.ts';

function container(image: string, changes: Partial<LaunchSpec> = {}): LaunchSpec {
  return spec({ command: [], container: { image, createOptions: {}, pullPolicy: 'never', labels: {} }, ...changes });
}

t.test('a container is run, observed and removed', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  await supervisor.apply([container('run')]);
  const running = await module(supervisor, { runtimeStatus: 'running' });
  t.match(running, { kind: 'container', pid: null, imageHash: 'sha256:5', statusDescription: 'running' });
  await supervisor.apply([]);
  await until(supervisor, 'nothing', (all) => all.length === 0);
  t.same(containers.done, ['launch m', 'up m', 'terminate m', 'erase m']);
});

t.test('without an engine a container fails with the reason, and processes run', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  await supervisor.apply([container('run', { name: 'boxed' }), spec()]);
  const failed = await module(supervisor, (one) => one.statusDescription.includes('no container engine'), 'boxed');
  t.match(failed, { kind: 'container', exitCode: 127 });
  t.match(await module(supervisor, { runtimeStatus: 'running' }), { kind: 'process' });
});

t.test('what goes on before a container is up is told', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  await supervisor.apply([container('held')]);
  await module(supervisor, { statusDescription: 'starting: pulling image: 40 %', runtimeStatus: 'unknown' });
  containers.release('m');
  await module(supervisor, { statusDescription: 'running' });
});

t.test('a module changes its kind: the old one is ended and erased before the new one starts', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  await supervisor.apply([spec()]);
  const { pid } = await module(supervisor, { runtimeStatus: 'running' });
  await supervisor.apply([container('run', { generation: '2' })]);
  await module(supervisor, { runtimeStatus: 'running', kind: 'container', generation: '2' });
  t.notOk(isAlive(pid));
  t.notOk(existsSync(join(site.module('m'), 'state.json')), 'nothing of the shim is left');
  t.equal(JSON.parse(readFileSync(join(site.module('m'), 'supervision.json'), 'utf8')).kind, 'container');
  await supervisor.apply([spec({ generation: '3' })]);
  await module(supervisor, { runtimeStatus: 'running', kind: 'process', generation: '3' });
  t.equal(containers.containers.size, 0);
  t.same(containers.done, ['launch m', 'up m', 'terminate m', 'erase m']);
});

t.test('what is left of the other kind and cannot be removed is tried again, and is said', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  await supervisor.apply([container('run')]);
  await module(supervisor, { runtimeStatus: 'running' });
  containers.away = true;
  await supervisor.apply([spec({ generation: '2' })]);
  await module(supervisor, (one) => /as a container cannot be removed: the engine is away/.test(one.statusDescription));
  t.notOk(existsSync(join(site.module('m'), 'state.json')), 'and until then no process is started beside it');
  containers.away = false;
  await module(supervisor, { runtimeStatus: 'running', kind: 'process' });
});

t.test('the next life of the runtime adopts containers, with or without a record of them', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const first = await site.supervisor(fast, { containers });
  await first.apply([container('run'), container('run', { name: 'n' })]);
  const { startedAtMs } = await module(first, { runtimeStatus: 'running' });
  await module(first, { runtimeStatus: 'running' }, 'n');
  await first.close({ stopModules: false });
  rmSync(site.module('n'), { recursive: true });
  const second = await site.supervisor(fast, { containers });
  t.match(second.observe(), [
    { name: 'm', kind: 'container', runtimeStatus: 'running', adopted: true, generation: '1', startedAtMs },
    { name: 'n', kind: 'container', runtimeStatus: 'running', adopted: true, generation: '' },
  ]);
  await second.apply([container('run')]);
  await until(second, 'the one that is not listed is gone', (all) => all.length === 1);
  t.same([...containers.containers.keys()], ['m']);
  t.equal(containers.done.filter((what) => what === 'launch m').length, 1, 'the other one was left alone');
});

t.test('while the engine is away nothing is started twice, and processes are not concerned', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const first = await site.supervisor(fast, { containers });
  await first.apply([container('run')]);
  await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  containers.away = true;
  const second = await site.supervisor(fast, { containers });
  await second.apply([container('run'), spec({ name: 'p' })]);
  await module(second, { runtimeStatus: 'running' }, 'p');
  t.match(await module(second, {}), {
    kind: 'container',
    runtimeStatus: 'unknown',
    statusDescription: 'nobody knows whether it runs: the engine is away',
  });
  t.equal(containers.done.filter((what) => what === 'launch m').length, 1);
  containers.away = false;
  t.match(await module(second, { runtimeStatus: 'running' }), { adopted: true, restartCount: 0 });
  t.equal(containers.done.filter((what) => what === 'launch m').length, 1);
});

t.test('a container that is the leftover of a module that is a process now is removed', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const first = await site.supervisor(fast, { containers });
  await first.apply([spec()]);
  const { pid } = await module(first, { runtimeStatus: 'running' });
  await first.close({ stopModules: false });
  containers.containers.set('m', { startedAtMs: 1, running: true, listener: undefined });
  const second = await site.supervisor(fast, { containers });
  t.equal(containers.containers.size, 0);
  t.match(second.observe(), [{ pid, kind: 'process', runtimeStatus: 'running' }]);
});

t.test('groups start one after the other, when the earlier one is up and ready, or has failed', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  const waits = (one: ModuleObservation): boolean => one.statusDescription === 'waits for modules that start earlier';
  const health = { intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 60_000, notify: true };
  const all = [
    container('run', { name: 'last', startupOrder: 4_294_967_295 }),
    container('getting-ready', { name: 'b', startupOrder: 1, health }),
    container('held', { name: 'a', startupOrder: 0 }),
    container('cannot-start', { name: 'a-fails', startupOrder: 0, restartPolicy: 'never' }),
    spec({ name: 'stands', startupOrder: 7, wanted: 'stopped' }),
  ];
  await supervisor.apply(all);
  await module(supervisor, { runtimeStatus: 'failed' }, 'a-fails');
  await module(supervisor, waits, 'b');
  await module(supervisor, waits, 'last');
  await module(supervisor, { runtimeStatus: 'stopped' }, 'stands');
  t.notOk(containers.done.includes('launch b'));
  containers.release('a');
  await module(supervisor, { statusDescription: 'running; not ready yet' }, 'b');
  await module(supervisor, waits, 'last');
  containers.ready('b');
  await module(supervisor, { runtimeStatus: 'running' }, 'last');
  t.same(
    containers.done.filter((what) => what.startsWith('up')),
    ['up a', 'up b', 'up last'],
  );
});

t.test('a newer deployment does not wait for the groups of an older one', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const supervisor = await site.supervisor(fast, { containers });
  const first = container('held', { name: 'a', startupOrder: 0 });
  await supervisor.apply([first, container('run', { name: 'b', startupOrder: 1 })]);
  await supervisor.apply([first, container('run', { name: 'c', startupOrder: 0 })]);
  await module(supervisor, { runtimeStatus: 'running' }, 'c');
  await until(supervisor, 'b was never there', (all) => all.every((one) => one.name !== 'b'));
  t.notOk(containers.done.includes('launch b'));
});

t.test('what runs already has no turn to wait for', async (t) => {
  const site = new Site(t);
  const containers = new FakeContainers();
  const first = await site.supervisor(fast, { containers });
  const all = [container('run', { name: 'b', startupOrder: 1 })];
  await first.apply(all);
  await module(first, { runtimeStatus: 'running' }, 'b');
  const second = await site.supervisor(fast, { containers });
  await second.apply([container('held', { name: 'a', startupOrder: 0 }), ...all]);
  containers.end('b', { code: 1, message: 'exited with code 1' });
  await module(second, (one) => one.restartCount === 1 && one.runtimeStatus === 'running', 'b');
  t.notOk(containers.done.includes('up a'));
});

t.test('what every policy does about every end', async (t) => {
  const ends = ['exit:0', 'exit:1', 'exit:75', 'exit:76', 'exit:78', 'signal:11', 'oom', 'cannot-start', 'unhealthy'];
  // R started again after a pause · S tried again seldom · D done · F failed for good · - left running as it is
  const table = {
    //             exit 0  1    75   76   78   sig  oom  start unhealthy
    never: ['D', 'F', 'F', 'F', 'F', 'F', 'F', 'F', '-'],
    'on-failure': ['D', 'R', 'R', 'S', 'F', 'R', 'R', 'R', '-'],
    'on-unhealthy': ['D', 'R', 'R', 'S', 'F', 'R', 'R', 'R', 'R'],
    always: ['R', 'R', 'R', 'S', 'F', 'R', 'R', 'R', 'R'],
  } as const;
  const seen: Readonly<Record<string, (one: ModuleObservation) => boolean>> = {
    R: ({ runtimeStatus, nextStartAtMs }) => runtimeStatus === 'backoff' && nextStartAtMs !== null,
    S: ({ runtimeStatus, nextStartAtMs }) => runtimeStatus === 'failed' && nextStartAtMs !== null,
    D: ({ runtimeStatus }) => runtimeStatus === 'stopped',
    F: ({ runtimeStatus, nextStartAtMs }) => runtimeStatus === 'failed' && nextStartAtMs === null,
    '-': ({ runtimeStatus }) => runtimeStatus === 'unhealthy',
  };
  const site = new Site(t);
  const containers = new FakeContainers();
  const slow = { ...fast, firstDelayMs: 3_600_000, delayMsMax: 3_600_000 };
  const supervisor = await site.supervisor(slow, { containers });
  const cells = Object.entries(table).flatMap(([policy, row]) =>
    row.map((wanted, at) => ({ name: `${policy} ${ends[at]}`, policy, image: ends[at] ?? '', wanted })),
  );
  await supervisor.apply(
    cells.map(({ name, policy, image }) =>
      container(image, { name, restartPolicy: policy as LaunchSpec['restartPolicy'] }),
    ),
  );
  for (const { name, wanted } of cells) t.ok(await module(supervisor, seen[wanted] ?? {}, name), `${name} → ${wanted}`);
  const described = async (name: string, text: RegExp): Promise<void> => {
    t.match((await module(supervisor, {}, name)).statusDescription, text, name);
  };
  await described('always oom', /out of memory/);
  await described('always exit:75', /asks to be started again/);
  await described('always exit:76', /asks for a reboot of the machine/);
  await described('always exit:78', /its configuration is wrong; not tried again until its configuration changes/);
  await described('always unhealthy', /unhealthy: has a cough; it was ended: .*; waiting before the next start/);
  await described('never unhealthy', /^running; unhealthy: has a cough$/);
});

t.test(
  'an unhealthy module whose policy becomes one that cares is restarted, without a new configuration',
  async (t) => {
    const site = new Site(t);
    const containers = new FakeContainers();
    const supervisor = await site.supervisor(fast, { containers });
    await supervisor.apply([container('unhealthy', { restartPolicy: 'never' })]);
    await module(supervisor, { runtimeStatus: 'unhealthy' });
    await supervisor.apply([container('unhealthy', { restartPolicy: 'on-unhealthy' })]);
    t.match(await module(supervisor, (one) => one.restartCount > 1), { generation: '1' });
    await eventually(
      'it is ended each time',
      () => containers.done.filter((what) => what === 'terminate m').length > 2,
    );
  },
);
