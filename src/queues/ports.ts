// What queues/ needs from outside, in its own words. device.ts plugs in the store, the router and the device's key.

import type { Lane } from '../model/lane.ts';
import type { Message, StreamPosition } from '../model/message.ts';

export interface StoredMessage {
  /** Counts within its lane: 1, 2, 3 …, never reused in one epoch. */
  readonly offset: number;
  readonly message: Message;
  /** What the next receiver recognises a repetition by. */
  readonly hop: StreamPosition;
}

export interface LaneFacts extends Lane {
  readonly messages: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
}

export interface QueueStore {
  /** Offsets mean something only together with it. */
  readonly epoch: string;
  lanes(): Promise<readonly LaneFacts[]>;
  /** Oldest first; never what was confirmed or has expired. Empty: nothing is there. */
  read(
    lane: Lane,
    from: { readonly afterOffset: number; readonly messagesMax: number; readonly bytesMax: number },
  ): Promise<readonly StoredMessage[]>;
}

/** Who sends what waits, and must know when it need not any more. */
export interface QueueSender {
  /** Everything of the lane up to `offset` need not be sent any more. Resolves when that is durable. */
  release(lane: Lane, offset: number): Promise<void>;
}

/** What the device's key does with files (identity/device-key.ts). */
export interface FileSeal {
  readonly sealTagBytes: number;
  sealProof(salt: Uint8Array): Uint8Array;
  seal(plain: Uint8Array, sealing: { readonly salt: Uint8Array; readonly associated: Uint8Array }): Buffer;
  verifyReceipt(signature: Uint8Array, text: string, salt: Uint8Array): boolean;
}

/** A durable place for small documents. */
export interface Documents {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}
