// A queue file: messages of one lane, carried to the hub by hand.
//
//   bytes   content
//   8       57 45 49 52 51 0d 0a 1a: "WEIRQ", and line ends that a copy as text would spoil
//   u16     version, 1
//   u32     H, bytes of the header: everything before the body
//   u32     B, bytes of the body
//   32      salt: the body's key is made of it and the device's key (identity/seal.ts)
//   16      proof: tells whose key it is without opening the body
//   …       JSON: {"device","epoch","stream","queue","priority","live","gone","after","first","last","messages","createdMs"}
//   u32     CRC-32 of all bytes before it
//   B       the body, sealed; the whole header is sealed with it
//
// Body, before it is sealed, for each message:
//   u32 n, n bytes JSON {"offset","enqueuedMs","device","module"?,"output"?,"system","properties"}, u32 m, m bytes body
//
// Numbers are little-endian. `offset` is the message's place in `stream`, by which the hub recognises repetitions.
// The file holds every message of the lane that waited with an offset in (after, last]; everything up to `gone` had
// left the lane when the file was made, so nobody will ever send it. A receiver may therefore take the file when it
// has received up to `after`, or when `after` is not over `gone`: otherwise a file is missing in between.
//
// Reading is pure and answers faults as values: `foreign` (no such file), `newer`, `torn` (it has an end too soon),
// `damaged`.

import { queueFileBytesMax } from '../../limits.ts';
import type { Identity } from '../../model/address.ts';
import type { JsonObject } from '../../model/json.ts';
import type { Lane } from '../../model/lane.ts';
import type { Message } from '../../model/message.ts';
import { crc32 } from './crc32.ts';
import { count, FieldFault, lane, readObject, stream, text, texts } from './fields.ts';

export const segmentVersion = 1;
export const saltBytes = 32;
export const proofBytes = 16;

const magic = Buffer.from('WEIRQ\r\n\u001a', 'latin1');
const uint32Bytes = 4;
const versionAt = 8;
const headerBytesAt = 10;
const bodyBytesAt = 14;
const saltAt = 18;
const proofAt = saltAt + saltBytes;
const jsonAt = proofAt + proofBytes;
/** The names in it are bounded: device, stream, queue. */
const headerBytesMax = 8192;
/** What a Date can be. */
const dateMsMax = 8.64e15;

export interface SegmentFacts extends Lane {
  readonly deviceId: string;
  readonly epoch: string;
  readonly stream: string;
  /** Everything up to this offset had left the lane. */
  readonly gone: number;
  /** What waited up to this offset is in other files. */
  readonly after: number;
  /** Offsets of the first and the last message in it. */
  readonly first: number;
  readonly last: number;
  readonly messages: number;
  /** By the gateway's clock, milliseconds since 1970 UTC. */
  readonly createdMs: number;
}

export interface SegmentHeader {
  readonly facts: SegmentFacts;
  readonly salt: Buffer;
  readonly proof: Buffer;
  /** Everything before the body: what is sealed with it. */
  readonly header: Buffer;
  readonly bodyBytes: number;
}

export type SegmentFault = 'foreign' | 'newer' | 'torn' | 'damaged';

export interface SegmentRefusal {
  readonly ok: false;
  readonly fault: SegmentFault;
  readonly reason: string;
}

export interface SegmentMessage {
  readonly offset: number;
  readonly message: Message;
}

export function encodeSegmentHeader(
  { deviceId, ...facts }: SegmentFacts,
  {
    salt,
    proof,
    bodyBytes,
  }: Pick<SegmentHeader, 'bodyBytes'> & { readonly salt: Uint8Array; readonly proof: Uint8Array },
): Buffer {
  const json = Buffer.from(JSON.stringify({ device: deviceId, ...facts }));
  const header = Buffer.alloc(jsonAt + json.length + uint32Bytes);
  magic.copy(header);
  header.writeUInt16LE(segmentVersion, versionAt);
  header.writeUInt32LE(header.length, headerBytesAt);
  header.writeUInt32LE(bodyBytes, bodyBytesAt);
  header.set(salt, saltAt);
  header.set(proof, proofAt);
  json.copy(header, jsonAt);
  header.writeUInt32LE(crc32(header.subarray(0, -uint32Bytes)), header.length - uint32Bytes);
  return header;
}

/** `bytes` may be the whole file or its beginning; the result holds views into it. */
export function readSegmentHeader(bytes: Buffer): ({ readonly ok: true } & SegmentHeader) | SegmentRefusal {
  if (!bytes.subarray(0, magic.length).equals(magic)) {
    const isBeginning = bytes.length < magic.length && magic.subarray(0, bytes.length).equals(bytes);
    return isBeginning ? refusal('torn', 'it ends in its first bytes') : refusal('foreign', 'it does not begin as one');
  }
  if (bytes.length < jsonAt) return refusal('torn', 'it ends in its header');
  const version = bytes.readUInt16LE(versionAt);
  if (version > segmentVersion) return refusal('newer', `it is of version ${version}`);
  const headerBytes = bytes.readUInt32LE(headerBytesAt);
  const bodyBytes = bytes.readUInt32LE(bodyBytesAt);
  if (headerBytes < jsonAt + uint32Bytes || headerBytes > headerBytesMax || bodyBytes > queueFileBytesMax)
    return refusal('damaged', 'the lengths in its header cannot be');
  if (bytes.length < headerBytes) return refusal('torn', 'it ends in its header');
  const header = bytes.subarray(0, headerBytes);
  const checked = header.subarray(0, -uint32Bytes);
  if (crc32(checked) !== header.readUInt32LE(checked.length))
    return refusal('damaged', 'its header does not fit its checksum');
  const salt = header.subarray(saltAt, proofAt);
  const proof = header.subarray(proofAt, jsonAt);
  try {
    const facts = readFacts(readObject(checked.toString('utf8', jsonAt)));
    return { ok: true, facts, salt, proof, header, bodyBytes };
  } catch (error) {
    return faultOf(error);
  }
}

