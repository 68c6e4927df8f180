// The first packet: is it a CONNECT we speak, and what does it ask for (MQTT 3.1.1 §3.1, §3.2).
//
// Pure. 3.1.1 (`MQTT`, level 4) and 3.1 (`MQIsdp`, level 3) are spoken. Level 5 is answered in its own form,
// every other level with return code 1 [MQTT-3.1.2-2]; another protocol name gets no answer [MQTT-3.1.2-1].

import { Buffer } from 'node:buffer';
import { clientIdBytesMax } from '../limits.ts';
import { packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { decodePacket, peekProtocolLevel } from '../protocol/mqtt/packet.ts';
import { isValidTopicName } from '../protocol/mqtt/topic.ts';
import type { EndReason } from './errors.ts';
import { type Will, willOf } from './will.ts';

export interface ConnectRequest {
  /** Empty: the broker chooses one. */
  readonly clientId: string;
  readonly clean: boolean;
  readonly keepAliveMs: number;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly will: Will | undefined;
}

export type Handshake =
  | { readonly ok: true; readonly request: ConnectRequest }
  | {
      readonly ok: false;
      readonly reason: EndReason;
      readonly detail: string /** What to answer before closing. */;
      readonly reply: Buffer | undefined;
    };

export const connackCode = {
  accepted: 0,
  unacceptableProtocol: 1,
  'identifier-rejected': 2,
  unavailable: 3,
  'bad-credentials': 4,
  'not-authorized': 5,
} as const;

const level31 = 3;
const level311 = 4;
const level5 = 5;
const millisecondsPerSecond = 1000;
/** CONNACK in 5.0 form: no session, reason 0x84 Unsupported Protocol Version, no properties. */
const unsupportedVersion5 = Buffer.from([packetType.connack << typeShift, 3, 0, 0x84, 0]);

export function connack(returnCode: number, sessionPresent = false): Buffer {
  return Buffer.from([packetType.connack << typeShift, 2, sessionPresent ? 1 : 0, returnCode]);
}

/** Reads the whole packet `bytes`, whose fixed header ends at `bodyAt`. */
export function readConnect(bytes: Buffer, bodyAt: number): Handshake {
  if ((bytes[0] as number) >> typeShift !== packetType.connect) {
    return refusal('unexpected-packet', 'the first packet is not a CONNECT'); // [MQTT-3.1.0-1]
  }
  const protocol = peekProtocolLevel(bytes, bodyAt);
  if (protocol === undefined || (protocol.name !== 'MQTT' && protocol.name !== 'MQIsdp')) {
    return refusal('malformed-packet', 'not the MQTT protocol');
  }
  const { name, level } = protocol;
  if (name === 'MQTT' && level === level5) return refusal('unsupported-protocol', 'level 5', unsupportedVersion5);
  if (level !== (name === 'MQTT' ? level311 : level31)) {
    return refusal('unsupported-protocol', `${name} level ${level}`, connack(connackCode.unacceptableProtocol));
  }
  const decoded = decodePacket(bytes);
  if (!decoded.ok) return refusal('malformed-packet', decoded.detail);
  if (decoded.packet.cmd !== 'connect') return refusal('malformed-packet', 'not a CONNECT');
  const { clientId, clean = true, keepalive = 0, username, password, will } = decoded.packet;
  if ((clientId === '' && (!clean || level === level31)) || Buffer.byteLength(clientId) > clientIdBytesMax) {
    const reply = connack(connackCode['identifier-rejected']); // [MQTT-3.1.3-8]
    return refusal('identifier-rejected', `client id of ${clientId.length} characters`, reply);
  }
  if (will !== undefined && !isValidTopicName(will.topic)) return refusal('malformed-topic', 'will topic');
  const keepAliveMs = keepalive * millisecondsPerSecond;
  return { ok: true, request: { clientId, clean, keepAliveMs, username, password, will: will && willOf(will) } };
}

function refusal(reason: EndReason, detail: string, reply?: Buffer): Handshake {
  return { ok: false, reason, detail, reply };
}
