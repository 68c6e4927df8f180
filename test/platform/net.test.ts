// What listeners refuse, and what they find out about their clients. Streams themselves: test/contract/transport.test.ts.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { BlockList, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import {
  type Connection,
  type ConnectionSink,
  type ListenEndpoint,
  type Listener,
  systemNetwork,
} from '../../src/platform/net.ts';
import { pemFingerprints, tlsContext } from '../../src/platform/tls.ts';
import { Entry } from '../../src/platform/transport/entry.ts';
import { handleAccess } from '../../src/platform/transport/handle-access.ts';

const directory = t.testdir();
const loopback = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
const network = systemNetwork();
const publicNetwork = systemNetwork({ fastPath: false });
const sink: ConnectionSink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

function openssl(command: string): void {
  execFileSync('openssl', command.split(' '), { cwd: directory, stdio: 'ignore' });
}
const pem = (name: string): string => readFileSync(join(directory, `${name}.pem`), 'utf8');
function selfSigned(name: string, subject: string): void {
  openssl(
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ${name}-key.pem -out ${name}.pem -days 2 -subj ${subject}`,
  );
}
selfSigned('server', '/CN=localhost');
selfSigned('ca', '/CN=ca');
selfSigned('stranger', '/CN=stranger');
openssl(
  'req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout client-key.pem -out client.csr -subj /O=plant/CN=plc-1',
);
openssl('x509 -req -in client.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out client.pem');

async function listen(t: Test, endpoint: ListenEndpoint, { fastPath } = { fastPath: true }) {
  const accepted: Connection[] = [];
  const received: string[] = [];
  let tell: () => void = () => undefined;
  const listener: Listener = await (fastPath ? network : publicNetwork).listen(endpoint, (connection) => {
    accepted.push(connection);
    tell();
    return { ...sink, onData: (chunk, length) => received.push(chunk.toString('latin1', 0, length)) };
  });
  t.teardown(async () => {
    for (const connection of accepted) connection.destroy();
    await listener.close();
  });
  const { address } = listener;
  return {
    listener,
    accepted,
    received,
    port: 'port' in address ? address.port : 0,
    oneAccepted: () =>
      new Promise<void>((resolve) => {
        tell = resolve;
        if (accepted.length > 0) resolve();
      }),
  };
}

const closed = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });

t.test('the private handles are as known on this Node', (t) => {
  t.not(handleAccess(), undefined, 'else plain connections take the slower, public way');
  t.end();
});

for (const fastPath of [true, false])
  t.test(`client certificates, ${fastPath ? 'the native stream' : 'TLSSocket'}`, async (t) => {
    const server = { certificatePem: pem('server'), privateKeyPem: pem('server-key'), authoritiesPem: pem('ca') };
    const [rootFingerprint] = pemFingerprints(pem('ca'));
    t.match(rootFingerprint, /^[0-9a-f]{64}$/);
    const shown = (name: string): ConnectionOptions => ({ cert: pem(name), key: pem(`${name}-key`) });
    const dial = (port: number, options: ConnectionOptions) => {
      const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: pem('server'), ...options });
      t.teardown(() => socket.destroy());
      socket.on('error', () => undefined);
      return socket;
    };

    t.test('request: who shows one is known, with the judgement; who shows none comes in', async (t) => {
      const rows: readonly (readonly [string, ConnectionOptions, object | undefined])[] = [
        [
          'vouched for',
          shown('client'),
          { commonName: 'plc-1', authorised: true, problem: undefined, rootFingerprint },
        ],
        [
          'a stranger',
          shown('stranger'),
          { commonName: 'stranger', authorised: false, problem: /SELF_SIGNED|UNABLE/, rootFingerprint: undefined },
        ],
        ['none', {}, undefined],
      ];
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
        for (const [name, options, facts] of rows) {
          const tls = tlsContext({ ...server, clientCertificates: 'request' });
          const { port, accepted, oneAccepted } = await listen(t, { ...loopback, tls }, { fastPath });
          dial(port, { ...options, minVersion: version, maxVersion: version });
          await oneAccepted();
          const certificate = accepted[0]?.certificate;
          if (facts === undefined) t.equal(certificate, undefined, name);
          else t.match(certificate, facts, `${name}, ${version}`);
          if (certificate !== undefined) {
            t.match(certificate.fingerprint, /^[0-9a-f]{64}$/);
            t.match(certificate.thumbprint, /^[0-9a-f]{40}$/);
          }
        }
    });

    t.test('require: nobody else reaches the broker', async (t) => {
      const tls = tlsContext({ ...server, clientCertificates: 'require' });
      const { port, accepted, oneAccepted } = await listen(t, { ...loopback, tls }, { fastPath });
      await closed(dial(port, shown('stranger')));
      await closed(dial(port, {}));
      t.equal(accepted.length, 0);
      dial(port, shown('client'));
      await oneAccepted();
      t.match(accepted[0]?.certificate, { commonName: 'plc-1', authorised: true });
    });

    t.test('a resumed session keeps the certificate and its judgement', async (t) => {
      const tls = tlsContext({ ...server, clientCertificates: 'require' });
      const { port, accepted, oneAccepted } = await listen(t, { ...loopback, tls }, { fastPath });
      const first = dial(port, shown('client'));
      const session = await new Promise<Buffer>((resolve) => first.once('session', resolve));
      await oneAccepted();
      accepted.splice(0)[0]?.destroy();
      const second = dial(port, { ...shown('client'), session });
      await oneAccepted();
      t.ok(second.isSessionReused());
      t.match(accepted[0]?.certificate, { commonName: 'plc-1', authorised: true, rootFingerprint });
    });

    t.test('ALPN mqtt is agreed to', async (t) => {
      const { port, oneAccepted } = await listen(t, { ...loopback, tls: tlsContext(server) }, { fastPath });
      const socket = dial(port, { ALPNProtocols: ['mqtt'] });
      await oneAccepted();
      t.equal(socket.alpnProtocol, 'mqtt');
    });

    t.test('plain bytes on a TLS port, and a handshake cut short, cost nobody anything', async (t) => {
      const { port, accepted } = await listen(t, { ...loopback, tls: tlsContext(server) }, { fastPath });
      const plain = connect(port, '127.0.0.1');
      plain.write('GET / HTTP/1.1\r\n\r\n');
      await closed(plain);
      const cut = connect(port, '127.0.0.1');
      cut.end(Buffer.from('1603010200', 'hex'));
      await closed(cut);
      t.equal(accepted.length, 0);
    });
  });

t.test('whoever drags out a step is dropped: in time, in number, and with the listener', async (t) => {
  const entry = new Entry(2);
  const dropped: string[] = [];
  const wait = (name: string, msMax: number) => entry.begin(msMax, () => dropped.push(name));
  const leave = wait('came through', 60_000);
  const late = new Promise<void>((resolve) => {
    entry.begin(1, resolve);
  });
  t.equal(wait('one too many', 60_000), undefined);
  t.strictSame(dropped, ['one too many']);
  await late;
  t.equal(entry.count, 1);
  leave?.();
  wait('waiting at the end', 60_000);
  entry.close();
  t.strictSame(dropped, ['one too many', 'waiting at the end']);

  const { port, listener, accepted } = await listen(t, { ...loopback, websocket: true });
  const silent = connect(port, '127.0.0.1');
  await new Promise((resolve) => silent.once('connect', resolve));
  const gone = closed(silent);
  // A second connection: by its answer the listener has seen the first.
  await closed(connect(port, '127.0.0.1').end('nonsense\r\n\r\n'));
  await listener.close();
  t.equal(await gone, '');
  t.equal(accepted.length, 0);
});

t.test('WebSocket', async (t) => {
  const open = async (t: Test) => {
    const listening = await listen(t, { ...loopback, websocket: true });
    const client = new WebSocket(`ws://127.0.0.1:${listening.port}/mqtt`, ['mqtt']);
    t.teardown(() => client.terminate());
    await new Promise((resolve) => client.once('open', resolve));
    return { ...listening, client };
  };
  const closeOf = (client: WebSocket): Promise<number> => new Promise((resolve) => client.once('close', resolve));

  t.test('the subprotocol is answered, a ping too, and a packet may span frames', async (t) => {
    const { client, received, accepted } = await open(t);
    t.equal(client.protocol, 'mqtt');
    t.equal(client.extensions, '');
    client.send(Buffer.from('a'));
    client.send(Buffer.from('b'), { fin: false });
    client.ping('there?');
    t.equal(String(await new Promise((resolve) => client.once('pong', resolve))), 'there?');
    client.send(Buffer.from('c'));
    accepted[0]?.write(Buffer.from('d'));
    t.equal(String(await new Promise((resolve) => client.once('message', resolve))), 'd');
    client.ping();
    await new Promise((resolve) => client.once('pong', resolve));
    t.equal(received.join(''), 'abc');
  });

  t.test('a text frame is answered with 1003, and nothing of it arrives', async (t) => {
    const { client, received } = await open(t);
    client.send('text');
    t.equal(await closeOf(client), 1003);
    t.strictSame(received, []);
  });

  t.test("either side's Close is orderly", async (t) => {
    const ours = await open(t);
    ours.accepted[0]?.end();
    t.equal(await closeOf(ours.client), 1000);
    const theirs = await open(t);
    theirs.client.close(1001, 'leaving');
    t.equal(await closeOf(theirs.client), 1001);
  });

  t.test('other requests get a small answer; they never reach the broker', async (t) => {
    const { port, accepted } = await listen(t, { ...loopback, websocket: true });
    const answer = (request: string): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      // Byte by byte: a request may be cut anywhere.
      for (const byte of Buffer.from(request, 'latin1')) socket.write(Buffer.from([byte]));
      return closed(socket);
    };
    t.match(await answer('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 426 .*MQTT over WebSocket/s);
    t.match(await answer('\x10\x0c\x00\x04MQTT\r\n\r\n'), /^HTTP\/1\.1 400 /);
    t.match(await answer(`GET / HTTP/1.1\r\nX: ${'x'.repeat(9000)}`), /^HTTP\/1\.1 431 /);
    t.equal(accepted.length, 0);
  });
});

