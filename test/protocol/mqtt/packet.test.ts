// Control packets: what decodes, what is refused, and that every cut is refused without an exception.

import { Buffer } from 'node:buffer';
import t from 'tap';
import {
  type ControlPacket,
  decodePacket,
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

/** Bytes, how they are judged, why. CONNECT speaks for itself, everything else is of MQTT 5. */
const judged5: readonly [string, string, string][] = [
  ['10 0e 0004 4d515454 05 02 003c 00 0001 61', 'ok', 'a CONNECT without properties'],
  ['10 0d 0004 4d515454 05 02 003c 0001 61', 'malformed-packet', 'a CONNECT without property length'],
  ['10 11 0004 4d515454 05 42 003c 00 0001 61 0001 62', 'ok', 'a password without user name'],
  ['10 0e 0004 4d515454 05 03 003c 00 0001 61', 'malformed-packet', 'reserved connect flag [MQTT-3.1.2-3]'],
  ['10 0e 0004 4d515454 05 0a 003c 00 0001 61', 'malformed-packet', 'will QoS without will [MQTT-3.1.2-11]'],
  ['10 0e 0004 4d515454 05 22 003c 00 0001 61', 'malformed-packet', 'will retain without will [MQTT-3.1.2-13]'],
  ['10 15 0004 4d515454 05 1e 003c 00 0001 61 00 0001 62 0001 63', 'malformed-packet', 'will QoS 3 [MQTT-3.1.2-12]'],
  ['10 15 0004 4d515454 05 06 003c 00 0001 61 00 0001 62 0001 63', 'ok', 'a will'],
  ['10 17 0004 4d515454 05 06 003c 00 0001 61 02 01 01 0001 62 0001 63', 'ok', 'a will with a property'],
  ['10 17 0004 4d515454 05 06 003c 00 0001 61 02 01 02 0001 62 0001 63', 'protocol-error', 'payload format 2'],
  [
    '10 18 0004 4d515454 05 06 003c 00 0001 61 03 23 0001 0001 62 0001 63',
    'malformed-packet',
    'a will with a topic alias',
  ],
  ['10 10 0004 4d515454 05 02 003c 02 17 01 0001 61', 'ok', 'request problem information'],
  ['10 12 0004 4d515454 05 02 003c 04 17 01 17 01 0001 61', 'protocol-error', 'a property twice'],
  ['10 11 0004 4d515454 05 02 003c 03 21 0000 0001 61', 'protocol-error', 'receive maximum 0'],
  ['10 13 0004 4d515454 05 02 003c 05 27 00000000 0001 61', 'protocol-error', 'maximum packet size 0'],
  ['10 11 0004 4d515454 05 02 003c 03 16 0000 0001 61', 'protocol-error', 'authentication data without a method'],
  ['10 15 0004 4d515454 05 02 003c 07 16 0000 15 0001 6d 0001 61', 'ok', 'authentication data before its method'],
  ['10 13 0004 4d515454 05 02 003c 05 18 00000001 0001 61', 'malformed-packet', "a will's delay beside the will"],
  ['10 0f 0004 4d515454 05 02 003c 01 7f 0001 61', 'malformed-packet', 'an unknown property'],
  [
    '10 0f 0004 4d515454 05 02 003c 8000 0001 61',
    'malformed-packet',
    'a longer property length than need be [MQTT-1.5.5-1]',
  ],
  ['10 0f 0004 4d515454 05 02 003c 00 0001 61 62', 'malformed-packet', 'bytes behind the last field'],
  ['10 0e 0004 4d515454 05 02 003c 00 0001 00', 'malformed-packet', 'U+0000 in the client id [MQTT-1.5.4-2]'],
  ['10 12 0004 4d515454 05 82 003c 00 0001 61 0002 c328', 'malformed-packet', 'a user name that is not UTF-8'],
  ['10 0e 0004 4d515454 06 02 003c 00 0001 61', 'unsupported-protocol', 'level 6'],
  ['10 0e 0004 4d515454 03 02 003c 00 0001 61', 'unsupported-protocol', "3.1's level with another name"],
  ['10 0e 0004 4d515455 05 02 003c 00 0001 61', 'malformed-packet', 'another name'],
  ['82 07 0001 00 0001 61 2e', 'ok', 'all subscription options'],
  ['82 07 0001 00 0001 61 03', 'protocol-error', 'QoS 3'],
  ['82 07 0001 00 0001 61 30', 'protocol-error', 'retain handling 3'],
  ['82 07 0001 00 0001 61 40', 'malformed-packet', 'reserved subscription options [MQTT-3.8.3-5]'],
  ['82 07 0001 00 0001 61 80', 'malformed-packet', 'reserved subscription options [MQTT-3.8.3-5]'],
  ['82 10 0001 00 000a 2473686172652f672f61 04', 'protocol-error', 'no local on a shared subscription [MQTT-3.8.3-4]'],
  ['82 10 0001 00 000a 2473686172652f672f61 01', 'ok', 'a shared subscription'],
  ['82 03 0001 00', 'protocol-error', 'no filters [MQTT-3.8.3-2]'],
  ['82 09 0001 02 0b 00 0001 61 00', 'protocol-error', 'subscription identifier 0'],
  ['82 0b 0001 04 0b 01 0b 01 0001 61 00', 'protocol-error', 'two subscription identifiers'],
  ['82 0a 0001 03 23 0001 0001 61 00', 'malformed-packet', 'a property of another packet'],
  ['82 06 0001 0001 61 00', 'malformed-packet', 'no property length'],
  ['82 07 0000 00 0001 61 00', 'invalid-packet-id', 'packet id 0 [MQTT-2.2.1-3]'],
  ['80 07 0001 00 0001 61 00', 'malformed-packet', 'header flags [MQTT-3.8.1-1]'],
  ['a2 06 0001 00 0001 61', 'ok', 'UNSUBSCRIBE'],
  ['a2 03 0001 00', 'protocol-error', 'no filters [MQTT-3.10.3-2]'],
  ['a2 08 0001 02 0b 01 0001 61', 'malformed-packet', 'a subscription identifier in UNSUBSCRIBE'],
  ['a0 06 0001 00 0001 61', 'malformed-packet', 'header flags [MQTT-3.10.1-1]'],
  ['e0 00', 'ok', 'DISCONNECT of nothing'],
  ['e0 01 04', 'ok', 'a reason alone'],
  ['e0 02 00 00', 'ok', 'no properties'],
  ['e0 07 00 05 11 00000001', 'ok', 'a session expiry interval'],
  ['e0 01 01', 'protocol-error', 'a reason that DISCONNECT has not [MQTT-3.14.2-1]'],
  ['e0 02 00 01', 'malformed-packet', 'properties cut off'],
  ['e0 03 00 00 00', 'malformed-packet', 'a byte too many'],
  ['e1 00', 'malformed-packet', 'header flags [MQTT-3.14.1-1]'],
  ['f0 00', 'ok', 'AUTH of nothing'],
  ['f0 02 00 00', 'ok', 'AUTH of nothing, in full'],
  ['f0 07 00 05 1f 0002 6162', 'protocol-error', 'AUTH of success with properties, without its method'],
  ['f0 06 18 04 15 0001 6d', 'ok', 'AUTH with its method'],
  ['f0 02 18 00', 'protocol-error', 'AUTH without its method'],
  ['f0 01 18', 'protocol-error', 'AUTH with a reason alone'],
  ['f0 06 01 04 15 0001 6d', 'protocol-error', 'a reason that AUTH has not [MQTT-3.15.2-1]'],
  ['f1 06 18 04 15 0001 6d', 'malformed-packet', 'header flags [MQTT-3.15.1-1]'],
  ['c0 01 00', 'malformed-packet', 'PINGREQ with content'],
  ['c1 00', 'malformed-packet', 'header flags'],
  ['00 00', 'malformed-packet', 'packet type 0'],
  ['c0 80 00', 'malformed-length', 'a longer length than need be [MQTT-1.5.5-1]'],
  ['c0 01', 'malformed-length', 'a packet cut off'],
  ['c0', 'malformed-length', 'a header cut off'],
  ['20 03 00 00 00', 'ok', 'CONNACK'],
  ['20 03 02 00 00', 'malformed-packet', 'reserved acknowledge flags [MQTT-3.2.2-1]'],
  ['20 02 00 00', 'malformed-packet', 'CONNACK without property length'],
  ['90 04 0001 00 00', 'ok', 'SUBACK'],
  ['90 03 0001 00', 'protocol-error', 'SUBACK without answers'],
  ['b0 04 0001 00 11', 'ok', 'UNSUBACK'],
  ['b0 02 0001', 'malformed-packet', 'UNSUBACK of 3.1.1'],
];

t.test('a packet of MQTT 5 is judged, and its flaw is named', async (t) => {
  for (const [hex, verdict, why] of judged5) {
    const decoded = decodePacket(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 5);
    t.equal(decoded.ok ? 'ok' : decoded.problem, verdict, `${why}${decoded.ok ? '' : `: ${decoded.detail}`}`);
  }
});

t.test('AUTH is no packet before MQTT 5, and an AUTH of nothing is one of success', async (t) => {
  t.notOk(decodePacket(Buffer.from('f000', 'hex'), 4).ok);
  t.same(decodePacket(Buffer.from('f000', 'hex'), 5), { ok: true, packet: { cmd: 'auth', reasonCode: 0 } });
});

t.test('a request of 3.1 may be a duplicate', async (t) => {
  const bytes = Buffer.from('8a0600010001 6100'.replace(' ', ''), 'hex');
  t.ok(decodePacket(bytes, 3).ok);
  t.notOk(decodePacket(bytes, 4).ok);
});

t.test("the bytes of a will's properties keep their order; delay and expiry are values", async (t) => {
  const properties = ['26 0001 61 0001 31', '18 00000005', '26 0001 62 0000', '02 00000007', '26 0001 61 0001 33'];
  const section = Buffer.from(properties.join('').replaceAll(' ', ''), 'hex');
  const rest = Buffer.concat([
    Buffer.from('00044d5154540506003c000001 61'.replace(' ', ''), 'hex'),
    Buffer.from([section.length]),
    section,
    Buffer.from('000162000163', 'hex'),
  ]);
  const decoded = decodePacket(Buffer.concat([Buffer.from([0x10, rest.length]), rest]));
  if (!decoded.ok || decoded.packet.cmd !== 'connect') throw new Error('not a CONNECT');
  const { will } = decoded.packet;
  t.equal(will?.propertyBytes?.toString('hex'), '260001610001312600016200002600016100 0133'.replace(' ', ''));
  t.match(will?.properties, { willDelayInterval: 5, messageExpiryInterval: 7 });
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
