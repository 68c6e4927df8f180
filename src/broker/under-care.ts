// One client's publishes that somebody inside still makes safe: the topic service, or a tap. It counts them; whoever
// took one acts on its end.
//
//   take() ─► work ─ resolved ─► give(): the acknowledgement leaves in its turn
//                  └ rejected ─► give(): the connection ends, and the client sends it again
//
// The broker's close() waits for this client once, however many there are. What is not settled when the connection ends
// goes on; of QoS 2 the session knows it (Session.settle), so that a repetition waits for the same work.

interface CareShare {
  track(work: Promise<void>): void;
}

export class UnderCare {
  readonly #share: CareShare;
  #count = 0;
  #bytes = 0;
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

  /** A publish with `bytes` of payload. */
  take(bytes: number): void {
    if (this.#count === 0) {
      const all = new Promise<void>((resolve) => {
        this.#allGiven = resolve;
      });
      this.#share.track(all);
    }
    this.#count++;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes;
    if (this.#count === 0) this.#allGiven();
  }
}