t.test('PROXY protocol', async (t) => {
  const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0a80001c0a8000bea60075b', 'hex');
  const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');

  t.test('the client is who the proxy says; the proxy itself is itself', async (t) => {
    for (const [bytes, remote] of [
      [header, /^192\.168\.0\.1:60000$/],
      [local, /^127\.0\.0\.1:\d+$/],
    ] as const) {
      const { port, accepted, oneAccepted } = await listen(t, { ...loopback, proxyProtocol: true });
      const socket = connect(port, '127.0.0.1');
      t.teardown(() => socket.destroy());
      for (const byte of bytes) socket.write(Buffer.from([byte]));
      await oneAccepted();
      t.match(accepted[0]?.remote, remote);
    }
  });

  t.test('version 1, no header, half a header and strangers are closed without an answer', async (t) => {
    const { port, accepted } = await listen(t, { ...loopback, proxyProtocol: true });
    const give = (bytes: string | Buffer): Promise<string> => closed(connect(port, '127.0.0.1').end(bytes));
    t.equal(await give('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n'), '');
    t.equal(await give('\x10\x0c\x00\x04MQTT'), '');
    t.equal(await give(header.subarray(0, 20)), '');
    t.equal(accepted.length, 0);
    const others = new BlockList();
    others.addAddress('10.0.0.1');
    const strict = await listen(t, { ...loopback, proxyProtocol: others });
    t.equal(await closed(connect(strict.port, '127.0.0.1').end(header)), '');
    t.equal(strict.accepted.length, 0);
  });
});

