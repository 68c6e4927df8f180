import { createServer } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import t, { type Test } from 'tap';
import { createAuthority, issueServerCertificate } from '../../src/identity/index.ts';
import { systemMachine } from '../../src/platform/machine.ts';
import { freePort } from '../support/free-port.ts';

const machine = systemMachine();
const timeoutMs = 120_000;

type Listening = {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
  close(done: () => void): unknown;
};

function port(t: Test, server: Listening): Promise<number> {
  t.teardown(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { readonly port: number }).port));
  });
}

t.test('a port that accepts is reached, one that does not is told with its errno', async (t) => {
  const server = createServer((socket) => socket.destroy());
  const open = await port(t, server);
  await machine.reachTcp({ host: '127.0.0.1', port: open, timeoutMs });
  const gone = await freePort();
  await t.rejects(machine.reachTcp({ host: '127.0.0.1', port: gone, timeoutMs }), {
    code: 'PLATFORM_UNREACHABLE',
    fields: { errno: 'ECONNREFUSED' },
  });
  t.match(await machine.listenObstacle({ host: '127.0.0.1', port: open }), /EADDRINUSE/);
  t.equal(await machine.listenObstacle({ host: '127.0.0.1', port: gone }), undefined);
});

t.test('a peer that accepts and says nothing is given up in time', async (t) => {
  const sockets: { destroy(): void }[] = [];
  const open = await port(
    t,
    createServer((socket) => sockets.push(socket)),
  );
  t.teardown(() =>
    sockets.forEach((socket) => {
      socket.destroy();
    }),
  );
  await t.rejects(machine.inspectTls({ host: '127.0.0.1', port: open, timeoutMs: 50 }), {
    code: 'PLATFORM_UNREACHABLE',
    fields: { errno: 'ETIMEDOUT' },
  });
});

t.test('a certificate is trusted by its authority alone, under its own names alone', async (t) => {
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: 'plant CA', days: 30, nowMs });
  const made = await issueServerCertificate({ authority, hostnames: ['127.0.0.1'], days: 10, nowMs });
  const options: TlsOptions = { cert: made.certificatePem, key: made.privateKeyPem };
  const server = createTlsServer(options, (socket) => socket.destroy());
  server.on('tlsClientError', () => undefined);
  const open = await port(t, server);
  const trusted = await machine.inspectTls({
    host: '127.0.0.1',
    port: open,
    timeoutMs,
    authoritiesPem: authority.certificatePem,
  });
  t.match(trusted, { isTrusted: true, distrust: undefined, issuer: 'plant CA', protocol: /^TLSv1/ });
  t.ok(trusted.notBeforeMs <= nowMs && trusted.notAfterMs > nowMs);
  const unknown = await machine.inspectTls({ host: '127.0.0.1', port: open, timeoutMs });
  t.match(unknown, { isTrusted: false, distrust: /UNABLE_TO|SELF_SIGNED/ });
  const misnamed = await machine.inspectTls({
    host: 'localhost',
    port: open,
    timeoutMs,
    authoritiesPem: authority.certificatePem,
  });
  t.match(misnamed, { isTrusted: false, distrust: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

t.test('names, space and permissions of this machine are told', async (t) => {
  t.ok((await machine.resolve('localhost')).length > 0);
  await t.rejects(machine.resolve('does-not-exist.invalid'), { code: 'PLATFORM_UNREACHABLE' });
  const dir = t.testdir({ file: '' });
  const space = await machine.space(dir);
  t.ok(space.totalBytes >= space.freeBytes && space.freeBytes > 0);
  t.equal(await machine.mayAccess(`${dir}/file`, 'read-write'), true);
  t.equal(await machine.mayAccess(`${dir}/none`, 'read'), false);
});
