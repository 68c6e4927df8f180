// Two gateways on one machine, with the same device name, the same modules and one container engine: neither knows of
// the other, and what one does leaves the other's modules alone.

import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Podman } from '../support/podman.ts';
import { manifest, program, sensor } from '../support/world/manifest.ts';
import { World, type WorldModule } from '../support/world/world.ts';

const ticking = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done';
const ticker = program('/bin/sh', ['-c', `echo $$ > $WEIR_MODULE_DATA/mine; ${ticking}`]);
const boxed = {
  version: '1',
  type: 'docker',
  status: 'running',
  restartPolicy: 'always',
  imagePullPolicy: 'never',
  settings: { image: 'localhost/ticker:1', createOptions: '{}' },
};
const modules = { ticker, sensor: sensor(200), boxed };
const isRoot = process.getuid?.() === 0;

function started(world: World, name: string): Promise<WorldModule> {
  return world.eventually(`${name} runs`, async () => {
    const found = await world.module(name);
    return found?.runtimeStatus === 'running' && found.startedAtMs !== null ? found : undefined;
  });
}

const proc = (pid: number | null, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
};
const uidOf = (pid: number | null): string => /^Uid:\s+(\d+)/m.exec(proc(pid, 'status'))?.[1] ?? '';
const groupsOf = (pid: number | null): readonly string[] =>
  proc(pid, 'cgroup')
    .split('\n')
    .filter((line) => line.includes('ticker'));

t.test('two gateways on one machine', { skip: !isRoot && 'needs root' }, async (t) => {
  const podman = new Podman();
  const worlds = [new World({ name: 'left' }), new World({ name: 'right' })];
  t.teardown(async () => {
    for (const world of worlds) await world.close();
    await podman.close();
  });
  await podman.start();
  podman.image('localhost/ticker:1', { changes: [`CMD ["/bin/sh", "-c", "trap 'exit 0' TERM; ${ticking}"]`] });
  for (const [at, world] of worlds.entries()) {
    chmodSync(world.directory, 0o711);
    await world.startHub();
    await world.provision(
      `[moby_runtime]\nuri = "unix://${podman.socket}"\nnetwork = "weir-side${at}-${process.pid}"\n` +
        `[modules]\nfirst_uid = ${64_000 + at * 600}\n`,
    );
    await world.startGateway();
    await world.deploy(manifest({ modules }));
  }
  const [left, right] = worlds as [World, World];
  const here = { ticker: await started(left, 'ticker'), boxed: await started(left, 'boxed') };
  const there = { ticker: await started(right, 'ticker'), boxed: await started(right, 'boxed') };
  for (const world of worlds) await world.messages('sensor', 2);

  await t.test('each has users, groups and containers of its own', async (t) => {
    t.not(uidOf(here.ticker.pid), uidOf(there.ticker.pid));
    t.ok(Number(uidOf(here.ticker.pid)) >= 64_000);
    t.same(
      groupsOf(here.ticker.pid).filter((group) => groupsOf(there.ticker.pid).includes(group)),
      [],
      'no control group holds modules of both',
    );
    const names = podman.run('ps', '--format', '{{.Names}}').trim().split('\n');
    t.equal(new Set(names).size, 2, names.join());
    for (const [world, { pid }] of [
      [left, here.ticker],
      [right, there.ticker],
    ] as const) {
      const mine = join(world.dataDir, 'modules/ticker/data/mine');
      await world.eventually('its file', () => existsSync(mine) || undefined);
      t.equal(String(statSync(mine).uid), uidOf(pid), 'its directory is its own');
      t.equal(statSync(join(world.dataDir, 'modules/ticker/data')).mode & 0o777, 0o700);
      t.equal(statSync(join(world.dataDir, 'local.key')).mode & 0o077, 0);
      t.equal(statSync(join(world.dataDir, 'weir.db')).mode & 0o077, 0, 'nothing of the gateway is open to modules');
    }
  });

  await t.test('what one of them removes, restarts or loses is not the other one’s', async (t) => {
    await left.killGateway();
    await left.startGateway();
    t.equal((await started(left, 'boxed')).startedAtMs, here.boxed.startedAtMs, 'its container is adopted');
    await left.deploy(manifest({ modules: { sensor: sensor(200) } }));
    await left.eventually('its modules are gone', async () => {
      const gone = (await left.module('ticker')) === undefined && (await left.module('boxed')) === undefined;
      return (gone && !existsSync(`/proc/${here.ticker.pid}`)) || undefined;
    });
    await right.killGateway();
    await right.startGateway();
    for (const name of ['ticker', 'boxed'] as const) {
      const { startedAtMs, pid, restartCount } = await started(right, name);
      t.match(
        { startedAtMs, pid, restartCount },
        { ...{ startedAtMs: there[name].startedAtMs, pid: there[name].pid } },
      );
    }
    t.equal(podman.run('ps', '-a', '--format', '{{.Names}}').trim().split('\n').length, 1);
  });
});
