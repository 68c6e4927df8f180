// One suite over every transport of the Connection port: what a sink and an owner may rely on, whatever lies between.
//
// The client side is a socket of Node's own (for WebSocket the package ws), never our code.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type SecureVersion } from 'node:tls';
import t, { type Test } from 'tap';
import { createWebSocketStream, WebSocket } from 'ws';
import type { Connection, ConnectionSink, ListenEndpoint, Listener } from '../../src/platform/net.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { tlsContext } from '../../src/platform/tls.ts';

const directory = mkdtempSync(join(tmpdir(), 'weir-transport-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const file = (name: string): string => join(directory, name);
execFileSync(
  'openssl',
  `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ${file('key.pem')} -out ${file('cert.pem')} -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.split(
    ' ',
  ),
  { stdio: 'ignore' },
);
const certificatePem = readFileSync(file('cert.pem'), 'utf8');
const privateKeyPem = readFileSync(file('key.pem'), 'utf8');
const tls = tlsContext({ certificatePem, privateKeyPem });
const loopback = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
const proxyHeader = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0a80001c0a8000bea60075b', 'hex');

type Address = Listener['address'];

interface Transport {
  readonly name: string;
  readonly endpoint: ListenEndpoint;
  readonly fastPath?: boolean;
  readonly remote: RegExp;
  dial(address: Address): Duplex;
}

const portOf = (address: Address): number => ('port' in address ? address.port : 0);
const tcp = (address: Address): Socket =>
  'path' in address ? connectTcp(address.path) : connectTcp(address.port, '127.0.0.1');
const secure = (address: Address, maxVersion: SecureVersion = 'TLSv1.3'): Duplex =>
  connectTls({ port: portOf(address), host: '127.0.0.1', servername: 'localhost', ca: certificatePem, maxVersion });
const proxied = (address: Address): Socket => {
  const socket = tcp(address);
  socket.write(proxyHeader);
  return socket;
};
const webSocket = (url: string, socket?: Socket): Duplex => {
  const client = new WebSocket(url, ['mqtt'], {
    ca: certificatePem,
    perMessageDeflate: true,
    ...(socket === undefined ? {} : { createConnection: () => socket }),
  });
  return createWebSocketStream(client);
};

const transports: readonly Transport[] = [
  { name: 'tcp', endpoint: loopback, remote: /^127\.0\.0\.1:\d+$/, dial: tcp },
  { name: 'tcp, public interfaces', endpoint: loopback, fastPath: false, remote: /^127\.0\.0\.1:\d+$/, dial: tcp },
  {
    name: 'unix',
    endpoint: { kind: 'unix', path: file('a.sock'), mode: 0o600 },
    remote: /^unix:.*a\.sock$/,
    dial: tcp,
  },
  { name: 'tls', endpoint: { ...loopback, tls }, remote: /^127\.0\.0\.1:\d+$/, dial: secure },
  {
    name: 'tls 1.2',
    endpoint: { ...loopback, tls },
    remote: /^127\.0\.0\.1:\d+$/,
    dial: (address) => secure(address, 'TLSv1.2'),
  },
  {
    name: 'tls, public interfaces',
    endpoint: { ...loopback, tls },
    fastPath: false,
    remote: /^127\.0\.0\.1:\d+$/,
    dial: secure,
  },
  {
    name: 'ws',
    endpoint: { ...loopback, websocket: true },
    remote: /^127\.0\.0\.1:\d+$/,
    dial: (address) => webSocket(`ws://127.0.0.1:${portOf(address)}/$iothub/websocket`),
  },
  {
    name: 'wss',
    endpoint: { ...loopback, tls, websocket: true },
    remote: /^127\.0\.0\.1:\d+$/,
    dial: (address) => webSocket(`wss://localhost:${portOf(address)}/mqtt`),
  },
  {
    name: 'proxied tcp',
    endpoint: { ...loopback, proxyProtocol: true },
    remote: /^192\.168\.0\.1:60000$/,
    dial: proxied,
  },
  {
    name: 'proxied tls',
    endpoint: { ...loopback, tls, proxyProtocol: true },
    remote: /^192\.168\.0\.1:60000$/,
    dial: (address) => connectTls({ socket: proxied(address), servername: 'localhost', ca: certificatePem }),
  },
  {
    name: 'proxied ws',
    endpoint: { ...loopback, websocket: true, proxyProtocol: true },
    remote: /^192\.168\.0\.1:60000$/,
    dial: (address) => webSocket('ws://127.0.0.1/mqtt', proxied(address)),
  },
];

/** The server's end of one connection, with everything it was told. */
class Server implements ConnectionSink {
  readonly connection: Connection;
  readonly closed: Promise<Error | undefined>;
  received = 0;
  drains = 0;
  closes = 0;
  /** Checks that byte n of what came is n modulo 251; or keeps it. */
  inOrder = true;
  onBytes: () => void = () => undefined;
  onDrained: () => void = () => undefined;
  #tellClosed: (error: Error | undefined) => void = () => undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
  }

  onData(chunk: Buffer, length: number): void {
    if (!chunk.subarray(0, length).equals(pattern(this.received, length))) this.inOrder = false;
    this.received += length;
    this.onBytes();
  }

  onDrain(): void {
    this.drains += 1;
    this.onDrained();
  }

  onClose(error?: Error): void {
    this.closes += 1;
    this.#tellClosed(error);
  }
}

