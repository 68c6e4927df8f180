// Fixed headers and the carry of cut packets.

import { Buffer } from 'node:buffer';
import t from 'tap';
import {
  lengthFieldBytes,
  lengthFieldSize,
  lengthFieldValue,
  minimalFieldBytes,
  PacketCarry,
  writeLengthField,
} from '../../../src/protocol/mqtt/frame.ts';

// MQTT 3.1.1 table 2.4
const lengths: readonly [number, string][] = [
  [0, '00'],
  [127, '7f'],
  [128, '8001'],
  [16_383, 'ff7f'],
  [16_384, '808001'],
  [2_097_151, 'ffff7f'],
  [2_097_152, '80808001'],
  [268_435_455, 'ffffff7f'],
];

t.test('a remaining length reads and writes as table 2.4 shows', async (t) => {
  for (const [value, hex] of lengths) {
    const bytes = Buffer.from(hex, 'hex');
    t.equal(lengthFieldBytes(bytes, 0, bytes.length), bytes.length, `${value} is ${bytes.length} bytes`);
    t.equal(lengthFieldValue(bytes, 0, bytes.length), value);
    t.equal(lengthFieldSize(value), bytes.length);
    const written = Buffer.alloc(4);
    t.equal(writeLengthField(written, 0, value), bytes.length);
    t.same(written.subarray(0, bytes.length), bytes);
    for (let cut = 0; cut < bytes.length; cut++) t.equal(lengthFieldBytes(bytes, 0, cut), 0, `cut after ${cut}`);
  }
});

t.test('MQTT 5 knows one form of each length, the shortest [MQTT-1.5.5-1]', async (t) => {
  for (const [, hex] of lengths) {
    const bytes = Buffer.from(hex, 'hex');
    t.equal(minimalFieldBytes(bytes, 0, bytes.length), bytes.length, hex);
  }
  for (const hex of ['8000', 'ff00', '808000', 'ffff8000', '80', '8080808001', '']) {
    const bytes = Buffer.from(hex, 'hex');
    t.equal(minimalFieldBytes(bytes, 0, bytes.length), -1, hex);
  }
});

t.test('a fifth length byte is malformed', async (t) => {
  t.equal(lengthFieldBytes(Buffer.from('8080808001', 'hex'), 0, 5), -1);
  const carry = new PacketCarry();
  const bytes = Buffer.from('308080808001', 'hex');
  t.equal(carry.fill(bytes, { at: 0, end: bytes.length, packetBytesMax: 100 }), 'malformed-length');
});

t.test('a packet cut anywhere comes out whole, and what follows it is left', async (t) => {
  const packet = Buffer.concat([Buffer.from([0x30, 0xc8, 0x01]), Buffer.alloc(200, 7)]);
  const stream = Buffer.concat([packet, Buffer.from([0xc0, 0x00])]);
  for (let cut = 1; cut < packet.length; cut++) {
    const carry = new PacketCarry();
    t.equal(carry.fill(stream, { at: 0, end: cut, packetBytesMax: 1000 }), cut);
    if (carry.isWhole) t.fail(`whole after ${cut} of ${packet.length}`);
    const at = carry.fill(stream, { at: cut, end: stream.length, packetBytesMax: 1000 });
    if (at !== packet.length || !carry.isWhole || !carry.take().equals(packet)) t.fail(`cut at ${cut}`);
    if (!carry.isEmpty) t.fail('the carry is empty after take()');
  }
  t.pass('every cut');
});

t.test('an announced length over the bound is refused as soon as it is known', async (t) => {
  const carry = new PacketCarry();
  const bytes = Buffer.from('30ffff7f00', 'hex');
  t.equal(carry.fill(bytes, { at: 0, end: bytes.length, packetBytesMax: 1000 }), 'packet-too-large');
});
