// The values of the two packets that every connection brings, CONNECT and DISCONNECT, as mqtt-packet would give them.
//
//   CONNECT      any of 3.x; of 5.0 without user properties, authentication and properties of the will
//   DISCONNECT   without a body
//
// mqtt-packet builds a parser with a list of buffers for each packet, which costs more than all the rest of a
// handshake. Everything unusual is left to it. Only for packets that packet-shape.ts has judged: nothing is
// checked here. That the values are the same is compared over thousands of packets by the tests.

import { Buffer } from 'node:buffer';
import type { IConnectPacket } from 'mqtt-packet';
import { type MqttVersion, packetType, typeShift } from './frame.ts';
import { PropertyWalk, propertyId } from './properties.ts';

type ConnectProperties = NonNullable<IConnectPacket['properties']>;
type ConnectWill = NonNullable<IConnectPacket['will']>;
type Text = { text: string; end: number };

export type PlainPacket =
  | IConnectPacket
  | { readonly cmd: 'disconnect' }
  | { readonly cmd: 'disconnect'; readonly reasonCode: 0 };

const flag = { clean: 0x02, will: 0x04, willRetain: 0x20, password: 0x40, username: 0x80 };
const willQosShift = 3;
const qosMask = 0x03;
const lengthBytes = 2;
const version5 = 5;
const disconnectByte = packetType.disconnect << typeShift;
const bareBytes = 2;

const disconnect = Object.freeze({ cmd: 'disconnect' } as const);
const disconnect5 = Object.freeze({ cmd: 'disconnect', reasonCode: 0 } as const);

/** A DISCONNECT of two bytes: frequent, and nothing in it to be judged. */
export function bareDisconnect(bytes: Buffer, version: MqttVersion): PlainPacket | undefined {
  if (bytes.length !== bareBytes || bytes[0] !== disconnectByte || bytes[1] !== 0) return undefined;
  return version === version5 ? disconnect5 : disconnect;
}

/** The CONNECT whose fixed header ends at `bodyAt`; undefined: mqtt-packet is to read it. */
export function plainConnect(bytes: Buffer, bodyAt: number): IConnectPacket | undefined {
  const name = textAt(bytes, bodyAt);
  let at = name.end;
  const protocolVersion = bytes[at++] as MqttVersion;
  const flags = bytes[at++] as number;
  const packet: IConnectPacket = {
    cmd: 'connect',
    protocolId: name.text as 'MQTT' | 'MQIsdp',
    protocolVersion,
    clean: (flags & flag.clean) !== 0,
    keepalive: bytes.readUInt16BE(at),
    clientId: '',
  };
  at += lengthBytes;
  if (protocolVersion === version5) {
    if ((flags & flag.will) !== 0) return undefined;
    const properties: ConnectProperties = {};
    const end = bytes[at] === 0 ? at + 1 : readProperties(bytes, at, properties);
    if (end === undefined) return undefined;
    if (end > at + 1) packet.properties = properties;
    at = end;
  }
  const clientId = textAt(bytes, at);
  packet.clientId = clientId.text;
  readCredentials(bytes, { at: clientId.end, flags }, packet);
  return packet;
}

function readCredentials(
  bytes: Buffer,
  { at: from, flags }: { readonly at: number; readonly flags: number },
  packet: IConnectPacket,
): void {
  let at = from;
  if ((flags & flag.will) !== 0) {
    const topic = textAt(bytes, at);
    const end = sizedEndAt(bytes, topic.end);
    packet.will = {
      retain: (flags & flag.willRetain) !== 0,
      qos: ((flags >> willQosShift) & qosMask) as NonNullable<ConnectWill['qos']>,
      topic: topic.text,
      payload: Buffer.from(bytes.subarray(topic.end + lengthBytes, end)),
    };
    at = end;
  }
  if ((flags & flag.username) !== 0) {
    const username = textAt(bytes, at);
    packet.username = username.text;
    at = username.end;
  }
  if ((flags & flag.password) !== 0) {
    packet.password = Buffer.from(bytes.subarray(at + lengthBytes, sizedEndAt(bytes, at)));
  }
}

/** The offset behind the section at `at`; undefined when it has a property that is not a plain number. */
function readProperties(bytes: Buffer, at: number, properties: ConnectProperties): number | undefined {
  const walk = new PropertyWalk();
  const end = walk.start(bytes, at, { end: bytes.length, owner: packetType.connect });
  while (!walk.isDone) {
    walk.next();
    switch (walk.id) {
      case propertyId.sessionExpiryInterval:
        properties.sessionExpiryInterval = walk.value;
        break;
      case propertyId.receiveMaximum:
        properties.receiveMaximum = walk.value;
        break;
      case propertyId.maximumPacketSize:
        properties.maximumPacketSize = walk.value;
        break;
      case propertyId.topicAliasMaximum:
        properties.topicAliasMaximum = walk.value;
        break;
      case propertyId.requestResponseInformation:
        properties.requestResponseInformation = walk.value !== 0;
        break;
      case propertyId.requestProblemInformation:
        properties.requestProblemInformation = walk.value !== 0;
        break;
      default:
        return undefined;
    }
  }
  return end;
}

function textAt(bytes: Buffer, at: number): Text {
  const end = sizedEndAt(bytes, at);
  return { text: bytes.toString('utf8', at + lengthBytes, end), end };
}

function sizedEndAt(bytes: Buffer, at: number): number {
  return at + lengthBytes + bytes.readUInt16BE(at);
}
