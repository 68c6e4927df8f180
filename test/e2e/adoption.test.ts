// Modules outlive the runtime (guarantee G6): killed, stopped or started again, it finds them as they were; what
// ended by itself is started again, later each time.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { Podman } from '../support/podman.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { judge } from '../support/world/ledger.ts';
import { manifest, program, sensor } from '../support/world/manifest.ts';
import { World, type WorldModule } from '../support/world/world.ts';

const ticking = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done';
const modules = { sensor: sensor(100), ticker: program('/bin/sh', ['-c', ticking]) };
const boxed = {
  version: '1',
  type: 'docker',
  status: 'running',
  restartPolicy: 'always',
  imagePullPolicy: 'never',
  settings: { image: 'localhost/ticker:1', createOptions: '{}' },
};
/** Most of them come in the middle of a start; each twentieth runtime gets to serve. */
const kills = 100;
const killsPerReady = 20;
const startingMsMax = 250;

const rounds = 20;
const killWithinMs = 120;

/** The environment a process was started with; empty when it is gone. */
function environment(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Every shell of this world's ticker, known to the runtime or not; what it forks is one itself until it has become `sleep`. */
function shells(world: World): readonly number[] {
  const socket = `IOTEDGE_WORKLOADURI=unix://${join(world.runDir, 'modules', 'ticker', 'api', 'workload.sock')}`;
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandOf(Number(name)).startsWith(`/bin/sh\0-c\0`))
    .map(Number)
    .filter((pid) => environment(pid).includes(socket));
  return found.filter((pid) => {
    const parent = parentOf(pid);
    return parent !== 0 && !found.includes(parent);
  });
}

/** 0 when it is gone. */
function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

async function stage(t: Test, { toml = '', more = {} }: { toml?: string; more?: JsonObject } = {}): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision(toml);
  await world.startGateway();
  await world.deploy(manifest({ modules: { ...modules, ...more } }));
  await world.running('sensor');
  await world.running('ticker');
  return world;
}

/** A container's pid may be nobody's business here. */
function started(world: World, name: string): Promise<WorldModule> {
  return world.eventually(`${name} runs`, async () => {
    const found = await world.module(name);
    return found?.runtimeStatus === 'running' && found.startedAtMs !== null ? found : undefined;
  });
}

function identityOf({ pid, startedAtMs }: WorldModule): Pick<WorldModule, 'pid' | 'startedAtMs'> {
  return { pid, startedAtMs };
}

/** Field 22 of /proc/<pid>/stat: a pid alone could have been given to another process. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** The number in the last line of the ticker's log file. */
function lastTick(world: World): number {
  const text = readFileSync(join(world.dataDir, 'logs', 'ticker.log'), 'utf8');
  return Number([...text.matchAll(/tick (\d+)\n/g)].at(-1)?.[1] ?? 0);
}

t.test('modules keep their processes, logs and streams while the runtime is killed and stopped', async (t) => {
  const podman = new Podman();
  t.teardown(() => podman.close());
  await podman.start();
  podman.image('localhost/ticker:1', { changes: [`CMD ["/bin/sh", "-c", "trap 'exit 0' TERM; ${ticking}"]`] });
  const toml = `[moby_runtime]\nuri = "unix://${podman.socket}"\nnetwork = "weir-adopt-${process.pid}"`;
  const world = await stage(t, { toml, more: { boxed } });
  const boxedBefore = await started(world, 'boxed');
  const before = { sensor: await world.running('sensor'), ticker: await world.running('ticker') };
  const ticks = { sensor: startTicks(before.sensor.pid), ticker: startTicks(before.ticker.pid) };
  const entropy = seededEntropy(11);
  for (let kill = 1; kill <= kills; kill += 1) {
    await world.killGateway();
    const started = world.startGateway();
    if (kill % killsPerReady === 0 || kill === kills) await started;
    else {
      started.catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, entropy.fraction() * startingMsMax));
    }
  }
  for (const name of ['sensor', 'ticker'] as const) {
    t.same(identityOf(await world.running(name)), identityOf(before[name]), `${name} after ${kills} kills`);
    t.equal(startTicks(before[name].pid), ticks[name], `${name} is the same process`);
  }
  const boxedAfter = await started(world, 'boxed');
  t.equal(boxedAfter.startedAtMs, boxedBefore.startedAtMs, 'the container is the same');
  t.equal(boxedAfter.restartCount, 0);

  await world.stopGateway();
  const tick = lastTick(world);
  await world.eventually('the log goes on without the runtime', () => lastTick(world) > tick + 3 || undefined);
  const offlineLog = await world.succeed('logs', 'ticker', '--tail', '2', ...world.gatewayDirs);
  t.match(offlineLog, /^\S+Z O tick \d+\n\S+Z O tick \d+\n$/, 'the log can be read without the daemon');
  const offline = await world.run('list', '--json', ...world.gatewayDirs);
  t.equal(offline.code, 1, 'the list says by its exit code that the daemon is away');
  t.match(
    (JSON.parse(offline.stdout) as readonly WorldModule[]).filter(({ name }) => name !== 'boxed'),
    [
      { name: 'sensor', isRunning: true, pid: before.sensor.pid },
      { name: 'ticker', isRunning: true, pid: before.ticker.pid },
    ],
    'and which modules run',
  );

  await world.startGateway();
  const listed = JSON.parse(await world.succeed('list', '--json', ...world.gatewayDirs)) as readonly WorldModule[];
  for (const name of ['sensor', 'ticker'] as const) {
    const found = listed.find((module) => module.name === name);
    t.match(found, { ...identityOf(before[name]), runtimeStatus: 'running', restartCount: 0 }, `${name} is adopted`);
  }

  const offset = await world.lastOffset();
  await world.messages('sensor', 3, offset);
  const sent = (await world.events()).filter((event) => event.moduleId === 'sensor');
  const verdict = judge(sent, []);
  t.equal(verdict.lives, 1, 'the sensor lived once');
  t.same(verdict.faults, [], 'and its messages are all there, once, in order');
});

