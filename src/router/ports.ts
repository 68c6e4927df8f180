// What the router needs from outside, in its own words.
//
// RouterStore keeps messages in named queues; the gateway plugs in store/, tests a store in memory. Endpoint is
// where a queue leads to: the link to the cloud, or an input of a module.

import type { Message } from '../model/message.ts';

export interface StoredMessage {
  readonly offset: number;
  readonly message: Message;
}

export interface RouterStore {
  /** Offsets mean something only together with it. It changes when a fresh file had to take the place of a damaged one. */
  readonly epoch: string;
  /** Resolves after the message is on stable storage in every target queue. `duplicate`: it was there already. */
  append(
    message: Message,
    targets: readonly { readonly queue: string; readonly expiresAtMs: number | undefined }[],
  ): Promise<'stored' | 'duplicate'>;
  /** Oldest first; never what was confirmed or has expired. Empty: nothing is there. */
  read(
    queue: string,
    from: { readonly afterOffset: number; readonly messagesMax: number; readonly bytesMax: number },
  ): Promise<readonly StoredMessage[]>;
  /** Everything up to `offset` has arrived. Reads skip it at once; resolves when that is durable. */
  confirm(queue: string, offset: number): Promise<void>;
  /** Called after each commit that put something into a queue. Answers how to stop listening. */
  onAppended(listener: (queue: string) => void): () => void;
}

export interface Endpoint {
  /**
   * Sends in order. Resolves with the number of messages from the front that the destination has acknowledged:
   * all, or fewer when it failed midway. Rejects when none was. `epoch` is that of the file the offsets count in.
   */
  send(batch: readonly StoredMessage[], epoch: string): Promise<number>;
  /** Resolves when sending may be tried; at once when it may be now. May reject or stay silent after `signal`. */
  ready(signal: AbortSignal): Promise<void>;
}
