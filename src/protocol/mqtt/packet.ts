// Control packets ⇄ values. The one door to mqtt-packet.
//
// mqtt-packet decodes and encodes; this file adds what it lets pass: text that is not UTF-8 or holds U+0000
// [MQTT-1.5.3-1, -2], bytes behind the last field, packet id 0 [MQTT-2.3.1-1], will QoS 3 [MQTT-3.1.2-14], a
// password without user name [MQTT-3.1.2-22], empty subscription lists [MQTT-3.8.3-3, MQTT-3.10.3-2].
// PUBLISH and the four-byte acknowledgements never come here: publish.ts and the bytes below serve them.
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
import { lengthFieldBytes, lengthFieldValue, packetType, typeShift } from './frame.ts';
import { readUint16 } from './publish.ts';

writeToStream.cacheNumbers = false;

export type ControlPacket = Packet;
export type ConnectPacket = IConnectPacket;
export type ConnackPacket = IConnackPacket;
export type SubscribePacket = ISubscribePacket;
export type SubackPacket = ISubackPacket;
export type UnsubscribePacket = IUnsubscribePacket;

export type Decoded =
  | { readonly ok: true; readonly packet: ControlPacket }
  | { readonly ok: false; readonly detail: string };

const protocolLevelBefore5 = 4;
const willQosMax = 2;

/** Decodes exactly one whole 3.1 or 3.1.1 packet. The values do not share memory with `bytes`. Never throws. */
export function decodePacket(bytes: Buffer): Decoded {
  const result: { packet: ControlPacket | undefined; detail: string } = {
    packet: undefined,
    detail: 'not one whole packet',
  };
  const field = lengthFieldBytes(bytes, 1, bytes.length);
  if (field < 1 || bytes.length !== 1 + field + lengthFieldValue(bytes, 1, field)) {
    return { ok: false, detail: result.detail };
  }
  const reader = parser({ protocolVersion: protocolLevelBefore5 });
  reader.on('packet', (packet) => {
    result.packet = packet;
  });
  reader.on('error', (error: unknown) => {
    result.detail = error instanceof Error ? error.message : String(error);
  });
  try {
    // A copy, because the parser's values are slices of what it was given.
    if (reader.parse(Buffer.from(bytes)) !== 0) return { ok: false, detail: 'length does not fit the content' };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
  if (result.packet === undefined) return { ok: false, detail: result.detail };
  const detail = flaw(result.packet, bytes);
  return detail === undefined ? { ok: true, packet: result.packet } : { ok: false, detail };
}

/** The bytes of one control packet. Throws only on values that no caller may pass. */
export function encodePacket(packet: ControlPacket): Buffer {
  return generate(packet);
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

/** PUBACK, PUBREC, PUBREL or PUBCOMP for `packetId`, as one number-free four-byte packet. */
export function encodeAck(type: number, packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(ackBytes);
  writeAck(type, packetId, { target: bytes, at: 0 });
  return bytes;
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK: fixed header, length 2, packet id. */
export const ackBytes = 4;
const pubrelFlags = 0x02;
const byteBits = 8;
const byteMask = 0xff;

/** Writes one acknowledgement of ackBytes into `target`. */
export function writeAck(
  type: number,
  packetId: number,
  { target, at }: { readonly target: Buffer; readonly at: number },
): void {
  target[at] = (type << typeShift) | (type === packetType.pubrel ? pubrelFlags : 0);
  target[at + 1] = 2;
  target[at + 2] = packetId >> byteBits;
  target[at + 3] = packetId & byteMask;
}

function flaw(packet: ControlPacket, bytes: Buffer): string | undefined {
  switch (packet.cmd) {
    case 'connack':
      return packet.length === 2 ? undefined : 'length does not fit the content';
    case 'connect':
      return connectFlaw(packet, bytes);
    case 'subscribe':
      if (packet.subscriptions.length === 0) return 'no filters';
      return listFlaw(packet, { bytes, texts: packet.subscriptions.map((wanted) => wanted.topic) });
    case 'unsubscribe':
      if (packet.unsubscriptions.length === 0) return 'no filters';
      return listFlaw(packet, { bytes, texts: packet.unsubscriptions });
    default:
      return undefined;
  }
}

function connectFlaw(packet: ConnectPacket, bytes: Buffer): string | undefined {
  const { will, username, password, clientId } = packet;
  if (will !== undefined && (will.qos ?? 0) > willQosMax) return 'will QoS 3';
  if (password !== undefined && username === undefined) return 'password without user name';
  const fields = [packet.protocolId ?? '', clientId, ...(will === undefined ? [] : [will.topic, will.payload])];
  if (username !== undefined) fields.push(username);
  if (password !== undefined) fields.push(password);
  const fixed = 1 + 1 + 2; // protocol level, connect flags, keep-alive
  const length = fields.reduce((sum, field) => sum + textLengthBytes + Buffer.byteLength(field), fixed);
  if (length !== packet.length) return 'length does not fit the content';
  return textFlaw([clientId, will?.topic ?? '', username ?? ''], () => sameBody(packet, bytes));
}

function listFlaw(
  packet: SubscribePacket | UnsubscribePacket,
  { bytes, texts }: { readonly bytes: Buffer; readonly texts: readonly string[] },
): string | undefined {
  if (packet.messageId === undefined || packet.messageId === 0) return 'packet id 0';
  return textFlaw(texts, () => sameBody(packet, bytes));
}

/** U+FFFD is what the decoder leaves of bytes that are not UTF-8; it may also have been sent: encoding again tells. */
function textFlaw(texts: readonly string[], roundTrips: () => boolean): string | undefined {
  if (texts.some((text) => text.includes('\u0000'))) return 'U+0000 in a text';
  if (texts.some((text) => text.includes('\ufffd')) && !roundTrips()) return 'text is not UTF-8';
  return undefined;
}

function sameBody(packet: ControlPacket, bytes: Buffer): boolean {
  const length = packet.length ?? 0;
  try {
    const again = generate(packet);
    return again.subarray(again.length - length).equals(bytes.subarray(bytes.length - length));
  } catch {
    return false;
  }
}
