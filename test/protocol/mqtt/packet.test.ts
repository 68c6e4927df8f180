// Control packets: what decodes, what is refused, and that every cut is refused without an exception.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { packetType } from '../../../src/protocol/mqtt/frame.ts';
import {
  type ControlPacket,
  decodePacket,
  encodeAck,
  encodePacket,
  peekProtocolLevel,
} from '../../../src/protocol/mqtt/packet.ts';

const packets: readonly ControlPacket[] = [
  { cmd: 'connect', clientId: 'a', clean: true, keepalive: 60, protocolVersion: 4, protocolId: 'MQTT' },
  {
    cmd: 'connect',
    clientId: 'device/module',
    clean: false,
    keepalive: 0,
    protocolVersion: 4,
    protocolId: 'MQTT',
    username: 'hub/device/module/?api-version=2021-04-12',
    password: Buffer.from('SharedAccessSignature sr=…'),
    will: { topic: 'w/ü', payload: Buffer.from([0, 255]), qos: 1, retain: true },
  },
  { cmd: 'connack', returnCode: 0, sessionPresent: true },
  {
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [
      { topic: 'a/#', qos: 1 },
      { topic: '\ufffd', qos: 0 },
    ],
  },
  { cmd: 'suback', messageId: 1, granted: [1, 128] },
  { cmd: 'unsubscribe', messageId: 65_535, unsubscriptions: ['a/#', 'b'] },
];

t.test('what was encoded decodes to the same values', async (t) => {
  for (const packet of packets) {
    const decoded = decodePacket(encodePacket(packet));
    if (!decoded.ok) throw new Error(`${packet.cmd}: ${decoded.detail}`);
    t.match(decoded.packet, packet, packet.cmd);
  }
});

t.test(
  'a packet cut anywhere, its length corrected, is refused or a shorter valid one, never an exception',
  async (t) => {
    for (const packet of packets) {
      const whole = encodePacket(packet);
      for (let length = 0; length < whole.length - 2; length++) {
        const cut = Buffer.concat([whole.subarray(0, 1), Buffer.from([length]), whole.subarray(2, 2 + length)]);
        const decoded = decodePacket(cut);
        if (decoded.ok)
          t.ok(['subscribe', 'unsubscribe', 'suback'].includes(packet.cmd), `${packet.cmd} cut to ${length}`);
      }
      for (let length = 0; length < whole.length; length++) t.notOk(decodePacket(whole.subarray(0, length)).ok);
      t.notOk(decodePacket(Buffer.concat([whole, Buffer.from([0])])).ok, 'a byte too many');
    }
  },
);

const refused: readonly [string, string][] = [
  ['10 0f 0004 4d515454 04 03 003c 0001 61 0000', 'reserved connect flag [MQTT-3.1.2-3]'],
  ['10 0d 0004 4d515454 04 06 003c 0001 61', 'will flag without will'],
  ['10 0d 0004 4d515454 04 0a 003c 0001 61', 'will QoS without will [MQTT-3.1.2-13]'],
  ['10 0d 0004 4d515454 04 22 003c 0001 61', 'will retain without will [MQTT-3.1.2-15]'],
  ['10 13 0004 4d515454 04 1e 003c 0001 61 0001 62 0001 63', 'will QoS 3 [MQTT-3.1.2-14]'],
  ['10 10 0004 4d515454 04 42 003c 0001 61 0001 62', 'password without user name [MQTT-3.1.2-22]'],
  ['10 0e 0004 4d515454 04 02 003c 0001 61 62', 'bytes behind the last field'],
  ['10 0d 0004 4d515454 04 02 003c 0001 ff', 'client id not UTF-8 [MQTT-3.1.3-4]'],
  ['10 0d 0004 4d515454 04 02 003c 0001 00', 'U+0000 in the client id [MQTT-1.5.3-2]'],
  ['11 0d 0004 4d515454 04 02 003c 0001 61', 'reserved header flags [MQTT-2.2.2-2]'],
  ['82 02 0001', 'SUBSCRIBE without filters [MQTT-3.8.3-3]'],
  ['82 06 0000 0001 61 00', 'SUBSCRIBE with packet id 0 [MQTT-2.3.1-1]'],
  ['82 06 0001 0001 61 03', 'SUBSCRIBE to QoS 3 [MQTT-3.8.3-4]'],
  ['82 06 0001 0001 61 04', 'SUBSCRIBE with reserved bits'],
  ['82 05 0001 0001 61', 'SUBSCRIBE without QoS'],
  ['80 06 0001 0001 61 00', 'SUBSCRIBE with wrong header flags [MQTT-3.8.1-1]'],
  ['82 06 0001 0001 ff 00', 'filter not UTF-8'],
  ['82 08 0001 0003 eda080 00', 'a surrogate in a filter [MQTT-1.5.3-1]'],
  ['82 08 0001 0003 f09f98 00', 'a filter that ends within a character'],
  ['a2 02 0001', 'UNSUBSCRIBE without filters [MQTT-3.10.3-2]'],
  ['a2 05 0000 0001 61', 'UNSUBSCRIBE with packet id 0'],
  ['f0 00', 'packet type 15'],
  ['00 00', 'packet type 0'],
];

t.test('what the specification forbids is refused', async (t) => {
  for (const [hex, why] of refused) t.notOk(decodePacket(Buffer.from(hex.replaceAll(' ', ''), 'hex')).ok, why);
});

t.test('name and level of a CONNECT are known before the rest is believed', async (t) => {
  const level = (hex: string): unknown => peekProtocolLevel(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 2);
  t.same(level('10 0d 0004 4d515454 05 ff'), { name: 'MQTT', level: 5 });
  t.same(level('10 0d 0006 4d5149736470 03'), { name: 'MQIsdp', level: 3 });
  t.equal(level('10 0d 0004 4d5154'), undefined);
  t.equal(level('10 0d 0004 4d515454'), undefined);
  t.equal(level('10 0d ffff 4d515454 04'), undefined);
  t.equal(level('10 00'), undefined);
});

t.test('an acknowledgement is four bytes', async (t) => {
  t.equal(encodeAck(packetType.puback, 0x0102).toString('hex'), '40020102');
  t.equal(encodeAck(packetType.pubrel, 0xffff).toString('hex'), '6202ffff');
});
