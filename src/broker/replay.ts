// Retained messages for a new subscription, read lazily and at the client's pace. What was published after the
// subscription reaches the client live and is left out here; so is what may not reach this client, or ran out of
// time.

import type { PublishView, Qos } from '../protocol/mqtt/publish.ts';
import type { Outgoing } from './delivery.ts';
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

/** The replays of one client, by filter, one after the other. */
export class Replays {
  readonly #byFilter = new Map<string, Replay>();

  add(filter: string, replay: Replay): void {
    this.#byFilter.set(filter, replay);
  }

  forget(filter: string): void {
    this.#byFilter.delete(filter);
  }

  /** Goes on for as long as `sendOne` takes what it is given. */
  send(sendOne: (view: PublishView, outgoing: Outgoing) => boolean): void {
    for (const [filter, replay] of this.#byFilter) {
      for (let view = replay.first(); view !== undefined; view = replay.first()) {
        const qos = Math.min(view.qos, replay.qos) as Qos;
        if (!sendOne(view, { qos, retain: true, subscriptionIds: replay.subscriptionIds })) return;
        replay.shift();
      }
      this.#byFilter.delete(filter);
    }
  }
}
