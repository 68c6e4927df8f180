// Acknowledgements in the order in which their messages came [MQTT-4.6.0-2], though the work behind them ends in
// any order.
//
//   arrive 1 2 3 → reserve() reserve() reserve();   done 2 → nothing;   done 1 → ack 1, ack 2
//
// Invariant: a place is settled once; what is emitted is always the longest settled prefix. How many places may
// be open is the owner's bound: it stops reading when `open` reaches it.

import { strict as assert } from 'node:assert';

/** Places emitted before the list is cut: rarely enough to cost nothing, often enough to keep it short. */
const compactAfter = 256;

export interface AckPlace {
  readonly type: number;
  readonly packetId: number;
  /** What the acknowledgement says; only MQTT 5 can. */
  reason: number;
  settled: boolean;
}

type Emit = (type: number, packetId: number, reason: number) => void;

export class AckOrder {
  readonly #emit: Emit;
  #places: AckPlace[] = [];
  #head = 0;

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** Places reserved and not emitted. */
  get open(): number {
    return this.#places.length - this.#head;
  }

  /** Takes the next place for an acknowledgement of packet type `type`. */
  reserve(type: number, packetId: number): AckPlace {
    const place = { type, packetId, reason: 0, settled: false };
    this.#places.push(place);
    return place;
  }

  /** The message of `place` is safe, or refused: emits it and what waited behind it, as far as the order allows. */
  settle(place: AckPlace, reason = 0): void {
    assert(!place.settled, 'an acknowledgement is settled once');
    place.settled = true;
    place.reason = reason;
    for (;;) {
      const first = this.#places[this.#head];
      if (first === undefined || !first.settled) break;
      this.#head++;
      this.#emit(first.type, first.packetId, first.reason);
    }
    // Shifting in bulk keeps a long order linear.
    if (this.#head === this.#places.length || this.#head >= compactAfter) {
      this.#places = this.#places.slice(this.#head);
      this.#head = 0;
    }
  }

  /** An acknowledgement that has nothing to wait for but its turn. */
  pass(type: number, packetId: number, reason = 0): void {
    if (this.open === 0) this.#emit(type, packetId, reason);
    else this.settle(this.reserve(type, packetId), reason);
  }
}
