// What the hub tells in its log besides telemetry, and only where it was asked to.

import t from 'tap';
import { hubState, roomyRetention } from '../support/hub-state.ts';
import { settle } from '../support/sim-clock.ts';

const gw = { deviceId: 'gw' };

t.test('without being asked to, the hub logs telemetry alone', async (t) => {
  const { registry, twins, eventLog, database } = hubState(t.testdir());
  registry.createDevice('gw');
  twins.patchReported(gw, { a: 1 });
  t.equal(eventLog.facts().events, 0);
  database.close();
});

t.test("changes of twins and identities are in the log in the same transaction, in Azure's shapes", async (t) => {
  const notices = { hubName: 'plant', kinds: ['twin-changes', 'lifecycle'] as const };
  const { registry, twins, eventLog, database, clock } = hubState(t.testdir(), { ...roomyRetention, notices });
  let woken = 0;
  eventLog.onCommitted(() => {
    woken += 1;
  });
  const created = registry.createDevice('gw', { edge: true });
  twins.patchReported(gw, { a: 1, old: null });
  twins.patch(gw, { desired: { rate: 5 }, tags: { site: 'A' } });
  twins.replace(gw, { desired: { rate: 6 } });
  t.throws(() => twins.patch(gw, { desired: { 'a.b': 1 } }), { code: 'HUB_TWIN_INVALID' });
  registry.delete({ deviceId: 'gw', moduleId: '$edgeAgent' });
  registry.delete({ deviceId: 'gw', moduleId: '$edgeHub' });
  registry.delete(gw);
  await clock.advance(1);
  await settle();
  t.ok(woken > 0, 'readers that follow are woken');
  const { events } = eventLog.read({ afterOffset: 0 });
  t.same(
    events.map(({ properties, sender }) => [properties['opType'], sender.moduleId]),
    [
      ['createDeviceIdentity', undefined],
      ['createModuleIdentity', '$edgeAgent'],
      ['createModuleIdentity', '$edgeHub'],
      ['updateTwin', undefined],
      ['updateTwin', undefined],
      ['replaceTwin', undefined],
      ['deleteModuleIdentity', '$edgeAgent'],
      ['deleteModuleIdentity', '$edgeHub'],
      ['deleteDeviceIdentity', undefined],
    ],
  );
  t.match(events[1], {
    system: { contentType: 'application/json', 'iothub-message-source': 'deviceLifecycleEvents' },
    properties: { hubName: 'plant', deviceId: 'gw', moduleId: '$edgeAgent', operationTimestamp: String },
  });
  t.equal(events[1]?.properties['iothub-message-schema'], 'moduleLifecycleNotification');
  const bodies = events.map(({ body }) => JSON.parse(body.toString()) as Record<string, unknown>);
  const now = '2026-01-01T00:00:00.000Z';
  const { generationId, etag } = created;
  const born = { $metadata: { $lastUpdated: now }, $version: 1 };
  t.same(
    bodies[0],
    {
      deviceId: 'gw',
      etag: 'AAAAAAAAAAE=',
      deviceEtag: etag,
      generationId,
      version: 1,
      tags: {},
      properties: { desired: born, reported: born },
    },
    'the whole twin',
  );
  t.match(bodies[8], { deviceId: 'gw', tags: { site: 'A' }, properties: { desired: { rate: 6 }, reported: { a: 1 } } });
  t.same(bodies[3], {
    version: 1,
    properties: {
      reported: { a: 1, old: null, $metadata: { $lastUpdated: now, a: { $lastUpdated: now } }, $version: 2 },
    },
  });
  t.match(bodies[4], { version: 2, tags: { site: 'A' }, properties: { desired: { rate: 5, $version: 2 } } });
  t.match(bodies[5], { version: 3, properties: { desired: { rate: 6, $version: 3 } } });
  database.close();
});

t.test('connections are numbered, ever upward', async (t) => {
  const notices = { hubName: 'plant', kinds: ['connections'] as const };
  const { eventLog, database } = hubState(t.testdir(), { ...roomyRetention, notices });
  eventLog.notices.connection('deviceConnected', gw);
  eventLog.notices.connection('deviceDisconnected', gw);
  const { events } = eventLog.read({ afterOffset: 0 });
  t.match(events, [
    { system: { 'iothub-message-source': 'deviceConnectionStateEvents' }, properties: { opType: 'deviceConnected' } },
    { properties: { opType: 'deviceDisconnected' } },
  ]);
  const [first, second] = events.map(
    ({ body }) => (JSON.parse(body.toString()) as { sequenceNumber: string }).sequenceNumber,
  );
  t.match(first, /^[0-9A-F]{32}$/);
  t.ok((second ?? '') > (first ?? ''));
  database.close();
});
