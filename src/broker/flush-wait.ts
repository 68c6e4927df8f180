// What may be said only when it is on stable storage: acknowledgements that wait for the session store.
//
//   putMessage … ─► after(answer) ─► store.flushed() ─► answer()        all who ask within a turn share one promise
//                                        └─ rejected ─► failed()        and nobody is answered any more
//
// Answers leave in the order in which they were asked for. Without a session store there is nothing to wait for.

import type { SessionStore } from './ports.ts';

interface FlushShare {
  readonly sessionStore: SessionStore | undefined;
  track(work: Promise<void>): void;
}

/** Told once: true when it is safe, false when the store failed. */
export type FlushAnswer = (safe: boolean) => void;

export class FlushWait {
  readonly #share: FlushShare;
  readonly #failed: (error: unknown) => void;
  #flush: Promise<void> | undefined;
  #answers: FlushAnswer[] | undefined;
  #waiting = 0;

  /** `failed` is called for each commit that failed, after its answers. */
  constructor(share: FlushShare, failed: (error: unknown) => void) {
    this.#share = share;
    this.#failed = failed;
  }

  /** Answers that wait. */
  get length(): number {
    return this.#waiting;
  }

  /** Calls `answer` when everything put so far is safe. */
  after(answer: FlushAnswer): void {
    const { sessionStore } = this.#share;
    if (sessionStore === undefined) answer(true);
    else this.#add(sessionStore.flushed(), answer);
  }

  /** Calls `answer` at once, or behind those that wait. */
  inTurn(answer: FlushAnswer): void {
    if (this.#waiting === 0 || this.#flush === undefined) answer(true);
    else this.#add(this.#flush, answer);
  }

  #add(flush: Promise<void>, answer: FlushAnswer): void {
    this.#waiting++;
    if (flush === this.#flush) {
      this.#answers?.push(answer);
      return;
    }
    const answers = [answer];
    this.#flush = flush;
    this.#answers = answers;
    const tell = (safe: boolean): void => {
      this.#waiting -= answers.length;
      for (const each of answers.splice(0)) each(safe);
    };
    this.#share.track(
      flush.then(
        () => tell(true),
        (error: unknown) => {
          tell(false);
          this.#failed(error);
        },
      ),
    );
  }
}
