// Clients of a gateway without an identity: who comes in, by what, under which policy.

import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AccessError, GatewayAccess, type GatewayAccessOptions } from '../../src/access/index.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const root = 'a'.repeat(64);
const everything = [
  {
    identities: ['{{mqtt:username}}'],
    allow: [{ operations: ['mqtt:connect', 'mqtt:publish'], resources: ['a/#'] }],
  },
];

async function access(t: Test, options: Partial<GatewayAccessOptions> = {}, policy = JSON.stringify(everything)) {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const directory = t.testdir({ 'policy.json': policy, passwords: '' });
  execFileSync('mosquitto_passwd', ['-b', join(directory, 'passwords'), 'plc', 'right']);
  chmodSync(join(directory, 'passwords'), 0o600);
  const made = await GatewayAccess.load(
    { clock, disk: systemDisk(), entropy: seededEntropy(1), log, metrics: createMetrics() },
    {
      passwordFile: join(directory, 'passwords'),
      policyFile: join(directory, 'policy.json'),
      certificateRoots: new Set(),
      hostnames: ['hub.example'],
      thisDeviceId: 'gw1',
      isSysReadable: false,
      isIdentity: (clientId) => clientId.startsWith('gw1/'),
      ...options,
    },
  );
  const attempt = (parts: { clientId?: string; username?: string; password?: string; certificate?: object } = {}) => ({
    clientId: parts.clientId ?? 'c1',
    username: parts.username,
    password: parts.password === undefined ? undefined : Buffer.from(parts.password),
    listener: 'tcp',
    remote: () => '127.0.0.1:1',
    ...(parts.certificate === undefined
      ? {}
      : {
          certificate: {
            commonName: 'plc',
            fingerprint: 'f',
            thumbprint: 't',
            authorised: true,
            rootFingerprint: root,
            validFromMs: 0,
            validToMs: Number.MAX_SAFE_INTEGER,
            problem: undefined,
            ...parts.certificate,
          },
        }),
  });
  const decide = async (parts: Parameters<typeof attempt>[0]) => {
    let isDecided = false;
    const deciding = made.authenticate(attempt(parts)).finally(() => {
      isDecided = true;
    });
    // A refusal waits; time stands still here. Passwords take their real time before.
    for (let step = 0; step < 40 || !isDecided; step++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await clock.advance(1000);
    }
    return deciding;
  };
  return { made, directory, lines, attempt, decide };
}

t.test('a user comes in with the right password and a rule for it, and not as an identity', async (t) => {
  const { made, decide } = await access(t);
  t.match(await decide({ username: 'plc', password: 'right' }), {
    admitted: true,
    principal: { name: 'plc', identity: undefined },
  });
  t.match(await decide({ username: 'plc', password: 'wrong' }), { admitted: false, reason: 'bad-credentials' });
  t.match(await decide({ username: 'plc', password: 'right', clientId: 'gw1/$edgeHub' }), {
    admitted: false,
    detail: /belongs to an identity/,
  });
  made.setPolicy([], 'p');
  t.match(await decide({ username: 'plc', password: 'right' }), { admitted: false, detail: /mqtt:connect/ });
});

t.test('who is a user and who an identity is decided by what it shows', async (t) => {
  const hubName = 'hub.example/gw1/m/?api-version=2021-04-12';
  const { made, attempt } = await access(t, { certificateRoots: new Set([root]) });
  t.ok(made.isUser(attempt({ username: 'plc' })));
  t.notOk(made.isUser(attempt({ username: hubName })));
  t.notOk(made.isUser(attempt({})));
  t.ok(made.isUser(attempt({ certificate: {} })));
  t.notOk(made.isUser(attempt({ certificate: { rootFingerprint: 'b' } })), 'somebody else vouches for it');
  t.notOk(made.isUser(attempt({ certificate: { authorised: false } })));
  t.notOk(made.isUser(attempt({ username: hubName, certificate: {} })));
  t.match(made.withoutUsers(attempt({ username: hubName, certificate: {} })), { certificate: { authorised: false } });
  t.match(made.withoutUsers(attempt({ certificate: { rootFingerprint: 'b' } })), { certificate: { authorised: true } });
  const none = await access(t, { passwordFile: undefined });
  t.notOk(none.made.isUser(attempt({ username: 'plc' })), 'where nobody could come in, nobody is asked');
});

t.test('a certificate of the right root names its user; another one does not', async (t) => {
  const { decide } = await access(t, { passwordFile: undefined, certificateRoots: new Set([root]) });
  t.match(await decide({ certificate: {} }), { admitted: true, principal: { name: 'plc' } });
  t.match(await decide({ username: 'admin', certificate: {} }), { admitted: true, principal: { name: 'plc' } });
  t.match(await decide({ username: 'plc', certificate: { rootFingerprint: 'b' } }), { admitted: false });
  t.match(await decide({ username: 'plc', password: 'x' }), { admitted: false });
  t.match(await decide({ certificate: { commonName: '' } }), { admitted: false });
});

t.test("the twin's policy comes before the file's, and a bad one changes nothing", async (t) => {
  const { made } = await access(t);
  let changes = 0;
  made.onChanged(() => changes++);
  const plc = { name: 'plc', identity: undefined, clientId: 'c' };
  t.ok(made.authoriser.mayPublish(plc, 'a/b'), 'of the file');
  const mine = [{ identities: ['plc'], allow: [{ operations: ['mqtt:publish'], resources: ['b'] }] }];
  t.strictSame(made.setPolicy(mine, 'p'), []);
  t.notOk(made.authoriser.mayPublish(plc, 'a/b'));
  t.ok(made.authoriser.mayPublish(plc, 'b'));
  t.match(made.setPolicy([{ identities: ['plc'] }, 7], 'mqttBroker.authorizations'), [
    { path: 'mqttBroker.authorizations[0]' },
    { path: 'mqttBroker.authorizations[1]' },
  ]);
  t.ok(made.authoriser.mayPublish(plc, 'b'), 'the last good one holds');
  t.strictSame(made.setPolicy(undefined, 'p'), []);
  t.ok(made.authoriser.mayPublish(plc, 'a/b'), 'the file again');
  t.equal(changes, 2);
});

t.test('files are read anew; one with mistakes stops a start and leaves a running gateway as it was', async (t) => {
  const { made, directory, lines } = await access(t);
  const plc = { name: 'plc', identity: undefined, clientId: 'c' };
  writeFileSync(join(directory, 'policy.json'), '[{}]');
  await made.reload();
  t.ok(made.authoriser.mayPublish(plc, 'a/b'));
  t.match(lines.join('\n'), /policy\.json: \$\[0\]/);
  writeFileSync(join(directory, 'policy.json'), '[]');
  writeFileSync(join(directory, 'passwords'), '', { mode: 0o600 });
  t.strictSame([...(await made.reload())], ['plc']);
  t.notOk(made.authoriser.mayPublish(plc, 'a/b'));
  for (const [text, says] of [
    ['{', /not JSON/],
    ['{}', /\$: an object is no policy/],
  ] as const) {
    const refused = await access(t, {}, text).catch((error: unknown) => error);
    t.type(refused, AccessError);
    t.match(refused, { code: 'ACCESS_POLICY_FILE_INVALID', message: says });
  }
});
