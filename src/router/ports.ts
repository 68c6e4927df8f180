// What the router needs from outside, in its own words.
//
// RouterStore keeps messages in lanes, one order each (model/lane.ts); the gateway plugs in store/, tests a store
// in memory. Endpoint is where a queue leads to: the link to the cloud, or an input of a module.

import type { Lane } from '../model/lane.ts';
import type { Message, StreamPosition } from '../model/message.ts';

export interface StoreTarget extends Lane {
  /** From its acceptance on; undefined: for ever. */
  readonly timeToLiveMs: number | undefined;
}

export interface StoredMessage {
  /** Counts within its lane: 1, 2, 3 …, never reused in one epoch. */
  readonly offset: number;
  /** `enqueuedMs` is right as far as the time is known by now. */
  readonly message: Message;
  /** What the next receiver recognises a repetition by. Not the message's own hop, which is that of its sender. */
  readonly hop: StreamPosition;
}

export interface LaneFacts extends Lane {
  readonly messages: number;
  /** Bytes of its messages, with what the disk needs beside them. */
  readonly bytes: number;
  /** When the oldest message was accepted, wall time in milliseconds; undefined for an empty lane. */
  readonly oldestEnqueuedMs: number | undefined;
  /** Messages that left without being delivered in this epoch, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface RouterStore {
  /** Offsets mean something only together with it. It changes when a fresh outbox had to take the place of a damaged one. */
  readonly epoch: string;
  /**
   * Resolves after the message is on stable storage in every target lane. `duplicate`: it was there already.
   * `durable: 'now'` does not wait for company: an alarm.
   */
  append(
    message: Message,
    targets: readonly StoreTarget[],
    options?: { readonly durable?: 'now' },
  ): Promise<'stored' | 'duplicate'>;
  /** Oldest first; never what was confirmed or has expired. Empty: nothing is there. */
  read(
    lane: Lane,
    from: { readonly afterOffset: number; readonly messagesMax: number; readonly bytesMax: number },
  ): Promise<readonly StoredMessage[]>;
  /** Everything up to `offset` has arrived. Reads skip it at once; resolves when that is durable. */
  confirm(lane: Lane, offset: number): Promise<void>;
  /** Called after each commit that put something into a lane. Answers how to stop listening. */
  onAppended(listener: (lane: Lane) => void): () => void;
  /** All lanes that ever held something in this epoch. */
  lanes(): Promise<readonly LaneFacts[]>;
}

/** How much an endpoint may have under way, over all batches together. */
export interface EndpointWindow {
  readonly messages: number;
  /** Of bodies, with an allowance for what travels beside each. */
  readonly bytes: number;
}

export interface Endpoint {
  /**
   * Undefined: one batch is under way at a time. Otherwise send() is called while earlier ones have not settled,
   * and the endpoint keeps this promise: once a message was not accepted, no message handed over after it is
   * accepted either, until all calls under way have settled. Else a receiver that knows positions in a stream
   * would take the repetition for something it has.
   */
  readonly window?: EndpointWindow | undefined;
  /** True when sending may be tried now. */
  readonly isReady: boolean;
  /**
   * Sends in order. Resolves with the number of messages from the front that the destination has acknowledged:
   * all, or fewer when it failed midway. Rejects when none was. Settles in bounded time.
   */
  send(batch: readonly StoredMessage[]): Promise<number>;
  /** Resolves when isReady; at once when it is. May reject or stay silent after `signal`. */
  ready(signal: AbortSignal): Promise<void>;
}
