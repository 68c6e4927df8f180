// The PUBLISH view and writer, held against mqtt-packet.

import { Buffer } from 'node:buffer';
import t, { type Test } from 'tap';
import { lengthFieldBytes } from '../../../src/protocol/mqtt/frame.ts';
import { decodePacket, encodePacket } from '../../../src/protocol/mqtt/packet.ts';
import {
  type PublishHeader,
  PublishView,
  publishBytes,
  type Qos,
  writePublish,
} from '../../../src/protocol/mqtt/publish.ts';

function viewOf(packet: Buffer): PublishView {
  const view = new PublishView();
  const from = 1 + lengthFieldBytes(packet, 1, packet.length);
  t.equal(view.read(packet, { firstByte: packet[0]!, from, to: packet.length }), undefined);
  return view;
}

const payloads = [0, 1, 47, 48, 49, 120, 121, 127, 128, 16_383, 20_000];

t.test('the view reads what mqtt-packet wrote, and the writer writes what mqtt-packet reads', async (t) => {
  for (const size of payloads) {
    for (const qos of [0, 1, 2] as const) {
      const payload = Buffer.alloc(size, 0x61);
      const packet = encodePacket({
        cmd: 'publish',
        topic: 'a/ü',
        payload,
        qos,
        retain: size % 2 === 0,
        dup: qos > 0,
        messageId: qos > 0 ? 513 : undefined,
      } as never);
      const view = viewOf(packet);
      t.equal(view.topic(), 'a/ü');
      t.equal(view.qos, qos);
      t.equal(view.retain, size % 2 === 0);
      t.equal(view.duplicate, qos > 0);
      t.equal(view.packetId, qos > 0 ? 513 : 0);
      t.same(view.payload(), payload);
      for (let lower = 0 as number; lower <= qos; lower++) writeAndCompare(t, { view, qos: lower as Qos, payload });
      writeAndCompare(t, { view: view.kept(), qos, payload });
    }
  }
});

function writeAndCompare(t: Test, wanted: { view: PublishView; qos: Qos; payload: Buffer }): void {
  const { view, qos, payload } = wanted;
  const target = Buffer.alloc(publishBytes(view, qos) + 3, 0xee);
  const end = writePublish(view, { qos, retain: true, duplicate: qos > 0, packetId: 0x1234 }, { target, at: 2 });
  t.equal(end, target.length - 1, 'fills exactly the room announced');
  t.equal(target[end], 0xee);
  const decoded = decodePacket(target.subarray(2, end));
  if (!decoded.ok || decoded.packet.cmd !== 'publish') throw new Error('not a publish');
  t.match(decoded.packet, { topic: 'a/ü', qos, retain: true, dup: qos > 0 });
  t.same(decoded.packet.payload, payload);
  if (qos > 0) t.equal(decoded.packet.messageId, 0x1234);
}

t.test('a packet made from values reads back the same', async (t) => {
  const view = PublishView.of({ topic: 't/1', payload: Buffer.from('x'), qos: 1, retain: false });
  t.equal(view.topic(), 't/1');
  t.equal(view.payload().toString(), 'x');
});

const malformed: readonly [string, string, string][] = [
  ['36 03 0001 61', 'malformed-packet', 'QoS 3 [MQTT-3.3.1-4]'],
  ['38 03 0001 61', 'malformed-packet', 'a duplicate of QoS 0 [MQTT-3.3.1-2]'],
  ['30 00', 'malformed-packet', 'no topic length'],
  ['30 01 00', 'malformed-packet', 'half a topic length'],
  ['30 03 0002 61', 'malformed-packet', 'a topic longer than the packet'],
  ['32 03 0001 61', 'malformed-packet', 'no packet id'],
  ['32 04 0001 61 00', 'malformed-packet', 'half a packet id'],
  ['32 05 0001 61 0000', 'invalid-packet-id', 'packet id 0 [MQTT-2.3.1-1]'],
];

t.test('a malformed PUBLISH is named as such', async (t) => {
  for (const [hex, problem, why] of malformed) {
    const packet = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    t.equal(new PublishView().read(packet, { firstByte: packet[0]!, from: 2, to: packet.length }), problem, why);
  }
});

t.test('a topic that is not UTF-8 or holds U+0000 has no text', async (t) => {
  for (const bytes of ['c3', 'eda080', 'f0288cbc', 'c080', '00', '610062', 'c3bc00']) {
    const topic = Buffer.from(bytes, 'hex');
    const packet = Buffer.concat([Buffer.from([0x30, 2 + topic.length, 0, topic.length]), topic]);
    t.equal(viewOf(packet).topic(), undefined, bytes);
  }
});

