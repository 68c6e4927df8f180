// The clients block of `$edgeHub`'s report, and its pace.

import t from 'tap';
import { Clients } from '../../src/agent/index.ts';

t.test('modules turn connected and disconnected with their times, and are forgotten when they go', (t) => {
  let nowMs = 0;
  let changes = 0;
  const clients = new Clients(() => nowMs);
  clients.onChange(() => {
    changes += 1;
  });
  const pump = { deviceId: 'gw.1', moduleId: 'pump' };
  clients.connected({ deviceId: 'gw.1', moduleId: '$edgeHub' });
  clients.connected(pump);
  nowMs = 1000;
  clients.disconnected(pump);
  t.same(clients.report(), {
    'gw%2E1/pump': {
      status: 'Disconnected',
      lastConnectedTimeUtc: '1970-01-01T00:00:00.000Z',
      lastDisconnectedTimeUtc: '1970-01-01T00:00:01.000Z',
    },
  });
  clients.forget(pump);
  clients.forget(pump);
  t.same(clients.report(), {});
  t.equal(changes, 3, 'the hub module itself is never listed');
  t.end();
});
