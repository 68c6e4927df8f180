// Properties of MQTT 5 (§2.2.2): what there is, in which packet, how often, with which values.
//
//   length of the section (variable byte integer) | id (1) value | id (1) value | …
//
//   value   byte · flag (a byte of 0 or 1) · uint16 · uint32 · varint · text and binary (2 bytes of length, bytes)
//           pair (two texts)
//
// Owns the one table and the steps over raw bytes; allocates nothing. What a packet is apart from its properties
// is packet-shape.ts, the properties of PUBLISH on the hot path are read by publish.ts with the same steps.
//
// Malformed is what cannot be read: an unknown id, an id of another packet, a value cut off, text that is not
// UTF-8, an integer longer than needed [MQTT-1.5.5-1]. A protocol error is what can be read and must not be said:
// a property twice, a value out of its range.

import type { Buffer } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';
import { lengthFieldValue, minimalFieldBytes, packetType } from './frame.ts';
import { isTextAt } from './mqtt-text.ts';

export const propertyId = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQoS: 0x24,
  retainAvailable: 0x25,
  userProperties: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdentifiersAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const;

/** Whose properties: a packet type, or this for those of the will in a CONNECT. */
export const willOwner = 0;

type ValueType = 'flag' | 'uint16' | 'uint32' | 'varint' | 'text' | 'topic' | 'binary' | 'pair';

interface PropertyRule {
  readonly type: ValueType;
  /** One bit for each owner. */
  readonly owners: number;
  /** One bit for each owner in which it may come more than once. */
  readonly repeatable: number;
  /** The value 0 is a protocol error. */
  readonly positive: boolean;
}

const p = packetType;
const acknowledgements = [p.puback, p.pubrec, p.pubrel, p.pubcomp, p.suback, p.unsuback];
const messages = [p.publish, willOwner];
const handshakes = [p.connect, p.connack];

function rule(type: ValueType, owners: readonly number[], more: Partial<PropertyRule> = {}): PropertyRule {
  return { type, owners: bits(owners), repeatable: 0, positive: false, ...more };
}

function bits(owners: readonly number[]): number {
  return owners.reduce((mask, owner) => mask | (1 << owner), 0);
}

const everywhere = [...handshakes, ...messages, ...acknowledgements, p.subscribe, p.unsubscribe, p.disconnect, p.auth];

/** Table 2-4 of the specification, by property id. */
const rules: readonly (PropertyRule | undefined)[] = Object.assign([] as (PropertyRule | undefined)[], {
  [propertyId.payloadFormatIndicator]: rule('flag', messages),
  [propertyId.messageExpiryInterval]: rule('uint32', messages),
  [propertyId.contentType]: rule('text', messages),
  [propertyId.responseTopic]: rule('topic', messages),
  [propertyId.correlationData]: rule('binary', messages),
  [propertyId.subscriptionIdentifier]: rule('varint', [p.publish, p.subscribe], {
    positive: true,
    repeatable: bits([p.publish]),
  }),
  [propertyId.sessionExpiryInterval]: rule('uint32', [...handshakes, p.disconnect]),
  [propertyId.assignedClientIdentifier]: rule('text', [p.connack]),
  [propertyId.serverKeepAlive]: rule('uint16', [p.connack]),
  [propertyId.authenticationMethod]: rule('text', [...handshakes, p.auth]),
  [propertyId.authenticationData]: rule('binary', [...handshakes, p.auth]),
  [propertyId.requestProblemInformation]: rule('flag', [p.connect]),
  [propertyId.willDelayInterval]: rule('uint32', [willOwner]),
  [propertyId.requestResponseInformation]: rule('flag', [p.connect]),
  [propertyId.responseInformation]: rule('text', [p.connack]),
  [propertyId.serverReference]: rule('text', [p.connack, p.disconnect]),
  [propertyId.reasonString]: rule('text', [p.connack, ...acknowledgements, p.disconnect, p.auth]),
  [propertyId.receiveMaximum]: rule('uint16', handshakes, { positive: true }),
  [propertyId.topicAliasMaximum]: rule('uint16', handshakes),
  [propertyId.topicAlias]: rule('uint16', [p.publish], { positive: true }),
  [propertyId.maximumQoS]: rule('flag', [p.connack]),
  [propertyId.retainAvailable]: rule('flag', [p.connack]),
  [propertyId.userProperties]: rule('pair', everywhere, { repeatable: bits(everywhere) }),
  [propertyId.maximumPacketSize]: rule('uint32', handshakes, { positive: true }),
  [propertyId.wildcardSubscriptionAvailable]: rule('flag', [p.connack]),
  [propertyId.subscriptionIdentifiersAvailable]: rule('flag', [p.connack]),
  [propertyId.sharedSubscriptionAvailable]: rule('flag', [p.connack]),
});

const byteBits = 8;
const uint16Bytes = 2;
const uint16Range = 0x10000;
const uint32Bytes = 4;
const plus = 0x2b;
const hash = 0x23;

