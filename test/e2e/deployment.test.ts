// Deployments of a whole gateway: a change is there within moments, what did not change is not touched, and a
// deployment whose modules do not prove themselves gives way to the one before it.

import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const convergedMsMax = 2000;
/** On a busy machine one may take longer for other reasons; the fastest of several does not. */
const changesMax = 20;
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

interface Change {
  readonly coming: string;
  readonly leaving: string;
  readonly version: string;
}

/** Deploys another version of `changing`, and one module for another; how long it took until that was so. */
async function changed(world: World, { coming, leaving, version }: Change): Promise<number> {
  const { pid: oldPid } = await world.running('changing');
  const modules = { steady: shell(steady), changing: shell(steady, version), [coming]: shell(steady) };
  await world.deploy(manifest({ modules }));
  const startMs = performance.now();
  await world.eventually('it has converged', async () => {
    const { modules } = await world.status();
    const statusOf = (name: string) => modules.find((module) => module.name === name);
    const isThere =
      statusOf('changing')?.runtimeStatus === 'running' &&
      statusOf('changing')?.pid !== oldPid &&
      statusOf(coming)?.runtimeStatus === 'running' &&
      statusOf(leaving)?.runtimeStatus !== 'running';
    return isThere || undefined;
  });
  return performance.now() - startMs;
}

t.test('a changed deployment is there within two seconds, and what did not change is not touched', async (t) => {
  const modules = { steady: shell(steady), changing: shell(steady), leaving: shell(steady) };
  const world = await stage(t, modules);
  const { pid: steadyPid } = await world.running('steady');
  let tookMs = Number.POSITIVE_INFINITY;
  for (let change = 1; change <= changesMax && tookMs > convergedMsMax; change++) {
    // By turns one comes and the other leaves.
    const [coming, leaving] = change % 2 === 1 ? ['coming', 'leaving'] : ['leaving', 'coming'];
    tookMs = await changed(world, { coming, leaving, version: `changed ${change}` });
  }
  t.ok(tookMs <= convergedMsMax, `it took ${tookMs} ms`);
  t.equal((await world.running('steady')).pid, steadyPid);
  const reported = await settled(world);
  const names = Object.keys(reported['modules'] as JsonObject).sort();
  t.equal(names.length, 3);
  t.match(names, ['changing', /^coming|leaving$/, 'steady']);
  await world.eventually('the removed module is gone', async () => {
    return (await world.status()).modules.length === 3 || undefined;
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
  await world.eventually(
    'what came with it is gone',
    async () => (await world.module('other')) === undefined || undefined,
  );
  await world.killGateway();
  await world.startGateway();
  await told(world, 500, /^rolled back to the deployment before it: meter: /);
  t.equal((await world.running('meter')).pid, restoredPid, 'it is neither forgotten nor tried again');
  await world.deploy(manifest({ modules: { steady: shell(steady), meter: shell(steady, 'mended') } }));
  await settled(world);
  t.not((await world.running('meter')).pid, restoredPid);
});
