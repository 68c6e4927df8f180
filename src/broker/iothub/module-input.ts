// A module's input as the destination of a queue: one message at a time, each gone when the module acknowledged it.
//
// Order is kept: nothing is sent past a message that was not acknowledged. Ready means connected and subscribed
// to this input.

import { type Identity, sameIdentity } from '../../model/address.ts';
import type { Message } from '../../model/message.ts';
import type { IotHubFront } from './front.ts';

export class ModuleInput {
  readonly #front: IotHubFront;
  readonly #target: Identity;
  readonly #input: string;
  readonly #waiting = new Set<() => void>();

  constructor(front: IotHubFront, { target, input }: { readonly target: Identity; readonly input: string }) {
    this.#front = front;
    this.#target = target;
    this.#input = input;
    front.onListening((identity) => {
      if (!sameIdentity(identity, target) || !front.isListening(target, input)) return;
      for (const wake of [...this.#waiting]) wake();
    });
  }

  /** Connected, and subscribed to this input. */
  get isReady(): boolean {
    return this.#front.isListening(this.#target, this.#input);
  }

  /** Resolves with how many from the front the module acknowledged; rejects when none was. */
  async send(batch: readonly { readonly message: Message }[]): Promise<number> {
    let accepted = 0;
    for (const { message } of batch) {
      try {
        await this.#front.deliverInput(this.#target, this.#input, message);
      } catch (error) {
        if (accepted === 0) throw error;
        break;
      }
      accepted += 1;
    }
    return accepted;
  }

  ready(signal: AbortSignal): Promise<void> {
    if (this.isReady || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
