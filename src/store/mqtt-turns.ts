// Who waits for which changes: the promises behind the journal's flushed().
//
//   current() ──change──► turn { open, sticky } ◄──ask()── waiter            take() ──► a commit ──► resolve | reject
//                            └── nothing of it is left, nor of those before: settle() ──► resolve
//
// A turn is what changed within one turn of the loop after somebody asked, with all who asked then: they share one
// promise. `open` counts changes that may still vanish, `sticky` says that there are others.
//
// Invariant: nobody is told before those who asked before him.

import type { Clock } from '../platform/clock.ts';
import type { Window } from './mqtt-changes.ts';

export interface Turn extends Window {
  /** Something of it must be committed: it cannot vanish. */
  sticky: boolean;
  /** The turn is over: later changes are another's. */
  over: boolean;
  asked: number;
  askedSinceMs: number;
  promise: Promise<void> | undefined;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class Turns {
  readonly #clock: Clock;
  #turns: Turn[] = [newTurn()];
  #asked = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Who waits, by number. */
  get asked(): number {
    return this.#asked;
  }

  /** Since when, monotonic; undefined when nobody waits. */
  get askedSinceMs(): number | undefined {
    return this.#asked === 0 ? undefined : this.#turns.find(({ asked }) => asked > 0)?.askedSinceMs;
  }

  /** Nothing is left that a commit would be for. */
  get isEmpty(): boolean {
    return this.#turns.length === 1 && isDone(this.#last);
  }

  /** The turn in which a change belongs that is being made. */
  current(): Turn {
    if (this.#last.over) this.#turns.push(newTurn());
    return this.#last;
  }

  ask(): Promise<void> {
    const turn = this.#last;
    turn.asked++;
    this.#asked++;
    if (turn.promise !== undefined) return turn.promise;
    turn.promise = new Promise((resolve, reject) => {
      turn.resolve = resolve;
      turn.reject = reject;
    });
    // Whoever asked and went away must not end the process: the journal tries again by itself.
    turn.promise.catch(() => undefined);
    turn.askedSinceMs = this.#clock.monotonicMs();
    this.#clock.soon(() => {
      turn.over = true;
    });
    return turn.promise;
  }

  /** All turns, for the commit that is being sent. */
  take(): readonly Turn[] {
    const taken = this.#turns;
    this.#turns = [newTurn()];
    this.#asked = 0;
    return taken;
  }

  /** Tells the waiters of turns of which nothing is left, oldest first. True when that were all. */
  settle(): boolean {
    for (let first = this.#turns[0] as Turn; isDone(first); first = this.#turns[0] as Turn) {
      first.resolve();
      this.#asked -= first.asked;
      if (this.#turns.length === 1) {
        if (first.asked > 0) this.#turns[0] = newTurn();
        return true;
      }
      this.#turns.shift();
    }
    return false;
  }

  /** What changed is void; who waits, waits for what comes in its place. */
  renew(): void {
    for (const turn of this.#turns) {
      turn.open = 0;
      turn.sticky = true;
      turn.over = true;
    }
  }

  get #last(): Turn {
    return this.#turns.at(-1) as Turn;
  }
}

function newTurn(): Turn {
  const nobody = (): void => undefined;
  const waiting = { asked: 0, askedSinceMs: 0, promise: undefined, resolve: nobody, reject: nobody };
  return { open: 0, sticky: false, over: false, ...waiting };
}

function isDone({ open, sticky }: Turn): boolean {
  return open === 0 && !sticky;
}
