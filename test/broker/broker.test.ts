// The broker over real sockets, with mqtt.js and with weir's own client.

import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import t, { type Test } from 'tap';
import { Broker } from '../../src/broker/broker.ts';
import type { BrokerLimits } from '../../src/broker/broker-limits.ts';
import type { TopicProtocol } from '../../src/broker/ports.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics, type Metrics } from '../../src/platform/metrics.ts';
import { type DialEndpoint, systemNetwork } from '../../src/platform/net.ts';
import { MqttClient } from '../../src/protocol/mqtt/client.ts';
import { admit, everybody, StubService } from './broker-harness.ts';

interface Running {
  readonly broker: Broker;
  readonly port: number;
  readonly socketPath: string;
  readonly metrics: Metrics;
}

async function running(t: Test, service?: TopicProtocol, limits?: Partial<BrokerLimits>): Promise<Running> {
  const clock = systemClock();
  const metrics = createMetrics();
  const broker = new Broker(
    {
      network: systemNetwork(),
      clock,
      log: createLog({ clock, level: 'error', write: (line) => t.comment(line) }),
      metrics,
      authenticator: {
        authenticate: async ({ clientId, username, listener }) =>
          username === 'nobody'
            ? { admitted: false, reason: 'bad-credentials', detail: 'nobody' }
            : admit(`${listener}:${username ?? clientId}`),
      },
      authoriser: everybody,
      ...(service === undefined ? {} : { service }),
    },
    limits,
  );
  await broker.start();
  const tcp = await broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
  // A socket's path may have 107 bytes: too few for tap's own directories.
  const directory = mkdtempSync(join(tmpdir(), 'weir-broker-'));
  const socketPath = join(directory, 'mqtt.sock');
  await broker.listen('unix', { kind: 'unix', path: socketPath, mode: 0o666 });
  t.teardown(async () => {
    await broker.close();
    rmSync(directory, { recursive: true });
  });
  return { broker, port: 'port' in tcp.address ? tcp.address.port : 0, socketPath, metrics };
}

class Collector {
  readonly lines: string[] = [];
  #waiting: { count: number; resolve: () => void } | undefined;

  add(line: string): void {
    this.lines.push(line);
    if (this.#waiting !== undefined && this.lines.length >= this.#waiting.count) this.#waiting.resolve();
  }

  atLeast(count: number): Promise<void> {
    if (this.lines.length >= count) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = { count, resolve };
    });
  }
}

async function js(
  t: Test,
  port: number,
  options: mqtt.IClientOptions,
): Promise<{ client: mqtt.MqttClient; messages: Collector }> {
  const messages = new Collector();
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options });
  client.on('message', (topic, payload, packet) =>
    messages.add(`${topic} ${payload} q${packet.qos}${packet.retain ? ' retained' : ''}`),
  );
  t.teardown(() => client.endAsync(true));
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.once('error', reject);
  });
  return { client, messages };
}

interface Own {
  readonly client: MqttClient;
  readonly messages: Collector;
  readonly ended: Promise<string>;
  close(): void;
  pause(): void;
}

function own(
  t: Test,
  endpoint: DialEndpoint,
  options: { clientId: string; cleanSession?: boolean; username?: string },
): Promise<Own> {
  const clock = systemClock();
  const messages = new Collector();
  return new Promise((resolve) => {
    let ended: (reason: string) => void = () => undefined;
    const end = new Promise<string>((done) => (ended = done));
    const connection = systemNetwork().dial(endpoint, {
      onOpen: () => client.start(),
      onData: (chunk, length) => client.receive(chunk, length),
      onDrain: () => undefined,
      onClose: () => {
        client.closed();
        ended('closed');
      },
    });
    t.teardown(() => connection.destroy());
    const give = (): void =>
      resolve({ client, messages, ended: end, close: () => connection.end(), pause: () => connection.pause() });
    const client: MqttClient = new MqttClient(
      { cleanSession: true, keepAliveSeconds: 60, inflightMax: 100, ...options },
      {
        send: (bytes) => void connection.write(bytes),
        close: () => connection.end(),
        nowMs: () => clock.monotonicMs(),
      },
      {
        onConnected: (present) => {
          messages.lines.push(...(present ? ['session present'] : []));
          give();
        },
        onMessage: ({ topic, payload, qos }) => messages.add(`${topic} ${payload} q${qos}`),
        onFailed: (error) => {
          ended(error.code);
          give();
        },
      },
    );
  });
}

