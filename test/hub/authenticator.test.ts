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
    remote: 'test',
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
