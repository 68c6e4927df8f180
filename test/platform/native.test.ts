// The native parts in a development tree: each addon loads once and does its work.

import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { buildInfo, nativeAddon, shimPath, storeThreadSource } from '../../src/platform/native.ts';

interface PeerCredentials {
  peerCredentials(fd: unknown): { pid: number; uid: number; gid: number };
}

function fdOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

const peercred = nativeAddon('host') as PeerCredentials;

t.test('an addon is loaded once', async (t) => {
  for (const name of ['better_sqlite3', 'serialport', 'host'] as const)
    t.equal(nativeAddon(name), nativeAddon(name), name);
});

t.test('peerCredentials tells who connected to a unix socket', async (t) => {
  // Short, because a unix socket's path is limited to 107 bytes; a longer one would be cut, outside the directory.
  const directory = mkdtempSync(join(tmpdir(), 'weir-peer-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 's');
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const client = connect(path);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.same(peercred.peerCredentials(fdOf(accepted)), {
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
  client.destroy();
  accepted.destroy();
  server.close();
});

t.test('peerCredentials refuses a TCP socket, whose peer has no user', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.throws(() => peercred.peerCredentials(fdOf(accepted)), { code: 'PLATFORM_PEERCRED_FAILED' });
  client.destroy();
  accepted.destroy();
  server.close();
});

for (const bad of [undefined, null, '3', 1.5, -1, Number.NaN, 2 ** 40])
  t.test(`peerCredentials refuses ${String(bad)} as a file descriptor`, async (t) => {
    t.throws(() => peercred.peerCredentials(bad), { code: 'PLATFORM_PEERCRED_ARGUMENT' });
  });

t.test('peerCredentials tells the error number of the kernel', async (t) => {
  t.throws(() => peercred.peerCredentials(100_000), { code: 'PLATFORM_PEERCRED_FAILED', errno: 9 });
});

t.test('an addon loads in a thread beside the main one', async (t) => {
  const worker = new Worker(
    `const holder = { exports: {} };
     process.dlopen(holder, require('node:path').resolve('out/host/host.node'));
     require('node:worker_threads').parentPort.postMessage(typeof holder.exports.peerCredentials);`,
    { eval: true },
  );
  const [kind] = await once(worker, 'message');
  t.equal(kind, 'function');
  await worker.terminate();
});

t.test('the shim is an executable file', async (t) => {
  t.doesNotThrow(() => accessSync(shimPath(), constants.X_OK));
});

t.test('the store thread comes from the development tree', async (t) => {
  const source = storeThreadSource();
  t.ok('path' in source && existsSync(source.path));
});

t.test('the build tells that it is no release', async (t) => {
  t.match(buildInfo(), { version: /^\d+\.\d+\.\d+$/, commit: 'development', target: 'development' });
});
