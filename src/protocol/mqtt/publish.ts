// PUBLISH without objects: a view onto the bytes of one packet, and the writer that sends them on (§3.3).
//
//   0011 dup qos qos retain | remaining length | topic length (2) topic | packet id (2, QoS 1 and 2 only) | payload
//                                                └ from                  └ idAt                            └ payloadAt   to ┘
//
// The view points into a buffer it does not own, which is valid only until the next read; `kept()` copies. One
// view is reused for all packets of a broker, so the hot path allocates nothing. Nobody writes into a kept view.

import { strict as assert } from 'node:assert';
import { Buffer, isUtf8 } from 'node:buffer';
import type { ProtocolProblem } from './errors.ts';
import { lengthFieldSize, packetType, typeShift, writeLengthField } from './frame.ts';

export type Qos = 0 | 1 | 2;

const topicLengthBytes = 2;
const packetIdBytes = 2;
const byteBits = 8;
const byteMask = 0xff;
const retainBit = 0x01;
const qosShift = 1;
const qosMask = 0x03;
const duplicateBit = 0x08;
/** Below this many bytes a loop is cheaper than the call to Buffer.copy. */
const loopCopyBytesMax = 48;

/** First byte of a QoS 0 PUBLISH that is neither retained nor a duplicate: the overwhelming case. */
export const plainPublishByte = packetType.publish << typeShift;

/** The part of a PUBLISH behind its fixed header, wherever it lies. */
export class PublishView {
  buffer: Buffer = Buffer.alloc(0);
  from = 0;
  to = 0;
  topicBytes = 0;
  /** 2 when the bytes have room for a packet id, else 0. */
  idBytes: 0 | 2 = 0;
  qos: Qos = 0;
  retain = false;
  duplicate = false;
  packetId = 0;
  /** The copy made of these bytes, if one was: all who keep the message share it. */
  #copy: PublishView | undefined;

  get topicAt(): number {
    return this.from + topicLengthBytes;
  }

  get payloadAt(): number {
    return this.from + topicLengthBytes + this.topicBytes + this.idBytes;
  }

  get payloadBytes(): number {
    return this.to - this.payloadAt;
  }

  /** Reads the packet whose fixed header has `firstByte` and whose rest is `buffer[from..to)`. The topic is not looked into. */
  read(
    buffer: Buffer,
    { firstByte, from, to }: { readonly firstByte: number; readonly from: number; readonly to: number },
  ): ProtocolProblem | undefined {
    const qos = (firstByte >> qosShift) & qosMask;
    if (qos > 2) return 'malformed-packet'; // [MQTT-3.3.1-4]
    this.#copy = undefined;
    this.buffer = buffer;
    this.from = from;
    this.to = to;
    this.qos = qos as Qos;
    this.retain = (firstByte & retainBit) !== 0;
    this.duplicate = (firstByte & duplicateBit) !== 0;
    if (this.duplicate && qos === 0) return 'malformed-packet'; // [MQTT-3.3.1-2]
    if (from + topicLengthBytes > to) return 'malformed-packet';
    this.topicBytes = readUint16(buffer, from);
    this.idBytes = qos === 0 ? 0 : packetIdBytes;
    if (this.payloadAt > to) return 'malformed-packet';
    this.packetId = qos === 0 ? 0 : readUint16(buffer, this.payloadAt - packetIdBytes);
    return qos > 0 && this.packetId === 0 ? 'invalid-packet-id' : undefined; // [MQTT-2.3.1-1]
  }

  /** The topic as text, or undefined when its bytes are not UTF-8 [MQTT-1.5.3-1]. */
  topic(): string | undefined {
    const bytes = this.buffer.subarray(this.topicAt, this.topicAt + this.topicBytes);
    return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
  }

  /** A copy of the payload: it may be kept. */
  payload(): Buffer {
    return Buffer.from(this.buffer.subarray(this.payloadAt, this.to));
  }

  /** The same message in memory of its own, which stays as it is. Asked again, it answers the same copy. */
  kept(): PublishView {
    if (this.#copy !== undefined) return this.#copy;
    const copy = new PublishView();
    copy.buffer = Buffer.allocUnsafeSlow(this.to - this.from);
    this.buffer.copy(copy.buffer, 0, this.from, this.to);
    copy.to = copy.buffer.length;
    copy.topicBytes = this.topicBytes;
    copy.idBytes = this.idBytes;
    copy.qos = this.qos;
    copy.retain = this.retain;
    copy.#copy = copy;
    this.#copy = copy;
    return copy;
  }

  /** The packet of `message`, with room for a packet id when its QoS needs one. The topic must be valid. */
  static of(message: {
    readonly topic: string;
    readonly payload: Uint8Array;
    readonly qos: Qos;
    readonly retain: boolean;
  }): PublishView {
    const view = new PublishView();
    view.topicBytes = Buffer.byteLength(message.topic);
    view.idBytes = message.qos === 0 ? 0 : packetIdBytes;
    view.qos = message.qos;
    view.retain = message.retain;
    view.to = view.payloadAt + message.payload.length;
    view.buffer = Buffer.allocUnsafeSlow(view.to);
    writeUint16(view.buffer, 0, view.topicBytes);
    view.buffer.write(message.topic, topicLengthBytes, 'utf8');
    view.buffer.set(message.payload, view.payloadAt);
    view.#copy = view;
    return view;
  }
}

export interface PublishHeader {
  /** At most the view's own QoS. */
  readonly qos: Qos;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** Not used for QoS 0. */
  readonly packetId: number;
}

/** Bytes that `view` takes as a whole packet of QoS `qos`. */
export function publishBytes(view: PublishView, qos: Qos): number {
  const rest = restBytes(view, qos);
  return 1 + lengthFieldSize(rest) + rest;
}

/** Writes `view` as a packet of its own into `target` at `at`, which has publishBytes() of room. Returns the offset behind it. */
export function writePublish(
  view: PublishView,
  header: PublishHeader,
  { target, at }: { readonly target: Buffer; readonly at: number },
): number {
  const { qos } = header;
  assert(qos === 0 || view.idBytes > 0, 'a QoS is lowered on the way, never raised');
  target[at] =
    plainPublishByte | (header.duplicate ? duplicateBit : 0) | (qos << qosShift) | (header.retain ? retainBit : 0);
  const bodyAt = writeLengthField(target, at + 1, restBytes(view, qos));
  if (qos === 0 && view.idBytes > 0) {
    const idAt = view.payloadAt - packetIdBytes;
    copyBytes({ buffer: view.buffer, from: view.from, to: idAt }, target, bodyAt);
    const payloadTo = bodyAt + idAt - view.from;
    copyBytes({ buffer: view.buffer, from: view.payloadAt, to: view.to }, target, payloadTo);
    return payloadTo + view.payloadBytes;
  }
  copyBytes(view, target, bodyAt);
  if (qos > 0) writeUint16(target, bodyAt + view.payloadAt - packetIdBytes - view.from, header.packetId);
  return bodyAt + view.to - view.from;
}

function restBytes(view: PublishView, qos: Qos): number {
  return view.to - view.from - (qos === 0 ? view.idBytes : 0);
}

/** Copies `buffer[from..to)`; by a loop when it is short. */
function copyBytes(
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
