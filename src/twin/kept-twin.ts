// One twin that is kept: what is on stable storage, what is on its way there, and the one save that is under way.
//
//   change() ─► draft ─► save ─► kept, and all whose change it held are answered
//                 ▲ changes meanwhile share the next save
//
// Invariants
//   `kept` is on stable storage: it is what is served and what the hub is told.
//   One save is under way at a time, so saves reach the table in the order of the changes.
//   A save that fails takes with it every change that was built on it: all of them are told so, and the twin is what
//   is kept again. A refused change changes nothing.

import type { Identity } from '../model/address.ts';
import { emptyTwin, type Twin, type TwinSection } from '../model/twin.ts';
import { twinGoneError } from './errors.ts';

/** What is kept of a twin. */
export interface TwinState {
  readonly twin: Twin;
  /**
   * The desired properties that their owner saw last, when they asked or were told. Empty: none yet. Several after a
   * crash, which leaves open what the last words were.
   */
  readonly seen: readonly TwinSection[];
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class KeptTwin {
  readonly identity: Identity;
  /** The reported section as the hub is known to have it; undefined until the hub was read in this run. */
  atHub: TwinSection | undefined;
  #kept: TwinState;
  #draft: TwinState;
  readonly #save: (state: TwinState) => Promise<void>;
  #waiting: Waiter[] = [];
  #isSaving = false;
  #isForgotten = false;

  constructor(
    identity: Identity,
    save: (state: TwinState) => Promise<void>,
    known: TwinState = { twin: emptyTwin, seen: [] },
  ) {
    this.identity = identity;
    this.#save = save;
    this.#kept = known;
    this.#draft = known;
  }

  get kept(): TwinState {
    return this.#kept;
  }

  /** What will be kept when all saves under way succeed: what a change starts from. */
  get draft(): TwinState {
    return this.#draft;
  }

  /** Resolves when `state` is on stable storage. Rejects with what the table says, or TWIN_GONE. */
  change(state: TwinState): Promise<void> {
    if (this.#isForgotten) return Promise.reject(twinGoneError(this.identity));
    this.#draft = state;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#isSaving) void this.#saveAll();
    });
  }

  /** Nothing is saved any more. */
  forget(): void {
    this.#isForgotten = true;
  }

  async #saveAll(): Promise<void> {
    this.#isSaving = true;
    while (this.#waiting.length > 0) {
      const state = this.#draft;
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#isForgotten) throw twinGoneError(this.identity);
        await this.#save(state);
      } catch (error) {
        // What the owner saw it has seen, also when that could not be written.
        this.#draft = { twin: this.#kept.twin, seen: this.#draft.seen };
        for (const { reject } of [...waiting, ...this.#waiting.splice(0)]) reject(error);
        continue;
      }
      this.#kept = state;
      for (const { resolve } of waiting) resolve();
    }
    this.#isSaving = false;
  }
}
