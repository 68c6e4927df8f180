// Control packets ⇄ values. The one door to mqtt-packet.
//
// mqtt-packet decodes and encodes; what every handshake brings is read by plain-packet.ts instead, to the same
// values. Before it reads a packet packet-shape.ts has judged every byte of it, because
// mqtt-packet lets much pass: text that is not UTF-8 or holds U+0000, bytes behind the last field, packet id 0,
// will QoS 3, properties twice or of another packet, integers longer than they need be.
//
// PUBLISH of clients (publish.ts) and acknowledgements (ack.ts) do not come here.
//
// mqtt-packet's table of all 65,536 numbers would cost 14.6 MiB; it is switched off.

import { Buffer } from 'node:buffer';
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type ISubackPacket,
  type ISubscribePacket,
  type IUnsubscribePacket,
  type Packet,
  parser,
  writeToStream,
} from 'mqtt-packet';
import type { ProtocolProblem } from './errors.ts';
import {
  lengthFieldBytes,
  lengthFieldValue,
  type MqttVersion,
  minimalFieldBytes,
  packetType,
  typeShift,
} from './frame.ts';
import { PacketShape } from './packet-shape.ts';
import { bareDisconnect, plainConnect } from './plain-packet.ts';
import { PropertyWalk, propertyId, willOwner } from './properties.ts';
import { readUint16 } from './publish.ts';

writeToStream.cacheNumbers = false;

/** A will with properties has them as bytes too, in their order, without delay and expiry: what PublishView.of() takes. */
export type ConnectPacket = IConnectPacket & { will?: { propertyBytes?: Buffer } };
export type ControlPacket = Exclude<Packet, IConnectPacket> | ConnectPacket;
export type ConnackPacket = IConnackPacket;
export type SubscribePacket = ISubscribePacket;
export type SubackPacket = ISubackPacket;
export type UnsubscribePacket = IUnsubscribePacket;

export type Decoded =
  | { readonly ok: true; readonly packet: ControlPacket }
  | { readonly ok: false; readonly problem: ProtocolProblem; readonly detail: string };

const version5 = 5;
const duplicateBit = 0x08;

/**
 * Decodes exactly one whole packet of a peer that speaks `version`; a CONNECT says itself what it speaks. The
 * values do not share memory with `bytes`. Never throws.
 */
export function decodePacket(bytes: Buffer, version: MqttVersion = 4): Decoded {
  const bare = bareDisconnect(bytes, version);
  if (bare !== undefined) return { ok: true, packet: bare };
  const bodyAt = 1 + lengthFieldBytes(bytes, 1, bytes.length);
  if (bodyAt < 2 || bytes.length !== bodyAt + lengthFieldValue(bytes, 1, bodyAt - 1)) {
    return failure('malformed-length', 'not one whole packet');
  }
  if (version === version5 && minimalFieldBytes(bytes, 1, bytes.length) === -1) {
    return failure('malformed-length', 'a longer length than it need be'); // [MQTT-1.5.5-1]
  }
  const shape = new PacketShape(bytes, { at: 0, bodyAt, end: bytes.length }, version);
  const firstByte = bytes[0] as number;
  const flaw = shape.check(firstByte);
  if (flaw !== undefined) return { ok: false, ...flaw };
  const type = firstByte >> typeShift;
  // An AUTH of nothing is one of success (§3.15.2.1); mqtt-packet does not know.
  if (type === packetType.auth && bytes.length === bodyAt) return { ok: true, packet: { cmd: 'auth', reasonCode: 0 } };
  if (type === packetType.connect) {
    const connect = plainConnect(bytes, bodyAt);
    if (connect !== undefined) return { ok: true, packet: connect };
  }
  return decodeJudged(bytes, shape.willProperties, version);
}

/**
 * What mqtt-packet makes of a packet that packet-shape.ts found right; `willProperties` is where those of a CONNECT
 * stand. decodePacket() gives the same values, the tests compare them.
 */
export function decodeJudged(
  bytes: Buffer,
  willProperties: PacketShape['willProperties'],
  version: MqttVersion,
): Decoded {
  const firstByte = bytes[0] as number;
  // A copy, because the parser's values are slices of what it was given.
  const copy = Buffer.from(bytes);
  if (firstByte >> typeShift !== packetType.publish) copy[0] = firstByte & ~duplicateBit;
  const decoded = parse(copy, version);
  if (willProperties !== undefined && decoded.ok && decoded.packet.cmd === 'connect') {
    const { will } = decoded.packet;
    if (will !== undefined) will.propertyBytes = willMessageProperties(copy, willProperties);
  }
  return decoded;
}

function parse(bytes: Buffer, version: MqttVersion): Decoded {
  const result: { packet: ControlPacket | undefined; detail: string } = { packet: undefined, detail: 'not parsed' };
  const reader = parser({ protocolVersion: version });
  reader.on('packet', (packet) => {
    result.packet = packet;
  });
  reader.on('error', (error: unknown) => {
    result.detail = error instanceof Error ? error.message : String(error);
  });
  try {
    if (reader.parse(bytes) !== 0) return failure('malformed-packet', 'length does not fit the content');
  } catch (error) {
    return failure('malformed-packet', error instanceof Error ? error.message : String(error));
  }
  return result.packet === undefined ? failure('malformed-packet', result.detail) : { ok: true, packet: result.packet };
}

function failure(problem: ProtocolProblem, detail: string): Decoded {
  return { ok: false, problem, detail };
}

/** What of a will's properties becomes part of its message (§3.1.3.2). */
function willMessageProperties(buffer: Buffer, { from, to }: { readonly from: number; readonly to: number }): Buffer {
  const parts: Buffer[] = [];
  const walk = new PropertyWalk();
  walk.startAt(buffer, from, { end: to, owner: willOwner });
  while (!walk.isDone) {
    const at = walk.at;
    walk.next();
    if (walk.id === propertyId.willDelayInterval || walk.id === propertyId.messageExpiryInterval) continue;
    parts.push(buffer.subarray(at, walk.at));
  }
  return Buffer.concat(parts);
}

/** The bytes of one control packet for a peer that speaks `version`. Throws only on values that no caller may pass. */
export function encodePacket(packet: ControlPacket, version: MqttVersion = 4): Buffer {
  return generate(packet, { protocolVersion: version });
}

export interface ProtocolLevel {
  /** `MQTT` or `MQIsdp`; anything else is not MQTT. */
  readonly name: string;
  readonly level: number;
}

const nameLengthMax = 6;
const textLengthBytes = 2;

/** Protocol name and level of a CONNECT whose fixed header ends at `at`, before anything else of it is believed. */
export function peekProtocolLevel(bytes: Buffer, at: number): ProtocolLevel | undefined {
  if (bytes.length < at + textLengthBytes) return undefined;
  const nameEnd = at + textLengthBytes + readUint16(bytes, at);
  if (nameEnd - at - textLengthBytes > nameLengthMax || nameEnd >= bytes.length) return undefined;
  return { name: bytes.toString('latin1', at + textLengthBytes, nameEnd), level: bytes[nameEnd] as number };
}
