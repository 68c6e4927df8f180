// Acknowledgements: each written form read back, and what the specification forbids.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { AckView, ackSize, encodeAck, writeAck } from '../../../src/protocol/mqtt/ack.ts';
import { type MqttVersion, packetType } from '../../../src/protocol/mqtt/frame.ts';
import { decodePacket } from '../../../src/protocol/mqtt/packet.ts';
import { mayCarryReason, reasonCode } from '../../../src/protocol/mqtt/reason-codes.ts';

const types = [packetType.puback, packetType.pubrec, packetType.pubrel, packetType.pubcomp];

function read(hex: string, version: MqttVersion): string {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const view = new AckView();
  const problem = view.read(bytes, { at: 0, bodyAt: 2, end: bytes.length }, version);
  return problem ?? `${view.type} ${view.packetId} ${view.reason}`;
}

t.test('what is written is read, by the view and by decodePacket, in every version', async (t) => {
  for (const type of types) {
    for (const version of [3, 4, 5] as const) {
      for (const reason of Object.values(reasonCode).filter((code) => mayCarryReason(type, code))) {
        const target = Buffer.alloc(ackSize(version, reason) + 2, 0xee);
        const end = writeAck(type, 0x1234, { target, at: 1, reason, version });
        t.equal(end, target.length - 1);
        t.equal(target[end], 0xee);
        const view = new AckView();
        t.equal(view.read(target, { at: 1, bodyAt: 3, end }, version), undefined);
        t.same([view.type, view.packetId, view.reason], [type, 0x1234, version === 5 ? reason : 0]);
        const decoded = decodePacket(target.subarray(1, end), version);
        if (!decoded.ok) throw new Error(decoded.detail);
        t.match(decoded.packet, { messageId: 0x1234, ...(version === 5 ? { reasonCode: reason } : {}) });
      }
    }
  }
});

t.test('an acknowledgement of success is four bytes, of anything else five', async (t) => {
  t.equal(encodeAck(packetType.puback, 0x0102).toString('hex'), '40020102');
  t.equal(encodeAck(packetType.pubrel, 0xffff).toString('hex'), '6202ffff');
  t.equal(encodeAck(packetType.pubrec, 1, reasonCode.quotaExceeded).toString('hex'), '5003000197');
});

const rows: readonly [string, MqttVersion, string, string][] = [
  ['40 02 0001', 5, '4 1 0', 'no reason'],
  ['40 03 0001 10', 5, '4 1 16', 'a reason without properties'],
  ['40 04 0001 00 00', 5, '4 1 0', 'a reason and no properties'],
  ['40 0a 0001 87 06 1f 0003 666f6f', 5, '4 1 135', 'a reason string'],
  ['40 03 0001 00', 4, 'malformed-packet', 'a reason before MQTT 5'],
  ['40 01 00', 5, 'malformed-packet', 'half a packet id'],
  ['40 00', 4, 'malformed-packet', 'nothing'],
  ['40 02 0000', 5, 'invalid-packet-id', 'packet id 0'],
  ['40 02 0000', 4, 'invalid-packet-id', 'packet id 0'],
  ['41 02 0001', 5, 'malformed-packet', 'reserved flags [MQTT-2.1.3-1]'],
  ['60 02 0001', 5, 'malformed-packet', 'PUBREL without its flag [MQTT-3.6.1-1]'],
  ['6a 02 0001', 4, 'malformed-packet', 'PUBREL as duplicate'],
  ['6a 02 0001', 3, '6 1 0', 'PUBREL as duplicate in 3.1'],
  ['62 03 0001 92', 5, '6 1 146', 'PUBREL for an unknown id'],
  ['62 03 0001 10', 5, 'protocol-error', "PUBREL with PUBACK's reason"],
  ['40 03 0001 92', 5, 'protocol-error', "PUBACK with PUBREL's reason"],
  ['40 03 0001 01', 5, 'protocol-error', 'an unknown reason'],
  ['40 06 0001 00 02 01 00', 5, 'malformed-packet', 'a property of another packet'],
  ['40 05 0001 00 02 26', 5, 'malformed-packet', 'properties cut off'],
  ['40 05 0001 00 00 00', 5, 'malformed-packet', 'a byte behind the properties'],
  ['40 0c 0001 00 08 1f 0001 61 1f 0001 61', 5, 'protocol-error', 'two reason strings'],
];

t.test('an acknowledgement is judged', async (t) => {
  for (const [hex, version, verdict, why] of rows) {
    t.equal(read(hex, version), verdict, why);
    const decoded = decodePacket(Buffer.from(hex.replaceAll(' ', ''), 'hex'), version);
    const same = decoded.ok ? /^\d/.test(verdict) : decoded.problem === verdict;
    t.ok(same, `${why}: decodePacket says the same`);
  }
});
