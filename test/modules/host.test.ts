// A whole module process but for the process: the host over real unix sockets, to a broker that obeys the test.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { defineModule, type ModuleContext, type ModuleDefinition } from '../../src/modules/contract.ts';
import { ModuleRequestError } from '../../src/modules/errors.ts';
import { ModuleHost } from '../../src/modules/host.ts';
import { builtinModuleNames, runModule } from '../../src/modules/index.ts';
import { builtinModules } from '../../src/modules/run.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { systemSerial } from '../../src/platform/serial.ts';
import { keptLog } from '../support/quiet-log.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

const clock = systemClock();

function portsOf() {
  const { log, lines } = keptLog(clock);
  const terminate: { now: () => void } = { now: () => undefined };
  const ports = {
    network: systemNetwork(),
    http: systemHttp(),
    clock,
    entropy: systemEntropy(),
    log,
    serial: systemSerial(),
    onTerminate: (listener: () => void) => {
      terminate.now = listener;
    },
  };
  return { ports, lines, terminate };
}

/** Short, because a unix socket's path is limited to 107 bytes. */
function socketDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'weir-host-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A module that hands its context to the test. */
function probeModule() {
  const started: { context: ModuleContext | undefined; closed: boolean } = { context: undefined, closed: false };
  const definition: ModuleDefinition = defineModule({
    name: 'probe',
    summary: 'for tests',
    start: async (context) => {
      started.context = context;
      context.ready();
      return {
        close: async () => {
          started.closed = true;
        },
      };
    },
  });
  return { definition, started };
}

async function setUp(t: Test, prepare: (broker: ScriptedBroker) => void = () => undefined) {
  const broker = new ScriptedBroker(socketDirectory(t));
  prepare(broker);
  await broker.start();
  const { ports, lines } = portsOf();
  const { definition, started } = probeModule();
  const host = new ModuleHost(definition, ports, broker.environment);
  host.start();
  t.teardown(async () => {
    broker.acknowledges = true;
    await host.close();
    await broker.close();
  });
  await broker.until(() => broker.subscribed.length >= 4);
  const context = await waitFor(() => started.context);
  return { broker, host, context, lines, started };
}

/** Asks again after each turn of the loop; the test's time-out is the limit. */
async function waitFor<Found>(look: () => Found | undefined | false): Promise<Found> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

t.test('the host signs in with a token from the workload socket and asks for its twin', async (t) => {
  const { broker, context } = await setUp(t, (b) => {
    b.desired = { a: 1 };
  });
  t.same(broker.signed, ['modules/sensor/genid/17/sign?api-version=2022-08-03']);
  t.match(broker.connects, [
    {
      clientId: 'gw/sensor',
      username: 'hub.example/gw/sensor/?api-version=2021-04-12',
      password: /^SharedAccessSignature sr=hub\.example%2Fdevices%2Fgw%2Fmodules%2Fsensor&sig=[^&]+&se=\d{10}$/,
    },
  ]);
  t.same(broker.subscribed, [
    '$iothub/twin/res/#',
    '$iothub/twin/PATCH/properties/desired/#',
    '$iothub/methods/POST/#',
    'devices/gw/modules/sensor/inputs/#',
  ]);
  t.same(context.desired(), { a: 1 });
});

