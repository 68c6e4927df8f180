// Queued messages of one session, one behind the other in one buffer: twenty bytes each besides its own, where an
// object with a view and a buffer takes eight hundred.
//
//   facts (1) | share (1) | ids (1) | ordinal (6) | subscription ids (4 each) | packed view (packed-view.ts)
//
// Facts: QoS (2 bits), retain. A share is an object: its number stands for it, 0 for none.
//
// First in, first out. What is read out of it borrows its bytes: valid until they are written over, which is when the
// buffer has been given to somebody else. Does not own the buffer's life, nor count against any bound.

import type { Buffer } from 'node:buffer';
import { PublishView } from '../protocol/mqtt/publish.ts';
import { type Delivery, noSubscriptionIds } from './delivery.ts';
import { behindPacked, packedBodyBytes, packedBytes, packView, unpackView } from './packed-view.ts';
import { PendingMessage, type QueuedMessage } from './pending-message.ts';

const shareAt = 1;
const idsAt = 2;
const ordinalAt = 3;
const ordinalBytes = 6;
const headBytes = 9;
const idBytes = 4;

const qosMask = 0x03;
const retainFact = 0x04;
/** Of the one byte that counts them. */
const idsMax = 0xff;
const sharesMax = 0xff;

/** Bytes that `message` takes in a block; undefined when no block has the form for it. */
export function recordBytes({ view, subscriptionIds, settlement }: QueuedMessage): number | undefined {
  if (settlement !== undefined || subscriptionIds.length > idsMax) return undefined;
  return headBytes + idBytes * subscriptionIds.length + packedBytes(view);
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

  /** The keptBytes of the first message. */
  get firstBytes(): number {
    return packedBodyBytes(this.buffer, this.#viewAt(this.#head));
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
    buffer[at] = message.qos | (message.retain ? retainFact : 0);
    buffer[at + shareAt] = share;
    buffer[at + idsAt] = subscriptionIds.length;
    buffer.writeUIntLE(message.ordinal, at + ordinalAt, ordinalBytes);
    let into = at + headBytes;
    for (const id of subscriptionIds) into = buffer.writeUInt32LE(id, into);
    this.#end = packView(view, buffer, into);
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
    return behindPacked(this.buffer, this.#viewAt(at));
  }

  #viewAt(at: number): number {
    return at + headBytes + idBytes * (this.buffer[at + idsAt] as number);
  }

  #read(at: number, view: PublishView): QueuedMessage {
    const { buffer } = this;
    const facts = buffer[at] as number;
    unpackView(buffer, this.#viewAt(at), view);
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
    const from = at + headBytes;
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
