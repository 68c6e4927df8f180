import t from 'tap';
import type { DesiredChange } from '../../src/hub/ports.ts';
import type { JsonValue } from '../../src/model/json.ts';
import { edgeManifest } from '../support/edge-manifest.ts';
import { hubState } from '../support/hub-state.ts';

const manifest = (): JsonValue => edgeManifest() as unknown as JsonValue;

t.test('a manifest makes the modules, replaces their twins and is announced once', async (t) => {
  const { registry, twins, deployments, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  const heard: DesiredChange[] = [];
  twins.onDesired((change) => heard.push(change));
  const outcome = deployments.apply('gw', manifest());
  t.same(outcome.modulesCreated, ['SimulatedTemperatureSensor', 'modbus']);
  t.same(outcome.modulesDeleted, []);
  t.same(
    outcome.twinsChanged.map((changed) => changed.moduleId),
    ['SimulatedTemperatureSensor', '$edgeHub', '$edgeAgent'],
  );
  t.same(
    heard.map((change) => change.identity.moduleId),
    ['SimulatedTemperatureSensor', '$edgeHub', '$edgeAgent'],
  );
  t.equal(registry.get({ deviceId: 'gw', moduleId: 'modbus' }).managedBy, 'iotEdge');
  t.same(twins.read({ deviceId: 'gw', moduleId: 'SimulatedTemperatureSensor' }).twin.desired, {
    properties: { SendData: true, SendInterval: 5 },
    version: 2,
  });
  database.close();
});

t.test('the same manifest again changes nothing and announces nothing', async (t) => {
  const { registry, twins, deployments, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  deployments.apply('gw', manifest());
  const heard: DesiredChange[] = [];
  twins.onDesired((change) => heard.push(change));
  const outcome = deployments.apply('gw', manifest());
  t.same(outcome, {
    deviceId: 'gw',
    modulesCreated: [],
    modulesDeleted: [],
    twinsChanged: [],
    twinsUnchanged: ['$edgeAgent', '$edgeHub', 'SimulatedTemperatureSensor'],
  });
  t.same(heard, []);
  database.close();
});

t.test('a module no longer listed is deleted with its twin; the keys of those that stay are kept', async (t) => {
  const { registry, deployments, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  deployments.apply('gw', manifest());
  const { keys } = registry.get({ deviceId: 'gw', moduleId: 'modbus' });
  const smaller = edgeManifest();
  const agent = smaller.modulesContent['$edgeAgent']!['properties.desired'] as { modules: Record<string, unknown> };
  delete agent.modules['SimulatedTemperatureSensor'];
  delete smaller.modulesContent['SimulatedTemperatureSensor'];
  const outcome = deployments.apply('gw', smaller as unknown as JsonValue);
  t.same(outcome.modulesDeleted, ['SimulatedTemperatureSensor']);
  t.same(registry.get({ deviceId: 'gw', moduleId: 'modbus' }).keys, keys);
  t.throws(() => registry.get({ deviceId: 'gw', moduleId: 'SimulatedTemperatureSensor' }), {
    code: 'HUB_MODULE_NOT_FOUND',
  });
  database.close();
});

t.test('a bad manifest changes nothing and names all its faults', async (t) => {
  const { registry, twins, deployments, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  const bad = edgeManifest();
  bad.modulesContent['$edgeHub']!['properties.desired'] = { schemaVersion: '9', routes: { x: 'nonsense' } };
  t.throws(() => deployments.apply('gw', bad as unknown as JsonValue), {
    code: 'HUB_MANIFEST_INVALID',
    azureCode: 'InvalidConfigurationContent',
    problems: [{ path: /schemaVersion/ }, { path: /routes\.x/ }],
  });
  t.equal(registry.modules('gw').length, 2);
  t.equal(twins.read({ deviceId: 'gw', moduleId: '$edgeAgent' }).twin.desired.version, 1);
  database.close();
});

t.test('a failure in the middle undoes the whole, and nobody hears of it', async (t) => {
  const { registry, twins, deployments, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  database.run(
    "CREATE TRIGGER broken BEFORE UPDATE ON twin WHEN new.module = '$edgeAgent' BEGIN SELECT RAISE(ABORT, 'x'); END",
  );
  const heard: DesiredChange[] = [];
  twins.onDesired((change) => heard.push(change));
  t.throws(() => deployments.apply('gw', manifest()));
  t.equal(registry.modules('gw').length, 2);
  t.equal(twins.read({ deviceId: 'gw', moduleId: '$edgeHub' }).twin.desired.version, 1);
  t.same(heard, []);
  database.close();
});

t.test('only an edge device takes a manifest', async (t) => {
  const { registry, deployments, database } = hubState(t.testdir());
  registry.createDevice('plain');
  t.throws(() => deployments.apply('plain', manifest()), { code: 'HUB_NOT_EDGE_DEVICE' });
  t.throws(() => deployments.apply('nobody', manifest()), { code: 'HUB_DEVICE_NOT_FOUND' });
  database.close();
});
