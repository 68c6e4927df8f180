import { join } from 'node:path';
import t from 'tap';
import { certificateFacts } from '../../src/identity/certificate.ts';
import { CertificateStore, type CertificateStoreOptions } from '../../src/identity/certificate-store.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { createLog } from '../../src/platform/log.ts';
import { tlsContext } from '../../src/platform/tls.ts';
import { SimClock } from '../support/sim-clock.ts';

const msPerDay = 86_400_000;
const disk = systemDisk();

function open(clock: SimClock, options: Partial<CertificateStoreOptions> & { directory: string }): CertificateStore {
  const log = createLog({ clock, level: 'error', write: () => undefined });
  return new CertificateStore(
    { disk, clock, log, tlsContext },
    { authorityName: 'weir CA gw', hostnames: ['gw.local', '10.0.0.7'], ...options },
  );
}

t.test('certificates are made once, kept over restarts, and private', async (t) => {
  const directory = join(t.testdir(), 'certs');
  const clock = new SimClock();
  const first = open(clock, { directory });
  await first.start();
  await first.start();
  t.type(first.serverContext().accept, 'function');
  const chain = first.serverCertificatePem();
  await first.close();
  const second = open(clock, { directory });
  await second.start();
  t.equal(second.serverCertificatePem(), chain);
  t.ok(chain.endsWith(second.authorityCertificatePem()));
  t.equal(await disk.readTextIfPresent('test', join(directory, 'authority.crt')), second.authorityCertificatePem());
  for (const [name, mode] of [
    ['authority.pem', 0o600],
    ['server.pem', 0o600],
    ['authority.crt', 0o644],
    ['', 0o700],
  ] as const) {
    t.equal((await disk.facts('test', join(directory, name)))?.mode, mode, name);
  }
  await second.close();
  t.equal(clock.timerCount, 0, 'no timer is left');
});

t.test('the server certificate is renewed at 80 % of its life, the authority stays', async (t) => {
  const clock = new SimClock();
  const store = open(clock, { directory: t.testdir(), serverDays: 10 });
  await store.start();
  const authority = store.authorityCertificatePem();
  const before = store.serverCertificatePem();
  let renewals = 0;
  store.onRenewed(() => {
    renewals += 1;
  });
  clock.jumpWall(7 * msPerDay);
  await store.renewIfDue();
  t.equal(store.serverCertificatePem(), before, 'not yet');
  clock.jumpWall(msPerDay);
  await store.renewIfDue();
  t.not(store.serverCertificatePem(), before);
  t.equal(store.authorityCertificatePem(), authority);
  t.equal(renewals, 1);
  await store.close();
});

t.test('the hourly check renews without being asked', async (t) => {
  const clock = new SimClock();
  const store = open(clock, { directory: t.testdir(), serverDays: 10 });
  await store.start();
  const renewed = new Promise<void>((resolve) => store.onRenewed(resolve));
  clock.jumpWall(9 * msPerDay);
  await clock.advance(3_600_000);
  await renewed;
  t.ok(certificateFacts(store.serverCertificatePem()).notAfterMs > clock.wallMs() + 9 * msPerDay);
  await store.close();
});

t.test('a new authority brings a new server certificate', async (t) => {
  const clock = new SimClock();
  const directory = t.testdir();
  const store = open(clock, { directory, authorityDays: 20, serverDays: 400 });
  await store.start();
  const before = store.authorityCertificatePem();
  t.equal(certificateFacts(store.serverCertificatePem()).notAfterMs, certificateFacts(before).notAfterMs);
  clock.jumpWall(19 * msPerDay);
  await store.renewIfDue();
  t.not(store.authorityCertificatePem(), before);
  t.ok(store.serverCertificatePem().endsWith(store.authorityCertificatePem()));
  t.equal(await disk.readTextIfPresent('test', join(directory, 'authority.crt')), store.authorityCertificatePem());
  await store.close();
});

t.test('other host names at start replace the server certificate only', async (t) => {
  const clock = new SimClock();
  const directory = t.testdir();
  const first = open(clock, { directory });
  await first.start();
  await first.close();
  const second = open(clock, { directory, hostnames: ['new.local'] });
  await second.start();
  t.strictSame(certificateFacts(second.serverCertificatePem()).names, ['DNS:new.local']);
  t.equal(second.authorityCertificatePem(), first.authorityCertificatePem());
  await second.close();
});

t.test('damaged files are set aside and replaced', async (t) => {
  const clock = new SimClock();
  const directory = t.testdir();
  const first = open(clock, { directory });
  await first.start();
  await first.close();
  await disk.writeFileAtomic('test', join(directory, 'server.pem'), { data: first.serverCertificatePem() });
  await disk.writeFileAtomic('test', join(directory, 'authority.pem'), { data: '\0\0\0' });
  const second = open(clock, { directory });
  await second.start();
  t.not(second.authorityCertificatePem(), first.authorityCertificatePem());
  t.ok(second.serverCertificatePem().endsWith(second.authorityCertificatePem()));
  t.strictSame([...(await disk.list('test', directory))].sort(), [
    'authority.crt',
    'authority.pem',
    'authority.pem.damaged',
    'server.pem',
    'server.pem.damaged',
  ]);
  await second.close();
});

t.test('modules get certificates of their own, and the trust bundle holds every anchor', async (t) => {
  const clock = new SimClock();
  const extraTrustPem = '-----BEGIN CERTIFICATE-----\nextra\n-----END CERTIFICATE-----';
  const store = open(clock, { directory: t.testdir(), extraTrustPem });
  t.throws(() => store.trustBundle(), { code: 'IDENTITY_CERTIFICATE_INVALID' }, 'not before start');
  await store.start();
  t.equal(store.trustBundle(), `${extraTrustPem}\n${store.authorityCertificatePem()}`);
  const server = certificateFacts(
    (await store.issueServer({ commonName: 'mod.local', moduleId: '$my_Module' })).certificatePem,
  );
  t.strictSame(server.names, ['DNS:mod.local', 'DNS:my-module']);
  t.equal(Math.round((server.notAfterMs - clock.wallMs()) / msPerDay), 30);
  const identity = certificateFacts(
    (await store.issueIdentity({ moduleId: 'm', uri: 'azureiot://h/devices/d/modules/m' })).certificatePem,
  );
  t.equal(identity.subject, 'CN=m');
  await store.close();
});

t.test('by a clock that nobody vouches for nothing is replaced, whichever way it jumped', async (t) => {
  const tenYearsMs = 3650 * msPerDay;
  for (const jumpMs of [tenYearsMs, -tenYearsMs]) {
    const directory = t.testdir();
    const clock = new SimClock();
    const first = open(clock, { directory });
    await first.start();
    const before = [first.authorityCertificatePem(), first.serverCertificatePem()];
    clock.trustWall(false);
    clock.jumpWall(jumpMs);
    await first.renewIfDue();
    await first.close();
    const second = open(clock, { directory });
    await second.start();
    t.same([second.authorityCertificatePem(), second.serverCertificatePem()], before);
    await second.close();
  }
});
