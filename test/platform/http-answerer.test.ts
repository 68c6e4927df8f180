// HTTP beside MQTT over WebSocket on one port, over real sockets.

import { getEventListeners } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { webSocketHeaderBytesMax } from '../../src/limits.ts';
import type { HttpRequest, HttpResponse } from '../../src/platform/http.ts';
import { HttpAnswerer } from '../../src/platform/http-answerer.ts';
import { type Connection, systemNetwork } from '../../src/platform/net.ts';

const bodyBytesMax = 100_000;

async function stage(
  t: Test,
  options: {
    readonly handler?: (request: HttpRequest) => Promise<HttpResponse>;
    readonly connectionsMax?: number;
    readonly requestMsMax?: number;
    readonly fastPath?: boolean;
  } = {},
) {
  const echo = async ({ method, segments, body }: HttpRequest): Promise<HttpResponse> => ({
    status: 200,
    body: JSON.stringify({ method, segments, bytes: body.length }),
  });
  const { handler = echo, connectionsMax = 8, requestMsMax = 120_000, fastPath = true } = options;
  const answerer = new HttpAnswerer({ handler, bodyBytesMax, connectionsMax, requestMsMax });
  const upgraded: Connection[] = [];
  const listener = await systemNetwork({ fastPath }).listen(
    { kind: 'tcp', host: '127.0.0.1', port: 0, websocket: true, http: answerer },
    (connection) => {
      upgraded.push(connection);
      return { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };
    },
  );
  t.teardown(async () => {
    answerer.close();
    await listener.close();
    for (const connection of upgraded) connection.destroy();
  });
  const port = 'port' in listener.address ? listener.address.port : 0;
  return { port, answerer, upgraded };
}

function post(port: number, path: string, { body = '', agent }: { body?: string; agent?: Agent } = {}) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method: 'POST', ...(agent === undefined ? {} : { agent }) };
    const outgoing = request(options, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function dial(t: Test, port: number): { readonly socket: Socket; readonly closed: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(text))) };
}

for (const fastPath of [true, false]) {
  t.test(`requests are answered on the port of WebSocket, ${fastPath ? 'on handles' : 'on sockets'}`, async (t) => {
    const { port, upgraded } = await stage(t, { fastPath });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.teardown(() => agent.destroy());
    for (const body of ['', 'x', 'y'.repeat(90_000)]) {
      const { status, text } = await post(port, '/a/b%2Fc', { body, agent });
      t.equal(status, 200);
      t.strictSame(JSON.parse(text), { method: 'POST', segments: ['a', 'b/c'], bytes: body.length });
    }
    t.equal((await post(port, '/', { body: 'z'.repeat(bodyBytesMax + 1) })).status, 413);
    t.equal(upgraded.length, 0);
  });
}

t.test('a request for a WebSocket becomes one, also in pieces; the others do not', async (t) => {
  const { port, upgraded } = await stage(t);
  const { socket } = dial(t, port);
  const head =
    'GET /$iothub/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
  const answered = new Promise<string>((resolve) => socket.once('data', (text) => resolve(String(text))));
  socket.write(head.slice(0, 50));
  setImmediate(() => socket.write(head.slice(50)));
  t.match(await answered, /^HTTP\/1\.1 101 /);
  t.equal(upgraded.length, 1);
  t.equal((await post(port, '/')).status, 200);
});

t.test('what is no HTTP is refused, and too large a head', async (t) => {
  const { port } = await stage(t);
  const nonsense = dial(t, port);
  nonsense.socket.write('hello\r\n\r\n');
  t.match(await nonsense.closed, /^HTTP\/1\.1 400 /);
  const large = dial(t, port);
  large.socket.write(`GET / HTTP/1.1\r\nX: ${'x'.repeat(webSocketHeaderBytesMax)}\r\n\r\n`);
  t.match(await large.closed, /^HTTP\/1\.1 431 /);
});

t.test('a request that does not become whole in time is ended, one that is being answered is not', async (t) => {
  let finish = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { port } = await stage(t, {
    requestMsMax: 2000,
    handler: async () => {
      await asked;
      return { status: 200, body: '{}' };
    },
  });
  const slow = dial(t, port);
  slow.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab');
  const patient = post(port, '/');
  await slow.closed;
  finish();
  t.equal((await patient).status, 200);
});

t.test('the number of connections is bounded, and room comes back', async (t) => {
  const { port } = await stage(t, { connectionsMax: 1 });
  const first = dial(t, port);
  first.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  await new Promise((resolve) => first.socket.once('data', resolve));
  const second = dial(t, port);
  second.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  t.equal(await second.closed, '', 'the newcomer is closed');
  first.socket.end();
  await first.closed;
  t.equal((await post(port, '/')).status, 200);
});

t.test('the end closes everything and tells the handlers', async (t) => {
  let began = (): void => undefined;
  const beginning = new Promise<void>((resolve) => {
    began = resolve;
  });
  let aborted = false;
  const { port, answerer } = await stage(t, {
    handler: ({ signal }) => {
      began();
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve({ status: 200 });
        });
      });
    },
  });
  const { socket, closed } = dial(t, port);
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  await beginning;
  answerer.close();
  await closed;
  t.ok(aborted);
  const late = dial(t, port);
  late.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  t.equal(await late.closed, '', 'nobody is taken over any more');
});

t.test('an answer that is longer than the reader is quick leaves nothing behind with each piece', async (t) => {
  const pieces = 40;
  const piece = 'x'.repeat(200_000);
  let listenersMax = 0;
  const { port } = await stage(t, {
    handler: async ({ signal }) => {
      async function* body(): AsyncGenerator<string, void, undefined> {
        for (let n = 0; n < pieces; n++) {
          listenersMax = Math.max(listenersMax, getEventListeners(signal, 'abort').length);
          yield piece;
        }
      }
      return { status: 200, body: body() };
    },
  });
  const bytes = await new Promise<number>((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', path: '/', agent: false }, (incoming) => {
      let sum = 0;
      incoming.on('data', (chunk: Buffer) => {
        sum += chunk.byteLength;
      });
      incoming.on('end', () => resolve(sum));
    });
    asked.on('error', reject);
    asked.end();
  });
  t.equal(bytes, pieces * piece.length);
  t.ok(listenersMax <= 2, `${listenersMax} listeners at most`);
});
