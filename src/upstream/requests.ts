// Requests to the hub that wait for their answer, matched by `$rid`.
//
// Owns the request ids and the time-outs. Everything that waits is rejected when the link ends: the caller
// decides whether to ask again. Bounded: beyond `pendingMax` a new request is refused at once.

import { strict as assert } from 'node:assert';
import { WeirError } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { offlineError, responseTimeoutError } from './errors.ts';

export interface Answer {
  readonly status: number;
  readonly version: number | undefined;
  readonly payload: Buffer;
}

interface Waiting {
  readonly what: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: WeirError) => void;
  readonly timer: Timer;
}

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly pendingMax: number;
}

export class Requests {
  readonly #clock: Clock;
  readonly #options: RequestOptions;
  readonly #waiting = new Map<string, Waiting>();
  #last = 0;

  constructor(clock: Clock, options: RequestOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Sends by `send(rid)` and resolves with the answer that carries the same rid. */
  ask(what: string, send: (rid: string) => Promise<void>): Promise<Answer> {
    if (this.#waiting.size >= this.#options.pendingMax) {
      return Promise.reject(
        new WeirError({
          code: 'UPSTREAM_TOO_MANY_REQUESTS',
          message: `${what}: ${this.#options.pendingMax} requests wait for the hub already.`,
          retryable: true,
        }),
      );
    }
    this.#last += 1;
    const rid = this.#last.toString(16);
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(this.#options.timeoutMs, () =>
        this.#fail(rid, responseTimeoutError(what, this.#options.timeoutMs)),
      );
      assert(!this.#waiting.has(rid), 'a request id is used once');
      this.#waiting.set(rid, { what, resolve, reject, timer });
      send(rid).catch(() => this.#fail(rid, offlineError(what)));
    });
  }

  /** False when nobody waits for `rid`: late or foreign. */
  answered(rid: string, answer: Answer): boolean {
    const waiting = this.#waiting.get(rid);
    if (waiting === undefined) return false;
    this.#waiting.delete(rid);
    waiting.timer.cancel();
    waiting.resolve(answer);
    return true;
  }

  /** The link ended. */
  rejectAll(): void {
    for (const [rid, waiting] of [...this.#waiting]) this.#fail(rid, offlineError(waiting.what));
  }

  #fail(rid: string, error: WeirError): void {
    const waiting = this.#waiting.get(rid);
    if (waiting === undefined) return;
    this.#waiting.delete(rid);
    waiting.timer.cancel();
    waiting.reject(error);
  }
}
