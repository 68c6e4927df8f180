// Reads what a server sent: cuts the stream into packets, and checks each against the rules that hold for every
// packet of a server whatever the case is about: flags, lengths, strings, reason codes, properties.
//
// Comparing tolerates what the specification leaves to the sender of a 5.0 packet: the order of properties (user
// properties keep theirs), and the short forms of a reason code 0.

import { Buffer } from 'node:buffer';
import { type IdHalf, type Octet, type Octets, packetType, shown } from './packets.ts';
import type { SpecVersion } from './statement.ts';

/** The first whole packet of `stream`, or undefined while it is not whole. */
export function firstPacket(stream: Buffer): Buffer | undefined {
  for (let at = 1, length = 0, factor = 1; at < stream.length; at++, factor *= 128) {
    const byte = stream[at] as number;
    length += (byte & 127) * factor;
    if (byte >= 128) continue;
    const end = at + 1 + length;
    return stream.length >= end ? stream.subarray(0, end) : undefined;
  }
  return undefined;
}

type PropertyKind = 'byte' | 'u16' | 'u32' | 'vbi' | 'text' | 'binary' | 'pair';

/** MQTT5 §2.2.2.2: what a property holds, and in which packets of a server it may be. */
const propertyTable: Readonly<Record<number, readonly [PropertyKind, readonly number[]]>> = {
  1: ['byte', [3]],
  2: ['u32', [3]],
  3: ['text', [3]],
  8: ['text', [3]],
  9: ['binary', [3]],
  11: ['vbi', [3]],
  17: ['u32', [2]],
  18: ['text', [2]],
  19: ['u16', [2]],
  21: ['text', [2, 15]],
  22: ['binary', [2, 15]],
  26: ['text', [2]],
  28: ['text', [2, 14]],
  31: ['text', [2, 4, 5, 6, 7, 9, 11, 14, 15]],
  33: ['u16', [2]],
  34: ['u16', [2]],
  35: ['u16', [3]],
  36: ['byte', [2]],
  37: ['byte', [2]],
  38: ['pair', [2, 3, 4, 5, 6, 7, 9, 11, 14, 15]],
  39: ['u32', [2]],
  40: ['byte', [2]],
  41: ['byte', [2]],
  42: ['byte', [2]],
};
const userProperty = 38;
const subscriptionIdentifier = 11;

const failures = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const connackReasons = [
  0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c,
  0x9d, 0x9f,
];
const disconnectReasons = [
  0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
  0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];
/** The reason codes a server may send, by packet type. */
const reasonTable: Readonly<Record<number, readonly number[]>> = {
  2: connackReasons,
  4: [0, 0x10, ...failures],
  5: [0, 0x10, ...failures],
  6: [0, 0x92],
  7: [0, 0x92],
  9: [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  11: [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  14: disconnectReasons,
  15: [0, 0x18, 0x19],
};
/** Return codes of 3.1.1, which has them in these two only. */
const codeTable311: Readonly<Record<number, readonly number[]>> = { 2: [0, 1, 2, 3, 4, 5], 9: [0, 1, 2, 0x80] };

const acknowledgementTypes: readonly number[] = [
  packetType.puback,
  packetType.pubrec,
  packetType.pubrel,
  packetType.pubcomp,
];

/** A packet taken apart, as far as comparing needs it. */
export interface Parts {
  readonly type: number;
  readonly flags: number;
  /** Topic, packet identifier, acknowledge flags: what stands before reason codes and properties. */
  readonly head: Octets;
  /** One code; more in SUBACK and UNSUBACK. */
  readonly reasons: Octets;
  readonly properties: readonly Octets[];
  readonly payload: Octets;
}

class Cursor {
  readonly #octets: Octets;
  at: number;

  constructor(octets: Octets, at: number) {
    this.#octets = octets;
    this.at = at;
  }

  get left(): number {
    return this.#octets.length - this.at;
  }

  take(count: number): Octets {
    if (count > this.left) throw new Error('it ends too early');
    this.at += count;
    return this.#octets.slice(this.at - count, this.at);
  }

  number(count: number): number {
    return this.take(count).reduce<number>((value, octet) => value * 256 + (octet as number), 0);
  }

  vbi(): number {
    let value = 0;
    let bytes = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.number(1);
      bytes++;
      value += (byte & 127) * factor;
      if (byte < 128) {
        if (byte === 0 && bytes > 1) throw new Error('a variable byte integer is longer than it need be');
        return value;
      }
    }
  }

  text(): string {
    const bytes = Buffer.from(this.take(this.number(2)) as number[]);
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.includes('\0')) throw new Error('a string has U+0000');
    return text;
  }
}

