// The main job: a simulated plant on a TCP socket and a serial line, read by the built-in module as the manifest
// says, its values at the hub; slaves that go silent, vanish and come back; settings changed from the hub, well
// and badly.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { type Plant, startPlant } from '../support/plant/index.ts';
import { judge } from '../support/world/ledger.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { type HubEvent, World } from '../support/world/world.ts';

const everyMs = 50;
const slowMs = 600;

interface Telemetry {
  readonly device: string;
  readonly ts: string;
  readonly values: Readonly<Record<string, { readonly v: number | string | boolean | null; readonly q: string }>>;
}

function telemetry(event: HubEvent): Telemetry {
  return event.body as Telemetry;
}

function desired(plant: Plant): JsonObject {
  const tags: JsonObject = {
    reads: { at: 'input:0', type: 'u32' },
    speed: { at: 'input:4', type: 'f32', unit: 'rpm' },
    temperature: { at: 'input:6', type: 'i16', scale: 0.1 },
    setpoint: { at: 'holding:0', type: 'f32' },
    name: { at: 'holding:20+8', type: 'string' },
    run: { at: 'coil:0' },
  };
  const down = { after: 2, probeMs: [100, 200] };
  return {
    buses: {
      plc: { type: 'tcp', host: '127.0.0.1', port: plant.tcp.port, timeoutMs: 1000, retries: 0 },
      line: { type: 'rtu', port: plant.rtu?.path ?? '', baud: 115_200, timeoutMs: 1000, retries: 1, turnaroundMs: 1 },
    },
    devices: {
      'pump-1': { bus: 'plc', unit: 1, groups: { fast: { everyMs } }, down, tags },
      'mixer-1': { bus: 'line', unit: 1, groups: { fast: { everyMs } }, down, tags },
    },
  };
}

async function stage(t: Test): Promise<{ readonly world: World; readonly plant: Plant }> {
  const world = new World();
  const ptyDir = join(world.directory, 'plant');
  mkdirSync(ptyDir);
  const plant = await startPlant({ clock: systemClock(), tcpPort: 0, ptyDir });
  t.teardown(async () => {
    await world.close();
    await plant.close();
  });
  await world.startHub();
  await world.provision();
  await world.startGateway();
  const modules = { modbus: program('weir:modbus') };
  await world.deploy(manifest({ modules, twins: { modbus: desired(plant) } }));
  return { world, plant };
}

/** The next message of the device behind the log's present end that is wholly good, or whose tag `speed` is as bad. */
async function next(world: World, device: string, quality: string): Promise<HubEvent> {
  const after = await world.lastOffset();
  return world.eventually(`${device} with quality ${quality}`, async () => {
    const fresh = (await world.events(after)).filter((event) => event.offset > after);
    return fresh.find((event) => {
      const { device: from, values } = telemetry(event);
      const isSo =
        quality === 'good' ? Object.values(values).every(({ q }) => q === quality) : values['speed']?.q === quality;
      return from === device && isSo;
    });
  });
}

t.test(
  'values of a TCP slave and a serial slave arrive at the hub; silence of one does not stall the other',
  async (t) => {
    const { world, plant } = await stage(t);
    for (const [device, name] of [
      ['pump-1', 'PLANT-01'],
      ['mixer-1', 'PLANT-02'],
    ] as const) {
      const event = await next(world, device, 'good');
      t.match(event, { moduleId: 'modbus', output: 'telemetry', deviceId: world.deviceId });
      t.match(telemetry(event).values, {
        name: { v: name, q: 'good' },
        setpoint: { v: 40, q: 'good' },
        run: { v: false, q: 'good' },
      });
      const { speed, temperature } = telemetry(event).values;
      t.ok(Number(speed?.v) >= 1250 && Number(speed?.v) <= 1750, 'the speed is one the plant has');
      t.ok(Number(temperature?.v) >= 20 && Number(temperature?.v) <= 80, 'the temperature too');
    }

    plant.tcp.slave.faults.isSilent = true;
    t.match(telemetry(await next(world, 'pump-1', 'bad:timeout')).values, { speed: { v: null } });
    await world.eventually('the twin says that the pump is down', async () => {
      const devices = (await world.twin('modbus')).reported['devices'] as JsonObject | undefined;
      return (devices?.['pump-1'] as JsonObject | undefined)?.['state'] === 'down' || undefined;
    });
    const readsBefore = plant.rtu?.slave.registers.reads ?? 0;
    await next(world, 'mixer-1', 'good');
    await world.eventually(
      'the mixer is read on and on',
      () => (plant.rtu?.slave.registers.reads ?? 0) > readsBefore + 10 || undefined,
    );
    plant.tcp.slave.faults.isSilent = false;
    await next(world, 'pump-1', 'good');

    await plant.tcp.vanish();
    await next(world, 'pump-1', 'bad:unreachable');
    await plant.tcp.comeBack();
    await next(world, 'pump-1', 'good');

    await plant.rtu?.vanish();
    await next(world, 'mixer-1', 'bad:unreachable');
    await next(world, 'pump-1', 'good');
    await plant.rtu?.comeBack();
    await next(world, 'mixer-1', 'good');

    const { pid } = await world.running('modbus');
    await world.killGateway();
    await world.startGateway();
    await next(world, 'mixer-1', 'good');
    t.equal((await world.running('modbus')).pid, pid, 'the module was not disturbed by any of it');
    const verdict = judge(await world.events(), []);
    t.same(verdict.faults, [], 'nothing is missing, doubled or out of order');
    t.equal(verdict.lives, 1);
  },
);

t.test('a change at the hub reaches the running module; a wrong one is told and changes nothing', async (t) => {
  const { world } = await stage(t);
  await next(world, 'pump-1', 'good');
  const { pid } = await world.running('modbus');
  const configCode = (code: number): Promise<JsonObject> =>
    world.eventually(`configStatus ${code}`, async () => {
      const status = (await world.twin('modbus')).reported['configStatus'] as JsonObject | undefined;
      return status?.['code'] === code ? status : undefined;
    });
  await configCode(200);

  await world.patchDesired('modbus', { devices: { 'pump-1': { unit: 999, tags: { speed: { at: 'nowhere:4' } } } } });
  const refusal = await configCode(400);
  t.match(refusal, { description: /last good/, errors: { length: 2 } });
  t.match(JSON.stringify(refusal['errors']), /"\/devices\/pump-1\/unit"/);
  t.match(JSON.stringify(refusal['errors']), /"\/devices\/pump-1\/tags\/speed\/at"/);
  await next(world, 'pump-1', 'good');
  await world.eventually('it is in the log', async () =>
    /devices\/pump-1\/unit/.test(await world.succeed('logs', 'modbus', ...world.gatewayDirs)) ? true : undefined,
  );

  await world.patchDesired('modbus', {
    devices: { 'pump-1': { unit: 1, groups: { fast: { everyMs: slowMs } }, tags: { speed: { at: 'input:4' } } } },
  });
  await configCode(200);
  const after = await world.lastOffset();
  // Polls of the old pace may still be on their way; a single one may come early after a late one.
  await world.eventually('the pump is asked at the new pace', async () => {
    const polls = (await world.events(after)).filter((event) => telemetry(event).device === 'pump-1');
    const times = polls.map((event) => Date.parse(telemetry(event).ts));
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    return gaps.filter((gapMs) => gapMs >= slowMs * 0.8).length >= 3 || undefined;
  });
  t.equal((await world.running('modbus')).pid, pid, 'it was the running module that changed');
});
