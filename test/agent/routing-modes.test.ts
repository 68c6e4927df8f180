// What a bad route does to the others: with the router of the gateway, whose language it is.

import t from 'tap';
import { Clients } from '../../src/agent/clients.ts';
import { parseRouting, Routing } from '../../src/agent/routing.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { Router } from '../../src/router/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

function gateway(mode: 'isolated' | 'strict', state = new Map<string, string>()) {
  const clock = new SimClock();
  const { log } = keptLog(clock);
  const store = new MemoryStore(() => clock.wallMs());
  const ports = { store, clock, log, metrics: createMetrics(), entropy: seededEntropy(1) };
  const router = new Router(ports, { timeToLiveSecs: 7200 });
  const twin = {
    properties: {} as JsonObject,
    version: 0,
    report: {} as JsonObject,
    listener: (): void => undefined,
  };
  const routing = new Routing({
    mode,
    log,
    clock,
    timeToLiveSecs: 7200,
    facts: { version: { version: '1', build: 'b', commit: 'c' }, architecture: 'x64', startedAtMs: 0 },
    clients: new Clients(() => 0),
    memory: {
      state: async (key) => state.get(key),
      saveState: async (key, value) => void state.set(key, value),
    },
    twin: {
      desired: () => twin,
      reported: () => ({}),
      patchReported: async (patch) => {
        twin.report = patch;
      },
      onDesired: (listener) => {
        twin.listener = listener;
      },
    },
    hands: {
      setRoutes: (routes, defaults) =>
        router.setRoutes(routes, defaults).map(({ route, message }) => ({ name: route, message })),
      checkRoutes: (routes) => router.checkRoutes(routes).map(({ route, message }) => ({ name: route, message })),
    },
  });
  const deploy = async (routes: JsonObject): Promise<unknown> => {
    twin.version += 1;
    twin.properties = { schemaVersion: '1.1', routes };
    twin.listener();
    await routing.report();
    return twin.report['lastDesiredStatus'];
  };
  return { router, routing, store, state, deploy };
}

const good = "FROM /messages/* WHERE kind = 'alarm' INTO $upstream";
const alsoGood = 'FROM /messages/* INTO BrokeredEndpoint("/modules/log/inputs/in")';
const bad = 'FROM /messages/* WHERE temperature > 20 INTO $upstream';
const reason = /routes\.bad: Error parsing route bad - Route bad, character 36: .*write as_number\(temperature\)/;

t.test('isolated: the good routes hold, the bad one is reported', async (t) => {
  const { router, routing, deploy, store } = gateway('isolated');
  await routing.start();
  t.match(await deploy({ good, bad, alsoGood }), { code: 400, description: reason });
  t.same(router.queues(), ['$upstream', 'log/inputs/in']);
  await router.accept(numberedMessage(1, { properties: { kind: 'alarm' } }));
  await router.accept(numberedMessage(2, { properties: { kind: 'news' } }));
  const lanes = await store.lanes();
  t.same(lanes.map(({ queue, messages }) => `${queue} ${messages}`).sort(), ['$upstream 1', 'log/inputs/in 2']);
  t.match(await deploy({ good }), { code: 200, description: '' });
  t.same(router.queues(), ['$upstream']);
  await routing.close();
});

t.test('strict: one bad route refuses all, and the last good ones stay, over a restart, too', async (t) => {
  const { router, routing, deploy, state } = gateway('strict');
  await routing.start();
  t.match(await deploy({ alsoGood }), { code: 200 });
  t.match(await deploy({ good, bad }), {
    code: 400,
    description: /^Error while parsing desired properties - routes\.bad: Error parsing route bad - /,
  });
  t.same(router.queues(), ['log/inputs/in']);
  t.match(await deploy({ good, 'a b': good }), { code: 400, description: /routes\.a b/ });
  t.same(router.queues(), ['log/inputs/in']);
  await routing.close();
  const later = gateway('strict', state);
  await later.routing.start();
  t.same(later.router.queues(), ['log/inputs/in']);
  t.match(await later.deploy({ good }), { code: 200 });
  t.same(later.router.queues(), ['$upstream']);
  await later.routing.close();
});

t.test('the schema says what a routes section may be', async (t) => {
  const up = 'FROM /* INTO $upstream';
  t.match(parseRouting({ schemaVersion: '1.1' }), { ok: false, status: 400, problems: [{ path: 'routes' }] });
  t.match(parseRouting({ schemaVersion: '1.1', routes: {} }), { ok: true, routes: [] });
  t.match(parseRouting({ schemaVersion: '1.0' }), { ok: true, routes: [] });
  t.match(parseRouting({ schemaVersion: '1.0', routes: { up: { route: up }, empty: ' ' } }), {
    ok: true,
    routes: [],
    problems: [{ path: 'routes.up', message: /1\.1/ }],
  });
  t.match(parseRouting({ schemaVersion: '1.2', routes: { up, empty: '', none: null } }), {
    ok: true,
    routes: [{ name: 'up', text: up }],
    problems: [{ path: 'routes.empty' }, { path: 'routes.none' }],
  });
  for (const schemaVersion of ['1', '0.1', '2.0', '2.0.1', 1.1, null])
    t.match(parseRouting({ schemaVersion, routes: { up } }), { ok: false, status: 400 }, String(schemaVersion));
  for (const schemaVersion of ['1.0', '1.1', '1.1.0', '1.2', '1.3'])
    t.match(parseRouting({ schemaVersion, routes: { up } }), { ok: true }, schemaVersion);
});