t.test('a module that dies is started again, later each time, and says how often', async (t) => {
  const world = await stage(t);
  let last = await world.running('ticker');
  for (const [index, leastMs] of [800, 1600].entries()) {
    process.kill(last.pid, 'SIGKILL');
    const ended = await world.eventually('its end is told', async () => {
      const found = await world.module('ticker');
      return found?.runtimeStatus === 'backoff' || found?.restartCount === index + 1 ? found : undefined;
    });
    // A machine that is slow to look may see it run again already.
    if (ended.runtimeStatus === 'backoff') t.match(ended, { statusDescription: /signal 9|SIGKILL|killed/i });
    t.equal(ended.exitCode, 137);
    const next = await world.running('ticker');
    t.not(next.pid, last.pid, 'a new process');
    t.equal(next.restartCount, index + 1, 'counted');
    t.ok(next.startedAtMs - (ended.exitedAtMs ?? Date.now()) >= leastMs, `it waited at least ${leastMs} ms`);
    last = next;
  }
  t.match(await world.module('sensor'), { restartCount: 0 }, 'the other module is not concerned');

  await world.killGateway();
  process.kill(last.pid, 'SIGKILL');
  await world.eventually('the ticker is gone', () => startTicks(last.pid) === undefined || undefined);
  await world.startGateway();
  const again = await world.running('ticker');
  t.not(again.pid, last.pid, 'what ended while the runtime was away is started again');
  t.equal(again.restartCount, 3, 'and counted');
});

t.test('a module dies with its shim, and is started again', async (t) => {
  const world = await stage(t);
  const before = await world.running('ticker');
  const state = JSON.parse(readFileSync(join(world.runDir, 'modules', 'ticker', 'state.json'), 'utf8')) as {
    readonly shimPid: number;
  };
  process.kill(state.shimPid, 'SIGKILL');
  await world.eventually('the module is gone, too', () => startTicks(before.pid) === undefined || undefined);
  const after = await world.running('ticker');
  t.not(after.pid, before.pid);
  t.equal(after.restartCount, 1);
  t.same(shells(world), [after.pid], 'there is one of it');
});

t.test('killed in the middle of a new deployment, the runtime converges to it', async (t) => {
  const world = await stage(t);
  const entropy = seededEntropy(7);
  for (let round = 1; round <= rounds; round += 1) {
    const ticker = program('/bin/sh', ['-c', ticking], { env: { ROUND: String(round) } });
    await world.deploy(manifest({ modules: { sensor: modules.sensor, ticker } }));
    await new Promise((resolve) => setTimeout(resolve, Math.floor(entropy.fraction() * killWithinMs)));
    await world.killGateway();
    await world.startGateway();
    await world.eventually(`the ticker of round ${round} runs, alone`, async () => {
      const { pid, runtimeStatus } = (await world.module('ticker')) ?? {};
      const found = shells(world);
      const isAlone = runtimeStatus === 'running' && found.length === 1 && found[0] === pid;
      return (isAlone && environment(found[0] ?? 0).includes(`ROUND=${round}`)) || undefined;
    });
  }
  t.match(await world.status(), { deployment: { code: 200 } });
});

t.test('a module that a new deployment does not have is ended, its traces are removed', async (t) => {
  const world = await stage(t);
  const { pid } = await world.running('ticker');
  const kept = await world.running('sensor');
  await world.deploy(manifest({ modules: { sensor: modules.sensor } }));
  await world.eventually('the ticker is gone', () => startTicks(pid) === undefined || undefined);
  await world.eventually(
    'it is not listed any more',
    async () => (await world.module('ticker')) === undefined || undefined,
  );
  await world.eventually('its log is gone', () => !existsSync(join(world.dataDir, 'logs', 'ticker.log')) || undefined);
  t.same(identityOf(await world.running('sensor')), identityOf(kept), 'the other one runs on');
  await world.eventually('the hub knows', async () => {
    const { modules: reported } = (await world.twin('$edgeAgent')).reported;
    return Object.keys(reported ?? {}).join() === 'sensor' || undefined;
  });
});
