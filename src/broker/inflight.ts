// Messages sent to one client and not acknowledged yet, by packet id, in the order of sending.
//
//   QoS 1   open(puback) ──PUBACK──► gone
//   QoS 2   open(pubrec) ──PUBREC──► pubcomp (PUBREL is sent) ──PUBCOMP──► gone
//
// What is kept per message depends on who may need it again: a persistent session keeps the message itself
// (it is sent again after a reconnect, [MQTT-4.4.0-1]), a clean session keeps nothing but the step it waits for,
// as one of three constants, so that its messages cost no memory.

import { strict as assert } from 'node:assert';
import { packetIdMax } from '../limits.ts';
import { packetType } from '../protocol/mqtt/frame.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';

/** Somebody waits for this message's acknowledgement. */
export interface Settlement {
  resolve(): void;
  reject(error: Error): void;
}

export interface Inflight {
  /** The acknowledgement that comes next: PUBACK, PUBREC or PUBCOMP. */
  readonly awaiting: number;
  /** Present when the message may have to be sent again. */
  readonly view: PublishView | undefined;
  readonly retain: boolean;
  readonly settlement: Settlement | undefined;
}

const volatile = (awaiting: number): Inflight => ({ awaiting, view: undefined, retain: false, settlement: undefined });
const volatilePuback = volatile(packetType.puback);
const volatilePubrec = volatile(packetType.pubrec);
const volatilePubcomp = volatile(packetType.pubcomp);

/** The entry of a message nobody needs again: no memory per message. */
export function volatileInflight(qos: 1 | 2): Inflight {
  return qos === 1 ? volatilePuback : volatilePubrec;
}

export class InflightWindow {
  readonly #entries = new Map<number, Inflight>();
  readonly #max: number;
  #lastId = 0;

  constructor(max: number) {
    assert(max >= 1 && max < packetIdMax, 'the window fits the packet ids');
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  get isFull(): boolean {
    return this.#entries.size >= this.#max;
  }

  /** Takes a free packet id for `entry`. */
  open(entry: Inflight): number {
    assert(!this.isFull, 'the caller asks isFull first');
    do {
      this.#lastId = this.#lastId === packetIdMax ? 1 : this.#lastId + 1;
    } while (this.#entries.has(this.#lastId));
    this.#entries.set(this.#lastId, entry);
    return this.#lastId;
  }

  get(packetId: number): Inflight | undefined {
    return this.#entries.get(packetId);
  }

  /** PUBACK or PUBCOMP ends a message. False when no message waits for that. */
  finish(packetId: number, acknowledgement: number): boolean {
    const entry = this.#entries.get(packetId);
    if (entry === undefined || entry.awaiting !== acknowledgement) return false;
    this.#entries.delete(packetId);
    entry.settlement?.resolve();
    return true;
  }

  /** PUBREC: from now on only PUBCOMP is waited for, and the message itself is not needed any more. */
  received(packetId: number): boolean {
    if (this.#entries.get(packetId)?.awaiting !== packetType.pubrec) return false;
    this.#entries.set(packetId, volatilePubcomp);
    return true;
  }

  /** The connection ended: rejects whoever waits, forgets what is not kept, and returns the ids to send again, in order. */
  detach(keep: boolean, gone: () => Error): number[] {
    for (const [packetId, entry] of this.#entries) {
      if (keep && entry.settlement === undefined) continue;
      this.#entries.delete(packetId);
      entry.settlement?.reject(gone());
    }
    return [...this.#entries.keys()];
  }
}