/** Steps over the properties of one section; reused, so that reading allocates nothing. */
export class PropertyWalk {
  /** The property just stepped over: its id, where its value is, and the value itself when it is a number. */
  id = 0;
  valueAt = 0;
  value = 0;
  /** Offset behind it. */
  at = 0;
  #buffer: Buffer | undefined;
  #end = 0;
  #owner = 0;
  /** Ids met so far, one bit each: below 32, and from 32. */
  #seenLow = 0;
  #seenHigh = 0;

  /**
   * Reads the length of the section at `buffer[at..end)`, which belongs to `owner`. Returns the offset behind the
   * section, or -1 when it is malformed; `at` is the offset of its first property.
   */
  start(buffer: Buffer, at: number, { end, owner }: { readonly end: number; readonly owner: number }): number {
    const field = minimalFieldBytes(buffer, at, end);
    if (field < 1) return -1;
    const from = at + field;
    const to = from + lengthFieldValue(buffer, at, field);
    this.startAt(buffer, from, { end: to, owner });
    return to > end ? -1 : to;
  }

  /** The same for a section without its length: all of `buffer[from..end)`. */
  startAt(buffer: Buffer, from: number, { end, owner }: { readonly end: number; readonly owner: number }): void {
    this.#buffer = buffer;
    this.at = from;
    this.#end = end;
    this.#owner = owner;
    this.#seenLow = 0;
    this.#seenHigh = 0;
  }

  get isDone(): boolean {
    return this.at >= this.#end;
  }

  /** Whether the section had `id` so far. */
  has(id: number): boolean {
    return ((id < seenBits ? this.#seenLow : this.#seenHigh) & (1 << (id % seenBits))) !== 0;
  }

  /** Steps over the next property. */
  next(): ProtocolProblem | undefined {
    const buffer = this.#buffer as Buffer;
    const id = buffer[this.at] as number;
    const owner = 1 << this.#owner;
    const wanted = rules[id];
    if (wanted === undefined || (wanted.owners & owner) === 0) return 'malformed-packet';
    if (this.has(id) && (wanted.repeatable & owner) === 0) return 'protocol-error';
    if (id < seenBits) this.#seenLow |= 1 << id;
    else this.#seenHigh |= 1 << (id % seenBits);
    this.id = id;
    this.valueAt = this.at + 1;
    this.value = 0;
    return this.#step(buffer, wanted);
  }

  #step(buffer: Buffer, { type, positive }: PropertyRule): ProtocolProblem | undefined {
    const at = this.valueAt;
    switch (type) {
      case 'flag':
        if (at + 1 > this.#end) return 'malformed-packet';
        this.value = buffer[at] as number;
        this.at = at + 1;
        return this.value > 1 ? 'protocol-error' : undefined;
      case 'uint16':
        if (at + uint16Bytes > this.#end) return 'malformed-packet';
        this.value = uint16At(buffer, at);
        this.at = at + uint16Bytes;
        break;
      case 'uint32':
        if (at + uint32Bytes > this.#end) return 'malformed-packet';
        this.value = uint16At(buffer, at) * uint16Range + uint16At(buffer, at + uint16Bytes);
        this.at = at + uint32Bytes;
        break;
      case 'varint': {
        const field = minimalFieldBytes(buffer, at, this.#end);
        if (field < 1) return 'malformed-packet';
        this.value = lengthFieldValue(buffer, at, field);
        this.at = at + field;
        break;
      }
      default:
        return this.#stepBytes(buffer, type);
    }
    if (!positive || this.value > 0) return undefined;
    return this.id === propertyId.topicAlias ? 'topic-alias-invalid' : 'protocol-error';
  }

  #stepBytes(buffer: Buffer, type: ValueType): ProtocolProblem | undefined {
    const first = this.valueAt + uint16Bytes;
    const firstEnd = sizedEnd(buffer, this.valueAt, this.#end);
    if (firstEnd === -1) return 'malformed-packet';
    this.at = firstEnd;
    if (type === 'binary') return undefined;
    if (!isTextAt(buffer, first, firstEnd)) return 'malformed-packet';
    if (type === 'topic') return isPlainTopic(buffer, first, firstEnd) ? undefined : 'protocol-error'; // [MQTT-3.3.2-14]
    if (type === 'text') return undefined;
    const secondEnd = sizedEnd(buffer, firstEnd, this.#end);
    if (secondEnd === -1 || !isTextAt(buffer, firstEnd + uint16Bytes, secondEnd)) return 'malformed-packet';
    this.at = secondEnd;
    return undefined;
  }
}

const seenBits = 32;

/** Offset behind the two length bytes at `at` and what they announce; -1 when that passes `end`. */
export function sizedEnd(buffer: Buffer, at: number, end: number): number {
  if (at + uint16Bytes > end) return -1;
  const to = at + uint16Bytes + uint16At(buffer, at);
  return to > end ? -1 : to;
}

/** A topic name as far as its bytes tell: not empty, no wildcards. */
function isPlainTopic(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (buffer[at] === plus || buffer[at] === hash) return false;
  return to > from;
}

function uint16At(buffer: Buffer, at: number): number {
  return ((buffer[at] as number) << byteBits) | (buffer[at + 1] as number);
}
