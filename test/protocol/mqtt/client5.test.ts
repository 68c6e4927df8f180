// The client in MQTT 5.0 against bytes: what the server's bounds and reasons do, and what it keeps of a message.

import { Buffer } from 'node:buffer';
import t from 'tap';
import type { WeirError } from '../../../src/model/errors.ts';
import { MqttClient, type MqttClientMessage, type MqttClientOptions } from '../../../src/protocol/mqtt/client.ts';
import { PacketCarry } from '../../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, decodePacket, encodePacket } from '../../../src/protocol/mqtt/packet.ts';

class Harness {
  readonly sent: ControlPacket[] = [];
  readonly raw: Buffer[] = [];
  readonly failures: WeirError[] = [];
  readonly messages: MqttClientMessage[] = [];
  readonly client: MqttClient;
  readonly #version: 4 | 5;

  constructor(options: Partial<MqttClientOptions> = {}) {
    this.#version = options.version ?? 5;
    this.client = new MqttClient(
      { clientId: 'c', keepAliveSeconds: 60, cleanSession: false, inflightMax: 8, version: 5, ...options },
      { send: (bytes) => this.#taken(Buffer.from(bytes)), close: () => undefined, nowMs: () => 0 },
      {
        onConnected: () => undefined,
        onMessage: (message) => void this.messages.push(message),
        onFailed: (error) => this.failures.push(error),
      },
    );
    this.client.start();
  }

  #taken(chunk: Buffer): void {
    const carry = new PacketCarry();
    for (let at = 0; at < chunk.length; ) {
      at = carry.fill(chunk, { at, end: chunk.length, packetBytesMax: 1_000_000 }) as number;
      if (!carry.isWhole) continue;
      const packet = carry.take();
      this.raw.push(packet);
      const decoded = decodePacket(packet, this.#version);
      if (decoded.ok) this.sent.push(decoded.packet);
    }
  }

  give(...packets: (ControlPacket | Buffer)[]): void {
    const bytes = Buffer.concat(packets.map((p) => (Buffer.isBuffer(p) ? p : encodePacket(p, 5))));
    this.client.receive(bytes, bytes.length);
  }

  async turn(): Promise<readonly ControlPacket[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.sent.splice(0);
  }
}

const connack = (properties = {}): ControlPacket => ({
  cmd: 'connack',
  reasonCode: 0,
  sessionPresent: true,
  properties,
});
const payload = Buffer.from('x');

t.test('the session is asked for, and the bounds of the server are kept', async (t) => {
  const harness = new Harness({ sessionExpirySeconds: 4_294_967_295 });
  const [connect] = await harness.turn();
  t.match(connect, {
    cmd: 'connect',
    protocolVersion: 5,
    clean: false,
    properties: { sessionExpiryInterval: 4_294_967_295 },
  });
  harness.give(connack({ receiveMaximum: 2, maximumPacketSize: 100 }));
  const outcomes = [1, 2, 3].map(() => harness.client.publish({ topic: 'a', payload, qos: 1, retain: true }));
  const first = await harness.turn();
  t.equal(first.length, 2, 'the third waits for a place');
  t.match(first[0], { cmd: 'publish', retain: true });
  harness.give({ cmd: 'puback', messageId: 1, reasonCode: 0x10 }, { cmd: 'puback', messageId: 2, reasonCode: 0x97 });
  await outcomes[0];
  await t.rejects(outcomes[1] as Promise<void>, { code: 'MQTT_NOT_TAKEN', message: /quota exceeded/, retryable: true });
  t.equal((await harness.turn()).length, 1);
  harness.give({ cmd: 'puback', messageId: 3, reasonCode: 0 });
  await outcomes[2];
  t.ok(harness.client.takesSize({ topic: 'a', payload: Buffer.alloc(60) }));
  t.notOk(harness.client.takesSize({ topic: 'a', payload: Buffer.alloc(100) }));
});

t.test('properties and the retain flag are kept, on the way out and on the way in', async (t) => {
  const harness = new Harness();
  harness.give(connack());
  await harness.turn();
  const properties = { contentType: 'text/plain', userProperties: { a: 'b' } };
  harness.give({
    cmd: 'publish',
    topic: 'in',
    payload: 'x',
    qos: 1,
    messageId: 9,
    retain: true,
    dup: false,
    properties,
  });
  t.match(await harness.turn(), [{ cmd: 'puback', messageId: 9 }]);
  const [message] = harness.messages;
  t.match(message, { topic: 'in', retain: true, qos: 1 });
  const propertyBytes = message?.propertyBytes as Buffer;
  void harness.client
    .publish({ topic: 'out', payload, qos: 1, propertyBytes, expirySeconds: 7 })
    .catch(() => undefined);
  t.match(await harness.turn(), [{ cmd: 'publish', properties: { ...properties, messageExpiryInterval: 7 } }]);
});

t.test('subscriptions carry their options, and both answers are understood', async (t) => {
  const harness = new Harness();
  harness.give(connack());
  await harness.turn();
  const granted = harness.client.subscribe([{ filter: 'a/#', qos: 1, noLocal: true, retainAsPublished: true }]);
  t.match(await harness.turn(), [
    { cmd: 'subscribe', subscriptions: [{ topic: 'a/#', qos: 1, nl: true, rap: true, rh: 0 }] },
  ]);
  harness.give({ cmd: 'suback', messageId: 1, granted: [0x87] });
  t.strictSame(await granted, [0x87]);
  const gone = harness.client.unsubscribe(['a/#']);
  t.match(await harness.turn(), [{ cmd: 'unsubscribe', unsubscriptions: ['a/#'] }]);
  harness.give({ cmd: 'unsuback', messageId: 2, granted: [0] });
  await gone;
});

t.test('a server that ends the connection is quoted, and one of another version recognised', async (t) => {
  const ended = new Harness();
  ended.give(connack());
  ended.give({ cmd: 'disconnect', reasonCode: 0x8b, properties: { reasonString: 'night' } });
  t.match(ended.failures, [{ code: 'MQTT_DISCONNECTED', message: /server shutting down \(night\)/ }]);
  const refused = new Harness();
  refused.give({ cmd: 'connack', reasonCode: 0x86, sessionPresent: false });
  t.match(refused.failures, [{ code: 'MQTT_REFUSED', fields: { returnCode: 0x86 } }]);
  const older = new Harness();
  older.give(Buffer.from('20020001', 'hex'));
  t.match(older.failures, [{ code: 'MQTT_REFUSED', fields: { returnCode: 1 } }], 'a CONNACK of 3.1.1');
  const aliased = new Harness();
  aliased.give(connack());
  aliased.give({
    cmd: 'publish',
    topic: 'in',
    payload: 'x',
    qos: 0,
    retain: false,
    dup: false,
    properties: { topicAlias: 1 },
  });
  t.match(aliased.failures, [{ code: 'MQTT_PROTOCOL_ERROR' }], 'an alias nobody allowed');
});

t.test('the bridge bit of 3.1.1 is in the protocol level', async (t) => {
  const harness = new Harness({ version: 4, bridge: true });
  await harness.turn();
  t.equal(harness.raw[0]?.[8], 0x84);
});
