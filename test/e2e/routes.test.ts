// Messages between modules: a route into a module's input, a module that comes and goes, and a module written with
// Microsoft's client, unmodified, over TLS.

import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { judge } from '../support/world/ledger.ts';
import { manifest, program, sensor } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { type HubEvent, World } from '../support/world/world.ts';

/** Microsoft's client knows no port but 8883, hence an address of its own. */
const sdkAddress = '127.0.0.78';
const sdkPort = 8883;

const routes: JsonObject = {
  between: 'FROM /messages/modules/sensor/outputs/temperatureOutput INTO BrokeredEndpoint("/modules/relay/inputs/in")',
  up: 'FROM /messages/modules/relay/outputs/* INTO $upstream',
};

async function stage(
  t: Test,
  { moduleName, toml = '', hostname = 'localhost' }: { moduleName: string; toml?: string; hostname?: string },
): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  const path = await bundleModule(moduleName, world.directory);
  await world.startHub();
  await world.provision(toml, hostname);
  await world.startGateway();
  const relay = program(process.execPath, [path], { env: { ...moduleEnv } });
  await world.deploy(manifest({ modules: { sensor: sensor(20), relay }, routes }));
  return world;
}

/** Sensor's numbers in the order in which their copies reached the hub. */
function relayed(events: readonly HubEvent[]): readonly number[] {
  return events.filter((event) => event.output === 'relayed').map((event) => Number(event.properties['fromSequence']));
}

/** Each number's first coming: 1, 2, 3 … without a hole. At least once is the promise, so repetitions may follow. */
function isWhole(numbers: readonly number[]): boolean {
  return [...new Set(numbers)].every((number, index) => number === index + 1);
}

t.test('a route leads from one module into another, through its death and that of the gateway', async (t) => {
  const world = await stage(t, { moduleName: 'relay-module' });
  const first = await world.messages('relay', 5);
  t.match(first[0], { output: 'relayed', body: { machine: { temperature: Number } } }, "the body is the sensor's");
  t.ok(world.killModule('relay'), 'the relay is killed');
  await world.eventually('its input waits', async () => (await world.queued('relay/inputs/in')) >= 10 || undefined);
  await world.killGateway();
  await world.startGateway();
  const before = (await world.events()).length;
  await world.eventually('the relay is back', async () => (await world.events()).length > before + 20 || undefined);
  await world.drained('relay/inputs/in');
  await world.drained();
  const events = await world.events();
  t.ok(isWhole(relayed(events)), 'every message of the sensor came through, in order');
  t.same(judge(events, []).faults, [], "the relay's own messages are at the hub once, in order");
  t.same([...new Set(events.map((event) => event.moduleId))], ['relay'], 'nothing went where no route leads');
});

/** Where somebody has the port, there is nothing to test. */
async function sdkPortIsFree(): Promise<boolean> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(sdkPort, sdkAddress, resolve));
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => probe.close(resolve));
  }
}

const skip = (await sdkPortIsFree()) ? false : `${sdkAddress}:${sdkPort} is taken`;

t.test("a module with Microsoft's client runs unchanged: environment, twin, input, output", { skip }, async (t) => {
  const world = await stage(t, {
    moduleName: 'azure-module',
    hostname: sdkAddress,
    toml: `[listeners]\ntls = "tls://${sdkAddress}:${sdkPort}"`,
  });
  const [event] = await world.messages('relay', 5);
  t.match(event, { output: 'relayed', properties: { fromInput: 'in' }, body: { machine: { temperature: Number } } });
  t.ok(isWhole(relayed(await world.events())), 'every message of the sensor came through, in order');
  await world.patchDesired('relay', { period: 7 });
  await world.eventually('the module answers the wish', async () => {
    return (await world.twin('relay')).reported['period'] === 7 || undefined;
  });

  const { pid } = await world.running('relay');
  await world.killGateway();
  await world.startGateway();
  const after = await world.lastOffset();
  await world.messages('relay', 5, after);
  t.equal((await world.running('relay')).pid, pid, "Microsoft's client found the gateway again by itself");
  t.ok(isWhole(relayed(await world.events())), 'nothing was lost on the way');
});
