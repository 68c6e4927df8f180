// Packets that are nearly right: what a broken or hostile peer sends instead of a drawn one.
//
// Some mutations know the structure (properties added or doubled with all lengths made to fit, lengths that lie,
// integers of more bytes than they need), the others only bytes. The result need not be invalid.

import {
  lengthFieldBytes,
  lengthFieldSize,
  lengthFieldValue,
  writeLengthField,
} from '../../src/protocol/mqtt/frame.ts';
import type { Random } from './random.ts';

type Mutation = (bytes: Buffer, random: Random, another: Buffer) => Buffer;

const interesting = [0x00, 0x01, 0x02, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xff];

/** Properties, right and wrong: id and value. */
const properties = [
  ...['0100', '0101', '0102', '0200000000', '02ffffffff', '030000', '03000161', '080000', '08000161', '0800012b'],
  ...['0900020000', '0b00', '0b01', '0bffffff7f', '0b8000', '1100000000', '11ffffffff', '12000161', '130001'],
  ...['15000161', '16000100', '1700', '1701', '1702', '1800000001', '1901', '1a000161', '1c000161', '1f000161'],
  ...['210000', '210001', '220000', '22ffff', '230000', '230001', '23ffff', '2400', '2501', '2600000000'],
  ...['26000161000162', '2600000001', '2700000000', '2700000010', '2801', '2901', '2a01', '7f00', '00', '8001'],
].map((hex) => Buffer.from(hex, 'hex'));

/** Some mutations of `bytes`, one on the other; pieces are taken from `another`. */
export function mutate(bytes: Buffer, random: Random, another: Buffer): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let count = random.between(1, 3); count > 0; count--) result = random.pick(mutations)(result, random, another);
  return result;
}

const mutations: readonly Mutation[] = [
  (bytes, random) => at(bytes, random, (byte) => byte ^ (1 << random.below(8))),
  (bytes, random) => at(bytes, random, () => random.pick(interesting)),
  (bytes, random) => at(bytes, random, () => random.below(256)),
  // A two-byte length that lies by a little, or by much.
  (bytes, random) => {
    if (bytes.length < 4) return bytes;
    const from = random.between(2, bytes.length - 2);
    const lie = random.chance(0.5) ? bytes.readUInt16BE(from) + random.between(-3, 3) : random.below(65_536);
    bytes.writeUInt16BE(lie & 0xffff, from);
    return bytes;
  },
  // A remaining length that lies.
  (bytes, random) => framed(bytes, body(bytes), Math.max(0, body(bytes).length + random.between(-4, 4))),
  // A remaining length of more bytes than it needs.
  (bytes, random) => {
    const rest = body(bytes);
    const field = Buffer.alloc(4, 0x80);
    const size = writeLengthField(field, 0, rest.length);
    const bytesOfField = random.between(size, 4);
    if (bytesOfField > size) field[size - 1] = (field[size - 1] as number) | 0x80;
    if (bytesOfField > size) field[bytesOfField - 1] = 0;
    return Buffer.concat([bytes.subarray(0, 1), field.subarray(0, bytesOfField), rest]);
  },
  // Cut, with a length that fits, and without.
  (bytes, random) => fitted(bytes, body(bytes).subarray(0, random.below(body(bytes).length + 1))),
  (bytes, random) => bytes.subarray(0, random.between(1, bytes.length)),
  // A piece doubled, taken out, or taken from another packet.
  (bytes, random) => spliced(bytes, random, piece(body(bytes), random)),
  (bytes, random) => {
    const rest = body(bytes);
    const from = random.below(rest.length + 1);
    const to = Math.min(rest.length, from + random.below(8));
    return fitted(bytes, Buffer.concat([rest.subarray(0, from), rest.subarray(to)]));
  },
  (bytes, random, another) => spliced(bytes, random, piece(another, random)),
  (bytes, random, another) => fitted(bytes, Buffer.concat([body(bytes), piece(another, random)])),
  // Another type or other flags around the same content.
  (bytes, random) => {
    bytes[0] = random.chance(0.5) ? random.below(256) : ((bytes[0] as number) & 0xf0) | random.below(16);
    return bytes;
  },
  addProperty,
  addProperty,
  addProperty,
];

function at(bytes: Buffer, random: Random, change: (byte: number) => number): Buffer {
  const index = random.below(bytes.length);
  bytes[index] = change(bytes[index] as number);
  return bytes;
}

/** What is behind the fixed header, as far as there is one. */
function body(bytes: Buffer): Buffer {
  const field = lengthFieldBytes(bytes, 1, bytes.length);
  return bytes.subarray(1 + Math.max(field, 0));
}

function framed(bytes: Buffer, rest: Buffer, announced: number): Buffer {
  const field = Buffer.alloc(lengthFieldSize(announced));
  writeLengthField(field, 0, announced);
  return Buffer.concat([bytes.subarray(0, 1), field, rest]);
}

function fitted(bytes: Buffer, rest: Buffer): Buffer {
  return framed(bytes, rest, rest.length);
}

function piece(bytes: Buffer, random: Random): Buffer {
  const from = random.below(bytes.length + 1);
  return bytes.subarray(from, Math.min(bytes.length, from + random.between(1, 24)));
}

function spliced(bytes: Buffer, random: Random, inserted: Buffer): Buffer {
  const rest = body(bytes);
  const from = random.below(rest.length + 1);
  return fitted(bytes, Buffer.concat([rest.subarray(0, from), inserted, rest.subarray(from)]));
}

/** Adds a property to the section, or doubles one of it, with all lengths made to fit. */
function addProperty(bytes: Buffer, random: Random): Buffer {
  const rest = body(bytes);
  const sectionAt = propertySectionAt(bytes[0] as number, rest);
  const field = sectionAt < 0 ? 0 : lengthFieldBytes(rest, sectionAt, rest.length);
  if (field < 1) return bytes;
  const from = sectionAt + field;
  const to = Math.min(rest.length, from + lengthFieldValue(rest, sectionAt, field));
  const section = rest.subarray(from, to);
  const added = Array.from({ length: random.between(1, 3) }, () => random.pick(properties));
  const isDouble = section.length > 0 && random.chance(0.3);
  const grown = isDouble ? [section, section] : random.chance(0.5) ? [section, ...added] : [...added, section];
  const all = Buffer.concat(grown);
  const length = Buffer.alloc(lengthFieldSize(all.length));
  writeLengthField(length, 0, all.length);
  return fitted(bytes, Buffer.concat([rest.subarray(0, sectionAt), length, all, rest.subarray(to)]));
}

const typeShift = 4;
const connectHeadBytes = 10;

/** Where the length of the properties is in the body of an MQTT 5 packet; -1 when it has none. */
function propertySectionAt(firstByte: number, rest: Buffer): number {
  switch (firstByte >> typeShift) {
    case 1:
      return rest.length > connectHeadBytes ? connectHeadBytes : -1;
    case 2:
      return rest.length > 2 ? 2 : -1;
    case 3: {
      if (rest.length < 2) return -1;
      const sectionAt = 2 + rest.readUInt16BE(0) + ((firstByte & 6) === 0 ? 0 : 2);
      return sectionAt < rest.length ? sectionAt : -1;
    }
    case 4:
    case 5:
    case 6:
    case 7:
      return rest.length > 3 ? 3 : -1;
    case 8:
    case 9:
    case 10:
    case 11:
      return rest.length > 2 ? 2 : -1;
    case 14:
    case 15:
      return rest.length > 1 ? 1 : -1;
    default:
      return -1;
  }
}
