// PUBLISH without objects: a view onto the bytes of one packet (§3.3). publish.ts writes it for a receiver.
//
//   0011 dup qos qos retain | remaining length | topic length (2) topic | packet id (2) | properties | payload
//                                                └ from                   QoS 1 and 2     MQTT 5       └ payloadAt  to ┘
//
// The view points into a buffer it does not own, which is valid only until the next read; `kept()` copies. One
// view is reused for all packets of a broker, so the hot path allocates nothing. Nobody writes into a kept view.
//
// What belongs to one hop (topic alias, expiry, subscription identifiers) is taken out of the properties when they
// are read; what is left is the same for every receiver and goes on as it is, in its order [MQTT-3.3.2-18]. A
// packet that had nothing to take out is a body that is sent on whole: `bodyVersion` says to whom.

import { strict as assert } from 'node:assert';
import { Buffer, isUtf8 } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';
import { lengthFieldSize, type MqttVersion, packetType, typeShift, writeLengthField } from './frame.ts';
import { isTextAt } from './mqtt-text.ts';
import { PropertyWalk, propertyId } from './properties.ts';
import { encodeProperties, type PublishProperties, readProperties } from './publish-properties.ts';

export type Qos = 0 | 1 | 2;

export const topicLengthBytes = 2;
export const packetIdBytes = 2;
const byteBits = 8;
const byteMask = 0xff;
export const retainBit = 0x01;
export const qosShift = 1;
const qosMask = 0x03;
export const duplicateBit = 0x08;
const version5 = 5;
/** Both versions before 5 have the same PUBLISH. */
const version4 = 4;
/** Id and value of a topic alias and of an expiry interval. */
export const aliasBytes = 3;
export const expiryBytes = 5;
/** Below this many bytes a loop is cheaper than the call to Buffer.copy. */
const loopCopyBytesMax = 48;
const nothing = Buffer.alloc(0);

/** First byte of a QoS 0 PUBLISH that is neither retained nor a duplicate: the overwhelming case. */
export const plainPublishByte = packetType.publish << typeShift;

/** The part of a PUBLISH behind its fixed header, wherever it lies. */
export class PublishView {
  buffer: Buffer = nothing;
  from = 0;
  to = 0;
  /** `buffer[from..to)`, its packet id apart, is what a receiver of this version gets: 4 (3.1 too), 5, or 0 for none. */
  bodyVersion: 0 | 4 | 5 = 0;
  /** 2 when the bytes have room for a packet id, else 0. */
  idBytes: 0 | 2 = 0;
  payloadAt = 0;
  /** Where the length-prefixed topic is: in `buffer` at `from`, unless it came from an alias. */
  topicBuffer: Buffer = nothing;
  topicFrom = 0;
  topicBytes = 0;
  /** Properties without their length, and without those of one hop. */
  propertiesBuffer: Buffer = nothing;
  propertiesAt = 0;
  propertiesBytes = 0;
  qos: Qos = 0;
  retain = false;
  duplicate = false;
  packetId = 0;
  /** Message Expiry Interval as received, seconds; undefined = never. */
  expirySeconds: number | undefined;
  /** Set by who received it, on its monotonic clock and before `kept()`; 0 = never. */
  expiresAtMs = 0;
  /** As received; 0 = none. With an alias the topic may be empty: useTopic() then says which. */
  topicAlias = 0;
  /** Payload Format Indicator 1: the publisher says the payload is UTF-8. */
  declaresText = false;
  /** The copy made of these bytes, if one was: all who keep the message share it. */
  #copy: PublishView | undefined;
  /** Holds the properties when what was taken out was in their middle; reused. */
  #scratch: Buffer = nothing;
  #walk: PropertyWalk | undefined;
  /** The last packet read had a section of them: what is known of it is not of the next. */
  #hadProperties = false;

  /** Offset of the topic's first character in `topicBuffer`. */
  get topicAt(): number {
    return this.topicFrom + topicLengthBytes;
  }

  get payloadBytes(): number {
    return this.to - this.payloadAt;
  }

