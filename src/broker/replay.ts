// Retained messages for a new subscription, read lazily and at the client's pace. What was published after the
// subscription reaches the client live and is left out here; so is what may not reach this client, or ran out of
// time, or is not retained any more.
//
//   add() ──► one filter after the other ──room for it──► QoS 0: sent · QoS 1, 2: taken by the flow ──► replayed
//
// A session that outlives its connection goes on where it stood when its client is back. `replaying` of the grant is
// what remains of it after a restart of the broker: it begins anew then.
//
// Invariant: a replay that waits for its turn, or for its client, costs a few hundred bytes, whatever is retained.

import type { Qos } from '../protocol/mqtt/publish.ts';
import { PendingMessage } from './pending-message.ts';
import type { RetainedMessage } from './retained.ts';
import type { Session, SessionShare } from './session.ts';

/** Takes a message into its session's order; false while there is no room. */
type TakeRetained = (message: PendingMessage) => boolean;

export class Replay {
  readonly qos: Qos;
  readonly subscriptionIds: readonly number[];
  readonly #match: () => Iterator<RetainedMessage, void, void>;
  /** Younger ones come live. */
  readonly #upTo: number;
  readonly #mayReceive: ((message: RetainedMessage) => boolean) | undefined;
  #messages: Iterator<RetainedMessage, void, void> | undefined;
  #first: RetainedMessage | undefined;

  /** `match` begins the walk. */
  constructor(
    match: () => Iterator<RetainedMessage, void, void>,
    subscription: { readonly qos: Qos; readonly subscriptionIds: readonly number[]; readonly upTo: number },
    mayReceive: ((message: RetainedMessage) => boolean) | undefined,
  ) {
    this.qos = subscription.qos;
    this.subscriptionIds = subscription.subscriptionIds;
    this.#match = match;
    this.#upTo = subscription.upTo;
    this.#mayReceive = mayReceive;
  }

  /** The message to send next, the same until shift(); undefined when there is none any more. */
  first(): RetainedMessage | undefined {
    this.#messages ??= this.#match();
    while (this.#first?.isCurrent !== true) {
      const step = this.#messages.next();
      if (step.done === true) return undefined;
      const { value: message } = step;
      if (message.sequence > this.#upTo) continue;
      if (this.#mayReceive === undefined || this.#mayReceive(message)) this.#first = message;
    }
    return this.#first;
  }

  shift(): void {
    this.#first = undefined;
  }
}

/** The replays of one client, by filter, one after the other. */
export class Replays {
  readonly #session: Session;
  readonly #share: SessionShare;
  readonly #byFilter = new Map<string, Replay>();

  constructor(session: Session, share: SessionShare) {
    this.#session = session;
    this.#share = share;
  }

  has(filter: string): boolean {
    return this.#byFilter.has(filter);
  }

  add(filter: string, replay: Replay): void {
    this.#byFilter.set(filter, replay);
  }

  forget(filter: string): void {
    this.#byFilter.delete(filter);
  }

  /** Goes on for as long as there is room. */
  send(take: TakeRetained): void {
    for (const [filter, replay] of this.#byFilter) {
      for (let message = replay.first(); message !== undefined; message = replay.first()) {
        if (!this.#sendOne(message, replay, take)) return;
        replay.shift();
      }
      this.#byFilter.delete(filter);
      this.#session.replayed(filter);
    }
  }

  /** False while there is no room: nobody is acknowledged for it, it can wait. */
  #sendOne({ view }: RetainedMessage, replay: Replay, take: TakeRetained): boolean {
    const { subscriptionIds } = replay;
    const qos = Math.min(view.qos, replay.qos) as Qos;
    if (qos > 0) {
      if (this.#session.isStored && this.#share.store?.full === true) return false;
      return take(new PendingMessage({ view, qos: qos as 1 | 2, retain: true, subscriptionIds }));
    }
    const result = this.#session.sendPlain(view, { qos, retain: true, subscriptionIds });
    if (result === 'packet-too-large') this.#share.traffic.dropped(result, 1);
    return result === 'sent' || result === 'packet-too-large';
  }
}
