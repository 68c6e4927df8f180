// Whether the bytes of one whole control packet are what the specification allows, field by field (§3).
//
//   CONNECT      name (2+n) level flags keep-alive (2) [properties] client id [[will properties] topic payload] [user] [password]
//   CONNACK      flags reason [properties]
//   PUBLISH      topic [id] [properties] payload
//   PUBACK …     id [reason [properties]]
//   SUBSCRIBE    id [properties] (filter options)…         SUBACK    id [properties] reasons…
//   UNSUBSCRIBE  id [properties] filter…                   UNSUBACK  id [[properties] reasons…]
//   PING…        nothing        DISCONNECT   [reason [properties]]        AUTH   [reason [properties]]
//
// [properties] are there in MQTT 5 alone. Reading ends at the first flaw, which is named with its reason. What a
// server thinks of a valid packet (topics, identifiers, rights) is not judged here, and no values are made:
// mqtt-packet does that (packet.ts), from bytes that passed.

import type { Buffer } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';
import { flagsMask, type MqttVersion, packetType, typeShift } from './frame.ts';
import { isTextAt } from './mqtt-text.ts';
import { PropertyWalk, propertyId, sizedEnd, willOwner } from './properties.ts';
import { mayCarryReason } from './reason-codes.ts';
import { sharePrefix } from './topic.ts';

export interface PacketFlaw {
  readonly problem: ProtocolProblem;
  readonly detail: string;
}

export interface PacketRange {
  /** Offset of the fixed header's first byte. */
  readonly at: number;
  /** Offset behind the fixed header. */
  readonly bodyAt: number;
  readonly end: number;
}

/** Flags of the fixed header that a packet type must have (§2.1.3). PUBLISH has its own. */
const requestFlags = 0x02;
const duplicateBit = 0x08;
const version31 = 3;
const version5 = 5;

const connectFlag = { reserved: 0x01, will: 0x04, willQos: 0x18, willRetain: 0x20, password: 0x40, username: 0x80 };
const willQosMax = 0x10;
const qosMask = 0x03;
const publishQosShift = 1;
const option = { qos: 0x03, noLocal: 0x04, retainHandling: 0x30, reserved: 0xc0 };
const retainHandlingMax = 0x20;
/** SUBSCRIBE before MQTT 5 has nothing but the QoS in its options. */
const reservedBefore5 = 0xfc;
const returnCodeMax = 5;
/** A reason and the length of no properties. */
const bareAuthBytes = 2;
const failureBefore5 = 0x80;

/** Reads one packet from front to back. After a flaw every step does nothing. */
export class PacketShape {
  flaw: PacketFlaw | undefined;
  /** The will's properties in a CONNECT that has some, their length apart. */
  willProperties: { readonly from: number; readonly to: number } | undefined;
  readonly #buffer: Buffer;
  readonly #end: number;
  readonly #version: MqttVersion;
  readonly #walk = new PropertyWalk();
  #at: number;

  constructor(buffer: Buffer, { bodyAt, end }: PacketRange, version: MqttVersion) {
    this.#buffer = buffer;
    this.#at = bodyAt;
    this.#end = end;
    this.#version = version;
  }

