// The first packet: is it a CONNECT we speak, and what does it ask for (MQTT 3.1.1 §3.1, MQTT 5 §3.1).
//
// Pure. 5.0 and 3.1.1 (`MQTT`, levels 5 and 4) and 3.1 (`MQIsdp`, level 3) are spoken. Higher levels are told so
// in the form of 5.0, the highest we know; others, mosquitto's bridge (level | 0x80) among them, with return code 1
// of 3.1.1 [MQTT-3.1.2-2]; another protocol name gets no answer [MQTT-3.1.2-1].
//
// The versions meet here: 3.1.1's clean session is a clean start and a session that ends with its connection; a
// session that is not clean never expires.

import { Buffer } from 'node:buffer';
import { clientIdBytesMax } from '../limits.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { type MqttVersion, packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { type ConnectPacket, decodePacket, peekProtocolLevel } from '../protocol/mqtt/packet.ts';
import { isValidTopicName } from '../protocol/mqtt/topic.ts';
import { type ClientWire, wire311 } from './client-wire.ts';
import type { EndReason } from './errors.ts';
import { type Will, willOf } from './will.ts';

export interface ConnectRequest {
  readonly wire: ClientWire;
  /** Empty: the broker chooses one. */
  readonly clientId: string;
  readonly cleanStart: boolean;
  /** 0 ends with the connection, sessionNeverExpires never. */
  readonly expirySeconds: number;
  /** 0 switches the keep-alive off. */
  readonly keepAliveSeconds: number;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly will: Will | undefined;
  /** Enhanced authentication (MQTT 5 §3.1.2.11.9). */
  readonly method: string | undefined;
  readonly data: Uint8Array | undefined;
}

/** `wire` is how to answer; undefined: not at all. */
export type Handshake =
  | { readonly ok: true; readonly request: ConnectRequest }
  | {
      readonly ok: false;
      readonly reason: EndReason;
      readonly detail: string;
      readonly wire: ClientWire | undefined;
    };

/** Session Expiry Interval of a session that never ends by itself (MQTT 5 §3.1.2.11.2). */
export const sessionNeverExpires = 0xffff_ffff;

const bridgeLevelBit = 0x80;
const receiveMaximumDefault = 65_535;
const wire31: ClientWire = { ...wire311, version: 3 };
/** A 5.0 client of which nothing more is known: its CONNECT is not read, or wrong. */
const wire5: ClientWire = { ...wire311, version: 5 };

/** Reads the whole packet `bytes`, whose fixed header ends at `bodyAt`. */
export function readConnect(bytes: Buffer, bodyAt: number): Handshake {
  if ((bytes[0] as number) >> typeShift !== packetType.connect) {
    return refused('unexpected-packet', 'the first packet is not a CONNECT'); // [MQTT-3.1.0-1]
  }
  const protocol = peekProtocolLevel(bytes, bodyAt);
  if (protocol === undefined || (protocol.name !== 'MQTT' && protocol.name !== 'MQIsdp')) {
    return refused('malformed-packet', 'not the MQTT protocol');
  }
  const { name, level } = protocol;
  const version = versionOf(name, level);
  if (version === undefined) {
    const newer = name === 'MQTT' && level > wire5.version && (level & bridgeLevelBit) === 0;
    return refused('unsupported-protocol', `${name} level ${level}`, newer ? wire5 : wire311);
  }
  const spoken = version === 5 ? wire5 : wire311;
  const decoded = decodePacket(bytes, version);
  if (!decoded.ok) return refused(decoded.problem, decoded.detail, spoken);
  if (decoded.packet.cmd !== 'connect') return refused('malformed-packet', 'not a CONNECT', spoken);
  return requestOf(decoded.packet, version);
}

function versionOf(name: string, level: number): MqttVersion | undefined {
  if (name === 'MQIsdp') return level === 3 ? 3 : undefined;
  return level === 4 || level === 5 ? level : undefined;
}

function requestOf(packet: ConnectPacket, version: MqttVersion): Handshake {
  const { clientId, clean = true, keepalive = 0, username, password, will, properties = {} } = packet;
  const wire = wireOf(packet, version);
  const unnamed = clientId === '' && (version === 3 || (version === 4 && !clean)); // [MQTT-3.1.3-8] of 3.1.1
  if (unnamed || Buffer.byteLength(clientId) > clientIdBytesMax) {
    return refused('identifier-rejected', `client id of ${clientId.length} characters`, wire);
  }
  if (will !== undefined && !isValidTopicName(will.topic)) return refused('malformed-topic', 'will topic', wire);
  const { authenticationMethod: method, authenticationData: data, sessionExpiryInterval = 0 } = properties;
  if (method === undefined && data !== undefined) {
    return refused('protocol-error', 'authentication data without a method', wire); // §3.1.2.11.10
  }
  const lasting = clean ? 0 : sessionNeverExpires;
  return {
    ok: true,
    request: {
      wire,
      clientId,
      cleanStart: clean,
      expirySeconds: version === 5 ? sessionExpiryInterval : lasting,
      keepAliveSeconds: keepalive,
      username,
      password,
      will: will && willOf(will),
      method,
      data,
    },
  };
}

/** What the client can take: of 5.0 as its properties say (§3.1.2.11). */
function wireOf({ properties = {} }: ConnectPacket, version: MqttVersion): ClientWire {
  if (version !== 5) return version === 3 ? wire31 : wire311;
  return {
    version,
    receiveMaximum: properties.receiveMaximum ?? receiveMaximumDefault,
    packetBytesMax: properties.maximumPacketSize ?? Number.POSITIVE_INFINITY,
    topicAliasMax: properties.topicAliasMaximum ?? 0,
    wantsProblems: properties.requestProblemInformation ?? true,
  };
}

function refused(reason: EndReason | ProtocolProblem, detail: string, wire?: ClientWire): Handshake {
  return { ok: false, reason, detail, wire };
}