function view5(hex: string): { view: PublishView; problem: string | undefined; packet: Buffer } {
  const packet = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const view = new PublishView();
  const from = 1 + lengthFieldBytes(packet, 1, packet.length);
  const problem = view.read(packet, { firstByte: packet[0]!, from, to: packet.length }, 5);
  return { view, problem, packet };
}

const malformed5: readonly [string, string | undefined, string][] = [
  ['30 04 0001 61 00', undefined, 'no properties and no payload'],
  ['30 03 0001 61', 'malformed-packet', 'no property length'],
  ['32 05 0001 61 0001', 'malformed-packet', 'no property length behind the packet id'],
  ['30 05 0001 61 01 01', 'malformed-packet', 'a property cut off'],
  ['30 05 0001 61 02 01', 'malformed-packet', 'a section longer than the packet'],
  ['30 06 0001 61 80 00 78', 'malformed-packet', 'a longer length than need be [MQTT-1.5.5-1]'],
  ['30 06 0001 61 02 01 01', undefined, 'payload format'],
  ['30 06 0001 61 02 01 02', 'protocol-error', 'payload format 2'],
  ['30 08 0001 61 04 01 01 01 01', 'protocol-error', 'payload format twice'],
  ['30 07 0001 61 03 23 0000', 'topic-alias-invalid', 'topic alias 0 [MQTT-3.3.2-8]'],
  ['30 06 0000 03 23 0001', undefined, 'an alias for the topic'],
  ['30 03 0000 00', 'protocol-error', 'neither topic nor alias'],
  ['30 06 0001 61 02 0b 01', 'protocol-error', 'a subscription identifier from a client [MQTT-3.3.4-6]'],
  ['30 06 0001 61 02 17 01', 'malformed-packet', 'a property of another packet'],
  ['30 06 0001 61 02 7f 01', 'malformed-packet', 'an unknown property'],
  ['30 08 0001 61 04 08 0001 2b', 'protocol-error', 'a wildcard in the response topic [MQTT-3.3.2-14]'],
  ['30 07 0001 61 03 08 0000', 'protocol-error', 'an empty response topic'],
  ['30 08 0001 61 04 03 0001 ff', 'malformed-packet', 'a content type that is not UTF-8'],
];

t.test('the properties of a PUBLISH of MQTT 5 are judged', async (t) => {
  for (const [hex, problem, why] of malformed5) t.equal(view5(hex).problem, problem, why);
});

const out5 = { qos: 0, retain: false, duplicate: false, packetId: 0, version: 5, expirySeconds: undefined } as const;

function wire(view: PublishView, header: Partial<PublishHeader> = {}): string {
  const whole = { ...out5, ...header };
  const target = Buffer.alloc(publishBytes(view, whole));
  return writePublish(view, whole, { target, at: 0 }) === target.length ? target.toString('hex') : 'another length';
}

const format = '0101';
const alias = '230007';
const expiry = '020000003c';
const pair = '2600016100 0162'.replace(' ', '');
const type = '0300 0178'.replace(' ', '');

/** Properties as received, and what of them goes on. */
const normalised: readonly [string[], string[]][] = [
  [[format], [format]],
  [[alias], []],
  [[expiry], []],
  [[alias, expiry], []],
  [
    [alias, format, pair],
    [format, pair],
  ],
  [
    [format, pair, expiry],
    [format, pair],
  ],
  [[expiry, format, alias], [format]],
  [
    [format, expiry, pair],
    [format, pair],
  ],
  [
    [pair, alias, pair, expiry, type, pair],
    [pair, pair, type, pair],
  ],
];

t.test('what belongs to one hop is taken out of the properties, the rest goes on in its order', async (t) => {
  for (const [received, rest] of normalised) {
    const section = Buffer.from(received.join(''), 'hex');
    const packet = `30 ${(section.length + 7).toString(16).padStart(2, '0')} 0003 612f62 ${section.length
      .toString(16)
      .padStart(2, '0')} ${section.toString('hex')} 79`;
    const { view, problem, packet: bytes } = view5(packet);
    t.equal(problem, undefined, packet);
    t.equal(view.topicAlias, received.includes(alias) ? 7 : 0);
    t.equal(view.expirySeconds, received.includes(expiry) ? 60 : undefined);
    t.equal(view.declaresText, received.includes(format));
    const wanted = Buffer.from(rest.join(''), 'hex');
    const head = Buffer.from([0x30, wanted.length + 7, 0, 3, 0x61, 0x2f, 0x62, wanted.length]);
    const on = Buffer.concat([head, wanted, Buffer.from('y')]).toString('hex');
    t.equal(wire(view), on);
    const kept = view.kept();
    const canonical = view.canonical();
    bytes.fill(0xee);
    t.equal(wire(kept), on, 'kept');
    t.equal(kept.kept(), kept);
    t.equal(kept.expirySeconds, view.expirySeconds);
    const restored = PublishView.fromCanonical(canonical, { qos: 1, retain: true, expiresAtMs: 5 });
    t.equal(wire(restored), on, 'stored');
    t.match(restored, { qos: 1, retain: true, expiresAtMs: 5, expirySeconds: undefined });
    t.equal(wire(restored, { qos: 1, packetId: 9, version: 4 }), '3208 0003612f62 0009 79'.replaceAll(' ', ''));
  }
});

