// A set of packet ids as a bit per id: 8 KiB, made when the first id comes.
//
// Inbound QoS 2 needs it: an id is in the set from PUBLISH to PUBREL, and a PUBLISH whose id is in it is a
// repetition (method B of MQTT 3.1.1 §4.3.3). It bounds a client that never sends PUBREL by itself.

import { packetIdMax } from '../limits.ts';

const byteBits = 8;
const bitShift = 3;
const bitMask = 7;

export class PacketIdSet {
  #bits: Uint8Array | undefined;

  has(packetId: number): boolean {
    return (
      this.#bits !== undefined && ((this.#bits[packetId >> bitShift] as number) & (1 << (packetId & bitMask))) !== 0
    );
  }

  add(packetId: number): void {
    this.#bits ??= new Uint8Array((packetIdMax + 1) / byteBits);
    const at = packetId >> bitShift;
    this.#bits[at] = (this.#bits[at] as number) | (1 << (packetId & bitMask));
  }

  /** Every id, in order. */
  *ids(): Generator<number, void, void> {
    for (let packetId = 1; this.#bits !== undefined && packetId <= packetIdMax; packetId++) {
      if (this.has(packetId)) yield packetId;
    }
  }

  delete(packetId: number): void {
    if (this.#bits === undefined) return;
    const at = packetId >> bitShift;
    this.#bits[at] = (this.#bits[at] as number) & ~(1 << (packetId & bitMask));
  }
}
