// Deployments made at the device: the same checks, plan and rollback as the hub's, until the hub has a newer one.

import t from 'tap';
import type { LocalTwins } from '../../src/agent/index.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { AgentSite, deployment, meter } from '../support/agent-site.ts';
import { MemoryState } from '../support/memory-twins.ts';
import { settle } from '../support/sim-clock.ts';

class FakeTwins implements LocalTwins {
  served: Parameters<LocalTwins['serve']>[0] = {};
  hubVersion(moduleId: string): number {
    return moduleId === '$edgeHub' ? 4 : 0;
  }
  serve(sections: Parameters<LocalTwins['serve']>[0]): void {
    this.served = sections;
  }
}

function manifest(modules: JsonObject, more: JsonObject = {}): JsonObject {
  return { modulesContent: { $edgeAgent: { 'properties.desired': deployment(modules) }, ...more } };
}

const routes = { 'properties.desired': { schemaVersion: '1.1', routes: { up: 'FROM /messages/* INTO $upstream' } } };
const run = { dryRun: false };
const dry = { dryRun: true };

t.test('a site without any hub deploys, and keeps it over restarts', async (t) => {
  const localTwins = new FakeTwins();
  const site = new AgentSite({ ports: { localTwins } });
  await site.agent.start();
  const asked = manifest({ meter: meter('1') }, { $edgeHub: routes, meter: { 'properties.desired': { rate: 5 } } });
  t.same(await site.agent.applyLocal(asked, dry), {
    ok: true,
    problems: [],
    plan: [{ module: 'meter', action: 'create', why: 'it is new' }],
  });
  t.same(site.applied, [], 'a dry run changes nothing');
  t.equal((await site.agent.applyLocal(asked, run)).ok, true);
  await settle();
  t.same(site.running, ['meter1']);
  t.match(localTwins.served, {
    $edgeHub: { overVersion: 4, properties: routes['properties.desired'] },
    meter: { overVersion: 0, properties: { rate: 5 } },
  });
  t.match(site.agent.status(), { code: 200, description: 'a deployment made at the device is in force' });
  await site.clock.advance(60_000);
  await site.agent.close();
  localTwins.served = {};
  await site.reborn().start();
  t.same(site.running, ['meter1']);
  t.same(Object.keys(localTwins.served), ['$edgeHub', 'meter']);
  t.equal(site.agent.rollout().phase, 'settled');
  await site.agent.close();
});

t.test('the plan says what becomes of each module, and why', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  const before = {
    a: meter('1'),
    b: meter(),
    c: { ...meter(), status: 'stopped' },
    d: meter(),
    e: { type: 'docker', settings: { image: 'x:1', createOptions: '{}' } },
    f: meter(),
  };
  await site.agent.applyLocal(manifest(before), run);
  await settle();
  const after = {
    a: meter('2'),
    b: { ...meter(), status: 'stopped' },
    c: meter(),
    d: { ...meter(), restartPolicy: 'never' },
    e: { type: 'docker', settings: { image: 'x:2', createOptions: '{"Tty":true}' } },
    g: { ...meter(), status: 'stopped' },
  };
  t.same((await site.agent.applyLocal(manifest(after), dry)).plan, [
    { module: 'f', action: 'remove', why: 'it is no longer deployed' },
    { module: 'a', action: 'restart', why: 'variable V changed' },
    { module: 'b', action: 'stop', why: 'it is to be stopped' },
    { module: 'c', action: 'start', why: 'it was stopped' },
    { module: 'd', action: 'keep', why: 'nothing changed' },
    { module: 'e', action: 'restart', why: 'its image and its createOptions changed' },
    { module: 'g', action: 'create', why: 'it is new, and stopped as asked' },
  ]);
  await site.agent.close();
});

t.test("it stands over the hub's deployment, and the hub's next one ends it", async (t) => {
  const localTwins = new FakeTwins();
  const site = new AgentSite({ ports: { localTwins } });
  await site.agent.start();
  site.twin.set(deployment({ meter: meter('hub1') }));
  await settle();
  await site.clock.advance(60_000);
  await site.agent.applyLocal(manifest({ meter: meter('site') }, { $edgeHub: routes }), run);
  await settle();
  await site.clock.advance(61_000);
  t.same(site.running, ['metersite']);
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 1,
    lastDesiredStatus: { code: 406, description: /made at the device/ },
  });
  await site.agent.close();
  await site.reborn().start();
  t.same(site.running, ['metersite'], 'the version it stands over is still the same');
  site.twin.set(deployment({ meter: meter('hub2') }));
  await settle();
  await site.clock.advance(60_000);
  t.same(site.running, ['meterhub2']);
  t.same(localTwins.served, {});
  t.match(site.twin.reportedNow, { lastDesiredVersion: 2, lastDesiredStatus: { code: 200, description: '' } });
  await site.agent.close();
});

