// `weir broker` put together, behind a proxy: who may tell whose connection it is, and who is told about the others.

import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { startBroker } from '../src/standalone.ts';

const connectPacket = Buffer.from('101000044d5154540402003c000470726f78', 'hex');
const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0a80001c0a8000bea60075b', 'hex');

async function serve(t: Test, trustedProxies: readonly string[]) {
  const lines: string[] = [];
  const running = await startBroker({
    configPath: undefined,
    options: {
      listen: ['tcp://127.0.0.1:0'],
      proxyProtocol: ['tcp://127.0.0.1:0'],
      trustedProxies,
      allowAnonymous: true,
    },
    writeLog: (line) => lines.push(line),
  });
  t.teardown(() => running.close());
  return { port: Number(new URL(running.listeners[0] ?? '').port), lines };
}

/** What is answered to `bytes` until the connection has four bytes or is closed. */
function answerTo(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.on('data', (chunk) => {
      answer += chunk.toString('hex');
      if (answer.length >= 8) socket.destroy();
    });
  });
}

t.test('the client has the address that its proxy tells', async (t) => {
  const { port, lines } = await serve(t, ['127.0.0.0/8']);
  t.equal(await answerTo(port, Buffer.concat([header, connectPacket])), '20020000');
  t.match(lines.join(''), /client connected client=prox .*remote=192\.168\.0\.1:60000/);
});

t.test('without a header nobody comes in, and a line tells why', async (t) => {
  const { port, lines } = await serve(t, ['127.0.0.0/8']);
  t.equal(await answerTo(port, connectPacket), '');
  t.equal(await answerTo(port, connectPacket), '');
  const told = lines.filter((line) => line.includes('connection refused'));
  t.equal(told.length, 1, 'one line for many');
  t.match(told[0], /remote=127\.0\.0\.1:\d+ .*reason=proxy-header-bad detail="there is none" leftOut=0/);
});

t.test('who is no proxy is believed nothing', async (t) => {
  const { port, lines } = await serve(t, ['10.0.0.0/8', 'fd00::/8']);
  t.equal(await answerTo(port, Buffer.concat([header, connectPacket])), '');
  t.match(lines.join(''), /connection refused .*reason=proxy-not-trusted/);
});
