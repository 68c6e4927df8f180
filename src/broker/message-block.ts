// Queued messages of one session, one behind the other in one buffer: twenty bytes each besides its own, where an
// object with a view and a buffer takes eight hundred.
//
//   body bytes (4) | facts (2) | share (1) | ids (1) | topic bytes (2) | ordinal (6) | properties bytes (4)
//   [expiry interval, seconds (4) | expires at, monotonic ms (8)] | subscription ids (4 each) | body
//                    with an expiry                                              as PublishView.writeKept() writes it
//
// Facts: QoS (2 bits), retain, the publisher's QoS (2) and retain, room for a packet id, MQTT 5 body, text declared,
// expiry, interval known. A share is an object: its number stands for it, 0 for none.
//
// First in, first out. What is read out of it borrows its bytes: valid until they are written over, which is when the
// buffer has been given to somebody else. Does not own the buffer's life, nor count against any bound.

import type { Buffer } from 'node:buffer';
import { PublishView, type Qos } from '../protocol/mqtt/publish.ts';
import { type Delivery, noSubscriptionIds } from './delivery.ts';
import { PendingMessage, type QueuedMessage } from './pending-message.ts';

const factsAt = 4;
const shareAt = 6;
const idsAt = 7;
const topicBytesAt = 8;
const ordinalAt = 10;
const ordinalBytes = 6;
const propertiesBytesAt = 16;
const headBytes = 20;
const expiryAt = 20;
const expiresAt = 24;
const expiryHeadBytes = 32;
const idBytes = 4;

const qosMask = 0x03;
const retainFact = 0x04;
const viewQosShift = 3;
const viewRetainFact = 0x20;
const idFact = 0x40;
const version5Fact = 0x80;
const textFact = 0x1_00;
const expiryFact = 0x2_00;
const intervalFact = 0x4_00;
/** Of the one byte that counts them. */
const idsMax = 0xff;
const sharesMax = 0xff;

/** Bytes that `message` takes in a block; undefined when no block has the form for it. */
export function recordBytes({ view, subscriptionIds, settlement }: QueuedMessage): number | undefined {
  if (settlement !== undefined || subscriptionIds.length > idsMax) return undefined;
  return (hasExpiry(view) ? expiryHeadBytes : headBytes) + idBytes * subscriptionIds.length + view.keptBytes;
}

function hasExpiry({ expiresAtMs, expirySeconds }: PublishView): boolean {
  return expiresAtMs > 0 || expirySeconds !== undefined;
}

export class MessageBlock {
  readonly buffer: Buffer;
  readonly #shares: Delivery['share'][] = [undefined];
  #head = 0;
  #end = 0;
  #length = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** Messages in it. */
  get length(): number {
    return this.#length;
  }

  /** Adds a message, whose view need not be kept. False when it does not fit. */
  append(message: QueuedMessage): boolean {
    const at = this.#end;
    const { view, subscriptionIds } = message;
    const bytes = recordBytes(message);
    if (bytes === undefined || at + bytes > this.buffer.length) return false;
    const share = this.#numberOf(message.share);
    if (share > sharesMax) return false;
    const { buffer } = this;
    buffer.writeUInt32LE(view.keptBytes, at);
    buffer.writeUInt16LE(factsOf(message), at + factsAt);
    buffer[at + shareAt] = share;
    buffer[at + idsAt] = subscriptionIds.length;
    buffer.writeUInt16LE(view.topicBytes, at + topicBytesAt);
    buffer.writeUIntLE(message.ordinal, at + ordinalAt, ordinalBytes);
    buffer.writeUInt32LE(view.propertiesBytes, at + propertiesBytesAt);
    let into = at + headBytes;
    if (hasExpiry(view)) {
      buffer.writeUInt32LE(view.expirySeconds ?? 0, at + expiryAt);
      into = buffer.writeDoubleLE(view.expiresAtMs, at + expiresAt);
    }
    for (const id of subscriptionIds) into = buffer.writeUInt32LE(id, into);
    this.#end = view.writeKept(buffer, into);
    this.#length++;
    return true;
  }

