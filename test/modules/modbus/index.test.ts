// The modbus module against the simulated plant: real sockets, a real terminal, real serialport.

import t, { type Test } from 'tap';
import type { JsonObject } from '../../../src/model/json.ts';
import { modbus } from '../../../src/modules/modbus/index.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { TestContext } from '../../support/module-context.ts';
import { type Plant, startPlant } from '../../support/plant/index.ts';

const clock = systemClock();

type Values = Record<string, { readonly v: number | boolean | string | null; readonly q: string }>;
const valuesOf = (message: { readonly json: JsonObject }): Values => message.json['values'] as unknown as Values;
const isGood = (message: { readonly json: JsonObject }): boolean =>
  Object.values(valuesOf(message)).every(({ q }) => q === 'good');
const has = (device: string, tag: string, q: string) => (message: { readonly json: JsonObject }) =>
  message.json['device'] === device && valuesOf(message)[tag]?.q === q;

/** Generous, so that a busy machine is not taken for a dead slave; `hurried` shortens it where time-outs are the point. */
const timeoutMs = 20_000;
const everyMs = 20;

function hurried(desired: JsonObject): JsonObject {
  const buses = Object.entries(desired['buses'] as JsonObject).map(([name, bus]) => [
    name,
    { ...(bus as JsonObject), timeoutMs: 150 },
  ]);
  return { ...desired, buses: Object.fromEntries(buses) as JsonObject };
}

function desiredFor(plant: Plant): JsonObject {
  return {
    buses: {
      plc: { type: 'tcp', host: '127.0.0.1', port: plant.tcp.port, timeoutMs, retries: 0 },
      ...(plant.rtu === undefined
        ? {}
        : { line: { type: 'rtu', port: plant.rtu.path, baud: 115_200, timeoutMs, retries: 1, turnaroundMs: 1 } }),
    },
    devices: {
      'pump-1': {
        bus: 'plc',
        unit: 1,
        groups: { fast: { everyMs } },
        down: { after: 2, probeMs: [50, 100] },
        tags: {
          reads: { at: 'input:0', type: 'u32' },
          speed: { at: 'input:4', type: 'f32', unit: 'rpm' },
          temperature: { at: 'input:6', type: 'i16', scale: 0.1 },
          overheated: { at: 'discrete:0' },
          setpoint: { at: 'holding:0', type: 'f32', access: 'rw', min: 0, max: 100 },
          alarm: { at: 'holding:10.7', access: 'rw' },
          run: { at: 'coil:0', access: 'rw' },
          name: { at: 'holding:20+8', type: 'string' },
        },
      },
      ...(plant.rtu === undefined
        ? {}
        : {
            'mixer-1': {
              bus: 'line',
              unit: 1,
              groups: { fast: { everyMs } },
              down: { after: 2, probeMs: [50, 100] },
              tags: {
                reads: { at: 'input:0', type: 'u32' },
                speed: { at: 'input:4', type: 'f32' },
                setpoint: { at: 'holding:0', type: 'f32', access: 'rw' },
              },
            },
          }),
    },
  };
}

async function setUp(t: Test, { withRtu = false, change = (desired: JsonObject): JsonObject => desired } = {}) {
  const plant = await startPlant({ clock, tcpPort: 0, ...(withRtu ? { ptyDir: t.testdir() } : {}) });
  const context = new TestContext(clock, change(desiredFor(plant)));
  const running = await modbus.start(context);
  t.teardown(async () => {
    await running.close();
    await plant.close();
  });
  return { plant, context, running };
}

t.test('values of every table arrive from a TCP slave, once a poll', async (t) => {
  const { context, plant } = await setUp(t);
  const message = await context.nextSent(isGood);
  t.match(message, { output: 'telemetry', contentType: 'application/json', contentEncoding: 'utf-8' });
  t.match(message.json, { device: 'pump-1', ts: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ });
  const values = valuesOf(message);
  t.equal(values['name']?.v, 'PLANT-01');
  t.equal(values['setpoint']?.v, 40);
  t.equal(values['alarm']?.v, false);
  t.equal(values['overheated']?.v, false);
  t.ok(Number(values['speed']?.v) >= 1250 && Number(values['speed']?.v) <= 1750);
  t.ok(Number(values['temperature']?.v) >= 20 && Number(values['temperature']?.v) <= 80);
  await context.until(() => context.sent.length >= 5);
  const counter = context.sent.map((sent) => Number(valuesOf(sent)['reads']?.v));
  t.same(
    counter,
    counter.map((_, index) => (counter[0] ?? 0) + index),
    'each poll read the slave once, in order',
  );
  t.equal(context.isReady, true);
  t.match(context.reported, { configStatus: { code: 200 }, devices: { 'pump-1': { state: 'up' } } });
  t.equal(plant.tcp.slave.registers.reads >= 5, true);
});