t.test('mqtt.js and our client talk through TCP and the unix socket at QoS 0, 1 and 2', async (t) => {
  const { port, socketPath, broker } = await running(t);
  const { client, messages } = await js(t, port, { clientId: 'js' });
  const ours = await own(t, { kind: 'unix', path: socketPath }, { clientId: 'ours', username: 'u' });
  await client.subscribeAsync({ 'to/js/+': { qos: 2 } });
  t.same(await ours.client.subscribe([{ filter: 'to/ours/#', qos: 1 }]), [1]);
  await ours.client.publish({ topic: 'to/js/0', payload: Buffer.from('zero'), qos: 0 });
  await ours.client.publish({ topic: 'to/js/1', payload: Buffer.from('one'), qos: 1 });
  await client.publishAsync('to/js/2', 'two', { qos: 2 });
  await messages.atLeast(3);
  t.same(messages.lines, ['to/js/0 zero q0', 'to/js/1 one q1', 'to/js/2 two q2']);
  await client.publishAsync('to/ours/0', 'zero');
  await client.publishAsync('to/ours/2', 'two', { qos: 2 });
  await ours.messages.atLeast(2);
  t.same(ours.messages.lines, ['to/ours/0 zero q0', 'to/ours/2 two q1']);
  t.same(
    broker
      .connectedClients()
      .map(({ clientId, principal }) => `${clientId} ${principal}`)
      .sort(),
    ['js tcp:js', 'ours unix:u'],
  );
});

t.test('mqtt.js speaks MQTT 5 with the broker: properties, aliases, shares, reason codes', async (t) => {
  const { port } = await running(t);
  const version5 = { protocolVersion: 5 as const };
  const a = await js(t, port, { ...version5, clientId: 'a', properties: { topicAliasMaximum: 4 } });
  const b = await js(t, port, {
    ...version5,
    clientId: 'b',
    autoUseTopicAlias: true,
    properties: { receiveMaximum: 2 },
  });
  const old = await js(t, port, { clientId: 'old' });
  const seen: mqtt.IPublishPacket[] = [];
  a.client.on('message', (_topic, _payload, packet) => seen.push(packet));
  await a.client.subscribeAsync('v5/#', { qos: 2, properties: { subscriptionIdentifier: 7 } });
  await old.client.subscribeAsync('v5/#', { qos: 1 });
  const properties = { contentType: 'text/plain', responseTopic: 'r', userProperties: { k: ['1', '2'] } };
  for (let n = 0; n < 20; n++) await b.client.publishAsync('v5/many', `${n}`, { qos: (n % 3) as 0 | 1 | 2 });
  await b.client.publishAsync('v5/one', 'x', { qos: 2, properties: { ...properties, messageExpiryInterval: 60 } });
  await a.messages.atLeast(21);
  await old.messages.atLeast(21);
  t.same(
    old.messages.lines.map((line) => line.split(' ')[1]),
    [...Array.from({ length: 20 }, (_, n) => `${n}`), 'x'],
  );
  t.match(seen.at(-1)?.properties, { ...properties, messageExpiryInterval: 60, subscriptionIdentifier: 7 });
  const answers: mqtt.Packet[] = [];
  b.client.on('packetreceive', (packet) => answers.push(packet));
  await b.client.publishAsync('nobody', 'x', { qos: 1 });
  t.match(answers, [{ cmd: 'puback', reasonCode: 0x10 }]);
  await old.client.subscribeAsync('$share/g/shared', { qos: 1 });
  await a.client.subscribeAsync('$share/g/shared', { qos: 1 });
  for (let n = 0; n < 4; n++) await b.client.publishAsync('shared', `${n}`, { qos: 1 });
  await a.messages.atLeast(23);
  await old.messages.atLeast(23);
  t.equal(a.messages.lines.length + old.messages.lines.length, 46, 'each of them once');
});

t.test('a large and fast exchange loses nothing and keeps order', async (t) => {
  const { port } = await running(t);
  const { client, messages } = await js(t, port, { clientId: 'js' });
  await client.subscribeAsync('bulk', { qos: 1 });
  const ours = await own(t, { kind: 'tcp', host: '127.0.0.1', port }, { clientId: 'ours' });
  const filler = 'x'.repeat(20_000);
  const published = Array.from({ length: 1000 }, (_, n) =>
    ours.client.publish({ topic: 'bulk', payload: Buffer.from(n % 50 === 0 ? `${n} ${filler}` : `${n} `), qos: 1 }),
  );
  await Promise.all(published);
  await messages.atLeast(1000);
  t.same(
    messages.lines.map((line) => Number(line.split(' ')[1])),
    Array.from({ length: 1000 }, (_, n) => n),
  );
});

t.test('the largest message passes, one byte more is refused by our client and ends another', async (t) => {
  const { port } = await running(t);
  const { client, messages } = await js(t, port, { clientId: 'js' });
  await client.subscribeAsync('big', { qos: 1 });
  await client.publishAsync('big', Buffer.alloc(262_144, 0x61), { qos: 1 });
  await messages.atLeast(1);
  t.equal(messages.lines[0]?.length, 'big  q1'.length + 262_144);
  const closed = new Promise((resolve) => client.once('close', () => resolve('closed')));
  client.publish('big', Buffer.alloc(262_145), { qos: 0 });
  t.equal(await closed, 'closed');
});

