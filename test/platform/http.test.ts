// HTTP over a unix socket: answers that break off, and too many connections.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type HttpEndpointOptions, systemHttp } from '../../src/platform/http.ts';

async function serve(t: Test, options: Pick<HttpEndpointOptions, 'handler' | 'connectionsMax'>): Promise<string> {
  // Not t.testdir(): a socket's path has 107 bytes at most.
  const directory = mkdtempSync(join(tmpdir(), 'weir-http-'));
  const path = join(directory, 'a.sock');
  const server = await systemHttp().serve({
    endpoint: { kind: 'unix', path, mode: 0o600 },
    bodyBytesMax: 1,
    ...options,
  });
  t.teardown(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  return path;
}

t.test('an answer that fails midway is broken off: nobody takes it for whole', async (t) => {
  const socketPath = await serve(t, {
    handler: async () => ({
      status: 200,
      body: (async function* () {
        yield 'the first half\n';
        throw new Error('the disk is gone');
      })(),
    }),
  });
  const { body } = await systemHttp().stream({ socketPath, method: 'GET', path: '/' });
  let text = '';
  await t.rejects(
    async () => {
      for await (const piece of body) text += piece;
    },
    { code: 'PLATFORM_HTTP_FAILED', message: /broke off/ },
  );
  t.equal(text, 'the first half\n');
});

t.test('connections beyond the bound are let go, and room is made again', async (t) => {
  const socketPath = await serve(t, { handler: async () => ({ status: 200 }), connectionsMax: 2 });
  const open = (): Promise<Socket> =>
    new Promise((resolve) => {
      const socket = connect(socketPath, () => resolve(socket));
      socket.on('error', () => undefined);
    });
  const sockets = [await open(), await open()];
  await t.rejects(systemHttp().call({ socketPath, method: 'GET', path: '/' }), { code: 'PLATFORM_HTTP_FAILED' });
  for (const socket of sockets) {
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.end();
    await closed;
  }
  t.match(await systemHttp().call({ socketPath, method: 'GET', path: '/' }), { status: 200 });
});