t.test('values arrive over a serial line too', async (t) => {
  const { context } = await setUp(t, { withRtu: true });
  const message = await context.nextSent((sent) => sent.json['device'] === 'mixer-1' && isGood(sent));
  t.equal(valuesOf(message)['setpoint']?.v, 40);
  await context.until(() => context.sent.filter((sent) => sent.json['device'] === 'mixer-1').length >= 5);
  const counter = context.sent
    .filter((sent) => sent.json['device'] === 'mixer-1')
    .map((sent) => Number(valuesOf(sent)['reads']?.v));
  t.same(
    counter,
    counter.map((_, index) => (counter[0] ?? 0) + index),
  );
});

t.test('a serial line survives noise, late pieces, wrong CRCs and wrong units', async (t) => {
  const { context, plant } = await setUp(t, { withRtu: true, change: hurried });
  const faults = plant.rtu!.slave.faults;
  const isMixer = has('mixer-1', 'speed', 'good');
  await context.nextSent(isMixer);
  faults.splitBytes = 2;
  faults.noise = Uint8Array.from([0xff, 0x01, 0x00]);
  await context.nextSent(isMixer);
  await context.nextSent(isMixer);
  faults.splitBytes = 0;
  faults.noise = new Uint8Array();
  faults.badCrc = 1;
  await context.nextSent(isMixer);
  t.equal(faults.badCrc, 0, 'one bad CRC is mended by the repetition');
  faults.badCrc = 1000;
  await context.nextSent(has('mixer-1', 'speed', 'bad:crc'));
  faults.badCrc = 0;
  await context.nextSent(isMixer);
  faults.wrongUnit = 1000;
  await context.nextSent(has('mixer-1', 'speed', 'bad:timeout'));
  faults.wrongUnit = 0;
  await context.nextSent(isMixer);
});

t.test('a late answer is never taken for the answer to the next request', async (t) => {
  const { context, plant } = await setUp(t, { change: hurried });
  await context.nextSent(isGood);
  plant.tcp.slave.faults.delayMs = 220;
  await context.nextSent(has('pump-1', 'reads', 'bad:timeout'));
  plant.tcp.slave.faults.delayMs = 0;
  const message = await context.nextSent(isGood);
  t.equal(valuesOf(message)['name']?.v, 'PLANT-01');
  t.equal(valuesOf(message)['setpoint']?.v, 40);
});

t.test('a slave that vanishes is bad once, stalls nobody, and comes back by itself', async (t) => {
  const { context, plant } = await setUp(t, { withRtu: true });
  await context.nextSent(has('pump-1', 'reads', 'good'));
  await context.nextSent(has('mixer-1', 'reads', 'good'));

  await plant.tcp.vanish();
  await context.nextSent(has('pump-1', 'reads', 'bad:unreachable'));
  await context.until(
    () =>
      (context.reported['devices'] as JsonObject)['pump-1'] !== undefined &&
      JSON.stringify(context.reported).includes('down'),
  );
  const from = context.sent.length;
  for (let polls = 0; polls < 10; polls += 1) await context.nextSent(has('mixer-1', 'reads', 'good'));
  t.equal(
    context.sent.slice(from).filter((sent) => sent.json['device'] === 'pump-1').length,
    0,
    'nothing more is said of it while it is down',
  );

  await plant.tcp.comeBack();
  await context.nextSent((sent) => sent.json['device'] === 'pump-1' && isGood(sent));
  t.match(context.reported, { devices: { 'pump-1': { state: 'up' } } });
});

t.test('a serial adapter that is pulled and plugged in again is found again', async (t) => {
  const { context, plant } = await setUp(t, { withRtu: true });
  await context.nextSent(has('mixer-1', 'reads', 'good'));
  await plant.rtu!.vanish();
  await context.nextSent(has('mixer-1', 'reads', 'bad:unreachable'));
  await plant.rtu!.comeBack();
  await context.nextSent(has('mixer-1', 'reads', 'good'));
  t.match(context.reported, { devices: { 'mixer-1': { state: 'up' } } });
});

