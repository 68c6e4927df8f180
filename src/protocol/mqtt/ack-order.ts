// Acknowledgements in the order in which their messages came [MQTT-4.6.0-2], though the work behind them ends in
// any order.
//
//   arrive 1 2 3 → reserve() reserve() reserve();   done 2 → nothing;   done 1 → ack 1, ack 2
//
// Invariant: a place is settled once; what is emitted is always the longest settled prefix. How many places may
// be open is the owner's bound: it stops reading when `open` reaches it.

import { strict as assert } from 'node:assert';

export interface AckPlace {
  readonly type: number;
  readonly packetId: number;
  settled: boolean;
}

export class AckOrder {
  readonly #emit: (type: number, packetId: number) => void;
  readonly #places: AckPlace[] = [];

  constructor(emit: (type: number, packetId: number) => void) {
    this.#emit = emit;
  }

  /** Places reserved and not emitted. */
  get open(): number {
    return this.#places.length;
  }

  /** Takes the next place for an acknowledgement of packet type `type`. */
  reserve(type: number, packetId: number): AckPlace {
    const place = { type, packetId, settled: false };
    this.#places.push(place);
    return place;
  }

  /** The message of `place` is safe: emits it and what waited behind it, as far as the order allows. */
  settle(place: AckPlace): void {
    assert(!place.settled, 'an acknowledgement is settled once');
    place.settled = true;
    let ready = 0;
    while (this.#places[ready]?.settled === true) ready++;
    for (const { type, packetId } of this.#places.splice(0, ready)) this.#emit(type, packetId);
  }

  /** An acknowledgement that has nothing to wait for but its turn. */
  pass(type: number, packetId: number): void {
    if (this.#places.length === 0) this.#emit(type, packetId);
    else this.settle(this.reserve(type, packetId));
  }
}
