// The outbox of a module process: messages not yet acknowledged by the broker, in order, bounded, in memory.
//
//   push ──► waiting ──take──► in flight ──acknowledge──► gone
//               ▲                  │
//               └──────rewind──────┘   the connection ended: all that is in flight goes back to the front
//
// Policy when full: dropOldest, of those waiting; what is in flight stays, because it may have arrived already.
// A message keeps its position in the stream through every repetition, so a repetition is recognised.
// Volatile by design: the broker's PUBACK is the point from which a message is safe.

import { strict as assert } from 'node:assert';

export interface OutboxEntry {
  readonly bytes: number;
}

export interface OutboxLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export class Outbox<Entry extends OutboxEntry> {
  readonly #limits: OutboxLimits;
  readonly #inFlight: Entry[] = [];
  #waiting: Entry[] = [];
  /** Index of the first entry of #waiting that is still there: taking one is O(1). */
  #head = 0;
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get messages(): number {
    return this.#inFlight.length + this.#waitingCount;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds at the end; answers what had to go for it, oldest first. */
  push(entry: Entry): readonly Entry[] {
    this.#waiting.push(entry);
    this.#bytes += entry.bytes;
    const dropped: Entry[] = [];
    while (this.#isOver() && this.#waitingCount > 1) dropped.push(this.#shift());
    assert(this.#bytes >= 0, 'bytes are given back once');
    return dropped;
  }

  /** Moves the oldest waiting entry in flight. */
  take(): Entry | undefined {
    if (this.#waitingCount === 0) return undefined;
    const entry = this.#shift();
    this.#inFlight.push(entry);
    this.#bytes += entry.bytes;
    return entry;
  }

  /** The broker has it. False when it was not in flight (any more). */
  acknowledge(entry: Entry): boolean {
    const index = this.#inFlight.indexOf(entry);
    if (index < 0) return false;
    this.#inFlight.splice(index, 1);
    this.#bytes -= entry.bytes;
    return true;
  }

  /** The connection ended: what was in flight is sent again, first and in the same order. */
  rewind(): void {
    this.#waiting = [...this.#inFlight.splice(0), ...this.#waiting.slice(this.#head)];
    this.#head = 0;
  }

  /** Takes everything out, oldest first. */
  clear(): readonly Entry[] {
    this.rewind();
    const all = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return all;
  }

  get #waitingCount(): number {
    return this.#waiting.length - this.#head;
  }

  #isOver(): boolean {
    return this.messages > this.#limits.messagesMax || this.#bytes > this.#limits.bytesMax;
  }

  #shift(): Entry {
    const entry = this.#waiting[this.#head];
    assert(entry !== undefined, 'an entry is waiting');
    this.#head += 1;
    // Giving the consumed front back only when it is half of the array keeps shifting O(1) amortised.
    if (this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    this.#bytes -= entry.bytes;
    return entry;
  }
}
