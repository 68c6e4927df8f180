// A frame: several messages of one lane, one after the other, in one QoS 1 PUBLISH from a gateway of weir to a hub of weir.
//
//   bytes   content
//   1       version, 1
//   1       s, 1 to 64
//   s       stream, as in `$.hop`
//   8       position of the first message in it; each further one is one higher
//   1       n, messages: 1 to telemetryFrameMessagesMax
//   then n times
//   2       a; 65535: the sender of the message before
//   a       sender, an identity key: `device` or `device/module`
//   2       b; 65535: the bag of the message before
//   b       property bag (property-bag.ts) as it would stand in a topic, printable ASCII, without `$.hop`
//   2       c
//   c       body
//
// Numbers are big-endian. Nothing follows the last body. A body is never looked into, so that no frame is in a frame.
//
//   gateway → hub    SUBSCRIBE $iothub/frames/#                     an older hub takes it and says nothing
//   hub → gateway    $iothub/frames/taken/?$version=1               to each who subscribes
//   gateway → hub    $iothub/frames/POST/                           a frame: only to a hub that has said so on this connection
//
// The hub takes a frame wholly or not at all. Reading is pure and answers faults as values.

import { Buffer } from 'node:buffer';
import { telemetryFrameBytesMax, telemetryFrameMessagesMax } from '../../limits.ts';
import { type Identity, identityKey, parseIdentityKey } from '../../model/address.ts';
import type { StreamPosition } from '../../model/message.ts';

export const frameFilter = '$iothub/frames/#';
export const frameTopic = '$iothub/frames/POST/';
/** What a hub says that takes frames as they are written here. */
export const framesTakenTopic = '$iothub/frames/taken/?$version=1';

export interface FramedMessage {
  readonly sender: Identity;
  /** Without `$.hop`. Messages that follow each other with equal bags share the text when they are read. */
  readonly bag: string;
  readonly body: Uint8Array;
  readonly hop: StreamPosition;
}

export type DecodedTelemetryFrame =
  | { readonly ok: true; readonly messages: readonly (FramedMessage & { readonly body: Buffer })[] }
  | { readonly ok: false; readonly reason: string };

const version = 1;
/** No length: a frame is shorter (limits.ts). */
const asBefore = 0xffff;
const lengthBytes = 2;
const positionBytes = 8;
/** Version, length of the stream, position, count. */
const headBytes = 1 + 1 + positionBytes + 1;
const streamPattern = /^[A-Za-z0-9._-]{1,64}$/;
const bagPattern = /^[\x21-\x7e]*$/;

/** Collects messages that follow each other, as long as they fit into one frame. */
export class TelemetryFrameWriter {
  readonly #first: StreamPosition;
  /** What is not that of the message before: sender, bag; and the body. */
  readonly #parts: (string | Uint8Array | undefined)[] = [];
  #sender: string | undefined;
  #bag: string | undefined;
  #bytes: number;
  #count = 0;

  constructor(first: StreamPosition) {
    this.#first = first;
    this.#bytes = headBytes + first.stream.length;
  }

  get count(): number {
    return this.#count;
  }

