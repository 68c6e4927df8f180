// One client's publishes that somebody inside still makes safe: the topic service, or a tap.
//
//   take() ─► work ─ resolved ─► settled(): the acknowledgement leaves in its turn
//                  └ rejected ─► rejected(): the connection ends, and the client sends it again
//
// A QoS 2 publish that is not settled when its connection ends is forgotten, so that its repetition is served again
// instead of acknowledged: rather twice than never.

interface CareShare {
  track(work: Promise<void>): void;
}

export class UnderCare {
  readonly #share: CareShare;
  #count = 0;
  #bytes = 0;
  #ids: Set<number> | undefined;

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

  take(
    { qos, packetId, bytes }: { readonly qos: number; readonly packetId: number; readonly bytes: number },
    work: Promise<void>,
    outcome: { settled(): void; rejected(error: unknown): void },
  ): void {
    this.#count++;
    this.#bytes += bytes;
    if (qos === 2) {
      this.#ids ??= new Set();
      this.#ids.add(packetId);
    }
    const settled = (): void => {
      this.#count--;
      this.#bytes -= bytes;
      this.#ids?.delete(packetId);
      outcome.settled();
    };
    const rejected = (error: unknown): void => {
      this.#count--;
      this.#bytes -= bytes;
      outcome.rejected(error);
    };
    this.#share.track(work.then(settled, rejected));
  }

  /** The connection ended: `forget` gets the QoS 2 packet ids of what is not settled. */
  close(forget: (packetId: number) => void): void {
    for (const packetId of this.#ids ?? []) forget(packetId);
    this.#ids?.clear();
  }
}