const modulus = 251;
const period = Buffer.from(Uint8Array.from({ length: 2 * modulus }, (_, index) => index % modulus));
const pattern = (from: number, bytes: number): Buffer =>
  Buffer.alloc(bytes, period.subarray(from % modulus, (from % modulus) + modulus));

async function pair(t: Test, transport: Transport): Promise<{ server: Server; client: Duplex; listener: Listener }> {
  const network = systemNetwork(transport.fastPath === undefined ? {} : { fastPath: transport.fastPath });
  let tell: (server: Server) => void = () => undefined;
  const accepted = new Promise<Server>((resolve) => {
    tell = resolve;
  });
  const listener = await network.listen(transport.endpoint, (connection) => {
    const server = new Server(connection);
    tell(server);
    return server;
  });
  const client = transport.dial(listener.address);
  client.on('error', () => undefined);
  const server = await accepted;
  t.teardown(async () => {
    client.destroy();
    server.connection.destroy();
    await server.closed;
    await listener.close();
  });
  return { server, client, listener };
}

const until = (server: Server, isDone: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => {
      if (isDone()) resolve();
    };
    server.onBytes = look;
    look();
  });

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

const some = 200_000;
const much = 3_000_000;
/** More than the kernel's buffers on both sides. */
const flood = 16_000_000;
const readAtOnceMax = 100_000;

