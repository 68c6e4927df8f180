// One QoS 1 or 2 message for one client, from the moment it cannot be forgotten until its last acknowledgement:
// first in the queue (awaiting 0), then under way with a packet id.
//
// A session that ends with its connection never sends again: its messages under way are the three constants below,
// which hold nothing but the step they wait for, so that they cost no memory.

import { packetType } from '../protocol/mqtt/frame.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';
import { type Delivery, noSubscriptionIds } from './delivery.ts';

/** Somebody waits for this message's acknowledgement. */
export interface Settlement {
  resolve(): void;
  reject(error: Error): void;
}

export interface PendingFacts {
  readonly view: PublishView;
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  readonly share?: Delivery['share'];
  readonly settlement?: Settlement | undefined;
}

export class PendingMessage {
  /**
   * Kept, or borrowed until the queue or the publisher has use for its bytes; who keeps the message keeps its view.
   * Undefined once its bytes are packed in a place, once the receiver has it (PUBREC), and for what is never sent again.
   */
  view: PublishView | undefined;
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
  readonly share: Delivery['share'];
  readonly settlement: Settlement | undefined;
  /** The acknowledgement that comes next: PUBACK, PUBREC or PUBCOMP; 0 before it has a packet id. */
  awaiting = 0;
  /** Where its bytes are packed while it is under way (UnderWay); -1 nowhere. */
  place = -1;
  /** Its name in the session store; 0: it is not there. */
  ordinal = 0;
  /** It was written to a connection: the next time it is a duplicate [MQTT-3.3.1-1]. */
  written = false;
  /** Its packet id has to be on stable storage before it is written. */
  flushing = false;

  constructor(facts: PendingFacts | { readonly awaiting: number }) {
    if ('awaiting' in facts) {
      this.view = undefined;
      this.qos = facts.awaiting === packetType.puback ? 1 : 2;
      this.retain = false;
      this.subscriptionIds = noSubscriptionIds;
      this.awaiting = facts.awaiting;
      this.written = true;
      return;
    }
    this.view = facts.view;
    this.qos = facts.qos;
    this.retain = facts.retain;
    this.subscriptionIds = facts.subscriptionIds;
    this.share = facts.share;
    this.settlement = facts.settlement;
  }

  /** Of a share, and not one that its receiver may have taken already [MQTT-4.8.2-4]. */
  get isMovable(): boolean {
    return this.share !== undefined && (this.awaiting === packetType.puback || !this.written);
  }

  isExpired(monotonicMs: number): boolean {
    const expiresAtMs = this.view?.expiresAtMs ?? 0;
    return expiresAtMs > 0 && monotonicMs >= expiresAtMs;
  }
}

/** A message in the queue has its bytes. */
export type QueuedMessage = PendingMessage & { readonly view: PublishView };

/** What stands for the messages that nobody needs again, by the step they wait for. */
export const volatilePuback = new PendingMessage({ awaiting: packetType.puback });
export const volatilePubrec = new PendingMessage({ awaiting: packetType.pubrec });

/** What stands for every QoS 2 message whose PUBREC came and which is not in the store. */
export const volatilePubcomp = new PendingMessage({ awaiting: packetType.pubcomp });

/** What stands for a message nobody needs again. */
export function volatileMessage(qos: 1 | 2): PendingMessage {
  return qos === 1 ? volatilePuback : volatilePubrec;
}
