import t from 'tap';
import { HubDeviceBackend } from '../../src/hub/device-backend.ts';
import { hubState, sample } from '../support/hub-state.ts';

t.test('telemetry is in the log and twins are read and reported', async (t) => {
  const hub = hubState(t.testdir());
  const backend = new HubDeviceBackend(hub);
  hub.registry.createDevice('gw');
  const accepted = backend.telemetry(sample('1'));
  await hub.clock.advance(0);
  await accepted;
  t.equal(hub.eventLog.facts().events, 1);
  t.equal(await backend.patchReported({ deviceId: 'gw' }, { a: 1 }), 2);
  t.same((await backend.twin({ deviceId: 'gw' })).reported.properties, { a: 1 });
  await t.rejects(backend.twin({ deviceId: 'no' }), { code: 'HUB_DEVICE_NOT_FOUND', fields: { status: 404 } });
  await t.rejects(backend.patchReported({ deviceId: 'gw' }, { 'a.b': 1 }), {
    code: 'HUB_TWIN_INVALID',
    fields: { status: 400 },
  });
  hub.database.close();
});

t.test('only $edgeHub acts for others, and only for its own device', async (t) => {
  const hub = hubState(t.testdir());
  const backend = new HubDeviceBackend(hub);
  const edgeHub = { deviceId: 'gw', moduleId: '$edgeHub' };
  t.ok(backend.mayActFor(edgeHub, { deviceId: 'gw', moduleId: 'm' }));
  t.ok(backend.mayActFor(edgeHub, { deviceId: 'gw' }));
  t.notOk(backend.mayActFor(edgeHub, { deviceId: 'other', moduleId: 'm' }));
  t.notOk(backend.mayActFor({ deviceId: 'gw' }, { deviceId: 'gw', moduleId: 'm' }));
  t.notOk(backend.mayActFor({ deviceId: 'gw', moduleId: 'm' }, { deviceId: 'gw', moduleId: 'n' }));
  hub.database.close();
});

t.test('$edgeHub acts for the devices behind its own one and their modules, and for no others', async (t) => {
  const hub = hubState(t.testdir());
  const { registry } = hub;
  const backend = new HubDeviceBackend(hub);
  for (const id of ['gw', 'gw2']) registry.createDevice(id, { edge: true });
  registry.createDevice('leaf', { parent: 'gw' });
  registry.createDevice('free');
  const edgeHub = { deviceId: 'gw', moduleId: '$edgeHub' };
  t.ok(backend.mayActFor(edgeHub, { deviceId: 'leaf' }));
  t.ok(backend.mayActFor(edgeHub, { deviceId: 'leaf', moduleId: 'm' }));
  t.notOk(backend.mayActFor(edgeHub, { deviceId: 'free' }));
  t.notOk(backend.mayActFor(edgeHub, { deviceId: 'gw2', moduleId: 'm' }));
  t.notOk(backend.mayActFor({ deviceId: 'gw', moduleId: '$edgeAgent' }, { deviceId: 'leaf' }));
  t.notOk(backend.mayActFor({ deviceId: 'gw2', moduleId: '$edgeHub' }, { deviceId: 'leaf' }));
  t.same(backend.gatewayOf({ deviceId: 'leaf', moduleId: 'm' }), edgeHub);
  t.same(backend.gatewayOf({ deviceId: 'gw', moduleId: 'm' }), edgeHub);
  registry.update({ deviceId: 'leaf' }, { parent: 'gw2' });
  t.notOk(backend.mayActFor(edgeHub, { deviceId: 'leaf' }));
  t.same(backend.gatewayOf({ deviceId: 'leaf' }), { deviceId: 'gw2', moduleId: '$edgeHub' });
  hub.database.close();
});

t.test('only $edgeHub is told of a scope, and takes over what devices left with it', async (t) => {
  const hub = hubState(t.testdir());
  hub.registry.createDevice('gw', { edge: true });
  const backend = new HubDeviceBackend(hub);
  t.type(backend.scopeVersion({ deviceId: 'gw', moduleId: '$edgeHub' }), 'string');
  t.ok(backend.takesOver({ deviceId: 'gw', moduleId: '$edgeHub' }));
  for (const other of [{ deviceId: 'gw' }, { deviceId: 'gw', moduleId: '$edgeAgent' }]) {
    t.equal(backend.scopeVersion(other), undefined);
    t.notOk(backend.takesOver(other));
  }
  hub.database.close();
});
