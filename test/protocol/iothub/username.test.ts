import t from 'tap';
import { identityKey } from '../../../src/model/address.ts';
import { formatUsername, parseUsername } from '../../../src/protocol/iothub/username.ts';

const accepted: readonly {
  username: string;
  clientId: string;
  type?: string;
  model?: string;
  version?: string;
}[] = [
  {
    username: 'hub/d/api-version=2010-01-01&DeviceClientType=x',
    clientId: 'd',
    type: 'x',
    version: '2010-01-01',
  },
  {
    username: 'hub/d/m/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003',
    clientId: 'd/m',
    type: 'Microsoft.Azure.Devices.Client/1.5.1-preview-003',
    version: '2017-06-30',
  },
  {
    username: 'hub/d/?api-version=2010-01-01&DeviceClientType=x&model-id=dtmi%3Ay%3B1',
    clientId: 'd',
    type: 'x',
    model: 'dtmi:y;1',
  },
  { username: 'hub/d/m/?api-version=2010-01-01&Foo=z', clientId: 'd/m' },
  { username: 'hub/d/m/api-version=2010-01-01&', clientId: 'd/m' },
  {
    username: 'hub/d/?DeviceClientType=first&api-version=1&DeviceClientType=second',
    clientId: 'd',
    type: 'first',
    version: '1',
  },
  {
    username: 'hub/d/?api-version=2021-04-12&DeviceClientType=azure-iot-device%2F1.18.4',
    clientId: 'd',
    type: 'azure-iot-device/1.18.4',
  },
  { username: 'hub/d/$edgeHub/?api-version=2021-04-12', clientId: 'd/$edgeHub' },
];

t.test('the user names that edgeHub accepts are accepted', (t) => {
  for (const { username, clientId, type, model, version } of accepted) {
    const parsed = parseUsername(username, clientId);
    t.ok(parsed.ok, username);
    if (!parsed.ok) continue;
    t.equal(identityKey(parsed.identity), clientId);
    t.equal(parsed.hubHostname, 'hub');
    t.equal(parsed.deviceClientType, type);
    t.equal(parsed.modelId, model);
    if (version !== undefined) t.equal(parsed.apiVersion, version);
  }
  t.end();
});

t.test('the user names that edgeHub refuses are refused with a reason', (t) => {
  const refused = [
    'hub',
    'hub/d',
    'hub/d/fooBar',
    'hub/d/api-version',
    'hub/d/m',
    'hub/d/m/fooBar',
    'hub/d/m/?version=2010-01-01',
    'hub//?api-version=2010-01-01',
    'hub?api-version=2010-01-01',
    'hub/d/m1?api-version=2010-01-01?DeviceClientType=x',
    'hub/d/m/api-version=1/DeviceClientType=x/1.5/prodInfo',
    'hub/d/m/DeviceClientType=x',
    'hub/d/m/api-version=w/extra',
    '/d/?api-version=1',
    'hub/d/m/?api-version=%zz',
    'hub/a b/?api-version=1',
    '',
  ];
  for (const username of refused) {
    for (const clientId of ['d', 'd/m', 'd/m1', ''])
      t.equal(parseUsername(username, clientId).ok, false, `${username} for ${clientId}`);
  }
  t.end();
});

t.test('the client id must be the identity of the user name, with case', (t) => {
  for (const clientId of ['d', 'D/m', 'd/M', 'd/m/', 'd/m/x', 'other']) {
    const parsed = parseUsername('hub/d/m/?api-version=1', clientId);
    t.equal(parsed.ok, false, clientId);
    if (!parsed.ok) t.match(parsed.reason, /client id/);
  }
  t.end();
});

t.test('what formatUsername writes parseUsername reads', (t) => {
  const parsed = parseUsername(formatUsername('hub.example', { deviceId: 'd', moduleId: '$edgeHub' }), 'd/$edgeHub');
  t.match(parsed, {
    ok: true,
    hubHostname: 'hub.example',
    identity: { deviceId: 'd', moduleId: '$edgeHub' },
  });
  t.end();
});