t.test('a local deployment that fails is rolled back with its twins, and may be asked for again', async (t) => {
  const localTwins = new FakeTwins();
  const site = new AgentSite({ ports: { localTwins } });
  await site.agent.start();
  const first = manifest({ meter: meter('1') }, { meter: { 'properties.desired': { rate: 1 } } });
  await site.agent.applyLocal(first, run);
  await settle();
  await site.clock.advance(60_000);
  site.overrides.set('meter/2', { runtimeStatus: 'failed', statusDescription: 'no' });
  const second = manifest({ meter: meter('2') }, { meter: { 'properties.desired': { rate: 2 } } });
  await site.agent.applyLocal(second, run);
  await settle();
  site.notify();
  await site.clock.advance(1000);
  t.same(site.running, ['meter1']);
  t.match(localTwins.served, { meter: { properties: { rate: 1 } } });
  t.match(site.agent.rollout(), { phase: 'rolled-back', detail: 'meter: no' });
  site.overrides.clear();
  await site.agent.applyLocal(second, run);
  await settle();
  t.same(site.running, ['meter2']);
  await site.agent.close();
});

t.test("a failure of the site's own deployment is not laid at the door of the hub's version", async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  const reported = (): unknown => [
    site.twin.reportedNow['lastDesiredVersion'],
    (site.twin.reportedNow['lastDesiredStatus'] as { readonly code: number } | undefined)?.code,
  ];
  const fails = async (version: string): Promise<void> => {
    site.overrides.set(`meter/${version}`, { runtimeStatus: 'failed', statusDescription: 'no' });
    await site.agent.applyLocal(manifest({ meter: meter(version) }), run);
    await settle();
    site.notify();
    await site.clock.advance(1000);
    t.match(site.agent.rollout(), { phase: 'rolled-back', detail: 'meter: no' });
  };
  site.twin.set(deployment({ meter: meter('hub1') }));
  await settle();
  await site.clock.advance(60_000);
  await fails('site1');
  t.same(site.running, ['meterhub1']);
  t.same(reported(), [1, 200], 'its own is in force again');
  t.match(site.agent.status().description, /^a later one, made at the device, was rolled back: meter: no$/);
  await site.agent.applyLocal(manifest({ meter: meter('site2') }), run);
  await settle();
  await site.clock.advance(61_000);
  await fails('site3');
  t.same(site.running, ['metersite2']);
  t.same(reported(), [1, 406], 'another of the site is in force');
  t.match(site.agent.status().description, /is in force; a later one, made at the device, was rolled back: meter: no$/);
  site.overrides.set('meter/hub2', { runtimeStatus: 'failed', statusDescription: 'neither' });
  site.twin.set(deployment({ meter: meter('hub2') }));
  await settle();
  site.notify();
  await site.clock.advance(1000);
  t.same(site.running, ['metersite2']);
  t.same(reported(), [2, 500], 'this one is its own');
  await fails('site4');
  t.same(site.running, ['metersite2']);
  t.same(reported(), [2, 500], 'the version that it asks for is still not in force');
  await site.agent.close();
});

t.test('every fault of a manifest is named with its path, and nothing happens', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  const bad = await site.agent.applyLocal(
    manifest(
      { pump: { type: 'vm', settings: {} } },
      {
        $edgeHub: { 'properties.desired': { schemaVersion: '1.1', routes: { up: 5 } } },
        pump: { 'properties.desired': { a: { $b: 1 } } },
        stranger: { 'properties.desired.x': {} },
      },
    ),
    run,
  );
  t.equal(bad.ok, false);
  t.same(bad.problems.map(({ path }) => path).sort(), [
    'modulesContent.$edgeAgent["properties.desired"].modules.pump.settings.executable',
    'modulesContent.$edgeAgent["properties.desired"].modules.pump.type',
    'modulesContent.$edgeHub["properties.desired"].routes.up',
    'modulesContent.pump["properties.desired"].a.$b',
    'modulesContent.stranger["properties.desired"]',
  ]);
  t.same(site.applied, []);
  for (const [document, path, message] of [
    [{}, 'modulesContent', /no deployment manifest/],
    [{ content: { modulesContent: {} } }, 'content.modulesContent', /\$edgeAgent is missing/],
    [manifest({}, { other: { 'properties.desired': {} } }), 'modulesContent.other["properties.desired"]', /not among/],
  ] as const)
    t.match(await site.agent.applyLocal(document, run), { ok: false, problems: [{ path, message }] });
  await site.agent.close();
  await t.rejects(site.agent.applyLocal(manifest({}), run), { code: 'AGENT_CLOSED' });
});

t.test('deployments that wait while the agent ends are refused, and change nothing', async (t) => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const memory = new MemoryState();
  const site = new AgentSite({ memory });
  await site.agent.start();
  await site.agent.applyLocal(manifest({ meter: meter('1') }), run);
  memory.saveState = (key, value) => held.then(() => MemoryState.prototype.saveState.call(memory, key, value));
  site.twin.set(deployment({ meter: meter('hub') }));
  await settle();
  await Promise.all([
    t.rejects(site.agent.applyLocal(manifest({ meter: meter('2') }), run), { code: 'AGENT_CLOSED' }),
    site.agent.close(),
    Promise.resolve().then(release),
  ]);
  t.notMatch([...memory.values.values()].join(), '"value":"2"');
  await t.rejects(site.agent.applyLocal(manifest({ meter: meter('3') }), run), { code: 'AGENT_CLOSED' });
});
