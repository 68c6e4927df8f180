// Retained messages for a new subscription, read lazily and at the client's pace. What was published after the
// subscription reaches the client live and is left out here; so is what may not reach this client, or ran out of
// time.

import type { PublishView, Qos } from '../protocol/mqtt/publish.ts';
import type { RetainedMessage } from './retained.ts';

export class Replay {
  readonly qos: Qos;
  readonly subscriptionIds: readonly number[];
  readonly #messages: Iterator<RetainedMessage, void, void>;
  /** Younger ones come live. */
  readonly #upTo: number;
  readonly #mayReceive: ((view: PublishView) => boolean) | undefined;
  #first: PublishView | undefined;

  constructor(
    messages: Iterator<RetainedMessage, void, void>,
    subscription: { readonly qos: Qos; readonly subscriptionIds: readonly number[]; readonly upTo: number },
    mayReceive: ((view: PublishView) => boolean) | undefined,
  ) {
    this.qos = subscription.qos;
    this.subscriptionIds = subscription.subscriptionIds;
    this.#messages = messages;
    this.#upTo = subscription.upTo;
    this.#mayReceive = mayReceive;
  }

  /** The message to send next, the same until shift(); undefined when there is none any more. */
  first(): PublishView | undefined {
    while (this.#first === undefined) {
      const step = this.#messages.next();
      if (step.done === true) return undefined;
      if (step.value.sequence > this.#upTo) continue;
      const { view } = step.value;
      if (this.#mayReceive === undefined || this.#mayReceive(view)) this.#first = view;
    }
    return this.#first;
  }

  shift(): void {
    this.#first = undefined;
  }
}
