// Messages sent to one client and not acknowledged yet, by packet id, in the order of sending.
//
//   QoS 1   open(puback) ──PUBACK──► gone
//   QoS 2   open(pubrec) ──PUBREC──► pubcomp (PUBREL is sent) ──PUBCOMP──► gone
//
// After a reconnect what is here is due again (Session); it counts against the window of the new connection only
// once it was written to it, so a client may come back with a smaller receive maximum [MQTT-4.9.0-1].

import { strict as assert } from 'node:assert';
import { packetIdMax } from '../limits.ts';
import type { PendingMessage } from './pending-message.ts';

export class InflightWindow {
  readonly #entries = new Map<number, PendingMessage>();
  #max: number;
  #lastId = 0;

  constructor(max: number) {
    assert(max >= 1 && max <= packetIdMax, 'the window fits the packet ids');
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** How many the client takes unacknowledged from now on. */
  set max(max: number) {
    assert(max >= 1 && max <= packetIdMax, 'the window fits the packet ids');
    this.#max = max;
  }

  /** Whether a further message would be more than the client takes; `due` of those here are not written to it yet. */
  isFull(due: number): boolean {
    return this.#entries.size - due >= this.#max;
  }

  /** Takes a free packet id for `message`. */
  open(message: PendingMessage): number {
    assert(this.#entries.size < packetIdMax, 'there is a free packet id');
    do {
      this.#lastId = this.#lastId === packetIdMax ? 1 : this.#lastId + 1;
    } while (this.#entries.has(this.#lastId));
    this.#entries.set(this.#lastId, message);
    return this.#lastId;
  }

  get(packetId: number): PendingMessage | undefined {
    return this.#entries.get(packetId);
  }

  /** Puts `message` in the place of the one there, or back under the id it had before a restart. */
  put(packetId: number, message: PendingMessage): void {
    this.#entries.set(packetId, message);
    if (packetId > this.#lastId) this.#lastId = packetId;
  }

  delete(packetId: number): void {
    this.#entries.delete(packetId);
  }

  /** In the order of sending. */
  entries(): IterableIterator<[number, PendingMessage]> {
    return this.#entries.entries();
  }

  ids(): number[] {
    return [...this.#entries.keys()];
  }
}
