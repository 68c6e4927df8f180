// What a bridge needs from outside, in its own words: this gateway's broker, a queue on stable storage, and a place
// for what it has to remember.

import type { Message } from '../model/message.ts';

/** A message of another broker, for this one. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Valid MQTT 5 properties as bytes, without those of one hop. */
  readonly propertyBytes: Buffer;
}

export interface LocalBroker {
  /**
   * Resolves when all who subscribed have it as safe as they asked for. `origin` comes back with what is tapped of it.
   * Throws at once what nobody has got; rejects what some may have.
   */
  deliver(message: LocalMessage, origin: string): Promise<void>;
}

export interface BridgeQueue {
  /** Resolves when the message is on stable storage in the queue. */
  put(queue: string, message: Message, options: { readonly timeToLiveMs: number | undefined }): Promise<void>;
}

export interface BridgeDocuments {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}

/** A message that the local broker has, of a topic that a bridge takes along. */
export interface TakenMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly propertyBytes: Buffer;
  readonly expiresInMs: number | undefined;
  readonly origin: string | undefined;
}

/** As the queue gives it back. */
export interface QueuedMessage {
  readonly message: Message;
}
