// The client against bytes: what it sends, what it waits for, how it ends.

import { Buffer } from 'node:buffer';
import t from 'tap';
import type { WeirError } from '../../../src/model/errors.ts';
import { encodeAck } from '../../../src/protocol/mqtt/ack.ts';
import { MqttClient, type MqttClientOptions } from '../../../src/protocol/mqtt/client.ts';
import { PacketCarry } from '../../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, decodePacket, encodePacket } from '../../../src/protocol/mqtt/packet.ts';

interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
}

class Harness {
  nowMs = 0;
  sends = 0;
  closes = 0;
  readonly sent: ControlPacket[] = [];
  readonly failures: WeirError[] = [];
  readonly messages: Message[] = [];
  readonly connected: boolean[] = [];
  onMessage: (message: Message) => void | Promise<void> = () => undefined;
  readonly client: MqttClient;
  readonly #carry = new PacketCarry();

  constructor(options: Partial<MqttClientOptions> = {}) {
    this.client = new MqttClient(
      { clientId: 'c', keepAliveSeconds: 60, cleanSession: true, inflightMax: 2, ...options },
      { send: (bytes) => this.#taken(bytes), close: () => this.closes++, nowMs: () => this.nowMs },
      {
        onConnected: (sessionPresent) => this.connected.push(sessionPresent),
        onMessage: (message) => {
          this.messages.push(message);
          return this.onMessage(message);
        },
        onFailed: (error) => this.failures.push(error),
      },
    );
  }

  #taken(bytes: Uint8Array): void {
    this.sends++;
    const chunk = Buffer.from(bytes);
    for (let at = 0; at < chunk.length; ) {
      at = this.#carry.fill(chunk, { at, end: chunk.length, packetBytesMax: 1_000_000 }) as number;
      if (!this.#carry.isWhole) continue;
      const decoded = decodePacket(this.#carry.take());
      if (!decoded.ok) throw new Error(decoded.detail);
      this.sent.push(decoded.packet);
    }
  }

  give(...packets: (ControlPacket | Buffer)[]): void {
    const bytes = Buffer.concat(packets.map((packet) => (Buffer.isBuffer(packet) ? packet : encodePacket(packet))));
    this.client.receive(bytes, bytes.length);
  }

  connect(): void {
    this.client.start();
    this.give({ cmd: 'connack', returnCode: 0, sessionPresent: false });
    this.sent.length = 0;
  }

  commands(): readonly string[] {
    return this.sent.map((packet) =>
      packet.messageId === undefined ? packet.cmd : `${packet.cmd} ${packet.messageId}`,
    );
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const code = (error: WeirError): string => error.code;
const publish = (messageId: number, qos: 0 | 1 | 2 = 1): ControlPacket => ({
  cmd: 'publish',
  topic: 't',
  payload: `p${messageId}`,
  qos,
  dup: false,
  retain: false,
  messageId,
});

t.test('start sends CONNECT with the credentials and CONNACK connects', async (t) => {
  const h = new Harness({ username: 'u', password: 'p', cleanSession: false, keepAliveSeconds: 180 });
  h.client.start();
  t.match(h.sent[0], {
    cmd: 'connect',
    clientId: 'c',
    username: 'u',
    clean: false,
    keepalive: 180,
    protocolVersion: 4,
  });
  h.give({ cmd: 'connack', returnCode: 0, sessionPresent: true });
  t.same(h.connected, [true]);
});

t.test('a refused CONNECT fails with its return code and closes the link', async (t) => {
  for (const [returnCode, retryable] of [
    [5, false],
    [3, true],
  ] as const) {
    const h = new Harness();
    h.client.start();
    h.give({ cmd: 'connack', returnCode, sessionPresent: false });
    t.equal(h.failures[0]?.code, 'MQTT_REFUSED');
    t.equal(h.failures[0]?.retryable, retryable);
    t.equal(h.closes, 1);
  }
});

t.test('anything but CONNACK first is a protocol error', async (t) => {
  const h = new Harness();
  h.client.start();
  h.give({ cmd: 'pingresp' });
  t.equal(h.failures[0]?.code, 'MQTT_PROTOCOL_ERROR');
});

t.test('no CONNACK in time fails', async (t) => {
  const h = new Harness();
  h.client.start();
  h.nowMs = 29_999;
  h.client.tick();
  t.equal(h.failures.length, 0);
  h.nowMs = 30_000;
  h.client.tick();
  t.equal(h.failures[0]?.code, 'MQTT_TIMEOUT');
  t.equal(h.closes, 1);
});

t.test('QoS 1 resolves on PUBACK, the window holds the rest back, and order is kept', async (t) => {
  const h = new Harness();
  h.connect();
  const done: number[] = [];
  const all = [1, 2, 3, 4].map((n) =>
    h.client.publish({ topic: 't', payload: Buffer.from(`${n}`), qos: 1 }).then(() => done.push(n)),
  );
  await settled();
  t.same(h.commands(), ['publish 1', 'publish 2']);
  t.equal(h.sends, 2, 'CONNECT, then one send for both');
  h.give(encodeAck(4, 2));
  await settled();
  t.same(done, [2]);
  t.same(h.commands(), ['publish 1', 'publish 2', 'publish 3']);
  h.give(encodeAck(4, 1), encodeAck(4, 3));
  h.give(encodeAck(4, 4));
  await Promise.all(all);
  t.same(done, [2, 1, 3, 4]);
});

t.test('a publish before CONNACK waits for it', async (t) => {
  const h = new Harness();
  h.client.start();
  const sent = h.client.publish({ topic: 't', payload: Buffer.from('x'), qos: 0 });
  await settled();
  t.same(h.commands(), ['connect']);
  h.give({ cmd: 'connack', returnCode: 0, sessionPresent: false });
  await sent;
  t.same(h.commands(), ['connect', 'publish']);
});

t.test('everything under way rejects with MQTT_LINK_LOST when the stream ends', async (t) => {
  const h = new Harness({ inflightMax: 1 });
  h.connect();
  const message = { topic: 't', payload: Buffer.from('x'), qos: 1 as const };
  const outcomes = [
    h.client.publish(message),
    h.client.publish(message),
    h.client.subscribe([{ filter: 'f', qos: 1 }]),
  ];
  h.client.closed();
  h.client.closed();
  outcomes.push(h.client.publish(message));
  for (const outcome of outcomes) t.equal(await outcome.then(() => 'resolved', code), 'MQTT_LINK_LOST');
  t.equal(h.failures.length, 0);
});

t.test('invalid messages are rejected without harm to the link', async (t) => {
  const h = new Harness();
  h.connect();
  for (const topic of ['', 'a/#', 'a\u0000']) {
    const outcome = await h.client.publish({ topic, payload: Buffer.alloc(0), qos: 1 }).then(() => 'resolved', code);
    t.equal(outcome, 'MQTT_MESSAGE_INVALID');
  }
  const large = await h.client.publish({ topic: 't', payload: Buffer.alloc(262_145), qos: 1 }).then(() => '', code);
  t.equal(large, 'MQTT_MESSAGE_INVALID');
  t.equal(h.failures.length, 0);
});

t.test('more than the waiting bound is rejected', async (t) => {
  const h = new Harness();
  const message = { topic: 't', payload: Buffer.alloc(0), qos: 1 as const };
  const waiting = Array.from({ length: 10_000 }, () => h.client.publish(message).catch(code));
  t.equal(await h.client.publish(message).catch(code), 'MQTT_QUEUE_FULL');
  h.client.closed();
  t.same(new Set(await Promise.all(waiting)), new Set(['MQTT_LINK_LOST']));
});

t.test('subscribe resolves with the granted codes', async (t) => {
  const h = new Harness();
  h.connect();
  const granted = h.client.subscribe([
    { filter: 'a', qos: 1 },
    { filter: 'b', qos: 0 },
  ]);
  await settled();
  t.match(h.sent[0], {
    cmd: 'subscribe',
    subscriptions: [
      { topic: 'a', qos: 1 },
      { topic: 'b', qos: 0 },
    ],
  });
  h.give({ cmd: 'suback', messageId: 1, granted: [1, 128] });
  t.same(await granted, [1, 128]);
});

t.test('PUBACKs leave in order of arrival, each after its promise', async (t) => {
  const h = new Harness();
  h.connect();
  const release: (() => void)[] = [];
  h.onMessage = () => new Promise((resolve) => release.push(resolve));
  h.give(publish(7), publish(8), publish(0, 0));
  await settled();
  t.same(
    h.messages.map((message) => message.payload.toString()),
    ['p7', 'p8', 'p0'],
  );
  t.same(h.commands(), []);
  release[1]?.();
  await settled();
  t.same(h.commands(), []);
  release[0]?.();
  await settled();
  t.same(h.commands(), ['puback 7', 'puback 8']);
});

t.test('a consumer that fails ends the link without acknowledging', async (t) => {
  const h = new Harness();
  h.connect();
  h.onMessage = () => {
    throw new RangeError('disk full');
  };
  h.give(publish(7));
  await settled();
  t.same(h.commands(), []);
  t.equal(h.failures[0]?.code, 'MQTT_CONSUMER_FAILED');
  t.equal(h.closes, 1);
});

t.test('input byte by byte is the same as input at once', async (t) => {
  const h = new Harness();
  h.client.start();
  const bytes = Buffer.concat([
    encodePacket({ cmd: 'connack', returnCode: 0, sessionPresent: false }),
    encodePacket(publish(3)),
  ]);
  const one = Buffer.alloc(1);
  for (const byte of bytes) {
    one[0] = byte;
    h.client.receive(one, 1);
  }
  await settled();
  t.equal(h.messages[0]?.payload.toString(), 'p3');
  t.same(h.commands(), ['connect', 'puback 3']);
});

t.test('the keep-alive pings after silence and gives a dead peer up', async (t) => {
  const h = new Harness({ keepAliveSeconds: 10 });
  h.connect();
  h.nowMs = 7_000;
  h.client.tick();
  t.same(h.commands(), []);
  h.nowMs = 7_500;
  h.client.tick();
  t.same(h.commands(), ['pingreq']);
  h.give({ cmd: 'pingresp' });
  h.nowMs = 15_000;
  h.client.tick();
  t.same(h.commands(), ['pingreq', 'pingreq']);
  h.nowMs = 24_999;
  h.client.tick();
  t.equal(h.failures.length, 0);
  h.nowMs = 25_000;
  h.client.tick();
  t.equal(h.failures[0]?.code, 'MQTT_TIMEOUT');
});

t.test('a keep-alive of 0 never pings', async (t) => {
  const h = new Harness({ keepAliveSeconds: 0 });
  h.connect();
  h.nowMs = 1_000_000;
  h.client.tick();
  t.same(h.commands(), []);
});

const nonsense: readonly [string, string][] = [
  ['40020063', 'PUBACK of a packet not under way'],
  ['4003000100', 'PUBACK too long'],
  ['41020001', 'PUBACK with flags'],
  ['9003000101', 'SUBACK of nothing'],
  ['3407000174000170ff', 'a QoS 2 message'],
  ['30ffffffff01', 'a length of five bytes'],
  ['30ffffff7f', 'a packet over the bound'],
  ['300300 05 61', 'a topic longer than its packet'],
  ['20020000', 'a second CONNACK'],
  ['c000', 'PINGREQ from a server'],
];

t.test('nonsense from the server ends the link with a protocol error', async (t) => {
  for (const [hex, why] of nonsense) {
    const h = new Harness();
    h.connect();
    h.give(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    t.same(h.failures.map(code), ['MQTT_PROTOCOL_ERROR'], why);
    t.equal(h.closes, 1);
  }
});

t.test('disconnect sends DISCONNECT and what was queued before it', async (t) => {
  const h = new Harness();
  h.connect();
  await h.client.publish({ topic: 't', payload: Buffer.from('x'), qos: 0 });
  h.client.disconnect();
  t.same(h.commands(), ['publish', 'disconnect']);
  h.give(publish(1));
  t.equal(h.messages.length, 0, 'nothing is taken afterwards');
});
