// The generator against weir's engine, against its own sink, and against a broker that does wrong on purpose:
// a checker that would not notice is worth nothing.

import { Buffer } from 'node:buffer';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { generate, type Packet, parser } from 'mqtt-packet';
import t, { type Test } from 'tap';
import { Broker } from '../../src/broker/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { Program } from '../support/world/program.ts';
import { figure, type Result } from './figures.ts';
import { generatorFile, load } from './load.ts';

const run = promisify(execFile);
const host = '127.0.0.1';
const startTimeoutMs = 180_000;

if (!existsSync(generatorFile)) t.bailout(`${generatorFile} is missing: make dev builds it`);

async function engine(t: Test): Promise<number> {
  const clock = systemClock();
  const broker = new Broker({
    network: systemNetwork(),
    clock,
    log: createLog({ clock, level: 'error', write: (line) => t.comment(line) }),
    metrics: createMetrics(),
    authenticator: {
      authenticate: async ({ clientId }) => ({
        admitted: true,
        principal: { name: clientId, identity: undefined },
        expiresAtMs: undefined,
      }),
    },
    authoriser: { epoch: 0, mayPublish: () => true, maySubscribe: () => true },
  });
  await broker.start();
  const listener = await broker.listen('tcp', { kind: 'tcp', host, port: 0 });
  t.teardown(() => broker.close());
  return 'port' in listener.address ? listener.address.port : 0;
}

const clean = { lost: 0, duplicates: 0, reordered: 0, misrouted: 0, damaged: 0, refused: 0, closed: 0 };

for (const version of [4, 5])
  for (const qos of [0, 1, 2])
    t.test(`weir hands on every message of every shape: QoS ${qos}, protocol level ${version}`, async (t) => {
      const port = await engine(t);
      for (const [shape, expected] of [
        [{ topology: 'fanin', publishers: 5 }, 2000],
        [{ topology: 'fanout', subscribers: 5 }, 10_000],
        [{ topology: 'pairs', publishers: 5 }, 2000],
      ] as const) {
        const asked = { port, version, qos, count: 2000, warmup: 0, seconds: 30, bytes: 40, window: 16, ...shape };
        const result = await load(asked);
        t.match(
          result,
          { ...clean, sent: 2000, expected, received: expected, acked: qos === 0 ? 0 : 2000 },
          shape.topology,
        );
      }
    });

t.test('open loop sends what is due at the rate that is asked for', async (t) => {
  const port = await engine(t);
  const result = await load({ port, qos: 1, rate: 1000, count: 400, warmup: 0, seconds: 30, publishers: 4, bytes: 64 });
  t.match(result, { ...clean, received: 400, rate: 1000 });
  t.ok((figure(result, 'latencyUs.p99') ?? 0) > 0);
  t.ok((figure(result, 'sendLagUs.p50') ?? -1) >= 0);
});

t.test('sessions that are away keep their messages, and take them in order when they come back', async (t) => {
  const port = await engine(t);
  for (const qos of [1, 2]) {
    const asked = { port, qos, publishers: 4, subscribers: 2, count: 1000, bytes: 32, 'client-id': `away-${qos}` };
    t.match(await load({ mode: 'queue', ...asked }), { sent: 1000, acked: 1000, refused: 0, closed: 0 });
    const drained = await load({ mode: 'drain', ...asked });
    t.match(drained, { received: 1000, lost: 0, duplicates: 0, reordered: 0, damaged: 0 });
  }
});

t.test('retained messages are stored, looked up one by one and found by a wildcard', async (t) => {
  const port = await engine(t);
  const result = await load({ mode: 'retain', port, count: 500, bytes: 32 });
  t.match(result, { count: 500, refused: 0, lookups: 500, found: 500, wildcardFound: 500 });
});

