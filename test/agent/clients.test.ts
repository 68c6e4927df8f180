// The clients block of `$edgeHub`'s report, and its pace.

import t from 'tap';
import { Clients } from '../../src/agent/index.ts';
import { clientsReportBytesMax } from '../../src/limits.ts';
import { twinBytes } from '../../src/model/twin-rules.ts';

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
  t.equal(clients.report(), undefined);
  t.equal(changes, 3, 'the hub module itself is never listed');
  t.end();
});

t.test('a device that leaves loses its entry; a module of it keeps one', (t) => {
  const clients = new Clients(() => 0);
  clients.connected({ deviceId: 'leaf' });
  clients.connected({ deviceId: 'leaf', moduleId: 'm' });
  clients.disconnected({ deviceId: 'leaf' });
  clients.disconnected({ deviceId: 'leaf', moduleId: 'm' });
  t.same(Object.keys(clients.report() ?? {}), ['leaf/m']);
  t.end();
});

t.test('with a thousand clients the block stays within its bytes, and those who are here come first', (t) => {
  let nowMs = 0;
  const clients = new Clients(() => nowMs);
  for (let index = 0; index < 1000; index += 1) {
    nowMs = index * 1000;
    clients.connected({ deviceId: 'gw', moduleId: `module-${index}` });
    if (index % 10 !== 0) clients.disconnected({ deviceId: 'gw', moduleId: `module-${index}` });
  }
  const report = clients.report() ?? {};
  t.ok(twinBytes(report) <= clientsReportBytesMax);
  t.ok(twinBytes(report) > clientsReportBytesMax - 200, 'as many as fit');
  const here = Object.keys(report).filter((key) => (report[key] as { readonly status: string }).status === 'Connected');
  t.equal(here.length, 100, 'all who are connected');
  t.ok(report['gw/module-999'], 'then who left last');
  t.notOk(report['gw/module-1']);
  t.end();
});