  /** Judges the whole packet whose fixed header begins with `firstByte`. */
  check(firstByte: number): PacketFlaw | undefined {
    const type = firstByte >> typeShift;
    if (!areFlagsValid(type, firstByte & flagsMask, this.#version)) this.#fail('malformed-packet', 'header flags');
    switch (type) {
      case packetType.connect:
        this.#connect();
        break;
      case packetType.connack:
        this.#connack();
        break;
      case packetType.publish:
        this.#publish((firstByte >> publishQosShift) & qosMask);
        break;
      case packetType.puback:
      case packetType.pubrec:
      case packetType.pubrel:
      case packetType.pubcomp:
        this.#packetId();
        this.#reasonAndProperties(type);
        break;
      case packetType.subscribe:
        this.#subscribe();
        break;
      case packetType.suback:
      case packetType.unsuback:
        this.#answers(type);
        break;
      case packetType.unsubscribe:
        this.#unsubscribe();
        break;
      case packetType.pingreq:
      case packetType.pingresp:
        break;
      case packetType.disconnect:
        this.#reasonAndProperties(type);
        break;
      case packetType.auth:
        this.#auth();
        break;
      default:
        this.#fail('malformed-packet', `packet type ${type}`);
    }
    if (this.#at !== this.#end) this.#fail('malformed-packet', 'length does not fit the content');
    return this.flaw;
  }

  #connect(): void {
    const nameAt = this.#at + 2;
    const nameEnd = this.#text('protocol name');
    const level = this.#byte('protocol level');
    if (this.flaw !== undefined) return;
    const name = this.#buffer.toString('latin1', nameAt, nameEnd);
    if (name !== 'MQTT' && name !== 'MQIsdp') this.#fail('malformed-packet', 'protocol name');
    const isKnown = name === 'MQTT' ? level === version5 || level === version5 - 1 : level === version31;
    if (!isKnown) this.#fail('unsupported-protocol', `${name} level ${level}`);
    const flags = this.#byte('connect flags');
    this.#connectFlags(flags, level);
    this.#uint16('keep-alive');
    if (level === version5) this.#connectProperties();
    this.#text('client id');
    if ((flags & connectFlag.will) !== 0) {
      if (level === version5) this.#willSection();
      this.#text('will topic');
      this.#binary('will payload');
    }
    if ((flags & connectFlag.username) !== 0) this.#text('user name');
    if ((flags & connectFlag.password) !== 0) this.#binary('password');
  }

  #connectFlags(flags: number, level: number): void {
    const will = (flags & connectFlag.will) !== 0;
    if ((flags & connectFlag.reserved) !== 0) this.#fail('malformed-packet', 'reserved connect flag'); // [MQTT-3.1.2-3]
    if (!will && (flags & (connectFlag.willQos | connectFlag.willRetain)) !== 0) {
      this.#fail('malformed-packet', 'will QoS or retain without a will'); // [MQTT-3.1.2-11, -13]
    }
    if ((flags & connectFlag.willQos) > willQosMax) this.#fail('malformed-packet', 'will QoS 3'); // [MQTT-3.1.2-12]
    const passwordAlone = (flags & connectFlag.password) !== 0 && (flags & connectFlag.username) === 0;
    // Before 5 [MQTT-3.1.2-22]; MQTT 5 allows it.
    if (passwordAlone && level !== version5) this.#fail('malformed-packet', 'password without user name');
  }

  #connectProperties(): void {
    this.#properties(packetType.connect);
    this.#authenticationProperties();
  }

  #willSection(): void {
    const from = this.#properties(willOwner);
    if (this.flaw === undefined && from < this.#at) this.willProperties = { from, to: this.#at };
  }

