// The agent's loop against hands that only remember: what is applied, remembered and reported.

import t from 'tap';
import { Agent, type AgentPorts, Clients, type LaunchOrder, type OwnTwin, Routing } from '../../src/agent/index.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';
import { MemoryState } from '../support/memory-twins.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

class FakeTwin implements OwnTwin {
  section: { properties: JsonObject; version: number } = { properties: {}, version: 0 };
  reportedNow: JsonObject = {};
  #listener: () => void = () => undefined;

  desired(): { readonly properties: JsonObject; readonly version: number } {
    return this.section;
  }
  reported(): JsonObject {
    return this.reportedNow;
  }
  patchReported(patch: JsonObject): Promise<unknown> {
    this.reportedNow = mergePatch(this.reportedNow, patch);
    return Promise.resolve();
  }
  onDesired(listener: () => void): void {
    this.#listener = listener;
  }
  set(properties: JsonObject): void {
    this.section = { properties, version: this.section.version + 1 };
    this.#listener();
  }
}

const facts = { version: { version: '0', build: '0', commit: 'x' }, architecture: 'x86_64', startedAtMs: 0 };
const deployment = (modules: JsonObject): JsonObject => ({ schemaVersion: '1.0', modules });
const meter: JsonObject = { type: 'process', restartPolicy: 'always', settings: { executable: 'weir:modbus' } };

function bench(memory = new MemoryState()) {
  const twin = new FakeTwin();
  const applied: (readonly LaunchOrder[])[] = [];
  const state: { failing: boolean; notify: () => void } = { failing: false, notify: () => undefined };
  const clock = new SimClock();
  const ports: AgentPorts = {
    twin,
    memory,
    clock,
    log: keptLog(new SimClock()).log,
    context: { builtins: ['modbus'] },
    facts,
    hands: {
      apply: (orders) => {
        if (state.failing) return Promise.reject(new TypeError('no disk'));
        applied.push(orders);
        return Promise.resolve();
      },
      observe: () =>
        (applied.at(-1) ?? []).map(({ name }) => ({
          name,
          runtimeStatus: 'running',
          exitCode: 0,
          statusDescription: 'running',
          startedAtMs: 5,
          exitedAtMs: null,
          restartCount: 0,
          lastRestartAtMs: null,
        })),
      onChange: (listener) => {
        state.notify = listener;
        return () => undefined;
      },
    },
    identities: {
      provide: (moduleId) => Promise.resolve({ env: { IOTEDGE_MODULEID: moduleId } }),
      keepOnly: () => Promise.resolve(),
    },
    planFacts: {
      builtinCommand: (name) => ['/weir', 'module', 'run', name],
      baseEnv: {},
      executableDigest: 'd',
      account: undefined,
      graceMs: 1,
      logBytesMax: 1,
      logFiles: 1,
      digest: (text) => text,
    },
  };
  return { twin, applied, state, clock, memory, agent: new Agent(ports) };
}

t.test("a deployment is applied, remembered and reported in Azure's shape", async (t) => {
  const { agent, twin, applied, memory } = bench();
  await agent.start();
  t.same(applied, [], 'nothing known: nothing is touched');
  t.match(twin.reportedNow, { lastDesiredStatus: { code: 417 } });
  twin.set(deployment({ meter }));
  await settle();
  t.same(
    applied.at(-1)?.map((order) => [order.name, order.env['IOTEDGE_MODULEID']]),
    [['meter', 'meter']],
  );
  t.match(twin.reportedNow, {
    lastDesiredVersion: 1,
    lastDesiredStatus: { code: 200, description: '' },
    runtime: { type: 'docker', platform: { os: 'linux', architecture: 'x86_64' } },
    modules: {
      meter: {
        type: 'process',
        runtimeStatus: 'running',
        restartCount: 0,
        lastStartTimeUtc: '1970-01-01T00:00:00.005Z',
        lastExitTimeUtc: '0001-01-01T00:00:00',
      },
    },
  });
  const again = bench(memory);
  await again.agent.start();
  t.same(
    again.applied.at(-1)?.map((order) => order.name),
    ['meter'],
    'a restart without any twin runs the last good one',
  );
  await agent.close();
  await again.agent.close();
});

