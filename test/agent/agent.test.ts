// The agent's loop against hands that only remember: what is applied, remembered and reported.

import t from 'tap';
import { Clients, Routing } from '../../src/agent/index.ts';
import { AgentSite, agentFacts, deployment, FakeTwin, meter } from '../support/agent-site.ts';
import { MemoryState } from '../support/memory-twins.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

t.test("a deployment is applied, remembered and reported in Azure's shape", async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  t.same(site.applied, [], 'nothing known: nothing is touched');
  t.match(site.twin.reportedNow, { lastDesiredStatus: { code: 417 } });
  site.twin.set(deployment({ meter: meter() }));
  await settle();
  t.same(
    site.orders.map((order) => [order.name, order.env['IOTEDGE_MODULEID']]),
    [['meter', 'meter']],
  );
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 1,
    lastDesiredStatus: { code: 200, description: '' },
    runtime: { type: 'docker', platform: { os: 'linux', architecture: 'x86_64' } },
  });
  t.same(site.twin.reportedNow['modules'], {
    meter: {
      version: '',
      type: 'process',
      status: 'running',
      restartPolicy: 'always',
      imagePullPolicy: 'on-create',
      env: {},
      settings: { executable: 'weir:modbus' },
      exitCode: 0,
      statusDescription: 'running',
      lastStartTimeUtc: '1970-01-01T00:00:00.005Z',
      lastExitTimeUtc: '0001-01-01T00:00:00',
      restartCount: 0,
      lastRestartTimeUtc: '0001-01-01T00:00:00',
      runtimeStatus: 'running',
    },
  });
  const again = new AgentSite({ memory: site.memory });
  await again.agent.start();
  t.same(again.running, ['meter'], 'a restart without any twin runs what ran');
  await site.agent.close();
  await again.agent.close();
});

t.test('what an earlier version of weir remembered as the last good deployment runs', async (t) => {
  const memory = new MemoryState();
  memory.values.set('agent:last-good-deployment', JSON.stringify(deployment({ meter: meter() })));
  const { agent, ...site } = new AgentSite({ memory });
  await agent.start();
  t.same(
    site.applied.at(-1)?.map(({ name }) => name),
    ['meter'],
  );
  t.equal(agent.rollout().phase, 'settled');
  await agent.close();
});

t.test('a deployment that comes while the last good one is still being read is the one in force', async (t) => {
  const memory = new MemoryState();
  const earlier = new AgentSite({ memory });
  await earlier.agent.start();
  earlier.twin.set(deployment({ meter: meter() }));
  await settle();
  await earlier.agent.close();
  let answer: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const state = memory.state.bind(memory);
  memory.state = async (key) => {
    const value = await state(key);
    await asked;
    return value;
  };
  const site = new AgentSite({ memory });
  const starting = site.agent.start();
  site.twin.set(deployment({}));
  site.twin.set(deployment({ newer: meter() }));
  await settle();
  answer();
  await starting;
  await settle();
  t.same(site.running, ['newer']);
  t.same(
    site.agent.deployment()?.modules.map((module) => module.name),
    ['newer'],
    'the older one did not come back',
  );
  await site.agent.close();
});

t.test('an unreadable deployment leaves the last good one in force and says why', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter() }));
  await settle();
  site.twin.set({ schemaVersion: '9', modules: {} });
  await settle();
  t.same(site.running, ['meter']);
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 2,
    lastDesiredStatus: { code: 412 },
    modules: { meter: { runtimeStatus: 'running' } },
  });
  site.twin.set(deployment({ other: meter(), broken: { type: 'process', settings: {} } }));
  await settle();
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 3,
    lastDesiredStatus: { code: 400, description: /modules\.broken\.settings\.executable/ },
  });
  t.same(site.running, ['meter'], 'one bad module: nothing of the document is carried out');
  site.twin.set({});
  await settle();
  t.match(site.twin.reportedNow, { lastDesiredVersion: 4, lastDesiredStatus: { code: 417 } });
  t.same(site.running, ['meter']);
  site.twin.set(deployment({}));
  await settle();
  t.same(site.orders, []);
  t.same(site.twin.reportedNow['modules'], {}, 'a removed module leaves the report');
  t.match(site.twin.reportedNow, { lastDesiredVersion: 5, lastDesiredStatus: { code: 200, description: '' } });
  t.same(site.identities, []);
  await site.agent.close();
});

