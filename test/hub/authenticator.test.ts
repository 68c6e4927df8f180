import t from 'tap';
import { HubAuthenticator } from '../../src/hub/authenticator.ts';
import { signToken, verifyToken } from '../../src/identity/index.ts';
import { type Identity, identityKey } from '../../src/model/address.ts';
import { formatUsername, sasResource } from '../../src/protocol/iothub/index.ts';
import { type HubState, hubState } from '../support/hub-state.ts';

const edgeHub: Identity = { deviceId: 'gw', moduleId: '$edgeHub' };
const modbus: Identity = { deviceId: 'gw', moduleId: 'modbus' };

function authenticator({ registry, clock }: HubState): HubAuthenticator {
  return new HubAuthenticator({ registry, verify: verifyToken, clock }, { hostnames: ['hub.example', '10.0.0.1'] });
}

function claim({ clock }: HubState, identity: Identity, keyBase64: string, host = 'hub.example') {
  const token = signToken({
    key: Buffer.from(keyBase64, 'base64'),
    resource: sasResource(host, identity),
    expirySeconds: clock.wallMs() / 1000 + 60,
  });
  return {
    clientId: identityKey(identity),
    username: formatUsername(host, identity) as string | undefined,
    password: Buffer.from(token) as Uint8Array | undefined,
  };
}

t.test(
  'a device and a module enter with their own key, a module with its device’s too, primary or secondary',
  async (t) => {
    const hub = hubState(t.testdir());
    const { registry } = hub;
    const device = registry.createDevice('gw', { edge: true });
    const module = registry.createModule('gw', 'modbus');
    const door = authenticator(hub);
    const good: readonly (readonly [Identity, string])[] = [
      [{ deviceId: 'gw' }, device.keys.primaryKey],
      [{ deviceId: 'gw' }, device.keys.secondaryKey],
      [modbus, module.keys.primaryKey],
      [modbus, module.keys.secondaryKey],
      [modbus, device.keys.primaryKey],
      [edgeHub, device.keys.primaryKey],
    ];
    for (const [identity, key] of good) {
      t.match(await door.authenticate(claim(hub, identity, key)), {
        admitted: true,
        principal: { name: identityKey(identity), identity },
        expiresAtMs: hub.clock.wallMs() + 60_000,
      });
    }
    t.match(await door.authenticate(claim(hub, modbus, module.keys.primaryKey, '10.0.0.1')), { admitted: true });
    hub.database.close();
  },
);

t.test('nobody else enters', async (t) => {
  const hub = hubState(t.testdir());
  const { registry } = hub;
  const device = registry.createDevice('gw', { edge: true });
  const module = registry.createModule('gw', 'modbus');
  const other = registry.createDevice('other');
  const door = authenticator(hub);
  const own = claim(hub, modbus, module.keys.primaryKey);
  const refused = {
    'another device’s key': claim(hub, modbus, other.keys.primaryKey),
    'a module’s key for its device': claim(hub, { deviceId: 'gw' }, module.keys.primaryKey),
    'a module’s key for another module': claim(hub, edgeHub, module.keys.primaryKey),
    'a token for another hub': claim(hub, modbus, module.keys.primaryKey, 'other.example'),
    'an unknown module': claim(hub, { deviceId: 'gw', moduleId: 'no' }, device.keys.primaryKey),
    'an unknown device': claim(hub, { deviceId: 'no' }, device.keys.primaryKey),
    'a client id of somebody else': { ...own, clientId: 'gw/$edgeHub' },
    'no user name': { ...own, username: undefined },
    'no password': { ...own, password: undefined },
    'an empty password': { ...own, password: Buffer.alloc(0) },
    'a password that is no token': { ...own, password: Buffer.from('letmein') },
  };
  for (const [what, attempt] of Object.entries(refused)) {
    t.match(await door.authenticate(attempt), { admitted: false }, what);
  }
  await hub.clock.advance(61_000);
  t.match(await door.authenticate(own), { admitted: false, reason: 'not-authorized' }, 'an expired token');
  hub.database.close();
});

