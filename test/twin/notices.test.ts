// What a gateway tells its routes: shapes by Azure's names, only when asked, never in the way.

import t from 'tap';
import { type Message, messageSource } from '../../src/model/message.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { Notices } from '../../src/twin/index.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const pump = { deviceId: 'gw', moduleId: 'pump' };

function bench(wanted: readonly string[]) {
  const accepted: Message[] = [];
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  let asked = 0;
  const board = {
    wants: (kind: string) => {
      asked += 1;
      return wanted.includes(kind);
    },
    accept: (message: Message) => {
      if (wanted.includes('trouble')) return Promise.reject(new TypeError('no room'));
      accepted.push(message);
      return Promise.resolve();
    },
  };
  const metrics = createMetrics();
  const notices = new Notices({ board, clock, log, metrics }, { deviceId: 'gw', hubHostname: 'plant.example' });
  return { notices, accepted, lines, askedCount: () => asked };
}

t.test(
  "reported properties are told as IoT Edge does: the patch, from $edgeHub, naming the twin's owner",
  async (t) => {
    const { notices, accepted } = bench(['twinChange']);
    await notices.reported(pump, { speed: 5, old: null });
    t.match(accepted, [
      {
        kind: 'twinChange',
        sender: { deviceId: 'gw', moduleId: '$edgeHub' },
        system: {
          contentType: 'application/json',
          contentEncoding: 'utf-8',
          messageSchema: 'twinChangeNotification',
          messageType: 'twinChangeNotification',
          rpSenderDeviceId: 'gw',
          rpSenderModuleId: 'pump',
        },
        properties: {
          hubName: 'plant',
          deviceId: 'gw',
          moduleId: 'pump',
          operationTimestamp: '2026-01-01T00:00:00.000Z',
          'iothub-message-schema': 'twinChangeNotification',
          opType: 'updateTwin',
        },
      },
    ]);
    t.equal(Buffer.from(accepted[0]?.body ?? []).toString(), '{"speed":5,"old":null}');
    t.equal(accepted[0] && messageSource(accepted[0]), '/twinChangeNotifications/');
  },
);

t.test('desired changes, identities and connections have sources of their own', async (t) => {
  const { notices, accepted } = bench(['desiredChange', 'deviceLifecycle', 'deviceConnectionState']);
  const twin = { desired: { properties: { a: 1 }, version: 3 }, reported: { properties: {}, version: 1 } };
  await notices.desired(pump, { a: 1 }, 3);
  await notices.created(pump, twin);
  await notices.deleted({ deviceId: 'leaf' }, twin);
  await notices.connected({ deviceId: 'leaf' });
  await notices.disconnected({ deviceId: 'leaf' });
  t.same(
    accepted.map((message) => [messageSource(message), message.properties['opType'], message.properties['moduleId']]),
    [
      ['/desiredChangeNotifications/', 'updateTwin', 'pump'],
      ['/deviceLifecycle/', 'createModuleIdentity', 'pump'],
      ['/deviceLifecycle/', 'deleteDeviceIdentity', undefined],
      ['/deviceConnectionState/', 'deviceConnected', undefined],
      ['/deviceConnectionState/', 'deviceDisconnected', undefined],
    ],
  );
  const bodies = accepted.map(({ body }) => JSON.parse(Buffer.from(body).toString()) as Record<string, string>);
  t.match(bodies[1], { deviceId: 'gw', moduleId: 'pump', properties: { desired: { a: 1, $version: 3 } } });
  const [first = '', second = ''] = bodies.slice(3).map(({ sequenceNumber = '' }) => sequenceNumber);
  t.match(first, /^[0-9A-F]{32}$/);
  t.ok(second > first, 'the sequence grows');
});

t.test("what no route wants is not made, and the runtime's own modules are not told of", async (t) => {
  const { notices, accepted, askedCount } = bench([]);
  await notices.reported(pump, { a: 1 });
  await notices.connected(pump);
  t.same(accepted, []);
  t.equal(askedCount(), 2);
  const own = bench(['twinChange', 'deviceConnectionState']);
  await own.notices.reported({ deviceId: 'gw', moduleId: '$edgeAgent' }, { a: 1 });
  await own.notices.connected({ deviceId: 'gw', moduleId: '$edgeHub' });
  t.same(own.accepted, []);
});

t.test('a notice that cannot be stored harms nobody', async (t) => {
  const { notices, lines } = bench(['twinChange', 'trouble']);
  await notices.reported(pump, { a: 1 });
  t.match(lines.join('\n'), /a notification is lost/);
});
