import t from 'tap';
import { hubModulesPerDeviceMax, scopeIdentitiesMax } from '../../src/limits.ts';
import { identityKey } from '../../src/model/address.ts';
import { hubState } from '../support/hub-state.ts';

t.test('a plain device has keys, is enabled, and has no modules', async (t) => {
  const { registry, database } = hubState(t.testdir());
  const device = registry.createDevice('plc-1');
  t.equal(Buffer.from(device.keys.primaryKey, 'base64').length, 32);
  t.not(device.keys.primaryKey, device.keys.secondaryKey);
  t.ok(device.enabled);
  t.notOk(device.edge);
  t.same(registry.modules('plc-1'), []);
  t.same(registry.get({ deviceId: 'plc-1' }), device);
  database.close();
});

t.test('an edge device is born with its two system modules', async (t) => {
  const { registry, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  t.same(
    registry.modules('gw').map((module) => [module.identity.moduleId, module.managedBy]),
    [
      ['$edgeAgent', 'iotEdge'],
      ['$edgeHub', 'iotEdge'],
    ],
  );
  database.close();
});

t.test('an id is taken once, must be valid, and is another one when made again', async (t) => {
  const { registry, database } = hubState(t.testdir());
  const first = registry.createDevice('a');
  t.throws(() => registry.createDevice('a'), { code: 'HUB_DEVICE_EXISTS', status: 409 });
  for (const bad of ['', 'a/b', 'a b', 'x'.repeat(129), 'ü']) {
    t.throws(() => registry.createDevice(bad), { code: 'HUB_ARGUMENT_INVALID' }, bad);
  }
  registry.delete({ deviceId: 'a' });
  t.throws(() => registry.get({ deviceId: 'a' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.not(registry.createDevice('a').generationId, first.generationId);
  database.close();
});

t.test('deleting a device takes its modules, twins and stream positions along', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  registry.createDevice('other');
  registry.createModule('gw', 'm');
  database.run("INSERT INTO position VALUES ('gw', 's', 4, 0), ('other', 's', 4, 0)");
  registry.delete({ deviceId: 'gw' });
  t.equal(registry.find({ deviceId: 'gw', moduleId: 'm' }), undefined);
  t.throws(() => twins.read({ deviceId: 'gw', moduleId: 'm' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.same(database.all('SELECT device FROM position'), [{ device: 'other' }]);
  t.same(database.all('SELECT device FROM twin'), [{ device: 'other' }]);
  database.close();
});

t.test('a missing module and a missing device are told apart', async (t) => {
  const { registry, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.throws(() => registry.get({ deviceId: 'gw', moduleId: 'm' }), { code: 'HUB_MODULE_NOT_FOUND' });
  t.throws(() => registry.get({ deviceId: 'no', moduleId: 'm' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.throws(() => registry.modules('no'), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.throws(() => registry.createModule('no', 'm'), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.throws(() => registry.delete({ deviceId: 'no' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  database.close();
});

t.test('a device holds a limited number of modules', async (t) => {
  const { registry, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  for (let index = 2; index < hubModulesPerDeviceMax; index += 1) registry.createModule('gw', `m${index}`);
  t.throws(() => registry.createModule('gw', 'more'), {
    code: 'HUB_LIMIT_REACHED',
    azureCode: 'TooManyModulesOnDevice',
  });
  database.close();
});

t.test(
  'disabling, new keys and deletion are announced for a device and all its modules; harmless changes are not',
  async (t) => {
    const { registry, database } = hubState(t.testdir());
    registry.createDevice('gw', { edge: true });
    const revoked: string[] = [];
    registry.onRevoked((identity) => revoked.push(identityKey(identity)));
    registry.update({ deviceId: 'gw' }, { statusReason: 'new owner' });
    t.same(revoked, []);
    registry.update({ deviceId: 'gw' }, { enabled: false });
    t.same(revoked.splice(0), ['gw/$edgeAgent', 'gw/$edgeHub', 'gw']);
    const key = Buffer.alloc(32, 7).toString('base64');
    registry.update({ deviceId: 'gw' }, { enabled: true, keys: { primaryKey: key, secondaryKey: key } });
    t.same(revoked.splice(0), ['gw/$edgeAgent', 'gw/$edgeHub', 'gw']);
    t.equal(registry.get({ deviceId: 'gw' }).keys.primaryKey, key);
    registry.delete({ deviceId: 'gw', moduleId: '$edgeHub' });
    t.same(revoked, ['gw/$edgeHub']);
    database.close();
  },
);

t.test('a change names the etag it was made from, and gives a new one', async (t) => {
  const { registry, database } = hubState(t.testdir());
  const before = registry.createDevice('a');
  const after = registry.update({ deviceId: 'a' }, { enabled: false }, before.etag);
  t.not(after.etag, before.etag);
  t.throws(() => registry.update({ deviceId: 'a' }, {}, before.etag), { code: 'HUB_ETAG_MISMATCH', status: 412 });
  t.throws(() => registry.delete({ deviceId: 'a' }, before.etag), { code: 'HUB_ETAG_MISMATCH' });
  registry.delete({ deviceId: 'a' }, after.etag);
  database.close();
});

t.test('given keys must be base64 of 16 to 64 bytes', async (t) => {
  const { registry, database } = hubState(t.testdir());
  const good = Buffer.alloc(16, 1).toString('base64');
  for (const bad of ['secret!', Buffer.alloc(15).toString('base64'), Buffer.alloc(65).toString('base64')]) {
    t.throws(() => registry.createDevice('a', { keys: { primaryKey: good, secondaryKey: bad } }), {
      code: 'HUB_ARGUMENT_INVALID',
    });
  }
  t.equal(registry.createDevice('a', { keys: { primaryKey: good, secondaryKey: good } }).keys.primaryKey, good);
  database.close();
});

t.test('devices are listed by id in pages', async (t) => {
  const { registry, database } = hubState(t.testdir());
  for (const id of ['c', 'a', 'b']) registry.createDevice(id, { edge: true });
  const ids = (page: readonly { identity: { deviceId: string } }[]): string[] =>
    page.map((record) => record.identity.deviceId);
  t.same(ids(registry.devices()), ['a', 'b', 'c']);
  t.same(ids(registry.devices({ top: 2 })), ['a', 'b']);
  t.same(ids(registry.devices({ after: 'b' })), ['c']);
  t.equal(registry.deviceCount(), 3);
  database.close();
});

t.test('a device has a gateway for a parent, and nothing else', async (t) => {
  const { registry, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  registry.createDevice('plain');
  t.equal(registry.createDevice('leaf', { parent: 'gw' }).parent, 'gw');
  t.same(registry.children('gw'), ['leaf']);
  t.ok(registry.isBehind('gw', { deviceId: 'leaf', moduleId: 'm' }));
  t.notOk(registry.isBehind('gw', { deviceId: 'plain' }));
  const refusals: readonly (() => unknown)[] = [
    () => registry.createDevice('a', { parent: 'plain' }),
    () => registry.createDevice('b', { parent: 'gw', edge: true }),
    () => registry.update({ deviceId: 'leaf' }, { edge: true }),
    () => registry.update({ deviceId: 'gw' }, { parent: 'gw' }),
  ];
  for (const refusal of refusals) t.throws(refusal, { code: 'HUB_ARGUMENT_INVALID' });
  t.throws(() => registry.createDevice('c', { parent: 'nobody' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.equal(registry.find({ deviceId: 'a' }), undefined, 'a refused device is not there');
  t.equal(registry.update({ deviceId: 'leaf' }, { parent: null }).parent, undefined);
  registry.update({ deviceId: 'leaf' }, { parent: 'gw' });
  registry.delete({ deviceId: 'gw' });
  t.equal(registry.get({ deviceId: 'leaf' }).parent, undefined, 'a child outlives its gateway');
  database.close();
});

t.test('whatever changes a scope is told to its gateway, once each', async (t) => {
  const { registry, database } = hubState(t.testdir());
  for (const id of ['gw', 'gw2']) registry.createDevice(id, { edge: true });
  const told: string[] = [];
  registry.onScopeChanged((gatewayId) => told.push(gatewayId));
  const expectTold = (what: string, gateways: readonly string[]): void => {
    t.same(told.splice(0), gateways, what);
  };
  registry.createDevice('free');
  registry.createModule('gw', 'own');
  expectTold('nothing of a scope', []);
  registry.createDevice('leaf', { parent: 'gw' });
  expectTold('a new device', ['gw']);
  registry.createModule('leaf', 'm');
  expectTold('a new module', ['gw']);
  registry.update({ deviceId: 'leaf', moduleId: 'm' }, { enabled: false });
  expectTold('a change of a module', ['gw']);
  registry.update({ deviceId: 'leaf' }, { enabled: false });
  expectTold('a disabled device', ['gw']);
  registry.update({ deviceId: 'leaf' }, { parent: 'gw2' });
  expectTold('a move', ['gw', 'gw2']);
  registry.delete({ deviceId: 'leaf', moduleId: 'm' });
  registry.delete({ deviceId: 'leaf' });
  expectTold('deletions', ['gw2', 'gw2']);
  database.close();
});

t.test('a gateway holds a limited scope, and says so', async (t) => {
  const { registry, database } = hubState(t.testdir());
  registry.createDevice('gw', { edge: true });
  registry.createDevice('leaf0', { parent: 'gw' });
  database.run(
    `WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
     INSERT INTO identity SELECT 'leaf' || n, '', generation, etag, enabled, NULL, primary_key, secondary_key, edge, NULL,
       created_ms, authentication, NULL, NULL, parent FROM identity, number WHERE device = 'leaf0'`,
    scopeIdentitiesMax - 2,
  );
  registry.createModule('leaf0', 'm');
  t.throws(() => registry.createModule('leaf0', 'n'), {
    code: 'HUB_LIMIT_REACHED',
    message: /2048 devices and modules/,
  });
  t.throws(() => registry.createDevice('late', { parent: 'gw' }), { code: 'HUB_LIMIT_REACHED' });
  registry.createDevice('late');
  t.throws(() => registry.update({ deviceId: 'late' }, { parent: 'gw' }), { code: 'HUB_LIMIT_REACHED' });
  registry.update({ deviceId: 'leaf0' }, { enabled: false });
  t.equal(registry.get({ deviceId: 'late' }).parent, undefined);
  database.close();
});

t.test('keys and certificates take each other’s place, and each change ends connections', async (t) => {
  const { registry, database } = hubState(t.testdir());
  const revoked: string[] = [];
  registry.onRevoked((identity) => revoked.push(identityKey(identity)));
  const device = registry.createDevice('cam');
  const identity = { deviceId: 'cam' };
  t.throws(() => registry.update(identity, { authentication: { kind: 'selfSigned' } }), {
    code: 'HUB_ARGUMENT_INVALID',
  });
  t.throws(() => registry.update(identity, { authentication: { kind: 'selfSigned', primaryThumbprint: 'xyz' } }), {
    message: /openssl x509/,
  });
  const colons = 'AB:'.repeat(20).slice(0, -1);
  const signed = registry.update(identity, { authentication: { kind: 'selfSigned', primaryThumbprint: colons } });
  t.same(signed.thumbprints, { primary: 'ab'.repeat(20), secondary: undefined });
  t.same(signed.keys, { primaryKey: '', secondaryKey: '' });
  const next = registry.update(identity, {
    authentication: { kind: 'selfSigned', secondaryThumbprint: 'c'.repeat(64) },
  });
  t.same(next.thumbprints, { primary: 'ab'.repeat(20), secondary: 'c'.repeat(64) });
  t.equal(
    registry.update(identity, { authentication: { kind: 'certificateAuthority' } }).authentication,
    'certificateAuthority',
  );
  const keyed = registry.update(identity, { authentication: { kind: 'sas' } });
  t.not(keyed.keys.primaryKey, device.keys.primaryKey);
  t.same(revoked, ['cam', 'cam', 'cam', 'cam']);
  registry.update(identity, { statusReason: 'as before' });
  t.equal(revoked.length, 4);
  t.throws(() => registry.createDevice('gw', { edge: true, authentication: { kind: 'certificateAuthority' } }), {
    code: 'HUB_ARGUMENT_INVALID',
  });
  database.close();
});
