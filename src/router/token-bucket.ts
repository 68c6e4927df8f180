// A rate: so many messages a second, a tenth of a second of them at once.
//
// Pure: time comes in as an argument. Messages are asked for in shares (`quantum`) rather than one by one, so that
// a rate of a thousand a second is ten batches and not a thousand. A bucket never holds more than twice the
// quantum: a pause is not made up for by a flood.

const quantaPerSecond = 10;
const msPerSecond = 1000;
/** Far above what adding fractions for years can lose, far below a message. */
const roundingError = 1e-6;

export class TokenBucket {
  readonly #perMs: number;
  /** Messages that are given at a time; at least one. */
  readonly quantum: number;
  #tokens: number;
  #atMs: number;

  constructor(messagesPerSecond: number, nowMs: number) {
    this.#perMs = messagesPerSecond / msPerSecond;
    this.quantum = Math.max(1, Math.ceil(messagesPerSecond / quantaPerSecond));
    this.#tokens = this.quantum;
    this.#atMs = nowMs;
  }

  /** Messages that may go now. */
  available(nowMs: number): number {
    this.#fill(nowMs);
    return Math.floor(this.#tokens + roundingError);
  }

  take(count: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens -= count;
  }

  /** The time at which a quantum may go; not later than `nowMs` when it may already. */
  readyAtMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens + roundingError >= this.quantum
      ? nowMs
      : nowMs + Math.ceil((this.quantum - this.#tokens) / this.#perMs - roundingError);
  }

  #fill(nowMs: number): void {
    this.#tokens = Math.min(this.quantum * 2, this.#tokens + Math.max(0, nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}