t.test('refused credentials are refused', async (t) => {
  const { port } = await running(t);
  await t.rejects(js(t, port, { clientId: 'js', username: 'nobody' }), { code: 4 });
  const ours = await own(t, { kind: 'tcp', host: '127.0.0.1', port }, { clientId: 'x', username: 'nobody' });
  t.equal(await ours.ended, 'MQTT_REFUSED');
});

t.test('retained messages, wills and a resumed session, as mqtt.js sees them', async (t) => {
  const { port } = await running(t);
  const publisher = await js(t, port, {
    clientId: 'p',
    will: { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false },
  });
  await publisher.client.publishAsync('state', 'on', { retain: true, qos: 1 });
  const first = await js(t, port, { clientId: 's', clean: false });
  await first.client.subscribeAsync(['state', 'queued', 'will'], { qos: 1 });
  await first.messages.atLeast(1);
  t.same(first.messages.lines, ['state on q1 retained']);
  await first.client.endAsync();
  await publisher.client.publishAsync('queued', '1', { qos: 1 });
  await publisher.client.publishAsync('queued', '2', { qos: 1 });
  publisher.client.stream.destroy();
  const second = await own(t, { kind: 'tcp', host: '127.0.0.1', port }, { clientId: 's', cleanSession: false });
  // The principal is the client id here, so the session is the same one.
  await second.messages.atLeast(4);
  t.same(second.messages.lines, ['session present', 'queued 1 q1', 'queued 2 q1', 'will gone q1']);
});

t.test('the second connection of a client id takes over', async (t) => {
  const { port } = await running(t);
  const endpoint = { kind: 'tcp', host: '127.0.0.1', port } as const;
  const first = await own(t, endpoint, { clientId: 'same' });
  const second = await own(t, endpoint, { clientId: 'same' });
  t.equal(await first.ended, 'closed');
  await second.client.publish({ topic: 't', payload: Buffer.from('x'), qos: 1 });
});

t.test('back-pressure: a service that settles slowly slows the publisher and loses nothing', async (t) => {
  const service = new StubService();
  const { socketPath } = await running(t, service, { inflightInboundMax: 8 });
  const ours = await own(t, { kind: 'unix', path: socketPath }, { clientId: 'ours' });
  const published = Array.from({ length: 200 }, (_, n) =>
    ours.client.publish({ topic: `$svc/${n}`, payload: Buffer.alloc(2000), qos: 1 }),
  );
  const topics: string[] = [];
  let peak = 0;
  while (topics.length < 200) {
    await new Promise((resolve) => setImmediate(resolve));
    peak = Math.max(peak, service.publishes.length);
    for (const { publish, resolve } of service.publishes.splice(0).reverse()) {
      topics.push(publish.topic);
      resolve();
    }
  }
  await Promise.all(published);
  t.equal(peak, 8, 'never more than the bound, and the bound is used');
  t.equal(new Set(topics).size, 200);
});

t.test('a client that never reads costs bounded memory and nobody else', async (t) => {
  const { port, metrics } = await running(t, undefined, { outputBytesMax: 400_000 });
  const deaf = await own(t, { kind: 'tcp', host: '127.0.0.1', port }, { clientId: 'deaf' });
  const quick = await js(t, port, { clientId: 'quick' });
  await deaf.client.subscribe([{ filter: 'flood', qos: 0 }]);
  await quick.client.subscribeAsync('done', { qos: 1 });
  deaf.pause();
  const { client } = await js(t, port, { clientId: 'p' });
  const payload = Buffer.alloc(50_000);
  for (let n = 0; n < 400; n++) await client.publishAsync('flood', payload);
  await client.publishAsync('done', 'done', { qos: 1 });
  await quick.messages.atLeast(1);
  const value = (name: string): number => metrics.snapshot().find((sample) => sample.name === name)?.value ?? 0;
  t.ok(value('weir_broker_output_bytes') <= 450_000, `${value('weir_broker_output_bytes')} bytes wait`);
  t.ok(value('weir_broker_output_bytes') > 300_000, 'and the bound was reached');
  const dropped = metrics.snapshot().filter(({ name }) => name === 'weir_broker_dropped_total');
  t.ok((dropped.find(({ labels }) => labels['reason'] === 'slow-client')?.value ?? 0) > 20);
});

t.test('close ends the clients, waits for them, and frees the port', async (t) => {
  const { broker, port, socketPath } = await running(t);
  const ours = await own(t, { kind: 'unix', path: socketPath }, { clientId: 'ours' });
  const other = await own(t, { kind: 'tcp', host: '127.0.0.1', port }, { clientId: 'other' });
  const lost = ours.client.publish({ topic: 't', payload: Buffer.from('x'), qos: 1 }).catch((error) => error.code);
  await Promise.all([broker.close(), ours.ended, other.ended]);
  t.ok(['MQTT_LINK_LOST', undefined].includes(await lost));
  t.same(broker.connectedClients(), []);
  const again = await systemNetwork().listen({ kind: 'tcp', host: '127.0.0.1', port }, () => {
    throw new Error('nobody comes');
  });
  await again.close();
});
