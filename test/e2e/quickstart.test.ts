// Azure's quickstart on a device without a container engine: its deployment manifest as it is (the file beside this
// one), its payload, its controls. An image that is not built in is told, and hinders nobody.

import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { program } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { type HubEvent, World } from '../support/world/world.ts';

const manifestPath = 'test/e2e/quickstart-manifest.json';
const sensorName = 'SimulatedTemperatureSensor';
const unknownImage = 'mcr.microsoft.com/azureiotedge-diagnostics:1.5';
const hotDegrees = 25;
const coldDegrees = 23;

interface Content {
  readonly modulesContent: {
    readonly $edgeAgent: { readonly 'properties.desired': { modules: Record<string, JsonObject> } };
    readonly $edgeHub: { readonly 'properties.desired': { routes: JsonObject } };
  };
}

function quickstart(): Content {
  return JSON.parse(readFileSync(manifestPath, 'utf8')) as Content;
}

function temperature(event: HubEvent): number {
  return (event.body as { readonly machine: { readonly temperature: number } }).machine.temperature;
}

async function stage(t: Test): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision();
  await world.startGateway();
  const applied = await world.succeed('hub', 'deploy', '--device', world.deviceId, manifestPath, ...world.hubDirs);
  t.match(applied, /Applied to gw1\./);
  return world;
}

t.test("the quickstart's manifest runs unchanged: payload, twin, interval, reset", async (t) => {
  const world = await stage(t);
  const [first] = await world.messages(sensorName, 1);
  t.match(first, {
    output: 'temperatureOutput',
    properties: { sequenceNumber: '1', batchId: /^[0-9a-f-]{36}$/ },
    systemProperties: { contentType: 'application/json', contentEncoding: 'utf-8' },
    body: {
      machine: { temperature: Number, pressure: Number },
      ambient: { temperature: Number, humidity: Number },
      timeCreated: /^\d{4}-\d\d-\d\dT/,
    },
  });
  await world.eventually('the sensor reports its settings', async () => {
    const { reported } = await world.twin(sensorName);
    return (reported['SendData'] === true && reported['SendInterval'] === 5) || undefined;
  });

  await world.patchDesired(sensorName, { SendInterval: 0.05 });
  const hot = await world.eventually('the machine heats up at the new pace', async () => {
    const events = (await world.events()).filter((event) => event.moduleId === sensorName);
    return events.find((event) => temperature(event) > hotDegrees);
  });

  const path = await bundleModule('commander-module', world.directory);
  const env = { ...moduleEnv, COMMAND: '{"command":"reset"}' };
  const withReset = quickstart();
  withReset.modulesContent.$edgeAgent['properties.desired'].modules['commander'] = program(process.execPath, [path], {
    env,
  });
  withReset.modulesContent.$edgeHub['properties.desired'].routes = {
    upstream: `FROM /messages/modules/${sensorName}/* INTO $upstream`,
    control: `FROM /messages/modules/commander/outputs/command INTO BrokeredEndpoint("/modules/${sensorName}/inputs/control")`,
  };
  await world.deploy(withReset as unknown as JsonObject);
  await world.patchDesired(sensorName, { SendInterval: 0.05 });
  await world.eventually('the reset makes it cold', async () => {
    const events = await world.events(hot.offset);
    return events.some((event) => event.offset > hot.offset && temperature(event) < coldDegrees) || undefined;
  });
  await world.eventually('it is in the log', async () =>
    /reset by a control message/.test(await world.succeed('logs', sensorName, ...world.gatewayDirs)) ? true : undefined,
  );

  await world.patchDesired(sensorName, { SendData: false });
  await world.eventually('the sensor agrees to be silent', async () => {
    return (await world.twin(sensorName)).reported['SendData'] === false || undefined;
  });
});

t.test('an image that cannot be had is told with the reason and changes nothing; the sensor runs', async (t) => {
  const world = await stage(t);
  const { pid } = await world.running(sensorName);
  const more = quickstart();
  more.modulesContent.$edgeAgent['properties.desired'].modules['diagnostics'] = {
    type: 'docker',
    status: 'running',
    restartPolicy: 'always',
    settings: { image: unknownImage, createOptions: '{}' },
  };
  await world.deploy(more as unknown as JsonObject);
  const told = await world.eventually('the report', async () => {
    const { reported } = await world.twin('$edgeAgent');
    const status = reported['lastDesiredStatus'] as { code: number; description: string } | undefined;
    return status?.code === 500 ? status.description : undefined;
  });
  t.match(told, /^not applied yet, and tried again: diagnostics: /);
  t.match((await world.status()).deployment, { code: 500, description: told }, 'weir status says so, too');
  const after = await world.lastOffset();
  await world.patchDesired(sensorName, { SendInterval: 0.1 });
  await world.messages(sensorName, 3, after);
  t.equal((await world.running(sensorName)).pid, pid, 'the sensor is not disturbed');
});