function readProperties(cursor: Cursor, type: number): Octets[] {
  const length = cursor.vbi();
  const end = cursor.at + length;
  const list: Octets[] = [];
  const seen = new Set<number>();
  const block = new Cursor(cursor.take(length), 0);
  while (block.left > 0) {
    const from = block.at;
    const id = block.number(1);
    const known = propertyTable[id];
    if (known === undefined || !known[1].includes(type))
      throw new Error(`property ${id} is not for packet type ${type}`);
    if (seen.has(id) && id !== userProperty && id !== subscriptionIdentifier)
      throw new Error(`property ${id} is there twice`);
    seen.add(id);
    skipProperty(block, known[0]);
    const to = block.at;
    block.at = from;
    list.push(block.take(to - from));
  }
  cursor.at = end;
  return list;
}

function skipProperty(block: Cursor, kind: PropertyKind): void {
  if (kind === 'byte') block.take(1);
  else if (kind === 'u16') block.take(2);
  else if (kind === 'u32') block.take(4);
  else if (kind === 'vbi') block.vbi();
  else if (kind === 'binary') block.take(block.number(2));
  else {
    block.text();
    if (kind === 'pair') block.text();
  }
}

/** Takes a packet of a server apart. Throws on whatever no such packet may have. */
export function parts(octets: Octets, version: SpecVersion): Parts {
  const first = octets[0] as number;
  const type = first >> 4;
  const flags = first & 15;
  const cursor = new Cursor(octets, 1);
  if (cursor.vbi() !== cursor.left) throw new Error('the remaining length is wrong');
  const is5 = version === '5.0';
  const found = {
    type,
    flags,
    head: [] as Octets,
    reasons: [] as Octets,
    properties: [] as Octets[],
    payload: [] as Octets,
  };
  if (type !== packetType.publish && flags !== (type === packetType.pubrel ? 2 : 0))
    throw new Error('the flags are wrong');
  if (type === packetType.publish) {
    if ((flags & 6) === 6) throw new Error('the QoS is 3');
    const from = cursor.at;
    if (/[+#]/.test(cursor.text())) throw new Error('the topic has wildcards');
    if ((flags & 6) !== 0) {
      const id = cursor.take(2);
      if (id[0] === 0 && id[1] === 0) throw new Error('the packet identifier is zero');
    }
    found.head = octets.slice(from, cursor.at);
    if (is5) found.properties = readProperties(cursor, type);
    found.payload = cursor.take(cursor.left);
  } else if (type === packetType.connack) {
    found.head = cursor.take(1);
    found.reasons = cursor.take(1);
    if (is5) found.properties = readProperties(cursor, type);
  } else if (acknowledgementTypes.includes(type)) {
    found.head = cursor.take(2);
    found.reasons = is5 && cursor.left > 0 ? cursor.take(1) : [0];
    if (is5 && cursor.left > 0) found.properties = readProperties(cursor, type);
  } else if (type === packetType.suback || type === packetType.unsuback) {
    found.head = cursor.take(2);
    if (is5) found.properties = readProperties(cursor, type);
    found.reasons = cursor.take(cursor.left);
  } else if (is5 && (type === packetType.disconnect || type === packetType.auth)) {
    found.reasons = cursor.left > 0 ? cursor.take(1) : [0];
    if (cursor.left > 0) found.properties = readProperties(cursor, type);
  } else if (type !== packetType.pingresp) {
    throw new Error(`a server sends no packet of type ${type}`);
  }
  if (cursor.left > 0) throw new Error('it is longer than it should be');
  return found;
}

/** Why no server may send `packet`, or undefined. */
export function fault(packet: Buffer, version: SpecVersion): string | undefined {
  try {
    const { type, head, flags, reasons } = parts([...packet], version);
    const allowed = (version === '5.0' ? reasonTable : codeTable311)[type];
    const wrong = allowed === undefined ? undefined : reasons.find((reason) => !allowed.includes(reason as number));
    if (wrong !== undefined) return `reason code ${wrong} is not for packet type ${type}`;
    if (type === packetType.connack && (head[0] as number) > 1) return 'reserved acknowledge flags are set';
    if (type === packetType.connack && head[0] === 1 && reasons[0] !== 0) return 'a session is present in a refusal';
    if (type === packetType.publish && (flags & 6) === 0 && (flags & 8) !== 0) return 'DUP is set at QoS 0';
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Names of packet identifiers, bound by what arrived. */
export type Bindings = Map<string, readonly [number, number]>;

function sameOctet(expected: Octet, got: number, bindings: Bindings): boolean {
  if (expected === 'ok') return got < 0x80;
  if (typeof expected === 'number') return expected === got;
  return sameHalf(expected, got, bindings);
}

function sameHalf({ name, half }: IdHalf, got: number, bindings: Bindings): boolean {
  if (name === '?') return true;
  const bound = bindings.get(name);
  if (bound === undefined || bound[half] < 0) {
    bindings.set(name, half === 0 ? [got, -1] : [bound?.[0] ?? 0, got]);
    return half === 0 || (bound?.[0] ?? 0) + got > 0;
  }
  return bound[half] === got;
}

function same(expected: Octets, got: Octets, bindings: Bindings): boolean {
  return expected.length === got.length && expected.every((octet, at) => sameOctet(octet, got[at] as number, bindings));
}

function sortedProperties(list: readonly Octets[]): string {
  const users = list.filter((property) => property[0] === userProperty);
  const others = list.filter((property) => property[0] !== userProperty).map((property) => property.join());
  return [...others.sort(), ...users.map((property) => property.join())].join(';');
}

const reasonString = 31;

/** Explanations may go with every acknowledgement; a case that is about them looks at the packet itself. */
function withoutExplanations({ type, properties }: Parts): readonly Octets[] {
  if (type === packetType.publish) return properties;
  return properties.filter(([id]) => id !== reasonString && id !== userProperty);
}

/** What a PUBLISH carries. */
export interface PublishRead {
  readonly topic: string;
  readonly payload: string;
  /** Values of four bytes at most; the last of each identifier. */
  readonly numbers: ReadonlyMap<number, number>;
  readonly qos: number;
  readonly dup: boolean;
}

export function publishRead(packet: Buffer, version: SpecVersion): PublishRead {
  const { head, properties, payload, flags } = parts([...packet], version);
  const bytes = Buffer.from(head as number[]);
  const number = (property: Octets): [number, number] => [
    property[0] as number,
    property.slice(1).reduce<number>((value, octet) => value * 256 + (octet as number), 0),
  ];
  return {
    topic: bytes.subarray(2, 2 + bytes.readUInt16BE(0)).toString(),
    payload: Buffer.from(payload as number[]).toString(),
    numbers: new Map(properties.filter(({ length }) => length <= 5).map(number)),
    qos: (flags >> 1) & 3,
    dup: (flags & 8) !== 0,
  };
}

/** True when `packet` is what `expected` describes. Binds names of identifiers. */
export function isSame(
  expected: Octets,
  packet: Buffer,
  { version, bindings }: { version: SpecVersion; bindings: Bindings },
): boolean {
  const [want, got] = [parts(expected, version), parts([...packet], version)];
  return (
    want.type === got.type &&
    want.flags === got.flags &&
    same(want.head, got.head, bindings) &&
    same(want.reasons, got.reasons, bindings) &&
    same(want.payload, got.payload, bindings) &&
    sortedProperties(withoutExplanations(want)) === sortedProperties(withoutExplanations(got))
  );
}

export function shownPacket(packet: Buffer): string {
  return shown([...packet]);
}
