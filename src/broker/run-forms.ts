// A run of plain QoS 0 packets in the form another receiver wants: no packet of it becomes an object.
//
//   3.x   30 len topic payload                 5.0   30 len topic 00 payload      len is one more
//   5.0 for subscriptions with an id                 30 len topic 02 0b 07 payload
//
// A run is converted once per form, into a buffer that is used again; whoever gets the range copies it at once.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import {
  lengthFieldBytes,
  lengthFieldSize,
  lengthFieldValue,
  type MqttVersion,
  writeLengthField,
} from '../protocol/mqtt/frame.ts';
import { plainPublishByte, readUint16 } from '../protocol/mqtt/publish.ts';
import type { WireForm } from './fan-out.ts';

export interface PacketRange {
  readonly buffer: Buffer;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** Of all packets together. */
  readonly payloadBytes: number;
}

/** Neighbouring plain QoS 0 packets of one topic. */
export interface PacketRun extends PacketRange {
  /** Of the publisher: 5 has an empty property field in each packet. */
  readonly version: MqttVersion;
}

const version5 = 5;
const topicLengthBytes = 2;
const subscriptionIdentifier = 0x0b;
/** A conversion buffer beyond this is not kept: one read of a socket with room for what is added. */
const keptBytesMax = 131_072;
const nothing = Buffer.alloc(0);

export class RunForms implements PacketRange {
  buffer: Buffer = nothing;
  from = 0;
  to = 0;
  count = 0;
  payloadBytes = 0;
  #source: Buffer = nothing;
  #sourceFrom = 0;
  #sourceTo = 0;
  #sourceVersion: MqttVersion = 4;
  #form: WireForm | undefined;
  #scratch: Buffer = nothing;

  /** From now on as() is about these packets. */
  start({ buffer, from, to, count, payloadBytes, version }: PacketRun): void {
    this.#source = buffer;
    this.#sourceFrom = from;
    this.#sourceTo = to;
    this.#sourceVersion = version;
    this.count = count;
    this.payloadBytes = payloadBytes;
    this.#form = undefined;
  }

  /** The packets in `form`; borrowed until the next call. */
  as(form: WireForm): PacketRange {
    if (form === this.#form) return this;
    this.#form = form;
    if ((form.version === version5) === (this.#sourceVersion === version5) && form.subscriptionIds.length === 0) {
      this.buffer = this.#source;
      this.from = this.#sourceFrom;
      this.to = this.#sourceTo;
    } else {
      this.#convert(propertySection(form));
    }
    return this;
  }

  /** Nobody's bytes are kept. */
  end(): void {
    this.#source = nothing;
    this.buffer = nothing;
    if (this.#scratch.length > keptBytesMax) this.#scratch = nothing;
  }

  #convert(section: Buffer): void {
    const source = this.#source;
    // A length field may grow by one byte when the section does.
    const roomPerPacket = section.length + 1;
    const room = this.#sourceTo - this.#sourceFrom + this.count * roomPerPacket;
    if (this.#scratch.length < room) this.#scratch = Buffer.allocUnsafeSlow(room);
    const target = this.#scratch;
    const skipped = this.#sourceVersion === version5 ? 1 : 0;
    let into = 0;
    let at = this.#sourceFrom;
    while (at < this.#sourceTo) {
      const field = lengthFieldBytes(source, at + 1, this.#sourceTo);
      const bodyAt = at + 1 + field;
      const end = bodyAt + lengthFieldValue(source, at + 1, field);
      const topicEnd = bodyAt + topicLengthBytes + readUint16(source, bodyAt);
      target[into] = plainPublishByte;
      into = writeLengthField(target, into + 1, end - bodyAt - skipped + section.length);
      into += source.copy(target, into, bodyAt, topicEnd);
      for (let index = 0; index < section.length; index++) target[into++] = section[index] as number;
      into += source.copy(target, into, topicEnd + skipped, end);
      at = end;
    }
    assert(at === this.#sourceTo && into <= room, 'a run is whole packets');
    this.buffer = target;
    this.from = 0;
    this.to = into;
  }
}

/** The property field of `form`, its length included; nothing in 3.x. */
function propertySection(form: WireForm): Buffer {
  if (form.version !== version5) return nothing;
  const ids = form.subscriptionIds;
  const bytes = ids.reduce((sum, id) => sum + 1 + lengthFieldSize(id), 0);
  const section = Buffer.alloc(lengthFieldSize(bytes) + bytes);
  let at = writeLengthField(section, 0, bytes);
  for (const id of ids) {
    section[at] = subscriptionIdentifier;
    at = writeLengthField(section, at + 1, id);
  }
  return section;
}

/** The packets of `range` one by one; the payload bytes are shared out evenly, they are only counted. */
export function* packetsOf({ buffer, from, to, count, payloadBytes }: PacketRange): Generator<PacketRange, void, void> {
  for (let at = from; at < to; ) {
    const field = lengthFieldBytes(buffer, at + 1, to);
    const end = at + 1 + field + lengthFieldValue(buffer, at + 1, field);
    yield { buffer, from: at, to: end, count: 1, payloadBytes: payloadBytes / count };
    at = end;
  }
}
