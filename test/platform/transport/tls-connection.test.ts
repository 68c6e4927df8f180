// What is TLS's own in TlsConnection. Streams in general: test/contract/transport.test.ts; certificates: net.test.ts.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { type Connection, type ConnectionSink, systemNetwork, type TlsContext } from '../../../src/platform/net.ts';
import { tlsContext } from '../../../src/platform/tls.ts';
import { tlsWrapping } from '../../../src/platform/transport/tls-handle.ts';

const directory = t.testdir();
execFileSync(
  'openssl',
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost'.split(
    ' ',
  ),
  { cwd: directory, stdio: 'ignore' },
);
const certificatePem = readFileSync(join(directory, 'cert.pem'), 'utf8');
const privateKeyPem = readFileSync(join(directory, 'key.pem'), 'utf8');
const context = tlsContext({ certificatePem, privateKeyPem });
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

interface Opened {
  readonly connection: Connection;
  readonly text: () => string;
  readonly closed: Promise<Error | undefined>;
}

/** A listener whose connections answer each read with `answer`. */
async function serve(t: Test, tls: TlsContext, onData: (connection: Connection, text: string) => void) {
  const opened: Opened[] = [];
  let tell: () => void = () => undefined;
  const listener = await systemNetwork().listen({ kind: 'tcp', host: '127.0.0.1', port: 0, tls }, (connection) => {
    let text = '';
    let tellClosed: (error: Error | undefined) => void = () => undefined;
    const closed = new Promise<Error | undefined>((resolve) => {
      tellClosed = resolve;
    });
    opened.push({ connection, text: () => text, closed });
    const sink: ConnectionSink = {
      onData: (chunk, length) => {
        const piece = chunk.toString('latin1', 0, length);
        text += piece;
        onData(connection, piece);
      },
      onDrain: () => undefined,
      onClose: tellClosed,
    };
    tell();
    return sink;
  });
  const { address } = listener;
  const port = 'port' in address ? address.port : 0;
  t.teardown(async () => {
    for (const { connection } of opened) connection.destroy();
    await listener.close();
  });
  return {
    opened,
    port,
    dial(options: ConnectionOptions = {}): TLSSocket {
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: certificatePem, ...options });
      socket.on('error', () => undefined);
      t.teardown(() => socket.destroy());
      return socket;
    },
    async oneOpened(): Promise<Opened> {
      if (opened.length === 0)
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
      return opened[0] as Opened;
    },
  };
}

const once = (socket: Socket, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, (value: unknown) => resolve(value)));

t.test('the private TLS streams are as known on this Node', (t) => {
  t.type(tlsWrapping(createSecureContext()), 'function', 'else TLS connections take the larger, public way');
  t.equal(tlsWrapping({}), undefined, 'not what node:tls makes');
  t.end();
});

t.test('where they are not as known, TLSSocket takes the accepted handle', async (t) => {
  const { accept, connect: dialled, certificateOf } = context;
  const server = await serve(t, { accept, connect: dialled, certificateOf }, (connection) =>
    connection.write(Buffer.from('pong')),
  );
  const socket = server.dial();
  socket.write('ping');
  t.equal(String(await once(socket, 'data')), 'pong');
  const { connection, closed } = await server.oneOpened();
  t.match(connection.remote, /^127\.0\.0\.1:\d+$/);
  socket.end();
  t.equal(await closed, undefined);
});

t.test('what was queued comes before the end, whether the peer is done or not', async (t) => {
  for (const version of versions)
    for (const peerIsDone of [false, true]) {
      const server = await serve(t, context, (connection, text) => {
        connection.write(Buffer.from(text));
        connection.end(peerIsDone);
      });
      const socket = server.dial({ minVersion: version, maxVersion: version });
      const raw: Buffer[] = [];
      socket.write('bye');
      socket.on('data', (chunk: Buffer) => raw.push(chunk));
      await once(socket, 'end');
      t.equal(Buffer.concat(raw).toString(), 'bye', `${version}: what was queued came first`);
      socket.end();
      const { closed } = await server.oneOpened();
      t.equal(await closed, undefined);
    }
});