t.test('a silent device costs the others on its line one short probe now and then', async (t) => {
  const { context, plant } = await setUp(t, {
    change: (desired) => ({
      ...hurried(desired),
      devices: {
        ...(desired['devices'] as JsonObject),
        ghost: {
          bus: 'plc',
          unit: 9,
          groups: { g: { everyMs: 20 } },
          tags: { x: { at: 'holding:0' } },
          down: { after: 1, probeMs: [60_000, 60_000] },
        },
      },
    }),
  });
  await context.nextSent(has('ghost', 'x', 'bad:timeout'), 0);
  // A busy machine may hold them up for other reasons, but not each time.
  let tookMs = Number.POSITIVE_INFINITY;
  for (let times = 0; times < 20 && tookMs >= 1500; times += 1) {
    const startMs = clock.monotonicMs();
    for (let polls = 0; polls < 10; polls += 1) await context.nextSent(has('pump-1', 'reads', 'good'));
    tookMs = clock.monotonicMs() - startMs;
  }
  t.ok(tookMs < 1500, 'ten polls of 20 ms are not held up by time-outs of 150 ms');
  t.equal(plant.tcp.slave.faults.isSilent, false);
});

t.test('an address the device does not have costs only its own tag', async (t) => {
  const { context } = await setUp(t, {
    change: (desired) => {
      const copy = JSON.parse(JSON.stringify(desired)) as {
        devices: { 'pump-1': { tags: Record<string, JsonObject> } };
      };
      copy.devices['pump-1'].tags['nowhere'] = { at: 'input:9' };
      return copy as unknown as JsonObject;
    },
  });
  const message = await context.nextSent(
    (sent) => Object.values(valuesOf(sent)).filter(({ q }) => q !== 'good').length === 1,
  );
  t.match(valuesOf(message)['nowhere'], { v: null, q: 'bad:exception-2' });
  t.ok(context.lines.some((line) => line.includes('refuses a merged read')));
});

t.test('an exception of the device becomes the quality of its tags, and the device stays up', async (t) => {
  const { context, plant } = await setUp(t);
  await context.nextSent(isGood);
  plant.tcp.slave.faults.exceptionCode = 6;
  plant.tcp.slave.faults.exceptions = 1000;
  const message = await context.nextSent(has('pump-1', 'reads', 'bad:exception-6'));
  t.ok(Object.values(valuesOf(message)).every(({ v }) => v === null));
  t.match(context.reported, { devices: { 'pump-1': { state: 'up' } } });
});

t.test('a tag is written, read back and verified', async (t) => {
  const { context, plant } = await setUp(t, { withRtu: true });
  t.same(await context.method('write', { device: 'pump-1', tag: 'setpoint', value: 55.5 }), {
    status: 200,
    payload: { device: 'pump-1', tag: 'setpoint', value: 55.5, read: 55.5, verified: true },
  });
  t.equal(plant.tcp.slave.registers.setpoint, 55.5);
  t.match(await context.method('write', { device: 'mixer-1', tag: 'setpoint', value: 12.3 }), {
    payload: { verified: true },
  });
  t.ok(Math.abs(plant.rtu!.slave.registers.setpoint - 12.3) < 1e-5);
  t.match(await context.method('write', { device: 'pump-1', tag: 'run', value: true }), {
    payload: { read: true, verified: true },
  });
  t.match(await context.method('write', { device: 'pump-1', tag: 'alarm', value: true }), {
    payload: { read: true, verified: true },
  });
  t.equal(plant.tcp.slave.registers.mode, 0x80);
  t.match(await context.method('read', { device: 'pump-1', tags: ['alarm', 'speed'] }), {
    status: 200,
    payload: { values: { alarm: { v: true, q: 'good' }, speed: { q: 'good', unit: 'rpm' } } },
  });
  await context.input('write', { device: 'pump-1', tag: 'setpoint', value: 7 });
  t.equal(plant.tcp.slave.registers.setpoint, 7);
});

