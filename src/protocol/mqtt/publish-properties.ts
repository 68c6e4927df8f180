// The properties of one PUBLISH as values, for those who look inside: not on the hot path.
//
// Names and types are mqtt-packet's, so that what a will or a test says can be compared with what arrives. Only
// message properties are here: topic alias, expiry and subscription identifiers belong to one hop (publish.ts).
//
// A user property that comes more than once is an array; the order between different names is in the bytes alone.

import { Buffer } from 'node:buffer';
import type { IPublishPacket, UserProperties } from 'mqtt-packet';
import { packetType } from './frame.ts';
import { PropertyWalk, propertyId } from './properties.ts';

export type PublishProperties = NonNullable<IPublishPacket['properties']>;

const lengthBytes = 2;

/** Reads the valid properties `buffer[from..to)`. The values do not share memory with it. */
export function readProperties(buffer: Buffer, from: number, to: number): PublishProperties {
  const properties: PublishProperties = {};
  const walk = new PropertyWalk();
  walk.startAt(buffer, from, { end: to, owner: packetType.publish });
  while (!walk.isDone) {
    if (walk.next() !== undefined) return properties;
    const { id, valueAt, value, at } = walk;
    const text = (): string => buffer.toString('utf8', valueAt + lengthBytes, at);
    if (id === propertyId.payloadFormatIndicator) properties.payloadFormatIndicator = value === 1;
    else if (id === propertyId.contentType) properties.contentType = text();
    else if (id === propertyId.responseTopic) properties.responseTopic = text();
    else if (id === propertyId.correlationData) {
      properties.correlationData = Buffer.from(buffer.subarray(valueAt + lengthBytes, at));
    } else if (id === propertyId.userProperties) {
      properties.userProperties ??= Object.create(null) as UserProperties;
      addPair(properties.userProperties, buffer, valueAt);
    }
  }
  return properties;
}

function addPair(pairs: UserProperties, buffer: Buffer, at: number): void {
  const nameEnd = at + lengthBytes + buffer.readUInt16BE(at);
  const valueEnd = nameEnd + lengthBytes + buffer.readUInt16BE(nameEnd);
  const name = buffer.toString('utf8', at + lengthBytes, nameEnd);
  const value = buffer.toString('utf8', nameEnd + lengthBytes, valueEnd);
  const known = pairs[name];
  if (known === undefined) pairs[name] = value;
  else if (Array.isArray(known)) known.push(value);
  else pairs[name] = [known, value];
}

/** The bytes of `properties`, without their length and without those of one hop. The texts must be valid. */
export function encodeProperties(properties: PublishProperties | undefined): Buffer {
  const parts: Buffer[] = [];
  if (properties === undefined) return Buffer.concat(parts);
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = properties;
  if (payloadFormatIndicator !== undefined) {
    parts.push(Buffer.from([propertyId.payloadFormatIndicator, payloadFormatIndicator ? 1 : 0]));
  }
  if (contentType !== undefined) parts.push(Buffer.from([propertyId.contentType]), sized(contentType));
  if (responseTopic !== undefined) parts.push(Buffer.from([propertyId.responseTopic]), sized(responseTopic));
  if (correlationData !== undefined) parts.push(Buffer.from([propertyId.correlationData]), sized(correlationData));
  for (const [name, values] of Object.entries(userProperties ?? {})) {
    for (const value of Array.isArray(values) ? values : [values]) {
      parts.push(Buffer.from([propertyId.userProperties]), sized(name), sized(value));
    }
  }
  return Buffer.concat(parts);
}

function sized(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.allocUnsafe(lengthBytes);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
