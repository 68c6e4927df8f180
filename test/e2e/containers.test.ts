// Container modules under `weir run`, with real podman and a registry of the test's own: Azure's manifests as they are,
// a runtime that is killed, an engine that is restarted, a registry that hangs.
//
// The registry stands in for mcr.microsoft.com and edgetutorial.azurecr.io, by mirror rules of the engine, which know no
// credentials; those are tried in test/containers/podman.test.ts.

import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { Podman } from '../support/podman.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { World, type WorldModule } from '../support/world/world.ts';

const kills = 3;
const mirrors = { 'mcr.microsoft.com': 'mcr', 'edgetutorial.azurecr.io': 'tutorial' };
const ticking =
  'trap "exit 0" TERM; echo $IOTEDGE_MODULEID of $IOTEDGE_DEVICEID $THRESHOLD $FROM_OPTIONS; i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done';
const tickingImage = { changes: [`CMD ["/bin/sh", "-c", ${JSON.stringify(ticking)}]`] };

type Section = Record<string, JsonObject>;

function read(name: string): { readonly modulesContent: Record<string, Section> } {
  return JSON.parse(readFileSync(join('test/e2e', name), 'utf8')) as { modulesContent: Record<string, Section> };
}

/** What IoT Hub makes of a base deployment and a layer: members by their dotted path, put into the section. */
function layered(base: ReturnType<typeof read>, layer: ReturnType<typeof read>): JsonObject {
  const content = structuredClone(base.modulesContent) as Record<string, Section>;
  for (const [module, members] of Object.entries(layer.modulesContent)) {
    content[module] ??= { 'properties.desired': {} };
    for (const [path, value] of Object.entries(members)) {
      const names = path.replace(/^properties\.desired\./, '').split('.');
      let at = content[module]?.['properties.desired'] as Record<string, unknown>;
      for (const name of names.slice(0, -1)) {
        at[name] ??= {};
        at = at[name] as Record<string, unknown>;
      }
      at[names.at(-1) ?? ''] = value;
    }
  }
  return { modulesContent: content } as unknown as JsonObject;
}

async function stage(t: Test): Promise<{ readonly world: World; readonly podman: Podman }> {
  const podman = new Podman();
  const world = new World({ name: 'box' });
  t.teardown(async () => {
    await world.close();
    await podman.close();
  });
  await podman.startRegistry();
  await podman.start({ mirrors });
  await world.startHub();
  await world.provision(
    `[modules]\nverify = "1s"\n[moby_runtime]\nuri = "unix://${podman.socket}"\nnetwork = "weir-e2e-${process.pid}"`,
  );
  return { world, podman };
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}

function ticks(log: string): readonly number[] {
  return [...log.matchAll(/Z O tick (\d+)$/gm)].map((found) => Number(found[1]));
}

function log(world: World, name: string): Promise<string> {
  return world.succeed('logs', name, ...world.gatewayDirs);
}

/** A container's pid may be nobody's business; that it runs, and since when, is. */
function up(world: World, name: string): Promise<WorldModule> {
  return world.eventually(`${name} runs`, async () => {
    const found = await world.module(name);
    return found?.runtimeStatus === 'running' && found.startedAtMs !== null ? found : undefined;
  });
}

