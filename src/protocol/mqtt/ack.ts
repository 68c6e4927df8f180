// PUBACK, PUBREC, PUBREL and PUBCOMP, read and written without objects (§3.4 to §3.7).
//
//   type flags | 2 | packet id (2)                          3.1, 3.1.1, and 5 when the reason is 0
//   type flags | 3 | packet id (2) | reason                 5
//   type flags | n | packet id (2) | reason | properties    5, read only: what is in them is for people
//
// Reason strings are written by encodePacket (packet.ts), because they are rare.

import { Buffer } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';
import { flagsMask, type MqttVersion, packetType, typeShift } from './frame.ts';
import type { PacketRange } from './packet-shape.ts';
import { areFlagsValid, PacketShape } from './packet-shape.ts';
import { readUint16, writeUint16 } from './publish.ts';
import { mayCarryReason, reasonCode } from './reason-codes.ts';

/** Bytes of an acknowledgement without reason, and of UNSUBACK before 5. */
export const ackBytes = 4;
const reasonedAckBytes = 5;
const packetIdBytes = 2;
const pubrelFlags = 0x02;
const version5 = 5;

/** One acknowledgement as read; reused, so that reading allocates nothing. */
export class AckView {
  type = 0;
  packetId = 0;
  /** 0 when there is none. */
  reason = 0;

  /** Reads the packet `buffer[at..end)`, whose fixed header ends at `bodyAt`. */
  read(buffer: Buffer, range: PacketRange, version: MqttVersion = 4): ProtocolProblem | undefined {
    const { at, bodyAt, end } = range;
    const firstByte = buffer[at] as number;
    this.type = firstByte >> typeShift;
    this.reason = reasonCode.success;
    this.packetId = 0;
    if (!areFlagsValid(this.type, firstByte & flagsMask, version)) return 'malformed-packet';
    const bytes = end - bodyAt;
    if (bytes < packetIdBytes) return 'malformed-packet';
    this.packetId = readUint16(buffer, bodyAt);
    if (this.packetId === 0) return 'invalid-packet-id';
    if (bytes === packetIdBytes) return undefined;
    if (version !== version5) return 'malformed-packet';
    this.reason = buffer[bodyAt + packetIdBytes] as number;
    if (!mayCarryReason(this.type, this.reason)) return 'protocol-error';
    if (bytes === packetIdBytes + 1) return undefined;
    return new PacketShape(buffer, range, version).check(firstByte)?.problem;
  }
}

/** Bytes of what writeAck() writes. */
export function ackSize(version: MqttVersion, reason: number): number {
  return version === version5 && reason !== reasonCode.success ? reasonedAckBytes : ackBytes;
}

export interface AckPlaceInBuffer {
  readonly target: Buffer;
  readonly at: number;
  /** Given to receivers of MQTT 5 alone. */
  readonly reason?: number;
  readonly version?: MqttVersion;
}

/** What an acknowledgement of packet type `type` begins with. */
export function ackFirstByte(type: number): number {
  return (type << typeShift) | (type === packetType.pubrel ? pubrelFlags : 0);
}

/** Writes one acknowledgement of ackSize() bytes into `target` at `at`. Returns the offset behind it. */
export function writeAck(type: number, packetId: number, place: AckPlaceInBuffer): number {
  const { target, at, reason = reasonCode.success, version = 4 } = place;
  const bytes = ackSize(version, reason);
  target[at] = ackFirstByte(type);
  target[at + 1] = bytes - 2;
  writeUint16(target, at + 2, packetId);
  if (bytes === reasonedAckBytes) target[at + ackBytes] = reason;
  return at + bytes;
}

/** The same as a packet of its own. */
export function encodeAck(type: number, packetId: number, reason = 0): Buffer {
  const version = reason === reasonCode.success ? 4 : version5;
  const target = Buffer.allocUnsafe(ackSize(version, reason));
  writeAck(type, packetId, { target, at: 0, reason, version });
  return target;
}

/** The packet id of a whole PUBACK without reason at `at`; 0 when something else is there. */
export function plainPubackId(chunk: Buffer, at: number, end: number): number {
  const isPlain =
    chunk[at] === packetType.puback << typeShift && chunk[at + 1] === packetIdBytes && at + ackBytes <= end;
  return isPlain ? readUint16(chunk, at + ackBytes - packetIdBytes) : 0;
}
