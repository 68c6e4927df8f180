// A module behind an input: takes a batch at a time, comes and goes, fails midway, and remembers what it had.
//
// It is at-least-once: what it took without being able to say so comes again, and only that.

import type { Endpoint, StoredMessage } from '../../src/router/ports.ts';
import type { Ledger } from './ledger.ts';
import type { SimTime } from './time.ts';

export class SimModule {
  readonly queue: string;
  readonly #time: SimTime;
  readonly #ledger: Ledger;
  readonly #positions = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #attached = true;
  /** How often it left: a batch of before gets no answer. */
  #visits = 0;
  messageMs = 1;
  /** After so many messages it fails once; `tells`: about the part it took before. */
  fails: { after: number; readonly tells: boolean } | undefined;

  constructor(queue: string, ports: { readonly time: SimTime; readonly ledger: Ledger }) {
    this.queue = queue;
    this.#time = ports.time;
    this.#ledger = ports.ledger;
  }

  get attached(): boolean {
    return this.#attached;
  }

  attach(): void {
    this.#attached = true;
    for (const wake of [...this.#waiting]) wake();
  }

  detach(): void {
    this.#attached = false;
    this.#visits++;
  }

  /** Of one process of the device. */
  endpoint(isAlive: () => boolean): Endpoint {
    const isReady = (): boolean => this.#attached;
    return {
      get isReady() {
        return isReady();
      },
      ready: (signal) => this.#ready(signal),
      send: (batch) => this.#take(batch, isAlive),
    };
  }

  #ready(signal: AbortSignal): Promise<void> {
    if (this.#attached) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
    });
  }

  async #take(batch: readonly StoredMessage[], isAlive: () => boolean): Promise<number> {
    const visit = this.#visits;
    let accepted = 0;
    for (const { message, hop } of batch) {
      await this.#time.wait(this.messageMs);
      if (!isAlive() || visit !== this.#visits || !this.#attached) break;
      if (this.fails !== undefined && this.fails.after-- <= 0) {
        const { tells } = this.fails;
        this.fails = undefined;
        if (tells && accepted > 0) break;
        throw new Error('the module failed');
      }
      const last = this.#positions.get(hop.stream) ?? 0;
      if (hop.sequence > last) {
        this.#positions.set(hop.stream, hop.sequence);
        this.#ledger.logged(this.queue, { ...message, hop }, true);
      } else this.#ledger.repeated++;
      accepted++;
    }
    if (accepted === 0) throw new Error('the module is away');
    return accepted;
  }
}
