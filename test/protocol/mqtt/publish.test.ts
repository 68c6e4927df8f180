// The PUBLISH view and writer, held against mqtt-packet.

import { Buffer } from 'node:buffer';
import t, { type Test } from 'tap';
import { lengthFieldBytes } from '../../../src/protocol/mqtt/frame.ts';
import { decodePacket, encodePacket } from '../../../src/protocol/mqtt/packet.ts';
import { PublishView, publishBytes, type Qos, writePublish } from '../../../src/protocol/mqtt/publish.ts';

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

t.test('a topic that is not UTF-8 has no text', async (t) => {
  for (const bytes of ['c3', 'eda080', 'f0288cbc', 'c080']) {
    const topic = Buffer.from(bytes, 'hex');
    const packet = Buffer.concat([Buffer.from([0x30, 2 + topic.length, 0, topic.length]), topic]);
    t.equal(viewOf(packet).topic(), undefined, bytes);
  }
});
