// What waits for the next commit, while it waits: messages already as bytes, confirmations, documents.
//
// Owns the encoding of a commit's buffer (thread-protocol.ts has its bytes) and who is to be told. A message is
// written into the buffer when it arrives and is not held as an object any longer.
//
// Confirmations of one queue melt into the highest; documents of one key into the last.

import type { Message } from '../model/message.ts';
import { ByteWriter } from './byte-buffer.ts';
import { writeRecord } from './record.ts';
import type { CommitSpec, DocumentChange } from './thread-protocol.ts';

export interface AppendTarget {
  readonly queue: string;
  /** Wall time in milliseconds after which the message is dropped; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

export interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export type AppendOutcome = 'stored' | 'duplicate';

export interface PendingConfirm {
  offset: number;
  readonly waiters: Waiter<void>[];
}

export interface PendingDocument {
  change: DocumentChange;
  readonly waiters: Waiter<void>[];
}

/** What a buffer starts with: some hundred small messages. It doubles when they do not fit. */
const initialBytes = 16_384;

export class CommitBatch {
  readonly appends: Waiter<AppendOutcome>[] = [];
  readonly documents = new Map<string, PendingDocument>();
  readonly #writer = new ByteWriter(initialBytes);
  readonly #queues = new Map<string, number>();

  get bytes(): number {
    return this.#writer.length;
  }

  get empty(): boolean {
    return this.appends.length === 0 && this.documents.size === 0;
  }

  /** Throws what writeRecord throws; the batch is then as it was. */
  append(message: Message, targets: readonly AppendTarget[], waiter: Waiter<AppendOutcome>): void {
    const writer = this.#writer;
    const start = writer.length;
    try {
      writer.varint(targets.length);
      for (const { queue, expiresAtMs } of targets) {
        writer.varint(this.#indexOf(queue));
        writer.float64(expiresAtMs ?? Number.NaN);
      }
      const lengthAt = writer.length;
      writer.uint32(0);
      writer.patchUint32(lengthAt, writeRecord(writer, message));
    } catch (error) {
      writer.truncate(start);
      throw error;
    }
    this.appends.push(waiter);
  }

  save(change: DocumentChange, waiter: Waiter<void>): void {
    const key = `${change.table}:${change.key}`;
    const pending = this.documents.get(key);
    if (pending === undefined) this.documents.set(key, { change, waiters: [waiter] });
    else {
      pending.change = change;
      pending.waiters.push(waiter);
    }
  }

  /** The batch as a request. Its buffer is given away: the batch takes nothing more. */
  seal(rest: Pick<CommitSpec, 'epoch' | 'nowMs' | 'confirms' | 'held' | 'journal'>): CommitSpec {
    return {
      ...rest,
      queues: [...this.#queues.keys()],
      count: this.appends.length,
      byteLength: this.#writer.length,
      bytes: this.#writer.release(),
      documents: [...this.documents.values()].map(({ change }) => change),
    };
  }

  #indexOf(queue: string): number {
    const known = this.#queues.get(queue);
    if (known !== undefined) return known;
    const index = this.#queues.size;
    this.#queues.set(queue, index);
    return index;
  }
}