t.test('handshakes and idle connections are counted', async (t) => {
  const port = await engine(t);
  const churn = await load({ mode: 'connect', port, warmup: 0, seconds: 2, concurrency: 4, sources: 4 });
  t.match(churn, { failed: 0 });
  t.ok((figure(churn, 'connectsPerSecond') ?? 0) > 0);
  const idle = await load({ mode: 'idle', port, count: 50, hold: 0, subscribe: 1, sources: 4, pid: process.pid });
  t.match(idle, { connections: 50, answered: 50, closed: 0 });
  t.ok((figure(idle, 'rssAfterKb') ?? 0) > 0);
});

t.test('the sink answers as a broker does', async (t) => {
  for (const [version, qos] of [
    [4, 0],
    [5, 1],
    [4, 2],
  ] as const) {
    const sink = new Program([generatorFile, '--mode', 'sink', '--port', '0', '--version', String(version)], {});
    t.teardown(() => sink.end('SIGKILL'));
    const { port } = JSON.parse(await sink.line('port', startTimeoutMs)) as { port: number };
    const asked = { port, version, qos, count: 3000, warmup: 0, seconds: 30, publishers: 3, topology: 'pairs' };
    t.match(await load(asked), { ...clean, sent: 3000, received: 3000 });
  }
});

/** Forwards to the one subscriber what `fate` makes of each message. */
async function scripted(t: Test, fate: (payload: Buffer, number: number) => readonly Buffer[]): Promise<number> {
  let subscriber: Socket | undefined;
  let topic = '';
  let number = 0;
  const server = createServer((socket) => {
    const answer = (packet: Packet): void => void socket.write(generate(packet));
    const input = parser().on('packet', (packet) => {
      if (packet.cmd === 'connect') answer({ cmd: 'connack', returnCode: 0, sessionPresent: false });
      if (packet.cmd === 'subscribe') {
        subscriber = socket;
        answer({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [0] });
      }
      if (packet.cmd !== 'publish') return;
      topic = packet.topic;
      for (const payload of fate(Buffer.from(packet.payload), number++))
        subscriber?.write(generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }));
    });
    socket.on('data', (bytes: Buffer) => void input.parse(bytes));
    socket.on('error', () => undefined);
  });
  server.listen({ host, port: 0 });
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

function against(port: number): Promise<Result> {
  return load({ port, count: 10, window: 20, warmup: 0, seconds: 30, drain: 5, bytes: 24 });
}

t.test('a lost message is found', async (t) => {
  const port = await scripted(t, (payload, number) => (number === 3 || number === 9 ? [] : [payload]));
  t.match(await against(port), { ...clean, sent: 10, received: 8, lost: 2 });
});

t.test('a doubled message is found, at once and later', async (t) => {
  let first: Buffer | undefined;
  const port = await scripted(t, (payload, number) => {
    first ??= payload;
    if (number === 5) return [payload, payload];
    return number === 9 ? [payload, first] : [payload];
  });
  t.match(await against(port), { ...clean, received: 10, duplicates: 2 });
});

t.test('a message out of order is told apart from a lost and from a doubled one', async (t) => {
  let held: Buffer | undefined;
  const port = await scripted(t, (payload, number) => {
    if (number === 2) held = payload;
    if (number === 2) return [];
    return number === 6 && held !== undefined ? [payload, held] : [payload];
  });
  t.match(await against(port), { ...clean, received: 10, reordered: 1 });
});

t.test('a payload that was changed is found', async (t) => {
  const port = await scripted(t, (payload, number) => {
    if (number === 4) payload[20] = 0;
    return [payload];
  });
  t.match(await against(port), { ...clean, received: 10, damaged: 1 });
});

t.test('wrong use is told with its mend', async (t) => {
  for (const [args, said] of [
    [['--qos', '3'], /--qos is 0, 1 or 2/],
    [['--host', '192.0.2.1'], /loopback/],
    [['--bytes', '8'], /at least 16/],
    [['--speed', '8'], /no option --speed/],
    [['--mode', 'fly'], /no --mode fly/],
    [['--rate', 'much'], /not a number/],
  ] as const) {
    const failure = await run(generatorFile, args).then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    );
    t.equal(failure?.code, 2);
    t.match(failure?.stderr, said);
  }
});