t.test('a write that cannot be done is refused with the reason', async (t) => {
  const { context } = await setUp(t);
  const rows: readonly (readonly [JsonObject, number, RegExp])[] = [
    [{ device: 'x', tag: 'setpoint', value: 1 }, 404, /There are: pump-1/],
    [{ device: 'pump-1', tag: 'x', value: 1 }, 404, /has no tag "x"/],
    [{ device: 'pump-1', tag: 'speed', value: 1 }, 403, /read-only/],
    [{ device: 'pump-1', tag: 'setpoint', value: 101 }, 400, /above 100/],
    [{ device: 'pump-1', tag: 'setpoint', value: 'hot' }, 400, /no number/],
    [{ device: 'pump-1', tag: 'setpoint' }, 400, /value is missing/],
    [{ device: 'pump-1', tag: 'alarm', value: 1 }, 400, /no true or false/],
  ];
  for (const [payload, status, message] of rows) {
    await t.rejects(context.method('write', payload), { status, message }, JSON.stringify(payload));
  }
});

t.test('a bad section is reported with every mistake, and the good one stays in force', async (t) => {
  const { context, plant } = await setUp(t);
  await context.nextSent(isGood);
  const good = context.desired();
  context.setDesired({ buses: { plc: { type: 'tpc' } }, devices: {} });
  await context.until(() => (context.reported['configStatus'] as JsonObject)['code'] === 400);
  t.match(context.reported['configStatus'], { errors: [{ path: '/buses/plc/type', message: /rtu, tcp/ }] });
  await context.nextSent(isGood);
  const slower = {
    ...good,
    devices: {
      'pump-2': {
        bus: 'plc',
        unit: 2,
        groups: { g: { everyMs: 20 } },
        tags: { reads: { at: 'input:0', type: 'u32' } },
      },
    },
  };
  context.setDesired(slower);
  const message = await context.nextSent(has('pump-2', 'reads', 'good'));
  t.equal(message.json['device'], 'pump-2');
  t.match(context.reported, { configStatus: { code: 200 } });
  t.strictSame(
    (context.reported['devices'] as JsonObject)['pump-1'],
    undefined,
    'the device that is gone is no longer reported',
  );
  t.ok(plant.tcp.slave.requests > 0);
});

t.test("the desired properties of Azure's Modbus module work unchanged", async (t) => {
  const { context, plant } = await setUp(t, { change: () => ({}) });
  context.setDesired({
    PublishInterval: '60',
    Version: '2',
    SlaveConfigs: {
      Slave01: {
        SlaveConnection: '127.0.0.1',
        TcpPort: String(plant.tcp.port),
        HwId: 'PowerMeter-0a:01',
        RetryCount: '10',
        RetryInterval: '50',
        Operations: {
          Op01: {
            PollingInterval: '20',
            UnitId: '1',
            StartAddress: '40021',
            Count: '2',
            DisplayName: 'Name',
            CorrelationId: 'MessageType1',
          },
          Op02: { PollingInterval: '20', UnitId: '2', StartAddress: '000001', Count: '1', DisplayName: 'Run' },
        },
      },
    },
  });
  const message = await context.nextSent(
    ({ output, json }) => output === 'modbusOutput' && JSON.stringify(json).includes('000001'),
  );
  t.same(message.properties, { 'content-type': 'application/edge-modbus-json' });
  const [content] = message.json['Content'] as unknown as {
    HwId: string;
    Data: { CorrelationId: string; SourceTimestamp: string; Values: JsonObject[] }[];
  }[];
  t.equal(content?.HwId, 'PowerMeter-0a:01');
  t.match(message.json['PublishTimestamp'], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  const named = content?.Data.find(({ CorrelationId }) => CorrelationId === 'MessageType1');
  t.same(named?.Values.slice(0, 2), [
    { DisplayName: 'Name', Address: '40021', Value: String(0x504c) },
    { DisplayName: 'Name', Address: '40022', Value: String(0x414e) },
  ]);
  t.ok(
    content?.Data.some(
      ({ CorrelationId, Values }) => CorrelationId === 'DefaultCorrelationId' && Values[0]?.['Address'] === '000001',
    ),
  );

  await context.input(
    'input1',
    { HwId: 'PowerMeter-0a:01', UId: '1', Address: '40011', Value: '15' },
    { 'command-type': 'ModbusWrite' },
  );
  t.equal(plant.tcp.slave.registers.mode, 15);
  await t.rejects(
    context.input('input1', { HwId: 'x', UId: '1', Address: '40011', Value: '15' }, { 'command-type': 'ModbusWrite' }),
    /HwId/,
  );
});

t.test('a module without any device waits for its configuration', async (t) => {
  const context = new TestContext(clock);
  const running = await modbus.start(context);
  t.equal(context.isReady, true);
  t.match(context.reported, { configStatus: { code: 200 } });
  await running.close();
  await running.close();
});