t.test('messages arrive in order with the properties that prove it', async (t) => {
  const { broker, context } = await setUp(t);
  for (let n = 1; n <= 200; n += 1)
    void context.send('out', { body: `${n}`, contentType: 'application/json', properties: { n: `${n}` } });
  await broker.until(() => broker.received.length === 200);
  t.same(
    broker.received.map(({ body }) => Number(body)),
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
  const [first] = broker.received;
  t.match(first, {
    output: 'out',
    hop: /^sensor\.[0-9a-f]{8}:1$/,
    properties: { n: '1', sequenceNumber: '1', batchId: /^[0-9a-f-]{36}$/ },
  });
  t.equal(new Set(broker.received.map(({ properties }) => properties['batchId'])).size, 1);
  t.equal(broker.received[199]?.properties['sequenceNumber'], '200');
});

t.test(
  'what was not acknowledged is sent again after an outage, in order, with the same place in the stream',
  async (t) => {
    const { broker, context } = await setUp(t);
    const outcomes = [context.send('out', { body: '1' })];
    t.equal(await outcomes[0], 'acknowledged');
    broker.acknowledges = false;
    for (let n = 2; n <= 150; n += 1) outcomes.push(context.send('out', { body: `${n}` }));
    await broker.until(() => broker.received.length > 60);
    await broker.cut();
    outcomes.push(context.send('out', { body: '151' }));
    const before = broker.received.length;
    broker.acknowledges = true;
    await broker.listen();
    await broker.until(() => broker.received.length === before + 150);
    const again = broker.received.slice(before);
    t.same(
      again.map(({ body }) => Number(body)),
      Array.from({ length: 150 }, (_, index) => index + 2),
    );
    const hopByBody = new Map(broker.received.slice(0, before).map(({ body, hop }) => [body, hop]));
    t.ok(again.every(({ body, hop }) => (hopByBody.get(body) ?? hop) === hop));
    t.same([...new Set(await Promise.all(outcomes))], ['acknowledged']);
  },
);

t.test('desired patches are merged; a gap in their versions is healed by asking again', async (t) => {
  const { broker, context } = await setUp(t, (b) => {
    b.desired = { a: 1, b: { c: 2 } };
    b.desiredVersion = 4;
  });
  const seen: JsonObject[] = [];
  context.onDesired((desired) => void seen.push(desired));
  broker.publish(
    '$iothub/twin/PATCH/properties/desired/?$version=5',
    JSON.stringify({ b: { c: null, d: 3 }, $version: 5 }),
  );
  await waitFor(() => seen.length === 1);
  t.same(context.desired(), { a: 1, b: { d: 3 } });
  broker.publish('$iothub/twin/PATCH/properties/desired/?$version=5', JSON.stringify({ a: 99, $version: 5 }));
  broker.desired = { e: 5 };
  broker.desiredVersion = 8;
  broker.publish('$iothub/twin/PATCH/properties/desired/?$version=8', JSON.stringify({ z: 1, $version: 8 }));
  await waitFor(() => seen.length === 2);
  t.same(seen[1], { e: 5 }, 'the repeated version 5 changed nothing');
});

t.test('desired properties that changed during an outage are there after it', async (t) => {
  const { broker, context } = await setUp(t, (b) => {
    b.desired = { a: 1 };
  });
  const seen: JsonObject[] = [];
  context.onDesired((desired) => void seen.push(desired));
  broker.desired = { a: 2 };
  broker.desiredVersion = 2;
  broker.drop();
  await waitFor(() => seen.length === 1);
  t.same(seen, [{ a: 2 }]);
});

t.test('reported properties are coalesced and survive an outage', async (t) => {
  const { broker, context } = await setUp(t);
  context.reportProperties({ x: { a: 1, b: 1 } });
  context.reportProperties({ x: { b: 2 }, y: 1 });
  await broker.until(() => broker.reported['y'] === 1);
  t.match(broker.reported, { x: { a: 1, b: 2 }, y: 1 });
  await broker.cut();
  context.reportProperties({ y: null, z: 3 });
  await broker.listen();
  await broker.until(() => broker.reported['z'] === 3);
  t.strictSame(broker.reported['y'], undefined);
});

t.test('reported properties the hub refuses for good are given up, later ones still go', async (t) => {
  const { broker, context, lines } = await setUp(t);
  broker.patchStatus = 413;
  context.reportProperties({ huge: 1 });
  await waitFor(() => lines.some((line) => line.includes('given up')));
  broker.patchStatus = 204;
  context.reportProperties({ small: 1 });
  await broker.until(() => broker.reported['small'] === 1);
  t.strictSame(broker.reported['huge'], undefined);
});

t.test('a wrong configuration is reported with its places', async (t) => {
  const { broker, context } = await setUp(t);
  context.reportConfig([{ path: '/a', message: 'is wrong' }]);
  await broker.until(() => broker.reported['configStatus'] !== undefined);
  t.match(broker.reported['configStatus'], { code: 400, errors: [{ path: '/a', message: 'is wrong' }] });
  context.reportConfig([]);
  await broker.until(() => (broker.reported['configStatus'] as JsonObject)['code'] === 200);
});

t.test('direct methods are answered: by the handler, or with the reason why not', async (t) => {
  const { broker, context } = await setUp(t);
  context.onMethod('double', (payload) => ({ status: 200, payload: Number(payload) * 2 }));
  context.onMethod('refuse', () => {
    throw new ModuleRequestError({ status: 409, message: 'no' });
  });
  context.onMethod('break', () => {
    throw new TypeError('broken');
  });
  const rows = [
    ['double', '21', 200, '42'],
    ['refuse', '', 409, '{"message":"no"}'],
    ['break', '{}', 500, '{"message":"broken"}'],
    ['nothing', '', 404, undefined],
    ['double', '{', 400, undefined],
  ] as const;
  for (const [index, [name, payload, status, body]] of rows.entries()) {
    broker.publish(`$iothub/methods/POST/${name}/?$rid=${index}`, payload);
    const answer = await broker.until(() => broker.methodAnswers[index]);
    t.match(answer, { status, rid: String(index), ...(body === undefined ? {} : { body }) });
  }
});

t.test('inputs and methods are asked for once the module has its handlers, and at once after an outage', async (t) => {
  const broker = new ScriptedBroker(socketDirectory(t));
  await broker.start();
  const { ports } = portsOf();
  const begin: { now: (() => void) | undefined } = { now: undefined };
  const definition = defineModule({
    name: 'slow',
    summary: 'takes its time to start',
    start: async () => {
      await new Promise<void>((resolve) => {
        begin.now = resolve;
      });
      return { close: () => Promise.resolve() };
    },
  });
  const host = new ModuleHost(definition, ports, broker.environment);
  host.start();
  t.teardown(async () => {
    await host.close();
    await broker.close();
  });
  const twin = ['$iothub/twin/res/#', '$iothub/twin/PATCH/properties/desired/#'];
  const work = ['$iothub/methods/POST/#', 'devices/gw/modules/sensor/inputs/#'];
  const release = await waitFor(() => begin.now);
  t.same(broker.subscribed, twin, 'nobody is there yet for what would come');
  release();
  await broker.until(() => broker.subscribed.length >= 4);
  t.same(broker.subscribed.slice(2), work);
  broker.drop();
  await broker.until(() => broker.subscribed.length >= 8);
  t.same(broker.subscribed.slice(4), [...twin, ...work]);
});

t.test('an input message is acknowledged when its handler is done, also when it failed', async (t) => {
  const { broker, context } = await setUp(t);
  const release: { now: () => void } = { now: () => undefined };
  const bodies: string[] = [];
  context.onInput('in', async ({ body, properties }) => {
    bodies.push(`${body.toString()} ${properties['k'] ?? ''}`);
    await new Promise<void>((resolve) => {
      release.now = resolve;
    });
    throw new TypeError('cannot digest it');
  });
  broker.publish('devices/gw/modules/sensor/inputs/in/k=v', 'hello', 1);
  await waitFor(() => bodies.length === 1);
  t.same(bodies, ['hello v']);
  t.same(broker.inputsDone, []);
  release.now();
  await broker.until(() => broker.inputsDone.length === 1);
});

t.test('closing drains the outbox, says DISCONNECT and ends', async (t) => {
  const { broker, host, context, started } = await setUp(t);
  const outcomes = Array.from({ length: 300 }, (_, n) => context.send('out', { body: `${n}` }));
  await host.close();
  t.equal(started.closed, true);
  t.equal(broker.received.length, 300);
  t.same([...new Set(await Promise.all(outcomes))], ['acknowledged']);
  await broker.until(() => broker.disconnects === 1);
});

t.test('closing while the broker is away drops what cannot be delivered and ends', async (t) => {
  const { broker, host, context } = await setUp(t);
  await broker.cut();
  const outcome = context.send('out', { body: 'lost' });
  await host.close();
  t.equal(await outcome, 'dropped');
});

t.test('runModule ends with 78 and names what is missing', async (t) => {
  const { ports, lines } = portsOf();
  t.equal(await runModule('modbus', ports, {}), 78);
  t.match(lines.join(''), /MODULES_ENVIRONMENT/);
  t.match(lines.join(''), /IOTEDGE_AUTHSCHEME is missing/);
  t.equal(await runModule('mudbus', ports, {}), 78);
  t.match(lines.join(''), /no built-in module 'mudbus'. There are: modbus, simulated-temperature-sensor/);
  t.same(
    builtinModules.map(({ name }) => name),
    builtinModuleNames,
  );
});

t.test('runModule runs the simulated sensor and ends with 0 when asked to', async (t) => {
  const broker = new ScriptedBroker(socketDirectory(t));
  await broker.start();
  t.teardown(() => broker.close());
  const { ports, terminate } = portsOf();
  const exit = runModule('simulated-temperature-sensor', ports, {
    ...broker.environment,
    MessageDelay: '00:00:00.010',
    MessageCount: '3',
  });
  await broker.until(() => broker.received.length === 3);
  t.same(
    broker.received.map(({ output, properties }) => [output, properties['sequenceNumber']]),
    [
      ['temperatureOutput', '1'],
      ['temperatureOutput', '2'],
      ['temperatureOutput', '3'],
    ],
  );
  await broker.until(() => broker.reported['SendInterval'] !== undefined);
  t.match(broker.reported, { SendData: true, SendInterval: 0.01 });
  terminate.now();
  t.equal(await exit, 0);
});
