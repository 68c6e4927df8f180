import t from 'tap';
import { DeviceKey } from '../../src/identity/device-key.ts';
import { ModuleAuthenticator } from '../../src/identity/local-authenticator.ts';
import { signToken } from '../../src/identity/sas-token.ts';
import { sasResource } from '../../src/protocol/iothub/sas.ts';
import { SimClock } from '../support/sim-clock.ts';

const deviceKey = new DeviceKey(Buffer.alloc(32, 7).toString('base64'));
const generations = new Map([
  ['m', '1'],
  ['$edgeHub', '9'],
]);
const clock = new SimClock();
const authenticator = new ModuleAuthenticator(
  { deviceKey, modules: { generationId: (moduleId) => generations.get(moduleId) }, clock },
  { deviceId: 'd', hostnames: ['hub.example', 'gw.local'] },
);
const expirySeconds = clock.wallMs() / 1000 + 3600;
const token = (moduleId: string, key = deviceKey.moduleKey(moduleId, generations.get(moduleId) ?? '1')): Buffer =>
  Buffer.from(signToken({ key, resource: sasResource('hub.example', { deviceId: 'd', moduleId }), expirySeconds }));

t.test('a module with a token by its own key is admitted until the token ends', async (t) => {
  for (const moduleId of ['m', '$edgeHub']) {
    t.strictSame(
      await authenticator.authenticate({
        clientId: `d/${moduleId}`,
        username: `hub.example/d/${moduleId}/?api-version=2021-04-12`,
        password: token(moduleId),
      }),
      {
        admitted: true,
        principal: { name: `d/${moduleId}`, identity: { deviceId: 'd', moduleId } },
        expiresAtMs: expirySeconds * 1000,
      },
    );
  }
});

t.test('a module with a token by the device key is admitted', async (t) => {
  const password = Buffer.from(deviceKey.token(sasResource('GW.local', { deviceId: 'd' }), expirySeconds));
  t.match(await authenticator.authenticate({ clientId: 'd/m', username: 'hub.example/d/m/?api-version=1', password }), {
    admitted: true,
  });
});

t.test('everybody else is refused with a reason for the log', async (t) => {
  const username = 'hub.example/d/m/?api-version=1';
  const table: readonly [string, { clientId: string; username?: string; password?: Buffer }, object][] = [
    ['no user name', { clientId: 'd/m', password: token('m') }, { reason: 'bad-credentials', detail: /no user name/ }],
    ['a plain user name', { clientId: 'd/m', username: 'admin', password: token('m') }, { reason: 'bad-credentials' }],
    [
      'a client id of another module',
      { clientId: 'd/n', username, password: token('m') },
      { reason: 'bad-credentials', detail: /client id/ },
    ],
    [
      'another hub',
      { clientId: 'd/m', username: 'evil/d/m/?api-version=1', password: token('m') },
      { reason: 'not-authorized', detail: /evil/ },
    ],
    [
      'another device',
      { clientId: 'e/m', username: 'hub.example/e/m/?api-version=1', password: token('m') },
      { reason: 'not-authorized' },
    ],
    [
      'the device itself',
      { clientId: 'd', username: 'hub.example/d/?api-version=1', password: token('m') },
      { reason: 'not-authorized' },
    ],
    [
      'an unknown module',
      { clientId: 'd/x', username: 'hub.example/d/x/?api-version=1', password: token('x') },
      { reason: 'not-authorized', detail: /no module 'x'/ },
    ],
    ['no token', { clientId: 'd/m', username }, { reason: 'not-authorized', detail: /no token/ }],
    [
      'a token of another module',
      { clientId: 'd/m', username, password: token('$edgeHub') },
      { reason: 'not-authorized' },
    ],
    [
      'a token of an earlier generation',
      { clientId: 'd/m', username, password: token('m', deviceKey.moduleKey('m', '0')) },
      { reason: 'not-authorized', detail: /another key/ },
    ],
  ];
  for (const [what, claim, expected] of table) {
    t.match(
      await authenticator.authenticate({ username: undefined, password: undefined, ...claim }),
      { admitted: false, ...expected },
      what,
    );
  }
});

t.test("a machine's clock that is years off does not lock out the modules that share it", async (t) => {
  for (const skewMs of [-10 * 31_536_000_000, 10 * 31_536_000_000]) {
    const known = new SimClock();
    const skewed = Object.create(known, { machineWallMs: { value: () => known.wallMs() + skewMs } }) as SimClock;
    const shared = Object.create(skewed, {
      wallMs: { value: () => known.wallMs() },
    }) as SimClock;
    const admission = new ModuleAuthenticator(
      { deviceKey, modules: { generationId: (moduleId) => generations.get(moduleId) }, clock: shared },
      { deviceId: 'd', hostnames: ['hub.example'] },
    );
    const key = deviceKey.moduleKey('m', '1');
    const resource = sasResource('hub.example', { deviceId: 'd', moduleId: 'm' });
    const sign = (expiresMs: number): Buffer =>
      Buffer.from(signToken({ key, resource, expirySeconds: Math.floor(expiresMs / 1000) }));
    const claim = { clientId: 'd/m', username: 'hub.example/d/m/?api-version=1' };
    const hourMs = 3_600_000;
    const verdict = await admission.authenticate({ ...claim, password: sign(known.wallMs() + skewMs + hourMs) });
    t.match(verdict, { admitted: true });
    const endsMs = verdict.admitted ? (verdict.expiresAtMs ?? 0) : 0;
    t.ok(endsMs >= known.wallMs() + hourMs - 1000, 'and its time ends no sooner by the clock that is known');
    const over = Math.min(known.wallMs(), known.wallMs() + skewMs) - hourMs;
    t.match(await admission.authenticate({ ...claim, password: sign(over) }), { admitted: false });
  }
});
