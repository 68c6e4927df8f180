// One pass at a time, and what may only happen between two of them.
//
//   trigger() ─► [work that waits] ─► pass ─► triggered meanwhile? once more
//
// Owns the order: a trigger during a pass causes exactly one more, and work that was handed over runs before it. Knows
// nothing of what a pass does. Invariant: whoever handed over work is told of its end, also when close() comes first.

import { closedError } from './errors.ts';

interface Waiting {
  readonly run: () => Promise<void>;
  readonly refuse: () => void;
}

export class Passes {
  readonly #pass: () => Promise<void>;
  #waiting: Waiting[] = [];
  #passing: Promise<void> | undefined;
  #again = false;
  #closed = false;

  /** `pass` must not reject. */
  constructor(pass: () => Promise<void>) {
    this.#pass = pass;
  }

  /** Resolves with the end of the pass that is under way. */
  trigger(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#passing !== undefined) {
      this.#again = true;
      return this.#passing;
    }
    this.#passing = this.#run().finally(() => {
      this.#passing = undefined;
      if (!this.#again) return;
      this.#again = false;
      void this.trigger();
    });
    return this.#passing;
  }

  /** Does it before the next pass; rejects with what the work says. @throws AGENT_CLOSED when there is no next pass. */
  before(work: () => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ run: () => work().then(resolve, reject), refuse: () => reject(closedError()) });
      void this.trigger();
    });
  }

  /** Work that has not begun is refused; what is under way ends. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { refuse } of this.#waiting.splice(0)) refuse();
    await this.#passing;
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await next.run();
    await this.#pass();
  }
}