for (const transport of transports) {
  t.test(transport.name, async (t) => {
    t.test('bytes arrive whole and in order, both ways, and the peer is named', async (t) => {
      const { server, client } = await pair(t, transport);
      t.match(server.connection.remote, transport.remote);
      for (let at = 0; at < some; at += 4999) client.write(pattern(at, Math.min(4999, some - at)));
      await until(server, () => server.received === some);
      t.ok(server.inOrder);
      let got = 0;
      let inOrder = true;
      const all = new Promise<void>((resolve) => {
        client.on('data', (chunk: Buffer) => {
          inOrder &&= chunk.equals(pattern(got, chunk.length));
          got += chunk.length;
          if (got === some) resolve();
        });
      });
      for (let at = 0; at < some; at += 7001) server.connection.write(pattern(at, Math.min(7001, some - at)));
      await all;
      t.ok(inOrder);
    });

    t.test('a paused connection gives nothing and holds its peer back, and loses nothing', async (t) => {
      const { server, client } = await pair(t, transport);
      client.write(pattern(0, 10));
      await until(server, () => server.received === 10);
      server.connection.pause();
      client.write(pattern(10, flood));
      await turns(200);
      t.equal(server.received, 10, 'nothing after pause()');
      t.ok(client.writableLength > 0, 'the peer cannot send it all');
      server.connection.resume();
      await until(server, () => server.received === flood + 10);
      t.ok(server.inOrder);
    });

    t.test('pausing from within onData holds too, again and again', async (t) => {
      const { server, client } = await pair(t, transport);
      let resumes = 0;
      let obeyed = true;
      const all = new Promise<void>((resolve) => {
        server.onBytes = () => {
          server.connection.pause();
          const before = server.received;
          setImmediate(() => {
            if (server.received !== before) obeyed = false;
            resumes += 1;
            server.connection.resume();
            if (server.received === some) resolve();
          });
        };
      });
      for (let at = 0; at < some; at += 999) client.write(pattern(at, Math.min(999, some - at)));
      await all;
      t.ok(obeyed, 'nothing between pause() and resume()');
      t.ok(server.inOrder);
      t.ok(resumes >= 1);
    });

    t.test('write() tells when to wait, bufferedBytes what waits, onDrain when it is gone', async (t) => {
      const { server, client } = await pair(t, transport);
      client.pause();
      let sent = 0;
      let free = true;
      while (free && sent < 64 * much) {
        free = server.connection.write(pattern(sent, readAtOnceMax));
        sent += readAtOnceMax;
      }
      t.notOk(free, 'a peer that does not read makes write() say so');
      t.ok(server.connection.bufferedBytes > 0);
      const drained = new Promise<void>((resolve) => {
        server.onDrained = resolve;
      });
      let got = 0;
      let inOrder = true;
      const all = new Promise<void>((resolve) => {
        client.on('data', (chunk: Buffer) => {
          inOrder &&= chunk.equals(pattern(got, chunk.length));
          got += chunk.length;
          if (got === sent) resolve();
        });
      });
      client.resume();
      await Promise.all([drained, all]);
      t.equal(server.connection.bufferedBytes, 0);
      t.ok(inOrder);
    });

    t.test('end() sends what is queued, then closes without an error', async (t) => {
      const { server, client } = await pair(t, transport);
      let got = 0;
      const ended = new Promise<void>((resolve) => {
        client.on('data', (chunk: Buffer) => {
          got += chunk.length;
        });
        client.on('end', resolve);
      });
      for (let at = 0; at < much; at += readAtOnceMax) server.connection.write(pattern(at, readAtOnceMax));
      server.connection.end();
      server.connection.end();
      t.equal(server.connection.write(Buffer.from('late')), false);
      await ended;
      t.equal(got, much);
      client.end();
      t.equal(await server.closed, undefined);
      t.equal(server.closes, 1);
    });

    t.test("the peer's orderly end closes without an error", async (t) => {
      const { server, client } = await pair(t, transport);
      client.resume();
      client.end(pattern(0, 100));
      t.equal(await server.closed, undefined);
      t.equal(server.received, 100);
      t.equal(server.closes, 1);
    });

    t.test('destroy() closes once, never from within the call, and what follows is harmless', async (t) => {
      const { server, client } = await pair(t, transport);
      client.resume();
      server.connection.destroy();
      t.equal(server.closes, 0);
      server.connection.destroy();
      t.equal(server.connection.write(Buffer.from('late')), false);
      server.connection.pause();
      server.connection.resume();
      server.connection.end();
      t.equal(await server.closed, undefined);
      await turns(5);
      t.equal(server.closes, 1);
    });

    t.test('a peer that vanishes with bytes under way closes the connection', async (t) => {
      const { server, client } = await pair(t, transport);
      client.pause();
      for (let at = 0; at < 4 * much; at += readAtOnceMax) server.connection.write(pattern(at, readAtOnceMax));
      client.destroy();
      await server.closed;
      t.equal(server.closes, 1);
    });
  });
}
