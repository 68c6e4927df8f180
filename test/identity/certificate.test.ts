import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import t from 'tap';
import {
  certificateFacts,
  createAuthority,
  isPair,
  issueIdentityCertificate,
  issueServerCertificate,
} from '../../src/identity/certificate.ts';

const msPerDay = 86_400_000;
// Real time: OpenSSL checks validity against the machine's clock in the handshake below.
const nowMs = Date.now();
const authority = await createAuthority({ commonName: 'weir test CA', days: 30, nowMs });
const server = await issueServerCertificate({
  authority,
  hostnames: ['gw.local', '127.0.0.1', '::1'],
  days: 90,
  nowMs,
});

t.test('the authority may issue leaves and nothing deeper', (t) => {
  const facts = certificateFacts(authority.certificatePem);
  t.match(facts, { subject: 'CN=weir test CA', issuer: 'CN=weir test CA', isAuthority: true });
  t.ok(isPair(authority));
  t.equal(Math.round((facts.notAfterMs - nowMs) / msPerDay), 30);
  t.ok(facts.notBeforeMs < nowMs - msPerDay / 2, 'valid for a client whose clock lags');
  t.ok(new X509Certificate(authority.certificatePem).verify(new X509Certificate(authority.certificatePem).publicKey));
  t.end();
});

t.test('a server certificate carries DNS and IP names, its chain, and ends with its authority at the latest', (t) => {
  const facts = certificateFacts(server.certificatePem);
  t.match(facts, { subject: 'CN=gw.local', issuer: 'CN=weir test CA', isAuthority: false });
  t.strictSame(facts.names, ['DNS:gw.local', 'IP Address:127.0.0.1', 'IP Address:0:0:0:0:0:0:0:1']);
  t.equal(facts.notAfterMs, certificateFacts(authority.certificatePem).notAfterMs);
  t.equal(server.certificatePem.match(/BEGIN CERTIFICATE/g)?.length, 2);
  t.ok(new X509Certificate(server.certificatePem).checkIssued(new X509Certificate(authority.certificatePem)));
  t.ok(isPair(server));
  t.notOk(isPair({ ...server, privateKeyPem: authority.privateKeyPem }));
  t.notOk(isPair({ certificatePem: 'x', privateKeyPem: 'y' }));
  t.end();
});

t.test(
  'a TLS client that trusts the authority accepts the server by name and by address, and no other name',
  async (t) => {
    const listening = createServer({ cert: server.certificatePem, key: server.privateKeyPem }, (socket) =>
      socket.end(),
    );
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    t.teardown(() => listening.close());
    const { port } = listening.address() as AddressInfo;
    const attempt = (servername: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(
          { host: '127.0.0.1', port, ca: authority.certificatePem, ...(servername === '' ? {} : { servername }) },
          () => {
            socket.destroy();
            resolve('accepted');
          },
        );
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      });
    t.equal(await attempt('gw.local'), 'accepted');
    t.equal(await attempt(''), 'accepted');
    t.equal(await attempt('evil.local'), 'ERR_TLS_CERT_ALTNAME_INVALID');
  },
);

t.test('an identity certificate names the module by URI', async (t) => {
  const identity = await issueIdentityCertificate({
    authority,
    commonName: 'm',
    uri: 'azureiot://hub/devices/d/modules/m',
    days: 1,
    nowMs,
  });
  t.match(certificateFacts(identity.certificatePem), {
    subject: 'CN=m',
    names: ['URI:azureiot://hub/devices/d/modules/m'],
  });
  t.strictSame(new X509Certificate(identity.certificatePem).keyUsage, ['1.3.6.1.5.5.7.3.2']);
});

t.test('serial numbers differ and are positive', (t) => {
  const serials = [authority, server].map(({ certificatePem }) => new X509Certificate(certificatePem).serialNumber);
  t.equal(new Set(serials).size, 2);
  for (const serial of serials) t.match(serial, /^5E[0-9A-F]{30}$/);
  t.end();
});

t.test('a text that is no certificate is a typed error', (t) => {
  t.throws(() => certificateFacts('hello'), { code: 'IDENTITY_CERTIFICATE_INVALID' });
  t.end();
});