  /**
   * Reads the packet whose fixed header has `firstByte` and whose rest is `buffer[from..to)`, sent by a client that
   * speaks `version`. The topic is not looked into; the properties are validated.
   */
  read(
    buffer: Buffer,
    { firstByte, from, to }: { readonly firstByte: number; readonly from: number; readonly to: number },
    version: MqttVersion = version4,
  ): ProtocolProblem | undefined {
    const qos = (firstByte >> qosShift) & qosMask;
    if (qos > 2) return 'malformed-packet'; // [MQTT-3.3.1-4]
    this.#copy = undefined;
    this.buffer = buffer;
    this.topicBuffer = buffer;
    this.from = from;
    this.topicFrom = from;
    this.to = to;
    this.qos = qos as Qos;
    this.retain = (firstByte & retainBit) !== 0;
    this.duplicate = (firstByte & duplicateBit) !== 0;
    if (this.#hadProperties) this.#forgetProperties();
    if (this.duplicate && qos === 0) return 'malformed-packet'; // [MQTT-3.3.1-2]
    if (from + topicLengthBytes > to) return 'malformed-packet';
    this.topicBytes = readUint16(buffer, from);
    this.idBytes = qos === 0 ? 0 : packetIdBytes;
    this.payloadAt = from + topicLengthBytes + this.topicBytes + this.idBytes;
    if (this.payloadAt > to) return 'malformed-packet';
    this.packetId = qos === 0 ? 0 : readUint16(buffer, this.payloadAt - packetIdBytes);
    if (qos > 0 && this.packetId === 0) return 'invalid-packet-id'; // [MQTT-2.3.1-1]
    if (version === version5) return this.#readProperties();
    this.bodyVersion = version4;
    return undefined;
  }

  #forgetProperties(): void {
    this.#hadProperties = false;
    this.propertiesBytes = 0;
    this.expirySeconds = undefined;
    this.expiresAtMs = 0;
    this.topicAlias = 0;
    this.declaresText = false;
  }

  /** The topic stands for the alias of this packet: `topic` is length-prefixed and stays as it is. */
  useTopic(topic: Buffer): void {
    this.#copy = undefined;
    this.topicBuffer = topic;
    this.topicFrom = 0;
    this.topicBytes = topic.length - topicLengthBytes;
    this.bodyVersion = 0;
  }

  /** The topic as text, or undefined when its bytes are not UTF-8 or hold U+0000 [MQTT-1.5.4-1, -2]. */
  topic(): string | undefined {
    const { topicBuffer, topicAt } = this;
    const end = topicAt + this.topicBytes;
    return isTextAt(topicBuffer, topicAt, end) ? topicBuffer.toString('utf8', topicAt, end) : undefined;
  }

  /** A copy of the payload: it may be kept. */
  payload(): Buffer {
    const payload = Buffer.allocUnsafe(this.payloadBytes);
    this.buffer.copy(payload, 0, this.payloadAt, this.to);
    return payload;
  }

  /** Whether the payload is what its format indicator says (§3.3.2.3.2). */
  isPayloadAsDeclared(): boolean {
    return !this.declaresText || isUtf8(this.buffer.subarray(this.payloadAt, this.to));
  }

  /** The properties as mqtt-packet names them, the expiry as received, without those of one hop. */
  properties(): PublishProperties {
    const { propertiesBuffer: buffer, propertiesAt: at, propertiesBytes } = this;
    const properties = readProperties(buffer, at, at + propertiesBytes);
    return this.expirySeconds === undefined ? properties : { messageExpiryInterval: this.expirySeconds, ...properties };
  }

