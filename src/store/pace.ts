// The pace of commits: how long what waits should go on waiting for company.
//
// A pure decision over arrival times; the caller (group-commit.ts) has the clock, the timer and the batch. Every
// commit costs flash at least one block, however little is in it, so messages that come anyway should share one.
// But a sender that waits for its acknowledgement before it sends the next gains nothing by company and would
// only become slower. From the outside both look alike: a message every few milliseconds. What tells them apart is
// whether anything comes while somebody waits:
//
//            company came ┌──────────┐ nobody came, twice as rarely each time
//        ┌───────────────►│ gather   │────────────────┐
//     ┌──┴──┐             └──────────┘                ▼
//     │ lone│◄─────────────────────────────────── (probe)
//     └─────┘  now and then one commit waits as long as some messages would take at the rate seen
//
//   lone     waits delayMsMin;
//   gather   waits until enough is there (and then at least delayMsMin, in which a fast sender gathers more), or
//            nothing came for some usual gaps, or delayMsMax is over.
//   In both a full batch goes at once, and so does a crowd: as many as the last commit had, if those were
//   crowdMin or more. Everybody who was just answered is back, waiting longer would only make them slower.
//
// Enough is what makes the block's overhead small: with messages of 250 bytes, two dozen are about two blocks, and
// what the device writes is less than three times the payload.

/** Below this many messages a full crowd says nothing about the load. */
const crowdMin = 16;
const enoughMessages = 24;
const enoughBytes = 8192;
/** So many usual gaps without an arrival mean that the others are done. */
const quietGaps = 5;
/** The part of a new observation in an average. */
const weight = 1 / 16;
const probeEveryMax = 64;

export interface PaceOptions {
  /** Waited in any case, unless the batch is full, the crowd is back, or it is urgent. */
  readonly delayMsMin: number;
  /** The longest anything waits. */
  readonly delayMsMax: number;
  /** As many messages do not wait any longer. */
  readonly messagesMax: number;
  /** As many bytes do not wait any longer. */
  readonly bytesMax: number;
}

export interface Waiting {
  readonly messages: number;
  readonly bytes: number;
  /** Monotonic time at which the oldest began to wait. */
  readonly sinceMs: number;
}

export class Pace {
  readonly #options: PaceOptions;
  /** The longest anything waits; longer than configured while flash is spared. */
  #delayMsMax: number;
  #gathering = false;
  #crowd = 0;
  #lastArrivalMs: number | undefined;
  /** Average time between arrivals while somebody waits. */
  #gapMs: number | undefined;
  /** Average time between all arrivals. */
  #spacingMs: number | undefined;
  #probeIn = 1;
  #probeEvery = 1;

  constructor(options: PaceOptions) {
    this.#options = { ...options, delayMsMin: Math.min(options.delayMsMin, options.delayMsMax) };
    this.#delayMsMax = options.delayMsMax;
  }

  /** The longest anything waits just now: for those who decide about their own moment. */
  get patienceMs(): number {
    return this.#gathering ? this.#delayMsMax : this.#options.delayMsMin;
  }

  /** The longest anything waits from now on; undefined: as configured. Never less than that. */
  lengthen(delayMsMax: number | undefined): void {
    this.#delayMsMax = Math.max(this.#options.delayMsMax, delayMsMax ?? 0);
  }

  /** `messages` came at once; `company`: others were waiting already. */
  arrived(nowMs: number, messages: number, company: boolean): void {
    const last = this.#lastArrivalMs;
    this.#lastArrivalMs = nowMs;
    if (last !== undefined) {
      const spacingMs = Math.min(nowMs - last, 2 * this.#delayMsMax) / messages;
      this.#spacingMs = mix(this.#spacingMs, spacingMs);
      if (company) this.#gapMs = mix(this.#gapMs, spacingMs);
    }
  }

  /** Monotonic time at which to commit if nothing else comes; in the past when it is time. */
  dueMs({ messages, bytes, sinceMs }: Waiting): number {
    const { delayMsMin, messagesMax, bytesMax } = this.#options;
    if (messages >= messagesMax || bytes >= bytesMax) return sinceMs;
    if (this.#crowd >= crowdMin && messages >= this.#crowd) return sinceMs;
    if (messages >= enoughMessages || bytes >= enoughBytes) return sinceMs + delayMsMin;
    if (!this.#gathering && !this.#probing) return sinceMs + delayMsMin;
    const gapMs = (this.#gathering ? this.#gapMs : this.#spacingMs) ?? 0;
    const quietMs = (this.#lastArrivalMs ?? sinceMs) + quietGaps * gapMs;
    return Math.min(sinceMs + this.#delayMsMax, Math.max(sinceMs + delayMsMin, quietMs));
  }

  /** A commit goes with so many messages. */
  committed(messages: number): void {
    this.#crowd = messages;
    if (messages === 0) return;
    const probed = this.#probing;
    if (messages > 1) {
      this.#gathering = true;
      this.#probeEvery = 1;
      this.#probeIn = 1;
      return;
    }
    this.#gathering = false;
    if (probed) {
      this.#probeEvery = Math.min(probeEveryMax, this.#probeEvery * 2);
      this.#probeIn = this.#probeEvery;
    } else this.#probeIn = Math.max(0, this.#probeIn - 1);
  }

  /** This commit finds out whether company would come: worth it when two more would within the longest wait. */
  get #probing(): boolean {
    if (this.#gathering || this.#probeIn > 0) return false;
    return this.#spacingMs !== undefined && 2 * this.#spacingMs <= this.#delayMsMax;
  }
}

function mix(average: number | undefined, value: number): number {
  return average === undefined ? value : average + (value - average) * weight;
}
