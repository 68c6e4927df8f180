// One client's publishes that somebody inside still makes safe: the topic service, or a tap. It counts them; whoever
// took one acts on its end.
//
//   take() ─► work ─ resolved ─► give(): the acknowledgement leaves in its turn
//                  └ rejected ─► give(): the connection ends, and the client sends it again
//
// The broker's close() waits for this client once, however many there are.
//
// A QoS 2 publish that is not settled when its connection ends is forgotten, so that its repetition is served again
// instead of acknowledged: rather twice than never.

interface CareShare {
  track(work: Promise<void>): void;
}

export interface PublishInCare {
  readonly qos: number;
  readonly packetId: number;
  /** Of its payload. */
  readonly bytes: number;
}

export class UnderCare {
  readonly #share: CareShare;
  #count = 0;
  #bytes = 0;
  #ids: Set<number> | undefined;
  #allGiven: () => void = () => undefined;

  constructor(share: CareShare) {
    this.#share = share;
  }

  /** Publishes that are not settled. */
  get count(): number {
    return this.#count;
  }

  /** Of their payloads. */
  get bytes(): number {
    return this.#bytes;
  }

  take({ qos, packetId, bytes }: PublishInCare): void {
    if (this.#count === 0) {
      const all = new Promise<void>((resolve) => {
        this.#allGiven = resolve;
      });
      this.#share.track(all);
    }
    this.#count++;
    this.#bytes += bytes;
    if (qos !== 2) return;
    this.#ids ??= new Set();
    this.#ids.add(packetId);
  }

  give({ packetId, bytes }: PublishInCare, outcome: 'settled' | 'rejected'): void {
    this.#count--;
    this.#bytes -= bytes;
    if (outcome === 'settled') this.#ids?.delete(packetId);
    if (this.#count === 0) this.#allGiven();
  }

  /** The connection ended: `forget` gets the QoS 2 packet ids of what is not settled. */
  close(forget: (packetId: number) => void): void {
    for (const packetId of this.#ids ?? []) forget(packetId);
    this.#ids?.clear();
  }
}