t.test('OpenSSL as client sees an orderly end', async (t) => {
  const server = await serve(t, context, (connection, text) => {
    if (text.includes('bye')) connection.end();
  });
  const { execFile } = await import('node:child_process');
  for (const version of ['-tls1_2', '-tls1_3']) {
    const printed = await new Promise<string>((resolve, reject) => {
      const client = execFile(
        'openssl',
        ['s_client', '-connect', `127.0.0.1:${server.port}`, version, '-msg', '-quiet', '-no_ign_eof'],
        (error, stdout, stderr) => (error?.code === 'ENOENT' ? reject(error) : resolve(stdout + stderr)),
      );
      client.stdin?.write('bye\n');
    });
    t.match(printed, /<<< TLS 1\.[23], Alert \[length 0002\], warning close_notify/, version);
  }
});

t.test('many small writes wait for each other, stay in order and go together', async (t) => {
  const server = await serve(t, context, (connection, text) => {
    if (text !== 'go') return;
    for (let n = 0; n < 5000; n += 1) connection.write(Buffer.from(`${n},`));
  });
  const socket = server.dial();
  socket.write('go');
  let text = '';
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith('4999,')) resolve();
    });
  });
  t.equal(text, Array.from({ length: 5000 }, (_, n) => `${n},`).join(''));
  t.equal((await server.oneOpened()).connection.bufferedBytes, 0);
});

t.test('destroying from within onData leaves the rest of what was read alone', async (t) => {
  const server = await serve(t, context, (connection) => connection.destroy());
  const socket = server.dial();
  await once(socket, 'secureConnect');
  for (let n = 0; n < 50; n += 1) socket.write('x'.repeat(1000));
  const { closed, text } = await server.oneOpened();
  await closed;
  t.ok(text().length < 50_000);
  t.equal(server.opened.length, 1);
});

t.test('a record that is not what it says ends the connection with an error', async (t) => {
  const server = await serve(t, context, () => undefined);
  const plain = connectTcp(server.port, '127.0.0.1');
  plain.on('error', () => undefined);
  t.teardown(() => plain.destroy());
  const socket = server.dial({ socket: plain });
  await once(socket, 'secureConnect');
  const { closed } = await server.oneOpened();
  plain.write(Buffer.from('170303001041414141414141414141414141414141', 'hex'));
  t.match(await closed, { code: 'PLATFORM_CONNECTION_LOST', message: /^TLS / });
});

t.test('a client that begins handshakes anew again and again is cut', async (t) => {
  const server = await serve(t, context, () => undefined);
  const socket = server.dial({ maxVersion: 'TLSv1.2' });
  await once(socket, 'secureConnect');
  const { closed } = await server.oneOpened();
  let done = 0;
  const again = (): void => {
    socket.renegotiate({}, (error) => {
      if (error !== null) return;
      done += 1;
      again();
    });
  };
  again();
  t.match(await closed, { code: 'PLATFORM_CONNECTION_LOST', fields: { errno: 'ERR_TLS_SESSION_ATTACK' } });
  t.ok(done <= 3, `${done} were granted`);
});

t.test('connections that come and go in every state of the handshake leave the listener sound', async (t) => {
  const server = await serve(t, context, (connection, text) => connection.write(Buffer.from(text)));
  const hello = await clientHello();
  for (let bytes = 0; bytes < hello.length; bytes += 40) {
    const plain = connectTcp(server.port, '127.0.0.1');
    plain.on('error', () => undefined);
    await once(plain, 'connect');
    plain.write(hello.subarray(0, bytes));
    if (bytes % 80 === 0) plain.resetAndDestroy();
    else plain.end();
  }
  for (const version of versions) {
    const socket = server.dial({ maxVersion: version });
    socket.write('still there');
    t.equal(String(await once(socket, 'data')), 'still there');
  }
});

/** The first bytes of a client's handshake. */
async function clientHello(): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const client = connect({ port: typeof address === 'object' ? (address?.port ?? 0) : 0, host: '127.0.0.1' });
  client.on('error', () => undefined);
  const accepted = (await once(server as unknown as Socket, 'connection')) as Socket;
  const hello = (await once(accepted, 'data')) as Buffer;
  client.destroy();
  accepted.destroy();
  await new Promise((resolve) => server.close(resolve));
  return hello;
}