  #connack(): void {
    const flags = this.#byte('acknowledge flags');
    const code = this.#byte('return code');
    if (flags > 1) this.#fail('malformed-packet', 'acknowledge flags');
    if (this.#version !== version5) {
      if (code > returnCodeMax) this.#fail('malformed-packet', `return code ${code}`);
      return;
    }
    this.#reason(packetType.connack, code);
    this.#properties(packetType.connack);
    this.#authenticationProperties();
  }

  #publish(qos: number): void {
    this.#text('topic');
    if (qos > 0) this.#packetId();
    if (this.#version === version5) this.#properties(packetType.publish);
    if (this.flaw === undefined) this.#at = this.#end;
  }

  #subscribe(): void {
    this.#packetId();
    if (this.#version === version5) this.#properties(packetType.subscribe);
    if (this.#at >= this.#end) this.#fail('protocol-error', 'no filters'); // [MQTT-3.8.3-2]
    while (this.flaw === undefined && this.#at < this.#end) {
      const filterAt = this.#at + 2;
      const filterEnd = this.#text('filter');
      const options = this.#byte('subscription options');
      if (this.#version !== version5) {
        if ((options & reservedBefore5) !== 0) this.#fail('malformed-packet', 'reserved subscription options');
      } else {
        if ((options & option.reserved) !== 0) this.#fail('malformed-packet', 'reserved subscription options'); // [MQTT-3.8.3-5]
        if ((options & option.retainHandling) > retainHandlingMax) this.#fail('protocol-error', 'retain handling 3');
        const isShared = this.#buffer.toString('latin1', filterAt, filterEnd).startsWith(sharePrefix);
        if (isShared && (options & option.noLocal) !== 0) {
          this.#fail('protocol-error', 'no local on a shared subscription'); // [MQTT-3.8.3-4]
        }
      }
      if ((options & option.qos) > 2) this.#fail('protocol-error', 'QoS 3');
    }
  }

  #unsubscribe(): void {
    this.#packetId();
    if (this.#version === version5) this.#properties(packetType.unsubscribe);
    if (this.#at >= this.#end) this.#fail('protocol-error', 'no filters'); // [MQTT-3.10.3-2]
    while (this.flaw === undefined && this.#at < this.#end) this.#text('filter');
  }

  #answers(type: number): void {
    this.#packetId();
    if (this.#version !== version5) {
      if (type === packetType.unsuback) return;
    } else {
      this.#properties(type);
    }
    if (this.#at >= this.#end) this.#fail('protocol-error', 'no answers');
    while (this.flaw === undefined && this.#at < this.#end) {
      const code = this.#byte('answer');
      if (this.#version === version5) this.#reason(type, code);
      else if (code > 2 && code !== failureBefore5) this.#fail('malformed-packet', `return code ${code}`);
    }
  }

  #auth(): void {
    if (this.#version !== version5) {
      this.#fail('malformed-packet', 'AUTH before MQTT 5');
      return;
    }
    const bodyAt = this.#at;
    this.#reasonAndProperties(packetType.auth);
    // Success without properties may be left out whole (§3.15.2.1); any other AUTH names its method.
    if (this.#end <= bodyAt + bareAuthBytes && (this.#end === bodyAt || this.#buffer[bodyAt] === 0)) return;
    if (!this.#walk.has(propertyId.authenticationMethod)) this.#fail('protocol-error', 'no authentication method');
  }

  /** What acknowledgements and DISCONNECT may end with: nothing, a reason, or a reason and properties. */
  #reasonAndProperties(type: number): void {
    if (this.#version !== version5 || this.#at >= this.#end) return;
    this.#reason(type, this.#byte('reason'));
    if (this.#at < this.#end) this.#properties(type);
  }

  #reason(type: number, code: number): void {
    if (!mayCarryReason(type, code)) this.#fail('protocol-error', `reason code ${code}`);
  }

  #authenticationProperties(): void {
    if (!this.#walk.has(propertyId.authenticationData) || this.#walk.has(propertyId.authenticationMethod)) return;
    this.#fail('protocol-error', 'authentication data without a method');
  }

  /** One section of properties; the offset of its first. */
  #properties(owner: number): number {
    if (this.flaw !== undefined) return this.#at;
    const walk = this.#walk;
    const to = walk.start(this.#buffer, this.#at, { end: this.#end, owner });
    const from = walk.at;
    if (to === -1) this.#fail('malformed-packet', 'property length');
    while (this.flaw === undefined && !walk.isDone) {
      const id = this.#buffer[walk.at];
      const problem = walk.next();
      if (problem !== undefined) this.#fail(problem, `property ${id}`);
    }
    if (this.flaw === undefined) this.#at = to;
    return from;
  }

  #packetId(): void {
    if (this.#uint16('packet id') === 0 && this.flaw === undefined) this.#fail('invalid-packet-id', 'packet id 0');
  }

  #byte(name: string): number {
    return this.#take(1, name) ? (this.#buffer[this.#at - 1] as number) : 0;
  }

  #uint16(name: string): number {
    return this.#take(2, name) ? this.#buffer.readUInt16BE(this.#at - 2) : 0;
  }

  /** A text; returns the offset behind it. */
  #text(name: string): number {
    const from = this.#at + 2;
    this.#binary(name);
    if (this.flaw === undefined && !isTextAt(this.#buffer, from, this.#at)) {
      this.#fail('malformed-packet', `${name} is not UTF-8`); // [MQTT-1.5.4-1, -2]
    }
    return this.#at;
  }

  #binary(name: string): void {
    if (this.flaw !== undefined) return;
    const to = sizedEnd(this.#buffer, this.#at, this.#end);
    if (to === -1) this.#fail('malformed-packet', `${name} is cut off`);
    else this.#at = to;
  }

  #take(bytes: number, name: string): boolean {
    if (this.flaw !== undefined) return false;
    if (this.#at + bytes > this.#end) {
      this.#fail('malformed-packet', `${name} is cut off`);
      return false;
    }
    this.#at += bytes;
    return true;
  }

  /** The first flaw counts. */
  #fail(problem: ProtocolProblem, detail: string): void {
    this.flaw ??= { problem, detail };
  }
}

/** Reserved flags of the fixed header [MQTT-2.1.3-1]. 3.1 knew a duplicate of any request. */
export function areFlagsValid(type: number, flags: number, version: MqttVersion): boolean {
  switch (type) {
    case packetType.publish:
      return ((flags >> publishQosShift) & qosMask) <= 2 && (flags & ~1) !== duplicateBit; // [MQTT-3.3.1-2, -4]
    case packetType.pubrel:
    case packetType.subscribe:
    case packetType.unsubscribe:
      return flags === requestFlags || (version === version31 && flags === (requestFlags | duplicateBit));
    default:
      return flags === 0;
  }
}