t.test('a bad document keeps nobody from going on after a restart', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter() }));
  await settle();
  site.twin.set({ schemaVersion: '1.0', modules: [] });
  await settle();
  await site.agent.close();
  await site.reborn().start();
  t.same(site.running, ['meter']);
  t.match(site.agent.status(), { version: 2, code: 400, description: /^modules: an object is expected/ });
  await site.agent.close();
});

t.test('a container is ordered with the rest; whoever runs containers says what becomes of it', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  const image = 'example.org/other';
  site.twin.set(deployment({ meter: meter(), other: { type: 'docker', settings: { image, createOptions: '{}' } } }));
  await settle();
  t.same(site.running, ['meter', 'other']);
  t.match(site.orders[1], { command: [], container: { image: 'example.org/other:latest', pullPolicy: 'on-create' } });
  t.same(site.agent.unsupported(), []);
  site.overrides.set('other', { imageHash: 'sha256:abc' });
  site.notify();
  await site.clock.advance(1000);
  t.match(site.twin.reportedNow, {
    modules: { other: { settings: { image: `${image}:latest`, imageHash: 'sha256:abc', createOptions: '{}' } } },
  });
  await site.agent.close();
});

t.test('hands that fail are asked again', async (t) => {
  const site = new AgentSite();
  site.failing = true;
  await site.agent.start();
  site.twin.set(deployment({ meter: meter() }));
  await settle();
  t.match(site.agent.status(), { version: 1, code: 500, description: 'no disk' });
  t.match(site.twin.reportedNow, { lastDesiredVersion: 1, lastDesiredStatus: { code: 500, description: 'no disk' } });
  site.failing = false;
  await site.clock.advance(10_000);
  t.same(site.running, ['meter']);
  t.match(site.twin.reportedNow, { lastDesiredStatus: { code: 200 } });
  await site.agent.close();
  t.equal(site.clock.timerCount, 0);
});

t.test('module events are reported, spaced', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter() }));
  await settle();
  site.twin.reportedNow = {};
  site.notify();
  site.notify();
  await site.clock.advance(999);
  t.same(site.twin.reportedNow, {});
  await site.clock.advance(1);
  t.match(site.twin.reportedNow, { modules: { meter: { runtimeStatus: 'running' } } });
  await site.agent.close();
});

t.test('routes: good ones are in force, bad ones are named, unreadable sections change nothing', async (t) => {
  const twin = new FakeTwin();
  const memory = new MemoryState();
  const inForce: unknown[] = [];
  const ports = {
    twin,
    memory,
    log: keptLog(new SimClock()).log,
    facts: agentFacts,
    timeToLiveSecs: 7200,
    mode: 'isolated' as const,
    clock: new SimClock(),
    clients: new Clients(() => 0),
    hands: {
      checkRoutes: () => [],
      setRoutes: (
        routes: readonly { readonly name: string; readonly text: string }[],
        defaults: { readonly timeToLiveSecs: number },
      ) => {
        inForce.push([routes.map((route) => route.name), defaults.timeToLiveSecs]);
        return routes
          .filter((route) => route.text.includes('FORM'))
          .map(({ name }) => ({ name, message: 'FROM is expected' }));
      },
    },
  };
  const routing = new Routing(ports);
  await routing.start();
  twin.set({
    schemaVersion: '1.1',
    routes: {
      up: 'FROM /* INTO $upstream',
      bad: 'FORM',
      'a.b': 'FROM /* INTO $upstream',
      far: { route: 'FROM /* INTO $upstream', priority: 10 },
    },
    storeAndForwardConfiguration: { timeToLiveSecs: 60 },
  });
  await routing.report();
  t.same(inForce.at(-1), [['up', 'bad'], 60]);
  t.match(twin.reportedNow, {
    lastDesiredVersion: 1,
    lastDesiredStatus: { code: 400, description: /routes\.a\.b.*routes\.far\.priority.*Error parsing route bad/ },
  });
  twin.set({ schemaVersion: '3' });
  await routing.report();
  t.equal(inForce.length, 1);
  t.match(twin.reportedNow, { lastDesiredVersion: 2, lastDesiredStatus: { code: 400 } });
  await routing.close();
  const later = new Routing({ ...ports, twin: new FakeTwin() });
  await later.start();
  t.same(inForce.at(-1), [['up', 'bad'], 60], 'a restart without a twin has the last good routes');
  await later.close();
});