  /** The same message in memory of its own, which stays as it is. Asked again, it answers the same copy. */
  kept(): PublishView {
    if (this.#copy !== undefined) return this.#copy;
    const copy = new PublishView();
    const buffer = Buffer.allocUnsafeSlow(this.keptBytes);
    this.writeKept(buffer, 0);
    copy.readKept(buffer, { from: 0, to: buffer.length }, this);
    copy.#copy = copy;
    this.#copy = copy;
    return copy;
  }

  /** It is such a copy, or has been its own from the beginning: kept() costs nothing. */
  get isKept(): boolean {
    return this.#copy === this;
  }

  /** Bytes of the body that kept() copies. */
  get keptBytes(): number {
    return this.bodyVersion === 0 ? canonicalBytes(this) + this.idBytes : this.to - this.from;
  }

  /** Writes that body into `target` at `at`, where there is room for it. Returns the offset behind it. */
  writeKept(target: Buffer, at: number): number {
    if (this.bodyVersion === 0) return writeBody(this, { target, at, idBytes: this.idBytes });
    copyBytes(this, target, at);
    return at + this.to - this.from;
  }

  /** Takes for its own what writeKept() wrote to `buffer[from..to)`, and the facts that are not in the bytes. */
  readKept(
    buffer: Buffer,
    { from, to }: { readonly from: number; readonly to: number },
    facts: Pick<
      PublishView,
      | 'bodyVersion'
      | 'topicBytes'
      | 'propertiesBytes'
      | 'idBytes'
      | 'qos'
      | 'retain'
      | 'expirySeconds'
      | 'expiresAtMs'
      | 'declaresText'
    >,
  ): void {
    this.buffer = buffer;
    this.from = from;
    this.to = to;
    this.bodyVersion = facts.bodyVersion === 0 ? version5 : facts.bodyVersion;
    this.topicBytes = facts.topicBytes;
    this.idBytes = facts.idBytes;
    this.qos = facts.qos;
    this.retain = facts.retain;
    this.expirySeconds = facts.expirySeconds;
    this.expiresAtMs = facts.expiresAtMs;
    this.declaresText = facts.declaresText;
    this.#settle(facts.propertiesBytes);
    this.#copy = undefined;
  }

  /** Everything but flags, packet id, alias and expiry, in one buffer of its own: the body of a QoS 0 packet of MQTT 5. */
  canonical(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(canonicalBytes(this));
    writeBody(this, { target: bytes, at: 0, idBytes: 0 });
    return bytes;
  }

  /** The message of canonical() and what is not in it. `bytes` is kept, not copied. */
  static fromCanonical(
    bytes: Buffer,
    facts: { readonly qos: Qos; readonly retain: boolean; readonly expiresAtMs: number },
  ): PublishView {
    const view = new PublishView();
    const problem = view.read(bytes, { firstByte: plainPublishByte, from: 0, to: bytes.length }, version5);
    assert(problem === undefined, 'canonical bytes are what canonical() wrote');
    view.qos = facts.qos;
    view.retain = facts.retain;
    view.expiresAtMs = facts.expiresAtMs;
    view.#copy = view;
    return view;
  }

  /** The packet of `message`, with room for a packet id when its QoS needs one. The topic must be valid. */
  static of(message: {
    readonly topic: string;
    readonly payload: Uint8Array;
    readonly qos: Qos;
    readonly retain: boolean;
    /** With mqtt-packet's names. */
    readonly properties?: PublishProperties | undefined;
    /** Valid properties as bytes, as a will brings them (packet.ts); they go before `properties`, but for its expiry. */
    readonly propertyBytes?: Buffer | undefined;
  }): PublishView {
    const view = new PublishView();
    const properties = message.propertyBytes ?? encodeProperties(message.properties);
    view.topicBytes = Buffer.byteLength(message.topic);
    view.idBytes = message.qos === 0 ? 0 : packetIdBytes;
    view.qos = message.qos;
    view.retain = message.retain;
    view.expirySeconds = message.properties?.messageExpiryInterval;
    view.bodyVersion = properties.length === 0 ? version4 : version5;
    const bodyBytes = topicLengthBytes + view.topicBytes + view.idBytes + message.payload.length;
    const sectionBytes = properties.length === 0 ? 0 : lengthFieldSize(properties.length) + properties.length;
    view.to = bodyBytes + sectionBytes;
    view.buffer = Buffer.allocUnsafeSlow(view.to);
    writeUint16(view.buffer, 0, view.topicBytes);
    view.buffer.write(message.topic, topicLengthBytes, 'utf8');
    if (sectionBytes > 0) {
      const at = writeLengthField(view.buffer, view.topicAt + view.topicBytes + view.idBytes, properties.length);
      properties.copy(view.buffer, at);
    }
    view.buffer.set(message.payload, view.to - message.payload.length);
    view.#settle(properties.length);
    if (properties.length > 0) view.declaresText = view.properties().payloadFormatIndicator === true;
    view.#copy = view;
    return view;
  }

  /** The body is whole in `buffer[from..to)`: finds topic, properties and payload in it, and keeps it as it is. */
  #settle(propertiesBytes: number): void {
    this.topicBuffer = this.buffer;
    this.topicFrom = this.from;
    this.propertiesBuffer = this.buffer;
    this.propertiesBytes = propertiesBytes;
    const topicEnd = this.topicAt + this.topicBytes + this.idBytes;
    this.propertiesAt = topicEnd + (this.bodyVersion === version5 ? lengthFieldSize(propertiesBytes) : 0);
    this.payloadAt = this.propertiesAt + propertiesBytes;
  }