t.test('unix sockets', async (t) => {
  const path = join(directory, 'a.sock');
  const endpoint = { kind: 'unix', path, mode: 0o600 } as const;

  t.test('one that a killed process left is replaced', async (t) => {
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    t.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }));
    t.ok(existsSync(path));
    const { oneAccepted } = await listen(t, endpoint);
    const socket = connect(path);
    t.teardown(() => socket.destroy());
    await oneAccepted();
  });

  t.test('one that is in use is left alone', async (t) => {
    const used = join(directory, 'used.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(used, resolve));
    t.teardown(() => server.close());
    await t.rejects(
      network.listen({ ...endpoint, path: used }, () => sink),
      {
        code: 'PLATFORM_LISTEN_FAILED',
        message: /another process is listening/,
      },
    );
    t.ok(existsSync(used));
  });

  t.test('a file that is no socket is left alone, and a path too long is told', async (t) => {
    const plain = join(directory, 'plain');
    writeFileSync(plain, 'mine');
    await t.rejects(
      network.listen({ ...endpoint, path: plain }, () => sink),
      { code: 'PLATFORM_LISTEN_FAILED' },
    );
    t.equal(readFileSync(plain, 'utf8'), 'mine');
    const long = join(directory, 'x'.repeat(120));
    await t.rejects(
      network.listen({ ...endpoint, path: long }, () => sink),
      {
        code: 'PLATFORM_SOCKET_PATH_TOO_LONG',
      },
    );
  });
});