  /** The first message, read into `view`. */
  first(view: PublishView): QueuedMessage {
    return this.#read(this.#head, view);
  }

  /** Takes the first message out. */
  shift(): void {
    this.#head = this.#behind(this.#head);
    this.#length--;
  }

  /** Every message in its order, read into a view of its own. */
  *messages(): Generator<QueuedMessage> {
    for (let at = this.#head; at < this.#end; at = this.#behind(at)) yield this.#read(at, new PublishView());
  }

  /** Takes the messages out that are `gone`, each read into `view`. */
  removeIf(gone: (message: QueuedMessage) => boolean, view: PublishView): void {
    let into = this.#head;
    for (let at = this.#head, end = this.#end; at < end; ) {
      const behind = this.#behind(at);
      if (gone(this.#read(at, view))) {
        this.#length--;
      } else {
        if (into < at) this.buffer.copyWithin(into, at, behind);
        into += behind - at;
      }
      at = behind;
    }
    this.#end = into;
  }

  #behind(at: number): number {
    const { buffer } = this;
    return this.#idsFrom(at) + idBytes * (buffer[at + idsAt] as number) + buffer.readUInt32LE(at);
  }

  #idsFrom(at: number): number {
    const facts = this.buffer.readUInt16LE(at + factsAt);
    return at + ((facts & expiryFact) === 0 ? headBytes : expiryHeadBytes);
  }

  #read(at: number, view: PublishView): QueuedMessage {
    const { buffer } = this;
    const facts = buffer.readUInt16LE(at + factsAt);
    const expires = (facts & expiryFact) !== 0;
    const to = this.#behind(at);
    const from = to - buffer.readUInt32LE(at);
    view.readKept(
      buffer,
      { from, to },
      {
        bodyVersion: (facts & version5Fact) === 0 ? 4 : 5,
        topicBytes: buffer.readUInt16LE(at + topicBytesAt),
        propertiesBytes: buffer.readUInt32LE(at + propertiesBytesAt),
        idBytes: (facts & idFact) === 0 ? 0 : 2,
        qos: ((facts >> viewQosShift) & qosMask) as Qos,
        retain: (facts & viewRetainFact) !== 0,
        expirySeconds: (facts & intervalFact) === 0 ? undefined : buffer.readUInt32LE(at + expiryAt),
        expiresAtMs: expires ? buffer.readDoubleLE(at + expiresAt) : 0,
        declaresText: (facts & textFact) !== 0,
      },
    );
    const subscriptionIds = this.#idsOf(at);
    const share = this.#shares[buffer[at + shareAt] as number];
    const qos = (facts & qosMask) as 1 | 2;
    const message = new PendingMessage({ view, qos, retain: (facts & retainFact) !== 0, subscriptionIds, share });
    message.ordinal = buffer.readUIntLE(at + ordinalAt, ordinalBytes);
    return message as QueuedMessage;
  }

  #idsOf(at: number): readonly number[] {
    const count = this.buffer[at + idsAt] as number;
    if (count === 0) return noSubscriptionIds;
    const from = this.#idsFrom(at);
    return Array.from({ length: count }, (_, index) => this.buffer.readUInt32LE(from + index * idBytes));
  }

  /** sharesMax + 1 when there is no number left. */
  #numberOf(share: Delivery['share']): number {
    const shares = this.#shares;
    const known = shares.lastIndexOf(share);
    if (known >= 0) return known;
    return shares.length > sharesMax ? shares.length : shares.push(share) - 1;
  }
}

function factsOf({ view, qos, retain }: QueuedMessage): number {
  return (
    qos |
    (retain ? retainFact : 0) |
    (view.qos << viewQosShift) |
    (view.retain ? viewRetainFact : 0) |
    (view.idBytes > 0 ? idFact : 0) |
    (view.bodyVersion === 4 ? 0 : version5Fact) |
    (view.declaresText ? textFact : 0) |
    (hasExpiry(view) ? expiryFact : 0) |
    (view.expirySeconds === undefined ? 0 : intervalFact)
  );
}
