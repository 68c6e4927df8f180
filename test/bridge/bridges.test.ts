// Bridges against another broker in memory: what is stored, what is subscribed, in which dialect, and what comes in.

import t, { type Test } from 'tap';
import { type BridgeOptions, Bridges } from '../../src/bridge/bridges.ts';
import type { LocalMessage, TakenMessage } from '../../src/bridge/ports.ts';
import type { Message } from '../../src/model/message.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Connection, ConnectionSink, Network } from '../../src/platform/net.ts';
import { type MqttVersion, PacketCarry } from '../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, decodePacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

/** The other broker: takes the CONNECTs it is told to, and shows what it was sent. */
class Other {
  readonly dials: Dialled[] = [];

  get last(): Dialled {
    return this.dials[this.dials.length - 1] as Dialled;
  }
}

class Dialled {
  readonly sent: ControlPacket[] = [];
  readonly #sink: ConnectionSink & { onOpen?(): void };
  readonly #carry = new PacketCarry();
  version: MqttVersion = 4;
  protocolByte = 0;
  closed = false;

  constructor(sink: ConnectionSink & { onOpen?(): void }) {
    this.#sink = sink;
  }

  take(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk);
    for (let at = 0; at < bytes.length; ) {
      at = this.#carry.fill(bytes, { at, end: bytes.length, packetBytesMax: 1_000_000 }) as number;
      if (!this.#carry.isWhole) continue;
      const packet = this.#carry.take();
      if (packet[0] === 0x10) this.protocolByte = packet[8] ?? 0;
      if (packet[0] === 0x10) this.version = ((packet[8] ?? 0) & 0x7f) as MqttVersion;
      const decoded = decodePacket(packet[0] === 0x10 ? withoutBridgeBit(packet) : packet, this.version);
      if (!decoded.ok) throw new TypeError(decoded.detail);
      this.sent.push(decoded.packet);
    }
  }

  give(...packets: ControlPacket[]): void {
    const bytes = Buffer.concat(packets.map((packet) => encodePacket(packet, this.version)));
    this.#sink.onData(bytes, bytes.length);
  }

