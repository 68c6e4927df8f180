// What became of a commit, for the next one, when that was sealed before anybody knew.
//
// No message may overtake a refused one of its stream (thread-protocol.ts says why). The main thread sees to that
// for what it has still to send; what was on its way already is held here.

import { StoreError } from './errors.ts';
import type { Failure } from './thread-protocol.ts';

/** A commit that was sent and never came: the thread was another one, or it was refused on its way. */
const missing: Failure = {
  code: 'STORE_UNAVAILABLE',
  message: 'A commit before this one was not made. Send again.',
  retryable: true,
};

export class CommitOutcome {
  static readonly none = new CommitOutcome(undefined, { failure: undefined, refused: [] });
  readonly #number: number | undefined;
  /** No message of it is stored. */
  readonly failure: Failure | undefined;
  /** Streams of messages that were refused. */
  readonly refused: readonly string[];

  constructor(
    number: number | undefined,
    { failure, refused }: { readonly failure: Failure | undefined; readonly refused: readonly string[] },
  ) {
    this.#number = number;
    this.failure = failure;
    this.refused = refused;
  }

  static thrown(number: number | undefined, error: unknown): CommitOutcome {
    if (!(error instanceof StoreError)) return CommitOutcome.none;
    const { code, message, retryable } = error;
    return new CommitOutcome(number, { failure: { code, message, retryable }, refused: [] });
  }

  /** What binds a commit that follows the commit of this number; undefined: none that was not answered. */
  of(follows: number | undefined): CommitOutcome {
    if (follows === undefined) return CommitOutcome.none;
    return this.#number === follows ? this : new CommitOutcome(follows, { failure: missing, refused: [] });
  }
}
