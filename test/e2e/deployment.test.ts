// Deployments of a whole gateway: a change is there within moments, what did not change is not touched, and a
// deployment whose modules do not prove themselves gives way to the one before it.

import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const convergedMsMax = 2000;
const verify = '[modules]\nverify = "3s"\n';
const steady = 'while :; do sleep 0.2; done';

function shell(script: string, version = '1'): JsonObject {
  return { ...program('/bin/sh', ['-c', script], { env: { VERSION: version } }) };
}

async function stage(t: Test, modules: JsonObject): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision(verify);
  await world.startGateway();
  await world.deploy(manifest({ modules }));
  for (const name of Object.keys(modules)) await world.running(name);
  await settled(world);
  return world;
}

/** The deployment in force is the good one. */
function settled(world: World): Promise<JsonObject> {
  return told(world, 200, '');
}

function told(world: World, code: number, description: string | RegExp): Promise<JsonObject> {
  return world.eventually(`the hub is told ${code}`, async () => {
    const { desired, reported } = await world.twin('$edgeAgent');
    const status = reported['lastDesiredStatus'] as { code: number; description: string } | undefined;
    const isIt =
      reported['lastDesiredVersion'] === desired['$version'] &&
      status?.code === code &&
      (typeof description === 'string' ? status.description === description : description.test(status.description));
    return isIt ? reported : undefined;
  });
}

t.test('a changed deployment is there within two seconds, and what did not change is not touched', async (t) => {
  const modules = { steady: shell(steady), changing: shell(steady), leaving: shell(steady) };
  const world = await stage(t, modules);
  const { pid: steadyPid } = await world.running('steady');
  const { pid: oldPid } = await world.running('changing');
  await world.deploy(
    manifest({ modules: { steady: shell(steady), changing: shell(steady, '2'), coming: shell(steady) } }),
  );
  const startMs = Date.now();
  await world.eventually('it has converged', async () => {
    const [changing, coming, leaving] = await Promise.all(
      ['changing', 'coming', 'leaving'].map((name) => world.module(name)),
    );
    const isThere =
      changing?.runtimeStatus === 'running' &&
      changing.pid !== oldPid &&
      coming?.runtimeStatus === 'running' &&
      leaving?.runtimeStatus !== 'running';
    return isThere || undefined;
  });
  const tookMs = Date.now() - startMs;
  t.ok(tookMs <= convergedMsMax, `it took ${tookMs} ms`);
  t.equal((await world.running('steady')).pid, steadyPid);
  const reported = await settled(world);
  t.same(Object.keys(reported['modules'] as JsonObject).sort(), ['changing', 'coming', 'steady']);
  await world.eventually('the removed module is gone', async () => {
    return (await world.module('leaving')) === undefined || undefined;
  });
});

t.test('a deployment that does not hold gives way to the one before it, also when the gateway is killed', async (t) => {
  const world = await stage(t, { steady: shell(steady), meter: shell(steady, 'good') });
  const { pid } = await world.running('steady');
  await world.deploy(
    manifest({ modules: { steady: shell(steady), meter: shell('exit 78', 'bad'), other: shell(steady) } }),
  );
  await told(world, 500, /^rolled back to the deployment before it: meter: /);
  const { pid: restoredPid } = await world.running('meter');
  t.equal((await world.running('steady')).pid, pid, 'what did not change was not touched');
  t.equal(await world.module('other'), undefined, 'what came with it is gone');
  await world.killGateway();
  await world.startGateway();
  await told(world, 500, /^rolled back to the deployment before it: meter: /);
  t.equal((await world.running('meter')).pid, restoredPid, 'it is neither forgotten nor tried again');
  await world.deploy(manifest({ modules: { steady: shell(steady), meter: shell(steady, 'mended') } }));
  await settled(world);
  t.not((await world.running('meter')).pid, restoredPid);
});