  /** False: it does not come next, or there is no room, and the frame stays as it was. */
  add({ sender, bag, body, hop }: FramedMessage): boolean {
    const { stream, sequence } = this.#first;
    if (hop.stream !== stream || hop.sequence !== sequence + this.#count) return false;
    const key = identityKey(sender);
    const ownSender = key === this.#sender ? undefined : key;
    const ownBag = bag === this.#bag ? undefined : bag;
    const bytes = 3 * lengthBytes + (ownSender?.length ?? 0) + (ownBag?.length ?? 0) + body.byteLength;
    if (this.#count === telemetryFrameMessagesMax || this.#bytes + bytes > telemetryFrameBytesMax) return false;
    this.#parts.push(ownSender, ownBag, body);
    this.#sender = key;
    this.#bag = bag;
    this.#bytes += bytes;
    this.#count++;
    return true;
  }

  frame(): Buffer {
    const { stream, sequence } = this.#first;
    const frame = Buffer.allocUnsafe(this.#bytes);
    let at = frame.writeUInt8(version, 0);
    at = frame.writeUInt8(stream.length, at);
    at += frame.write(stream, at, 'latin1');
    at = frame.writeBigUInt64BE(BigInt(sequence), at);
    at = frame.writeUInt8(this.#count, at);
    for (const part of this.#parts) {
      at = frame.writeUInt16BE(part?.length ?? asBefore, at);
      if (typeof part === 'string') at += frame.write(part, at, 'latin1');
      else if (part !== undefined) {
        frame.set(part, at);
        at += part.length;
      }
    }
    return frame;
  }
}

/** The bodies are views into `frame`. */
export function decodeTelemetryFrame(frame: Buffer): DecodedTelemetryFrame {
  if (frame.length > telemetryFrameBytesMax)
    return refusal(`it has ${frame.length} bytes; ${telemetryFrameBytesMax} are allowed`);
  if (frame.length < headBytes) return refusal('it ends in its head');
  if (frame[0] !== version) return refusal(`it is of version ${frame[0]}`);
  const streamEnd = 2 + (frame[1] as number);
  const headEnd = streamEnd + positionBytes + 1;
  if (frame.length < headEnd) return refusal('it ends in its head');
  const stream = frame.toString('latin1', 2, streamEnd);
  const first = Number(frame.readBigUInt64BE(streamEnd));
  const count = frame[headEnd - 1] as number;
  if (!streamPattern.test(stream)) return refusal('its stream has no such name');
  if (first < 1 || !Number.isSafeInteger(first + count)) return refusal(`there is no position ${first}`);
  if (count < 1 || count > telemetryFrameMessagesMax)
    return refusal(`${count} messages; 1 to ${telemetryFrameMessagesMax} are allowed`);
  return readMessages(new Parts(frame, headEnd), { stream, first, count });
}

function readMessages(
  parts: Parts,
  { stream, first, count }: { readonly stream: string; readonly first: number; readonly count: number },
): DecodedTelemetryFrame {
  const messages: (FramedMessage & { readonly body: Buffer })[] = [];
  let sender: Identity | undefined;
  let bag: string | undefined;
  for (let index = 0; index < count; index++) {
    if (parts.next()) sender = parts.isAsBefore ? sender : parseIdentityKey(parts.text());
    if (parts.next()) bag = parts.isAsBefore ? bag : bagOf(parts.text());
    if (!parts.next() || parts.isAsBefore) return refusal(`it ends in message ${index + 1} of ${count}`);
    if (sender === undefined) return refusal(`message ${index + 1} has no sender`);
    if (bag === undefined) return refusal(`message ${index + 1} has no bag of properties`);
    messages.push({ sender, bag, body: parts.bytes(), hop: { stream, sequence: first + index } });
  }
  return parts.isAtEnd ? { ok: true, messages } : refusal('something follows its last message');
}

function bagOf(text: string): string | undefined {
  return bagPattern.test(text) ? text : undefined;
}

/** What stands behind each other, each with its length before it; once something is cut off, everything is. */
class Parts {
  readonly #frame: Buffer;
  #from: number;
  #to: number;
  isAsBefore = false;

  constructor(frame: Buffer, at: number) {
    this.#frame = frame;
    this.#from = at;
    this.#to = at;
  }

  get isAtEnd(): boolean {
    return this.#to === this.#frame.length;
  }

  /** False: there is no whole one. */
  next(): boolean {
    const from = this.#to + lengthBytes;
    if (from > this.#frame.length) return this.#cutOff();
    const length = this.#frame.readUInt16BE(this.#to);
    this.isAsBefore = length === asBefore;
    this.#from = from;
    this.#to = this.isAsBefore ? from : from + length;
    return this.#to <= this.#frame.length || this.#cutOff();
  }

  text(): string {
    return this.#frame.toString('latin1', this.#from, this.#to);
  }

  bytes(): Buffer {
    return this.#frame.subarray(this.#from, this.#to);
  }

  #cutOff(): false {
    this.#to = this.#frame.length + 1;
    return false;
  }
}

function refusal(reason: string): DecodedTelemetryFrame {
  return { ok: false, reason };
}
