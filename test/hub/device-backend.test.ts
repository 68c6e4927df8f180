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
