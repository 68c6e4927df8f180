// The CONNACK that admits: what the client gets of what it asked for, and what this broker takes of it.
//
// 5.0 says (MQTT 5 §3.2.2.3): a session expiry or keep-alive other than asked for, a client id the broker chose, its
// receive maximum, packet size and topic aliases, the last data of an enhanced authentication. What is not said has
// the value that means "available": QoS 2, retained messages, wildcard and shared subscriptions, subscription ids.

import { Buffer } from 'node:buffer';
import { brokerTopicAliasesMax, packetBytesMax } from '../limits.ts';
import { packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { type ConnackPacket, encodePacket } from '../protocol/mqtt/packet.ts';
import type { ConnectRequest } from './handshake.ts';

/** What was decided about a CONNECT. */
export interface Granted {
  readonly clientId: string;
  readonly present: boolean;
  readonly expirySeconds: number;
  readonly keepAliveSeconds: number;
  /** Publishes of QoS 1 and 2 the broker takes unacknowledged. */
  readonly receiveMaximum: number;
  /** The last data of an enhanced authentication. */
  readonly data: Uint8Array | undefined;
}

const accepted3 = Buffer.from([packetType.connack << typeShift, 2, 0, 0]);
const resumed3 = Buffer.from([packetType.connack << typeShift, 2, 1, 0]);

/** Not to be changed: 3.x clients all get the same bytes. */
export function acceptance(request: ConnectRequest, granted: Granted): Buffer {
  if (request.wire.version !== 5) return granted.present ? resumed3 : accepted3;
  const { clientId, present, expirySeconds, keepAliveSeconds, receiveMaximum, data } = granted;
  const properties: NonNullable<ConnackPacket['properties']> = {
    receiveMaximum,
    maximumPacketSize: packetBytesMax,
    topicAliasMaximum: brokerTopicAliasesMax,
  };
  if (expirySeconds !== request.expirySeconds) properties.sessionExpiryInterval = expirySeconds; // §3.2.2.3.2
  if (request.clientId === '') properties.assignedClientIdentifier = clientId; // [MQTT-3.2.2-16]
  if (keepAliveSeconds !== request.keepAliveSeconds) properties.serverKeepAlive = keepAliveSeconds; // [MQTT-3.2.2-21]
  if (request.method !== undefined) {
    properties.authenticationMethod = request.method; // [MQTT-4.12.0-5]
    if (data !== undefined) properties.authenticationData = Buffer.from(data);
  }
  return encodePacket({ cmd: 'connack', sessionPresent: present, reasonCode: 0, properties }, 5);
}
