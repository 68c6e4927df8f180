// A connected client as the topic service sees it: one for each connection, dead when the connection is.
//
// QoS 1 deliveries go through the session's queue and window like every other message, so their order is kept;
// their promise is settled by the PUBACK or by the end of the connection, whichever comes first.

import { messageBytesMax } from '../limits.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import { isValidTopicName } from '../protocol/mqtt/topic.ts';
import { clientGone, messageInvalid, queueFull } from './errors.ts';
import type { Outbox } from './outbox.ts';
import type { BrokerClient, Principal } from './ports.ts';
import type { Session } from './session.ts';

export interface ClientPort {
  readonly session: Session;
  readonly outbox: Outbox;
  disconnect(reason: string): void;
}

export class ConnectedClient implements BrokerClient {
  readonly clientId: string;
  readonly principal: Principal;
  readonly cleanSession: boolean;
  readonly #connection: ClientPort;
  #flushing: Set<(error: Error) => void> | undefined;
  #gone = false;

  constructor(connection: ClientPort, principal: Principal) {
    this.clientId = connection.session.clientId;
    this.cleanSession = connection.session.clean;
    this.principal = principal;
    this.#connection = connection;
  }

  deliver(message: { readonly topic: string; readonly payload: Uint8Array; readonly qos: 0 | 1 }): Promise<void> {
    if (this.#gone) return Promise.reject(clientGone(this.clientId));
    if (!isValidTopicName(message.topic) || message.payload.length > messageBytesMax) {
      return Promise.reject(messageInvalid(message.topic, message.payload.length));
    }
    const view = PublishView.of({ ...message, retain: false });
    return new Promise((resolve, reject) => {
      if (message.qos === 0) this.#deliverPlain(view, { resolve, reject });
      else if (!this.#connection.session.deliver(view, { resolve, reject })) reject(queueFull(this.clientId));
    });
  }

  disconnect(reason: string): void {
    if (!this.#gone) this.#connection.disconnect(reason);
  }

  /** The connection ended; the session has told those who wait for a PUBACK. */
  gone(): void {
    this.#gone = true;
    if (this.#flushing === undefined) return;
    for (const reject of this.#flushing) reject(clientGone(this.clientId));
    this.#flushing = undefined;
  }

  #deliverPlain(view: PublishView, settlement: { resolve(): void; reject(error: Error): void }): void {
    const { outbox, session } = this.#connection;
    if (!session.deliverPlain(view)) {
      settlement.reject(queueFull(this.clientId));
      return;
    }
    this.#flushing ??= new Set();
    this.#flushing.add(settlement.reject);
    outbox.whenFlushed(() => {
      this.#flushing?.delete(settlement.reject);
      settlement.resolve();
    });
  }
}