t.test('a plain packet of MQTT 5 is its topic, a zero and the payload, whoever sent it', async (t) => {
  const plain5 = '30 06 0001 61 00 78 79';
  const { view } = view5(plain5);
  const view4 = PublishView.of({ topic: 'a', payload: Buffer.from('xy'), qos: 1, retain: false });
  for (const source of [view, view.kept(), view4, view4.kept()]) {
    t.equal(wire(source), plain5.replaceAll(' ', ''));
    t.equal(wire(source, { version: 4 }), '30050001617879');
  }
});

t.test('an alias stands for the topic it was told for', async (t) => {
  const { view, problem } = view5('32 09 0000 0005 03 23 0007 78');
  t.equal(problem, undefined);
  t.equal(view.topicAlias, 7);
  t.equal(view.packetId, 5);
  view.useTopic(Buffer.from('0003612f62', 'hex'));
  t.equal(view.topic(), 'a/b');
  const on = '32 09 0003 612f62 0007 00 78'.replaceAll(' ', '');
  t.equal(wire(view, { qos: 1, packetId: 7 }), on);
  t.equal(wire(view.kept(), { qos: 1, packetId: 7 }), on);
  t.equal(view.kept().topic(), 'a/b');
  t.equal(view.canonical().toString('hex'), '0003612f620078');
});

t.test('a receiver gets its own alias, expiry and subscription identifiers', async (t) => {
  const { view } = view5('31 0b 0001 61 06 0101 03 0001 78 79');
  t.equal(view.retain, true);
  const own = { topicAlias: 2, expirySeconds: 4_294_967_295, subscriptionIds: [1, 128], retain: true };
  const section = '13 230002 02ffffffff 0b01 0b8001 0101 03000178';
  t.equal(wire(view, own), `31 18 0001 61 ${section} 79`.replaceAll(' ', ''));
  t.equal(wire(view, { ...own, omitTopic: true }), `31 17 0000 ${section} 79`.replaceAll(' ', ''));
  t.equal(wire(view, { ...own, version: 4, topicAlias: 0 }), '310400016179', 'nothing of it before MQTT 5');
});

t.test('a message made from values has their properties', async (t) => {
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 9,
    contentType: 'text/ü',
    responseTopic: 're/ply',
    correlationData: Buffer.from([0, 255]),
    userProperties: { a: ['1', '', '2'], b: '' },
  };
  const view = PublishView.of({ topic: 'a', payload: Buffer.from('x'), qos: 1, retain: false, properties });
  t.same(view.properties(), {
    ...properties,
    userProperties: Object.assign(Object.create(null), properties.userProperties),
  });
  t.equal(view.declaresText, true);
  t.equal(view.expirySeconds, 9);
  const { messageExpiryInterval, ...rest } = properties;
  t.ok(messageExpiryInterval);
  const again = view5(wire(view, { qos: 1, packetId: 1 })).view;
  t.same(JSON.parse(JSON.stringify(again.properties())), JSON.parse(JSON.stringify(rest)));
  const propertyBytes = Buffer.from(pair + type + pair, 'hex');
  const will = PublishView.of({ topic: 'a', payload: Buffer.alloc(0), qos: 0, retain: false, propertyBytes });
  t.equal(wire(will), `30160001 61 12 ${propertyBytes.toString('hex')}`.replaceAll(' ', ''));
});

t.test('a payload is held against its format indicator on request', async (t) => {
  const payload = Buffer.from([0xc3, 0x28]);
  const of = (payloadFormatIndicator: boolean): PublishView =>
    PublishView.of({ topic: 'a', payload, qos: 0, retain: false, properties: { payloadFormatIndicator } });
  t.equal(of(true).isPayloadAsDeclared(), false);
  t.equal(of(false).isPayloadAsDeclared(), true);
  t.equal(view5('30 08 0001 61 02 01 01 c3 bc').view.isPayloadAsDeclared(), true);
  t.equal(view5('30 07 0001 61 02 01 01 c3').view.isPayloadAsDeclared(), false);
});
