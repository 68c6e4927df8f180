// MQTT state as the store sees it: opaque messages, sessions, subscriptions.
//
// The shapes are those of the broker's SessionStore port, in the store's own words: what a message means, when a
// session ends and what a subscription matches is the broker's business. `canonical` is never looked into.

import type { Buffer } from 'node:buffer';
import type { Identity } from '../model/address.ts';

/** A message that never changes any more. */
export interface MessageView {
  readonly qos: 0 | 1 | 2;
  readonly topicBytes: number;
  readonly payloadBytes: number;
  /** Monotonic time; 0: never. */
  readonly expiresAtMs: number;
  canonical(): Buffer;
}

export interface WillRecord {
  readonly canonical: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly delaySeconds: number;
  readonly expirySeconds: number | undefined;
}

export interface SessionRecord {
  readonly clientId: string;
  readonly principal: { readonly name: string; readonly identity: Identity | undefined };
  readonly expirySeconds: number;
  readonly leftAtMs: number;
  readonly will: WillRecord | undefined;
}

export interface SubscriptionRecord {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  readonly subscriptionId: number;
  readonly owned: boolean;
  readonly replaying: boolean;
}

export interface MessageRecord {
  readonly canonical: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Wall time; 0: never. */
  readonly expiresAtMs: number;
  readonly subscriptionIds: readonly number[];
}

export interface DeliveryRecord {
  readonly ordinal: number;
  readonly packetId: number;
  readonly awaiting: number;
  readonly message: MessageRecord;
}

export interface LoadedSession extends SessionRecord {
  readonly subscriptions: readonly SubscriptionRecord[];
  readonly deliveries: readonly DeliveryRecord[];
  readonly receiving: readonly number[];
}

export interface MqttState {
  readonly sessions: readonly LoadedSession[];
  readonly retained: readonly { readonly topic: string; readonly message: MessageRecord }[];
  /** Rows that could not be read and were left out. */
  readonly damaged: number;
}

/** What a page of loading tells about; loaded in this order. */
export const mqttParts = ['message', 'session', 'subscription', 'receiving', 'delivery', 'retained'] as const;
export type MqttPart = (typeof mqttParts)[number];

/** Where the last page ended: keys of its last row. */
export interface MqttCursor {
  readonly first: number;
  readonly second: number;
  readonly text: string;
}

export interface MqttPage {
  readonly count: number;
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
  /** Undefined: nothing follows. */
  readonly next: MqttCursor | undefined;
}