t.test("Azure's manifests with images of the registry", async (t) => {
  const { world, podman } = await stage(t);
  podman.publish('tutorial/filtermodule:0.0.1-amd64', tickingImage);
  podman.publish('mcr/plant/telemetry:2.1', tickingImage);
  await world.startGateway();
  const base = read('routes-priority-ttl-manifest.json');

  await t.test('priority and TTL routes: a private image beside a module that is built in', async (t) => {
    await world.deploy(base as unknown as JsonObject);
    await up(world, 'filtermodule');
    await world.messages('SimulatedTemperatureSensor', 1);
    t.match(await world.succeed('list', ...world.gatewayDirs), /filtermodule +container +running/);
    t.same(lines(podman.run('ps', '--format', '{{.Names}}')), ['filtermodule'], 'its container has its name');
    const labels = JSON.parse(podman.run('inspect', '--format', '{{json .Config.Labels}}', 'filtermodule')) as object;
    t.match(labels, { 'net.azure-devices.edge.owner': 'Microsoft.Azure.Devices.Edge.Agent' });
    await world.eventually('it tells its variables, and those of its options', async () =>
      /Z O filtermodule of gw1 25 yes\n/.test(await log(world, 'filtermodule')) ? true : undefined,
    );
    t.equal(podman.run('inspect', '--format', '{{.HostConfig.Memory}}', 'filtermodule').trim(), '67108864');
  });

  await t.test('the runtime is killed: start time, restart count and log go on as if it had not been', async (t) => {
    const before = await up(world, 'filtermodule');
    for (let kill = 0; kill < kills; kill += 1) {
      await world.killGateway();
      await world.startGateway();
    }
    const after = await up(world, 'filtermodule');
    t.equal(after.startedAtMs, before.startedAtMs);
    t.equal(after.restartCount, 0);
    const last = ticks(await log(world, 'filtermodule')).at(-1) ?? 0;
    const text = await world.eventually('the log goes on', async () => {
      const now = await log(world, 'filtermodule');
      return (ticks(now).at(-1) ?? 0) > last ? now : undefined;
    });
    const seen = ticks(text);
    t.same(
      seen,
      seen.map((_, index) => index + 1),
      'each line once, in order',
    );
  });

  await t.test('the engine is restarted: nothing ends, and a module without a container does not notice', async (t) => {
    const before = await up(world, 'filtermodule');
    const sensor = await up(world, 'SimulatedTemperatureSensor');
    await podman.stopService();
    const offset = await world.lastOffset();
    await world.messages('SimulatedTemperatureSensor', 1, offset);
    t.match(await world.module('filtermodule'), { runtimeStatus: 'running', startedAtMs: before.startedAtMs });
    await podman.startService();
    const last = ticks(await log(world, 'filtermodule')).at(-1) ?? 0;
    await world.eventually('its log goes on', async () => {
      return (ticks(await log(world, 'filtermodule')).at(-1) ?? 0) > last || undefined;
    });
    t.match(await up(world, 'filtermodule'), { startedAtMs: before.startedAtMs, restartCount: 0 });
    t.equal((await up(world, 'SimulatedTemperatureSensor')).pid, sensor.pid);
  });

  await t.test('a layer on top of it adds a module; the others run on', async (t) => {
    const before = await up(world, 'filtermodule');
    await world.deploy(layered(base, read('layered-manifest.json')));
    await up(world, 'InfluxTelemetry');
    t.equal((await up(world, 'filtermodule')).startedAtMs, before.startedAtMs);
    t.same([...lines(podman.run('ps', '--format', '{{.Names}}'))].sort(), ['InfluxTelemetry', 'filtermodule']);
  });

  await t.test('what is deployed no more is removed, container and all', async () => {
    await world.deploy(manifest({ modules: { ticker: program('/bin/sh', ['-c', ticking]) } }));
    await up(world, 'ticker');
    await world.eventually('the containers are gone', () =>
      lines(podman.run('ps', '--all', '--format', '{{.Names}}')).length === 0 ? true : undefined,
    );
    await world.eventually(
      'it is not listed any more',
      async () => (await world.module('filtermodule')) === undefined || undefined,
    );
  });
});

t.test('a registry that hangs, and no engine at all: process modules run, and the reason is told', async (t) => {
  const { world, podman } = await stage(t);
  const silent = await silentRegistry(t);
  await podman.stopService();
  await world.startGateway();
  const stuck = {
    version: '1',
    type: 'docker',
    status: 'running',
    restartPolicy: 'always',
    settings: { image: `${silent}/stuck:1`, createOptions: '{}' },
  };
  await world.deploy(manifest({ modules: { stuck, ticker: program('/bin/sh', ['-c', ticking]) } }));
  await up(world, 'ticker');
  await world.eventually('the absence of the engine is told', async () =>
    /container engine/.test(await world.succeed('list', '--json', ...world.gatewayDirs)) ? true : undefined,
  );
  await podman.startService();
  await world.eventually('the pull is told', async () =>
    /pulling image/.test(await world.succeed('list', '--json', ...world.gatewayDirs)) ? true : undefined,
  );
  t.match(await world.module('ticker'), { runtimeStatus: 'running', restartCount: 0 });
});

/** Takes connections and says nothing. */
async function silentRegistry(t: Test): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}