t.test('a deployment that comes while the last good one is still being read is the one in force', async (t) => {
  const memory = new MemoryState();
  const earlier = bench(memory);
  await earlier.agent.start();
  earlier.twin.set(deployment({ meter }));
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
  const { agent, twin, applied } = bench(memory);
  const starting = agent.start();
  twin.set(deployment({ newer: meter }));
  await settle();
  answer();
  await starting;
  await settle();
  t.same(
    applied.at(-1)?.map((order) => order.name),
    ['newer'],
  );
  t.same(
    agent.deployment()?.modules.map((module) => module.name),
    ['newer'],
    'the older one did not come back',
  );
  await agent.close();
});

t.test('an unreadable deployment leaves the last good one in force and says why', async (t) => {
  const { agent, twin, applied } = bench();
  await agent.start();
  twin.set(deployment({ meter }));
  await settle();
  twin.set({ schemaVersion: '9', modules: {} });
  await settle();
  t.same(
    applied.at(-1)?.map((order) => order.name),
    ['meter'],
  );
  t.match(twin.reportedNow, {
    lastDesiredVersion: 2,
    lastDesiredStatus: { code: 412 },
    modules: { meter: { runtimeStatus: 'running' } },
  });
  twin.set(deployment({ meter, broken: { type: 'process', settings: {} } }));
  await settle();
  t.match(twin.reportedNow, { lastDesiredStatus: { code: 400, description: /modules\.broken\.settings\.executable/ } });
  twin.set(deployment({}));
  await settle();
  t.same(applied.at(-1), []);
  t.same(twin.reportedNow['modules'], {}, 'a removed module leaves the report');
  await agent.close();
});

t.test('a module that this build cannot run is named with the reason, for the list', async (t) => {
  const { agent, twin } = bench();
  await agent.start();
  t.same(agent.unsupported(), [], 'nothing is known yet');
  const image = 'example.org/other:1';
  twin.set(deployment({ meter, other: { type: 'docker', settings: { image, createOptions: '{}' } } }));
  await settle();
  t.match(agent.unsupported(), [{ name: 'other', reason: new RegExp(image) }]);
  t.equal(agent.unsupported().length, 1, 'the other module is not among them');
});

t.test('hands that fail are asked again', async (t) => {
  const { agent, twin, applied, state, clock } = bench();
  state.failing = true;
  await agent.start();
  twin.set(deployment({ meter }));
  await settle();
  t.equal(agent.status().code, 500);
  state.failing = false;
  await clock.advance(10_000);
  t.same(
    applied.at(-1)?.map((order) => order.name),
    ['meter'],
  );
  t.match(twin.reportedNow, { lastDesiredStatus: { code: 200 } });
  await agent.close();
  t.equal(clock.timerCount, 0);
});

t.test('module events are reported, spaced', async (t) => {
  const { agent, twin, state, clock } = bench();
  await agent.start();
  twin.set(deployment({ meter }));
  await settle();
  twin.reportedNow = {};
  state.notify();
  state.notify();
  await clock.advance(999);
  t.same(twin.reportedNow, {});
  await clock.advance(1);
  t.match(twin.reportedNow, { modules: { meter: { runtimeStatus: 'running' } } });
  await agent.close();
});

t.test('routes: good ones are in force, bad ones are named, unreadable sections change nothing', async (t) => {
  const twin = new FakeTwin();
  const memory = new MemoryState();
  const inForce: unknown[] = [];
  const ports = {
    twin,
    memory,
    log: keptLog(new SimClock()).log,
    facts,
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