  accept(): void {
    this.give({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.#sink.onClose());
  }

  names(): string[] {
    return this.sent.splice(0).map((packet) => {
      if (packet.cmd === 'publish')
        return `publish ${packet.topic} ${packet.payload}${packet.retain ? ' retained' : ''}`;
      if (packet.cmd === 'subscribe') return `subscribe ${packet.subscriptions.map(({ topic }) => topic)}`;
      if (packet.cmd === 'unsubscribe') return `unsubscribe ${packet.unsubscriptions}`;
      return packet.cmd;
    });
  }
}

function withoutBridgeBit(packet: Buffer): Buffer {
  const plain = Buffer.from(packet);
  plain[8] = (plain[8] ?? 0) & 0x7f;
  return plain;
}

function world(t: Test, options: Partial<BridgeOptions> & { readonly version?: 4 | 5 } = {}) {
  const clock = new SimClock();
  const other = new Other();
  const stored: { queue: string; message: Message; timeToLiveMs: number | undefined }[] = [];
  const delivered: LocalMessage[] = [];
  const documents = new Map<string, string>();
  const failures = { put: undefined as Error | undefined, deliver: undefined as Error | undefined };
  const network: Network = {
    listen: () => Promise.reject(new Error('nobody listens')),
    dial: (_, sink) => {
      const dialled = new Dialled(sink);
      other.dials.push(dialled);
      queueMicrotask(() => sink.onOpen?.());
      const connection: Partial<Connection> = {
        write: (chunk) => {
          dialled.take(chunk);
          return true;
        },
        end: () => dialled.close(),
        destroy: () => dialled.close(),
      };
      return connection as Connection;
    },
  };
  const bridges = new Bridges(
    {
      network,
      clock,
      entropy: seededEntropy(1),
      log: createLog({ clock, level: 'error', write: () => undefined }),
      metrics: createMetrics(),
      documents: {
        state: async (key) => documents.get(key),
        saveState: async (key, value) => void documents.set(key, value),
      },
      queue: {
        put: async (queue, message, { timeToLiveMs }) => {
          if (failures.put !== undefined) throw failures.put;
          stored.push({ queue, message, timeToLiveMs });
        },
      },
      local: {
        deliver: (message) => {
          if (failures.deliver !== undefined) throw failures.deliver;
          delivered.push(message);
          return Promise.resolve();
        },
      },
    },
    {
      deviceId: 'gw1',
      bridges: [
        {
          broker: {
            name: 'plant',
            host: 'plant.example',
            port: 1883,
            tls: undefined,
            clientId: 'weir-gw1-plant',
            username: undefined,
            password: undefined,
            version: options.version,
            keepAliveSeconds: 30,
          },
          rules: options.rules ?? [
            { direction: 'out', topic: '#', inPrefix: 'hall/', outPrefix: 'site/' },
            { direction: 'in', topic: 'orders/#', inPrefix: '', outPrefix: '' },
          ],
          telemetryTopic: options.telemetryTopic,
          timeToLiveMs: options.timeToLiveMs,
        },
      ],
    },
  );
  t.teardown(() => bridges.close());
  const [bridge] = bridges.all;
  if (bridge === undefined) throw new TypeError('there is a bridge');
  return { bridges, bridge, other, stored, delivered, documents, failures, clock };
}

const taken = (topic: string, payload: string, more: Partial<TakenMessage> = {}): TakenMessage => ({
  topic,
  payload: Buffer.from(payload),
  qos: 1,
  retain: false,
  propertyBytes: Buffer.alloc(0),
  expiresInMs: undefined,
  origin: undefined,
  ...more,
});

t.test('what goes out is stored under its name there, and sent with what it had', async (t) => {
  const { bridges, bridge, other, stored } = world(t, { timeToLiveMs: 60_000 });
  t.ok(bridges.takes('hall/a'));
  t.notOk(bridges.takes('other'));
  const propertyBytes = Buffer.from('\u0003\u0000\u0001x', 'latin1');
  await bridges.take(taken('hall/a', '1', { retain: true, propertyBytes, expiresInMs: 5000 }));
  await bridges.take(taken('hall/a', '2', { qos: 0 }));
  await bridges.take(taken('hall/a', '3', { origin: 'plant' }));
  t.strictSame(
    stored.map(({ queue, timeToLiveMs }) => [queue, timeToLiveMs]),
    [
      ['bridge/plant', 5000],
      ['bridge/plant', 60_000],
    ],
    'what came over the bridge does not go back',
  );
  const endpoint = bridge.topicEndpoint();
  t.notOk(endpoint.isReady);
  await t.rejects(endpoint.send([]), { code: 'BRIDGE_OFFLINE' });
  await bridges.start();
  await settle();
  other.last.accept();
  await settle();
  t.ok(endpoint.isReady);
  const batch = stored.map(({ message }, index) => ({ message, hop: { stream: 's', sequence: index + 1 } }));
  other.last.sent.length = 0;
  const sending = endpoint.send(batch);
  await settle();
  t.match(other.last.sent, [
    {
      cmd: 'publish',
      topic: 'site/a',
      qos: 1,
      retain: true,
      properties: { contentType: 'x', messageExpiryInterval: Number },
    },
    { cmd: 'publish', topic: 'site/a', qos: 1, retain: false },
  ]);
  other.last.give({ cmd: 'puback', messageId: 2, reasonCode: 0 }, { cmd: 'puback', messageId: 3, reasonCode: 0 });
  t.equal(await sending, 2);
});

t.test('a refusal by the store is the publisher’s to repeat, except at QoS 0', async (t) => {
  const { bridges, failures } = world(t);
  failures.put = new Error('no disk');
  await t.rejects(bridges.take(taken('hall/a', '1')), { message: 'no disk' });
  await bridges.take(taken('hall/a', '1', { qos: 0 }));
});

t.test('the other broker is spoken to in what it understands', async (t) => {
  const { bridges, other, clock } = world(t);
  await bridges.start();
  await settle();
  t.equal(other.last.protocolByte, 5);
  other.last.give({ cmd: 'connack', returnCode: 1, reasonCode: 0x84, sessionPresent: false });
  await settle();
  await clock.advance(2000);
  await settle();
  t.equal(other.last.protocolByte, 0x84, '3.1.1 with the bridge bit');
  other.last.close();
  await settle();
  await clock.advance(5000);
  await settle();
  t.equal(other.last.protocolByte, 4, 'plain 3.1.1');
  t.match(other.last.sent, [{ cmd: 'connect', clean: false, clientId: 'weir-gw1-plant' }]);
  const dials = other.dials.length;
  other.last.accept();
  await settle();
  t.match(other.last.names(), ['connect', 'subscribe orders/#']);
  other.last.close();
  await settle();
  await clock.advance(40_000);
  await settle();
  t.ok(other.dials.length > dials);
  t.equal(other.last.protocolByte, 4, 'what was understood is kept');
});

t.test('filters of the twin come and go, also over a restart', async (t) => {
  const one = world(t);
  await one.bridges.start();
  await settle();
  one.other.last.accept();
  await settle();
  t.match(one.other.last.names(), ['connect', 'subscribe orders/#']);
  one.other.last.give({ cmd: 'suback', messageId: 1, granted: [1] });
  const path = 'mqttBroker.bridges';
  const bad = one.bridges.setBridges(
    [
      { endpoint: '$upstream', settings: [] },
      { endpoint: 'plant', settings: [{ direction: 'up', topic: 'a' }], x: 1 },
    ],
    path,
  );
  t.strictSame(
    bad.map((problem) => problem.path.slice(path.length)),
    ['[0].endpoint', '[0].settings', '[1].x', '[1].settings[0].direction'],
  );
  const epoch = one.bridges.epoch;
  t.strictSame(
    one.bridges.setBridges([{ endpoint: 'plant', settings: [{ direction: 'in', topic: 'alerts/#' }] }], path),
    [],
  );
  t.not(one.bridges.epoch, epoch);
  await settle();
  t.match(one.other.last.names(), ['subscribe orders/#,alerts/#']);
  one.other.last.give({ cmd: 'suback', messageId: 2, granted: [1, 1] });
  await settle();
  one.bridges.setBridges(undefined, path);
  await settle();
  t.match(one.other.last.names(), ['unsubscribe alerts/#']);
});

t.test('what comes in is acknowledged when this broker has it, and nothing overtakes what it had not', async (t) => {
  const { bridges, other, delivered, failures } = world(t);
  await bridges.start();
  await settle();
  other.last.accept();
  await settle();
  const publish = (id: number, topic = 'orders/x'): ControlPacket => ({
    cmd: 'publish',
    topic,
    payload: String(id),
    qos: 1,
    messageId: id,
    retain: id === 1,
    dup: false,
  });
  other.last.sent.length = 0;
  other.last.give(publish(1), publish(2, 'elsewhere'));
  await settle();
  t.match(delivered, [{ topic: 'orders/x', retain: true }]);
  t.match(other.last.sent, [
    { cmd: 'puback', messageId: 1 },
    { cmd: 'puback', messageId: 2 },
  ]);
  other.last.sent.length = 0;
  other.last.give({ ...publish(9), payload: 'x'.repeat(262_145) } as ControlPacket);
  await settle();
  t.match(
    other.last.sent,
    [{ cmd: 'puback', messageId: 9 }],
    'what is too large for this broker does not come for ever',
  );
  t.equal(delivered.length, 1);
  const connection = other.last;
  failures.deliver = new Error('the session store is full');
  connection.sent.length = 0;
  connection.give(publish(3));
  failures.deliver = undefined;
  connection.give(publish(4));
  await settle();
  t.equal(delivered.length, 1, 'the one behind it waits for it');
  t.strictSame(connection.sent, []);
  t.ok(connection.closed, 'both come again with the next connection');
});

t.test('a hostile document of bridges costs bounded work', async (t) => {
  const { bridges } = world(t);
  const settings = Array.from({ length: 100_000 }, () => ({ direction: 'in', topic: '#/#' }));
  for (const document of [
    settings,
    [{ endpoint: 'plant', settings }],
    Array(10_000).fill({ endpoint: 'plant', settings: [] }),
    {},
    7,
  ]) {
    const problems = bridges.setBridges(document as never, 'p');
    t.ok(problems.length > 0 && problems.length <= 100);
  }
});
