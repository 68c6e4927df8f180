// A PublishView as a packet for one receiver, of whatever version (§3.3): its size, and its bytes.
//
//   as it lies    topic [id] [properties] payload in one copy, when the receiver gets the body that came
//   in parts      topic, id, properties and payload, when anything of them differs: version, QoS, alias, expiry,
//                 subscription identifiers
//
// A plain packet of MQTT 5 is `30 len topic 00 payload`, which runs of packets rely on.

import { strict as assert } from 'node:assert';
import type { Buffer } from 'node:buffer';
import { lengthFieldSize, type MqttVersion, writeLengthField } from './frame.ts';
import { propertyId } from './properties.ts';
import {
  aliasBytes,
  copyBytes,
  duplicateBit,
  expiryBytes,
  type PublishView,
  packetIdBytes,
  plainPublishByte,
  type Qos,
  qosShift,
  retainBit,
  topicLengthBytes,
  writeUint16,
} from './publish-view.ts';

export { PublishView, plainPublishByte, type Qos, readUint16, writeUint16 } from './publish-view.ts';

const version4 = 4;
const version5 = 5;

/** How one receiver gets a message. What a header leaves out is 3.1.1, or nothing. */
export interface PublishHeader {
  /** At most the view's own QoS. */
  readonly qos: Qos;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** Not used for QoS 0. */
  readonly packetId: number;
  readonly version?: MqttVersion;
  /** MQTT 5: of the subscriptions that the message matched. */
  readonly subscriptionIds?: readonly number[];
  /** MQTT 5: what is left of the expiry interval, seconds; undefined = none. */
  readonly expirySeconds?: number | undefined;
  /** MQTT 5: 0 = none. */
  readonly topicAlias?: number;
  /** The receiver knows the alias: the topic is left out. */
  readonly omitTopic?: boolean;
}

/** Bytes that `view` takes as a whole packet with `header`; a QoS alone stands for a plain header of 3.1.1. */
export function publishBytes(view: PublishView, header: PublishHeader | Qos): number {
  const rest = typeof header === 'number' ? plainRestBytes(view, header) : restBytes(view, header);
  return 1 + lengthFieldSize(rest) + rest;
}

/** Writes `view` as a packet of its own into `target` at `at`, which has publishBytes() of room. Returns the offset behind it. */
export function writePublish(
  view: PublishView,
  header: PublishHeader,
  { target, at }: { readonly target: Buffer; readonly at: number },
): number {
  const { qos } = header;
  assert(qos <= view.qos, 'a QoS is lowered on the way, never raised');
  target[at] =
    plainPublishByte | (header.duplicate ? duplicateBit : 0) | (qos << qosShift) | (header.retain ? retainBit : 0);
  const bodyAt = writeLengthField(target, at + 1, restBytes(view, header));
  if (!goesWhole(view, header)) return writeParts(view, header, { target, at: bodyAt });
  copyBytes(view, target, bodyAt);
  if (qos > 0) writeUint16(target, bodyAt + topicLengthBytes + view.topicBytes, header.packetId);
  return bodyAt + view.to - view.from;
}

/** Whether the receiver gets the body of `view` as it lies there. */
function goesWhole(view: PublishView, header: PublishHeader): boolean {
  if (header.qos > 0 !== view.idBytes > 0) return false;
  if (header.version !== version5) return view.bodyVersion === version4;
  return view.bodyVersion === version5 && !hasOwnProperties(header);
}

/** Whether this receiver gets properties that are not the message's. */
function hasOwnProperties(header: PublishHeader): boolean {
  const { topicAlias = 0, subscriptionIds } = header;
  return header.expirySeconds !== undefined || topicAlias > 0 || (subscriptionIds?.length ?? 0) > 0;
}

function writeParts(
  view: PublishView,
  header: PublishHeader,
  { target, at }: { readonly target: Buffer; readonly at: number },
): number {
  let into = at;
  if (header.version === version5 && header.omitTopic === true) {
    writeUint16(target, into, 0);
    into += topicLengthBytes;
  } else {
    copyBytes({ buffer: view.topicBuffer, from: view.topicFrom, to: view.topicAt + view.topicBytes }, target, into);
    into += topicLengthBytes + view.topicBytes;
  }
  if (header.qos > 0) {
    writeUint16(target, into, header.packetId);
    into += packetIdBytes;
  }
  if (header.version === version5) into = writeProperties(view, header, { target, at: into });
  copyBytes({ buffer: view.buffer, from: view.payloadAt, to: view.to }, target, into);
  return into + view.payloadBytes;
}

function writeProperties(
  view: PublishView,
  header: PublishHeader,
  { target, at }: { readonly target: Buffer; readonly at: number },
): number {
  const { topicAlias = 0, expirySeconds, subscriptionIds } = header;
  let into = writeLengthField(target, at, propertyBytes(view, header));
  if (topicAlias > 0) {
    target[into] = propertyId.topicAlias;
    writeUint16(target, into + 1, topicAlias);
    into += aliasBytes;
  }
  if (expirySeconds !== undefined) {
    target[into] = propertyId.messageExpiryInterval;
    into = target.writeUInt32BE(expirySeconds, into + 1);
  }
  if (subscriptionIds !== undefined) {
    for (let index = 0; index < subscriptionIds.length; index++) {
      target[into] = propertyId.subscriptionIdentifier;
      into = writeLengthField(target, into + 1, subscriptionIds[index] as number);
    }
  }
  const { propertiesBuffer, propertiesAt, propertiesBytes } = view;
  copyBytes({ buffer: propertiesBuffer, from: propertiesAt, to: propertiesAt + propertiesBytes }, target, into);
  return into + propertiesBytes;
}

function plainRestBytes(view: PublishView, qos: Qos): number {
  return topicLengthBytes + view.topicBytes + (qos === 0 ? 0 : packetIdBytes) + view.payloadBytes;
}

function restBytes(view: PublishView, header: PublishHeader): number {
  const plain = plainRestBytes(view, header.qos);
  if (header.version !== version5) return plain;
  const properties = propertyBytes(view, header);
  const section = lengthFieldSize(properties) + properties;
  return plain + section - (header.omitTopic === true ? view.topicBytes : 0);
}

/** Bytes of the property section behind its length. */
function propertyBytes(view: PublishView, header: PublishHeader): number {
  const { topicAlias = 0, expirySeconds, subscriptionIds } = header;
  let bytes = view.propertiesBytes;
  if (topicAlias > 0) bytes += aliasBytes;
  if (expirySeconds !== undefined) bytes += expiryBytes;
  if (subscriptionIds !== undefined) {
    for (let index = 0; index < subscriptionIds.length; index++) {
      bytes += 1 + lengthFieldSize(subscriptionIds[index] as number);
    }
  }
  return bytes;
}
