import t from 'tap';
import {
  connectionIdentity,
  formatConnectionString,
  parseConnectionString,
} from '../../../src/protocol/iothub/connection-string.ts';

t.test('a connection string gives its fields; the key keeps its padding', (t) => {
  t.strictSame(parseConnectionString('HostName=h.example;DeviceId=d;SharedAccessKey=a2V5MQ=='), {
    ok: true,
    hostName: 'h.example',
    deviceId: 'd',
    moduleId: undefined,
    sharedAccessKey: 'a2V5MQ==',
    gatewayHostName: undefined,
    port: undefined,
  });
  t.end();
});

t.test('names compare without case, unknown names and line ends are ignored', (t) => {
  const parsed = parseConnectionString(' hostname=h;DEVICEID=d;moduleid=m;x509=true;GatewayHostName=gw;Port=18883;\n');
  t.match(parsed, {
    ok: true,
    hostName: 'h',
    deviceId: 'd',
    moduleId: 'm',
    gatewayHostName: 'gw',
    port: 18_883,
  });
  if (parsed.ok) t.strictSame(connectionIdentity(parsed), { deviceId: 'd', moduleId: 'm' });
  t.end();
});

t.test('a bad connection string is refused with the name of the field and never with the key', (t) => {
  const table: readonly [string, RegExp][] = [
    ['', /HostName/],
    ['DeviceId=d', /HostName/],
    ['HostName=h', /DeviceId/],
    ['HostName=h;DeviceId=a b', /device id/],
    ['HostName=h;DeviceId=d;ModuleId=a/b', /module id/],
    ['HostName=h;DeviceId=d;SharedAccessKey=se cret', /base64/],
    ['HostName=h;DeviceId=d;Port=0', /Port/],
    ['HostName=h;DeviceId=d;Port=65536', /Port/],
    ['HostName=h;DeviceId=d;Port=mqtt', /Port/],
  ];
  for (const [text, reason] of table) {
    const parsed = parseConnectionString(text);
    t.equal(parsed.ok, false, text);
    if (!parsed.ok) {
      t.match(parsed.reason, reason);
      t.notMatch(parsed.reason, /cret/);
    }
  }
  t.end();
});

t.test('what formatConnectionString writes parseConnectionString reads', (t) => {
  const connection = {
    hostName: 'h',
    deviceId: 'd',
    moduleId: 'm',
    sharedAccessKey: 'a2V5',
    gatewayHostName: 'gw',
    port: 1,
  };
  t.equal(
    formatConnectionString(connection),
    'HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=a2V5;GatewayHostName=gw;Port=1',
  );
  t.strictSame(parseConnectionString(formatConnectionString(connection)), { ok: true, ...connection });
  t.end();
});