  /** The property section at `payloadAt`, which moves behind it. */
  #readProperties(): ProtocolProblem | undefined {
    this.bodyVersion = version5;
    if (this.buffer[this.payloadAt] === 0 && this.payloadAt < this.to) {
      this.payloadAt++;
    } else {
      const problem = this.#walkProperties();
      if (problem !== undefined) return problem;
    }
    // A topic is left out only where an alias stands for it (§3.3.2.1).
    return this.topicBytes === 0 && this.topicAlias === 0 ? 'protocol-error' : undefined;
  }

  #walkProperties(): ProtocolProblem | undefined {
    this.#hadProperties = true;
    this.#walk ??= new PropertyWalk();
    const walk = this.#walk;
    const end = walk.start(this.buffer, this.payloadAt, { end: this.to, owner: packetType.publish });
    if (end === -1) return 'malformed-packet';
    const sectionAt = walk.at;
    let aliasAt = end;
    let expiryAt = end;
    while (!walk.isDone) {
      const problem = walk.next();
      if (problem !== undefined) return problem;
      if (walk.id === propertyId.payloadFormatIndicator) {
        this.declaresText = walk.value === 1;
      } else if (walk.id === propertyId.topicAlias) {
        this.topicAlias = walk.value;
        aliasAt = walk.valueAt - 1;
      } else if (walk.id === propertyId.messageExpiryInterval) {
        this.expirySeconds = walk.value;
        expiryAt = walk.valueAt - 1;
      } else if (walk.id === propertyId.subscriptionIdentifier) {
        return 'protocol-error'; // [MQTT-3.3.4-6]
      }
    }
    this.payloadAt = end;
    this.propertiesBuffer = this.buffer;
    this.propertiesAt = sectionAt;
    this.propertiesBytes = end - sectionAt;
    if (aliasAt < end || expiryAt < end) this.#takeOut(aliasAt, expiryAt);
    return undefined;
  }

  /** Takes alias and expiry out of the properties; one that is not there is at `payloadAt`, and empty. */
  #takeOut(aliasAt: number, expiryAt: number): void {
    const { buffer, propertiesAt: from, payloadAt: end } = this;
    const aliasEnd = aliasAt < end ? aliasAt + aliasBytes : end;
    const expiryEnd = expiryAt < end ? expiryAt + expiryBytes : end;
    const aliasFirst = aliasAt < expiryAt;
    // What is left is in up to three pieces: before both, between them, behind both.
    const firstEnd = aliasFirst ? aliasAt : expiryAt;
    const secondAt = aliasFirst ? aliasEnd : expiryEnd;
    const secondEnd = aliasFirst ? expiryAt : aliasAt;
    const thirdAt = aliasFirst ? expiryEnd : aliasEnd;
    const bytes = firstEnd - from + secondEnd - secondAt + end - thirdAt;
    this.bodyVersion = 0;
    this.propertiesBytes = bytes;
    if (bytes === firstEnd - from) return;
    if (bytes === secondEnd - secondAt) {
      this.propertiesAt = secondAt;
    } else if (bytes === end - thirdAt) {
      this.propertiesAt = thirdAt;
    } else {
      if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes);
      const target = this.#scratch;
      copyBytes({ buffer, from, to: firstEnd }, target, 0);
      copyBytes({ buffer, from: secondAt, to: secondEnd }, target, firstEnd - from);
      copyBytes({ buffer, from: thirdAt, to: end }, target, bytes - end + thirdAt);
      this.propertiesBuffer = target;
      this.propertiesAt = 0;
    }
  }
}

/** Bytes of canonical(). */
export function canonicalBytes(view: PublishView): number {
  const section = lengthFieldSize(view.propertiesBytes) + view.propertiesBytes;
  return topicLengthBytes + view.topicBytes + section + view.payloadBytes;
}

/** Writes the body of MQTT 5 with `idBytes` of room for a packet id. Returns the offset behind it. */
function writeBody(
  view: PublishView,
  { target, at, idBytes }: { readonly target: Buffer; readonly at: number; readonly idBytes: number },
): number {
  const topicEnd = at + topicLengthBytes + view.topicBytes;
  view.topicBuffer.copy(target, at, view.topicFrom, view.topicAt + view.topicBytes);
  target.fill(0, topicEnd, topicEnd + idBytes);
  let into = writeLengthField(target, topicEnd + idBytes, view.propertiesBytes);
  into += view.propertiesBuffer.copy(target, into, view.propertiesAt, view.propertiesAt + view.propertiesBytes);
  return into + view.buffer.copy(target, into, view.payloadAt, view.to);
}

/** Copies `buffer[from..to)`; by a loop when it is short. */
export function copyBytes(
  { buffer, from, to }: { readonly buffer: Buffer; readonly from: number; readonly to: number },
  target: Buffer,
  at: number,
): void {
  if (to - from > loopCopyBytesMax) {
    buffer.copy(target, at, from, to);
    return;
  }
  for (let index = from, into = at; index < to; index++, into++) target[into] = buffer[index] as number;
}

/** Two bytes, most significant first. The caller has checked that they are there. */
export function readUint16(buffer: Buffer, at: number): number {
  return ((buffer[at] as number) << byteBits) | (buffer[at + 1] as number);
}

export function writeUint16(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value >> byteBits;
  buffer[at + 1] = value & byteMask;
}
