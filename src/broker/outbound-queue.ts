// QoS 1 and 2 messages that wait for one client: for a place in its window, room in its output, or its return.
//
// Bounded by messages and bytes, its own and those of all sessions together. Policy when full: the newest is not
// taken (`reject`); the caller counts it, or tells the service that wanted to deliver it.
//
// No queue may hold more than what is still free for all: n greedy ones come to rest at 1/(n+1) of the whole each,
// and leave as much to a client that is only behind for a moment (dynamic thresholds, Choudhury and Hahne 1998).

import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { PendingMessage } from './pending-message.ts';

/** A message in the queue has its bytes. */
export type QueuedMessage = PendingMessage & { readonly view: PublishView };

export interface QueueShare {
  readonly queued: { bytes: number; messages: number };
  readonly limits: {
    readonly queueMessagesMax: number;
    readonly queueBytesMax: number;
    readonly queueBytesTotalMax: number;
  };
}

const compactAfter = 1024;

export class OutboundQueue {
  readonly #share: QueueShare;
  #messages: QueuedMessage[] = [];
  #head = 0;
  #bytes = 0;

  constructor(share: QueueShare) {
    this.#share = share;
  }

  get length(): number {
    return this.#messages.length - this.#head;
  }

  get first(): QueuedMessage | undefined {
    return this.#messages[this.#head];
  }

  /** Less than half of its bounds are left. */
  get isLong(): boolean {
    const { queueMessagesMax, queueBytesMax } = this.#share.limits;
    return this.length * 2 > queueMessagesMax || this.#bytes * 2 > queueBytesMax;
  }

  /** More than three quarters of its bounds are left. */
  get isShort(): boolean {
    const { queueMessagesMax, queueBytesMax } = this.#share.limits;
    return this.length * 4 < queueMessagesMax && this.#bytes * 4 < queueBytesMax;
  }

  /** Whether a message of `bytes` would be taken. */
  hasRoom(bytes: number): boolean {
    const { limits, queued } = this.#share;
    if (this.length >= limits.queueMessagesMax || this.#bytes + bytes > limits.queueBytesMax) return false;
    return this.#bytes + bytes <= limits.queueBytesTotalMax - queued.bytes;
  }

  /** False when it is full. */
  push(message: QueuedMessage): boolean {
    const bytes = message.view.buffer.length;
    if (!this.hasRoom(bytes)) return false;
    this.#messages.push(message);
    this.#count(bytes);
    return true;
  }

  /** Puts back what the session store had: it was bounded when it came, so it is taken whatever the bounds are now. */
  restore(message: QueuedMessage): void {
    this.#messages.push(message);
    this.#count(message.view.buffer.length);
  }

  shift(): QueuedMessage | undefined {
    const message = this.#messages[this.#head];
    if (message === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#messages.length || this.#head >= compactAfter) {
      this.#messages = this.#messages.slice(this.#head);
      this.#head = 0;
    }
    this.#count(-message.view.buffer.length);
    return message;
  }

  /** Removes the messages that are not kept and returns them. */
  removeIf(gone: (message: QueuedMessage) => boolean): readonly QueuedMessage[] {
    const kept: QueuedMessage[] = [];
    const removed: QueuedMessage[] = [];
    for (const message of this.messages()) (gone(message) ? removed : kept).push(message);
    this.#messages = kept;
    this.#head = 0;
    for (const { view } of removed) this.#count(-view.buffer.length);
    return removed;
  }

  /** In their order. */
  messages(): readonly QueuedMessage[] {
    return this.#messages.slice(this.#head);
  }

  #count(bytes: number): void {
    this.#share.queued.messages += bytes > 0 ? 1 : -1;
    this.#bytes += bytes;
    this.#share.queued.bytes += bytes;
  }
}
