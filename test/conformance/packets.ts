// Builds MQTT packets byte by byte, for sending and for expecting. Written from the specifications and
// deliberately not with the product's codec: an error there must not cancel itself out here.
//
//   p.publish('a/b', 'x', { qos: 1, id: 'm' })   3.1.1   32 08 0003 612f62 mmmm 78
//                                                5.0     32 09 0003 612f62 mmmm 00 78
//
// A packet is a list of octets. Where the server chooses a packet identifier, a name stands for it: the first
// packet that arrives binds the name, later ones must agree, and what is sent uses it.

import { Buffer } from 'node:buffer';
import type { SpecVersion } from './statement.ts';

/** `name` stands for a packet identifier, '?' for one that nobody needs. */
export interface IdHalf {
  readonly name: string;
  readonly half: 0 | 1;
}

/** `ok` is any byte below 0x80: a reason code of success. */
export type Octet = number | IdHalf | 'ok';
export type Octets = readonly Octet[];
export type PacketId = number | string;

export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

export const u8 = (value: number): number[] => [value];
export const u16 = (value: number): number[] => [value >> 8, value & 0xff];
export const u32 = (value: number): number[] => [...u16(Math.floor(value / 0x10000)), ...u16(value % 0x10000)];
export const raw = (value: string | Uint8Array): number[] => [
  ...(typeof value === 'string' ? Buffer.from(value) : value),
];
export const hex = (text: string): number[] => [...Buffer.from(text.replaceAll(' ', ''), 'hex')];

/** Variable byte integer. */
export function vbi(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 128 : low);
    if (rest === 0) return bytes;
  }
}

/** Length-prefixed bytes: strings and binary data. */
export function counted(value: string | Uint8Array): number[] {
  const bytes = raw(value);
  return [...u16(bytes.length), ...bytes];
}

export function packet(firstByte: number, ...body: readonly Octets[]): Octets {
  const rest = body.flat();
  return [firstByte, ...vbi(rest.length), ...rest];
}

function idOctets(id: PacketId): Octets {
  if (typeof id === 'number') return u16(id);
  return [
    { name: id, half: 0 },
    { name: id, half: 1 },
  ];
}

/** One property each: identifier and value. */
export const prop = {
  payloadFormat: (value: number) => [0x01, value],
  messageExpiry: (seconds: number) => [0x02, ...u32(seconds)],
  contentType: (value: string | Uint8Array) => [0x03, ...counted(value)],
  responseTopic: (value: string | Uint8Array) => [0x08, ...counted(value)],
  correlationData: (value: string | Uint8Array) => [0x09, ...counted(value)],
  subscriptionId: (value: number) => [0x0b, ...vbi(value)],
  sessionExpiry: (seconds: number) => [0x11, ...u32(seconds)],
  assignedClientId: (value: string) => [0x12, ...counted(value)],
  serverKeepAlive: (seconds: number) => [0x13, ...u16(seconds)],
  authMethod: (value: string) => [0x15, ...counted(value)],
  authData: (value: string | Uint8Array) => [0x16, ...counted(value)],
  requestProblem: (value: number) => [0x17, value],
  willDelay: (seconds: number) => [0x18, ...u32(seconds)],
  requestResponse: (value: number) => [0x19, value],
  reasonString: (value: string) => [0x1f, ...counted(value)],
  receiveMaximum: (value: number) => [0x21, ...u16(value)],
  topicAliasMaximum: (value: number) => [0x22, ...u16(value)],
  topicAlias: (value: number) => [0x23, ...u16(value)],
  user: (key: string | Uint8Array, value: string | Uint8Array) => [0x26, ...counted(key), ...counted(value)],
  packetBytesMax: (value: number) => [0x27, ...u32(value)],
} as const;

export type Properties = readonly (readonly number[])[];

export function properties(list: Properties): number[] {
  const bytes = list.flat();
  return [...vbi(bytes.length), ...bytes];
}

export interface WillFields {
  readonly topic: string | Uint8Array;
  readonly payload: string | Uint8Array;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly props?: Properties;
}

export interface ConnectFields {
  readonly id: string | Uint8Array;
  /** Clean session, clean start. */
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly user?: string | Uint8Array;
  readonly password?: string | Uint8Array;
  readonly will?: WillFields;
  readonly props?: Properties;
  readonly protocol?: string;
  readonly level?: number;
  /** Instead of those that follow from the fields. */
  readonly flags?: number;
}

export interface PublishFields {
  readonly qos?: number;
  readonly id?: PacketId;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly props?: Properties;
}

