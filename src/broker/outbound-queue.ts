// QoS 1 and 2 messages that wait for one client: for a place in its window, room in its output, or its return.
//
// Bounded by messages and bytes, its own and those of all sessions together. Policy when full: the newest is not
// taken (`reject`); the caller counts it, or tells the service that wanted to deliver it.

import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { Settlement } from './inflight.ts';

export interface QueuedMessage {
  /** Kept: nobody changes it. */
  readonly view: PublishView;
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly settlement: Settlement | undefined;
}

export interface QueueShare {
  readonly queued: { bytes: number };
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

  /** False when it is full. */
  push(message: QueuedMessage): boolean {
    const { limits, queued } = this.#share;
    const bytes = message.view.buffer.length;
    if (this.length >= limits.queueMessagesMax || this.#bytes + bytes > limits.queueBytesMax) return false;
    if (queued.bytes + bytes > limits.queueBytesTotalMax) return false;
    this.#messages.push(message);
    this.#count(bytes);
    return true;
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
    const all = this.#messages.slice(this.#head);
    const removed = all.filter(gone);
    this.#messages = removed.length === 0 ? all : all.filter((message) => !gone(message));
    this.#head = 0;
    for (const { view } of removed) this.#count(-view.buffer.length);
    return removed;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#share.queued.bytes += bytes;
  }
}