/** The sealed body of a whole file, of which the header was read. */
export function segmentBody(bytes: Buffer, { header, bodyBytes }: SegmentHeader): Buffer | SegmentRefusal {
  const body = bytes.subarray(header.length);
  if (body.length === bodyBytes) return body;
  return body.length < bodyBytes
    ? refusal('torn', `${bodyBytes - body.length} of its ${header.length + bodyBytes} bytes are missing`)
    : refusal('damaged', `${body.length - bodyBytes} bytes follow its end`);
}

export function encodeSegmentMessage(offset: number, message: Message): Buffer {
  const { sender, output, system, properties, enqueuedMs, body } = message;
  const json = Buffer.from(
    JSON.stringify({
      offset,
      enqueuedMs,
      device: sender.deviceId,
      ...(sender.moduleId === undefined ? {} : { module: sender.moduleId }),
      ...(output === undefined ? {} : { output }),
      system,
      properties,
    }),
  );
  const bytes = Buffer.allocUnsafe(uint32Bytes * 2 + json.length + body.length);
  let at = bytes.writeUInt32LE(json.length, 0);
  at += json.copy(bytes, at);
  at = bytes.writeUInt32LE(body.length, at);
  bytes.set(body, at);
  return bytes;
}

/** The messages of an opened body, each with its hop; they must be what the header says. */
export function readSegmentMessages(
  plain: Buffer,
  facts: SegmentFacts,
): { readonly ok: true; readonly messages: readonly SegmentMessage[] } | SegmentRefusal {
  const messages: SegmentMessage[] = [];
  try {
    for (let at = 0; at < plain.length; ) {
      const json = part(plain, at);
      const body = part(plain, json.end);
      at = body.end;
      messages.push(readMessage(readObject(json.bytes.toString('utf8')), { body: body.bytes, stream: facts.stream }));
    }
  } catch (error) {
    return faultOf(error);
  }
  const ascends = messages.every(({ offset }, index) => offset > (messages[index - 1]?.offset ?? facts.after));
  const { first, last } = facts;
  const isWhole =
    messages.length === facts.messages && messages[0]?.offset === first && messages.at(-1)?.offset === last;
  return ascends && isWhole ? { ok: true, messages } : refusal('damaged', 'its messages are not those of its header');
}

function readFacts(object: JsonObject): SegmentFacts {
  const gone = count(object, 'gone');
  const after = count(object, 'after');
  const first = count(object, 'first', after + 1);
  return {
    ...lane(object),
    deviceId: text(object, 'device'),
    epoch: stream(object, 'epoch'),
    stream: stream(object, 'stream'),
    gone,
    after,
    first,
    last: count(object, 'last', first),
    messages: count(object, 'messages', 1),
    createdMs: count(object, 'createdMs'),
  };
}

function part(plain: Buffer, at: number): { readonly bytes: Buffer; readonly end: number } {
  const start = at + uint32Bytes;
  const end = start <= plain.length ? start + plain.readUInt32LE(at) : start;
  if (end > plain.length) throw new FieldFault('a message runs over its end');
  return { bytes: plain.subarray(start, end), end };
}

function readMessage(
  object: JsonObject,
  { body, stream: name }: { readonly body: Buffer; readonly stream: string },
): SegmentMessage {
  const deviceId = text(object, 'device');
  const sender: Identity =
    object['module'] === undefined ? { deviceId } : { deviceId, moduleId: text(object, 'module') };
  const output = object['output'];
  if (output !== undefined && typeof output !== 'string') throw new FieldFault('output is not a text');
  const enqueuedMs = object['enqueuedMs'];
  if (typeof enqueuedMs !== 'number' || Math.abs(enqueuedMs) > dateMsMax) throw new FieldFault('enqueuedMs is no time');
  const offset = count(object, 'offset', 1);
  const message: Message = {
    sender,
    ...(output === undefined ? {} : { output }),
    system: texts(object['system'], 'system properties'),
    properties: texts(object['properties'], 'properties'),
    body,
    enqueuedMs,
    hop: { stream: name, sequence: offset },
  };
  return { offset, message };
}

function refusal(fault: SegmentFault, reason: string): SegmentRefusal {
  return { ok: false, fault, reason };
}

function faultOf(error: unknown): SegmentRefusal {
  if (error instanceof FieldFault) return refusal('damaged', error.message);
  throw error;
}