function connectFlags(fields: ConnectFields): number {
  const { clean = true, user, password, will } = fields;
  const willFlags = will === undefined ? 0 : 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0);
  return (clean ? 0x02 : 0) | willFlags | (password === undefined ? 0 : 0x40) | (user === undefined ? 0 : 0x80);
}

/** The packets of one version. Properties are left out in 3.1.1. */
export class Packets {
  readonly version: SpecVersion;

  constructor(version: SpecVersion) {
    this.version = version;
  }

  get is5(): boolean {
    return this.version === '5.0';
  }

  #props(list: Properties | undefined): number[] {
    return this.is5 ? properties(list ?? []) : [];
  }

  connect(fields: ConnectFields): Octets {
    const { id, keepAlive = 0, user, password, will } = fields;
    return packet(
      0x10,
      counted(fields.protocol ?? 'MQTT'),
      u8(fields.level ?? (this.is5 ? 5 : 4)),
      u8(fields.flags ?? connectFlags(fields)),
      u16(keepAlive),
      this.#props(fields.props),
      counted(id),
      will === undefined ? [] : [...this.#props(will.props), ...counted(will.topic), ...counted(will.payload)],
      user === undefined ? [] : counted(user),
      password === undefined ? [] : counted(password),
    );
  }

  publish(topic: string | Uint8Array, payload: string | Uint8Array, fields: PublishFields = {}): Octets {
    const { qos = 0, id, retain = false, dup = false, props } = fields;
    const first = 0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 1 : 0);
    return packet(first, counted(topic), id === undefined ? [] : idOctets(id), this.#props(props), raw(payload));
  }

  /** In 5.0 with reason 0 and no properties in the short form. */
  #ack(firstByte: number, id: PacketId, reason: number | 'ok', props: Properties | undefined): Octets {
    const long = this.is5 && (reason !== 0 || props !== undefined);
    return packet(firstByte, idOctets(id), long ? [reason] : [], props === undefined ? [] : this.#props(props));
  }

  puback(id: PacketId, reason: number | 'ok' = 0, props?: Properties): Octets {
    return this.#ack(0x40, id, reason, props);
  }

  pubrec(id: PacketId, reason: number | 'ok' = 0, props?: Properties): Octets {
    return this.#ack(0x50, id, reason, props);
  }

  pubrel(id: PacketId, reason = 0, props?: Properties): Octets {
    return this.#ack(0x62, id, reason, props);
  }

  pubcomp(id: PacketId, reason = 0, props?: Properties): Octets {
    return this.#ack(0x70, id, reason, props);
  }

  /** Each filter with its options byte, which is the QoS in 3.1.1. */
  subscribe(id: PacketId, filters: readonly (readonly [string | Uint8Array, number])[], props?: Properties): Octets {
    const list = filters.flatMap(([filter, options]) => [...counted(filter), options]);
    return packet(0x82, idOctets(id), this.#props(props), list);
  }

  suback(id: PacketId, codes: readonly (number | 'ok')[]): Octets {
    return packet(0x90, idOctets(id), this.#props([]), codes);
  }

  unsubscribe(id: PacketId, filters: readonly (string | Uint8Array)[], props?: Properties): Octets {
    return packet(0xa2, idOctets(id), this.#props(props), filters.flatMap(counted));
  }

  /** 3.1.1 has no codes. */
  unsuback(id: PacketId, codes: readonly number[]): Octets {
    return packet(0xb0, idOctets(id), this.#props([]), this.is5 ? codes : []);
  }

  pingreq(): Octets {
    return [0xc0, 0];
  }

  pingresp(): Octets {
    return [0xd0, 0];
  }

  disconnect(reason = 0, props?: Properties): Octets {
    if (!this.is5 || (reason === 0 && props === undefined)) return [0xe0, 0];
    return packet(0xe0, u8(reason), props === undefined ? [] : this.#props(props));
  }

  auth(reason: number, props: Properties): Octets {
    return packet(0xf0, u8(reason), this.#props(props));
  }
}

/** Readable hex: `32 08 ..`, identifiers by name, long packets cut. */
export function shown(octets: Octets): string {
  const most = 48;
  const text = octets
    .slice(0, most)
    .map((octet) => {
      if (typeof octet === 'number') return octet.toString(16).padStart(2, '0');
      return octet === 'ok' ? 'ok' : octet.half === 0 ? `<${octet.name}` : `${octet.name}>`;
    })
    .join(' ');
  return octets.length > most ? `${text} … (${octets.length} bytes)` : text;
}