t.test('disabling a device shuts out its modules as well', async (t) => {
  const hub = hubState(t.testdir());
  const { registry } = hub;
  const device = registry.createDevice('gw', { edge: true });
  const door = authenticator(hub);
  registry.update({ deviceId: 'gw' }, { enabled: false });
  for (const identity of [{ deviceId: 'gw' }, edgeHub]) {
    t.match(await door.authenticate(claim(hub, identity, device.keys.primaryKey)), {
      admitted: false,
      reason: 'not-authorized',
      detail: /gw is disabled/,
    });
  }
  registry.update({ deviceId: 'gw' }, { enabled: true });
  t.match(await door.authenticate(claim(hub, edgeHub, device.keys.primaryKey)), { admitted: true });
  hub.database.close();
});

const hourMs = 3_600_000;
const sha1 = 'a1'.repeat(20);
const sha256 = 'b2'.repeat(32);

t.test('who has a certificate in the registry enters by it alone, by either thumbprint', async (t) => {
  const hub = hubState(t.testdir());
  const { registry, clock } = hub;
  const door = authenticator(hub);
  registry.createDevice('cam', {
    authentication: { kind: 'selfSigned', primaryThumbprint: sha1.toUpperCase(), secondaryThumbprint: sha256 },
  });
  const cam: Identity = { deviceId: 'cam' };
  const shown = (fields: object = {}) => ({
    commonName: 'anything',
    fingerprint: 'c3'.repeat(32),
    thumbprint: 'd4'.repeat(20),
    authorised: false,
    problem: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    validFromMs: clock.wallMs() - hourMs,
    validToMs: clock.wallMs() + hourMs,
    ...fields,
  });
  const attempt = {
    clientId: 'cam',
    username: formatUsername('hub.example', cam),
    password: undefined,
  };
  for (const fields of [{ thumbprint: sha1 }, { fingerprint: sha256 }]) {
    t.match(await door.authenticate({ ...attempt, certificate: shown(fields) }), {
      admitted: true,
      expiresAtMs: clock.wallMs() + hourMs,
    });
  }
  const refused: readonly (readonly [string, object, RegExp])[] = [
    ['none', {}, /showed none/],
    ['another', { certificate: shown() }, /none of those/],
    ['an old one', { certificate: shown({ thumbprint: sha1, validToMs: clock.wallMs() }) }, /ended/],
    ['a future one', { certificate: shown({ thumbprint: sha1, validFromMs: clock.wallMs() + 1 }) }, /valid from/],
    ['a token', claim(hub, cam, Buffer.alloc(0).toString('base64')), /showed none/],
  ];
  for (const [what, fields, detail] of refused)
    t.match(await door.authenticate({ ...attempt, ...fields }), { admitted: false, detail }, what);
  hub.database.close();
});

t.test('by an authority’s certificate enters whom it names, where an authority is known', async (t) => {
  const hub = hubState(t.testdir());
  const { registry, clock } = hub;
  registry.createDevice('cam', { authentication: { kind: 'certificateAuthority' } });
  const door = new HubAuthenticator(
    { registry, verify: verifyToken, clock },
    { hostnames: ['hub.example'], trustsAuthorities: true },
  );
  const certificate = {
    commonName: 'cam',
    fingerprint: sha256,
    thumbprint: sha1,
    authorised: true,
    problem: undefined,
    validFromMs: clock.wallMs() - hourMs,
    validToMs: clock.wallMs() + hourMs,
  };
  const attempt = {
    clientId: 'cam',
    username: formatUsername('hub.example', { deviceId: 'cam' }),
    password: undefined,
    certificate,
  };
  t.match(await door.authenticate(attempt), { admitted: true });
  const stranger = { ...certificate, authorised: false, problem: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' };
  t.match(await door.authenticate({ ...attempt, certificate: stranger }), { admitted: false, detail: /UNABLE_TO_GET/ });
  t.match(await door.authenticate({ ...attempt, certificate: { ...certificate, commonName: 'other' } }), {
    admitted: false,
    detail: /for 'other'/,
  });
  t.match(await authenticator(hub).authenticate(attempt), { admitted: false, detail: /--device-ca/ });
  hub.database.close();
});
