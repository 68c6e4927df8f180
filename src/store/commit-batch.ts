// What waits for the next commit, while it waits: messages already as bytes, confirmations, documents.
//
// Owns the encoding of a commit's buffer (thread-protocol.ts has its bytes) and who is to be told. A message is
// written into the buffer when it arrives and is not held as an object any longer.
//
// Confirmations of one lane melt into the highest; documents of one key into the last.

import type { Lane } from '../model/lane.ts';
import type { Message } from '../model/message.ts';
import type { TimeStamp } from '../model/time-stamp.ts';
import { ByteWriter } from './byte-buffer.ts';
import { wallStepMs, writeRecord } from './record.ts';
import type { CommitSpec, DocumentChange } from './thread-protocol.ts';

export interface StoreTarget extends Lane {
  /** From its acceptance on; undefined: for ever. */
  readonly timeToLiveMs: number | undefined;
}

export interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export type AppendOutcome = 'stored' | 'duplicate';

export interface PendingConfirm {
  readonly lane: Lane;
  offset: number;
  readonly waiters: Waiter<void>[];
}

export interface PendingDocument {
  change: DocumentChange;
  readonly waiters: Waiter<void>[];
}

/** The two clocks at the instant a message is accepted. */
export type Instant = Pick<TimeStamp, 'wallMs' | 'monotonicMs'>;

/** What a buffer starts with: some hundred small messages. It doubles when they do not fit. */
const initialBytes = 16_384;

export class CommitBatch {
  readonly appends: Waiter<AppendOutcome>[] = [];
  readonly documents = new Map<string, PendingDocument>();
  readonly #writer = new ByteWriter(initialBytes);
  readonly #lanes: Lane[] = [];
  /** Index into the lanes by queue, then by priority and liveness. */
  readonly #indexes = new Map<string, number[]>();
  /** Of the messages' bodies. */
  #bodyBytes = 0;
  /** Wall minus monotonic time when the first message came. */
  #offsetMs: number | undefined;

  get bytes(): number {
    return this.#writer.length;
  }

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  get empty(): boolean {
    return this.appends.length === 0 && this.documents.size === 0;
  }

  /** Throws what writeRecord throws; the batch is then as it was. */
  append(
    message: Message,
    targets: readonly StoreTarget[],
    { waiter, now }: { readonly waiter: Waiter<AppendOutcome>; readonly now: Instant },
  ): void {
    const writer = this.#writer;
    const start = writer.length;
    try {
      writer.varint(targets.length);
      for (const target of targets) {
        writer.varint(this.#indexOf(target));
        writer.float64(target.timeToLiveMs ?? Number.NaN);
      }
      const lengthAt = writer.length;
      writer.uint32(0);
      writer.patchUint32(lengthAt, writeRecord(writer, message, now.monotonicMs));
    } catch (error) {
      writer.truncate(start);
      throw error;
    }
    this.#offsetMs ??= now.wallMs - now.monotonicMs;
    this.#bodyBytes += message.body.byteLength;
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
  seal(rest: Pick<CommitSpec, 'epochs' | 'stamp' | 'confirms' | 'held' | 'journal'>): CommitSpec {
    const offsetMs = rest.stamp.wallMs - rest.stamp.monotonicMs;
    return {
      ...rest,
      lanes: this.#lanes,
      count: this.appends.length,
      byteLength: this.#writer.length,
      bytes: this.#writer.release(),
      wallStepMs: wallStepMs(this.#offsetMs ?? offsetMs, offsetMs),
      documents: [...this.documents.values()].map(({ change }) => change),
    };
  }

  #indexOf({ queue, priority, live }: Lane): number {
    let known = this.#indexes.get(queue);
    if (known === undefined) {
      known = [];
      this.#indexes.set(queue, known);
    }
    const place = priority * 2 + (live ? 1 : 0);
    const found = known[place];
    if (found !== undefined) return found;
    const index = this.#lanes.length;
    this.#lanes.push({ queue, priority, live });
    known[place] = index;
    return index;
  }
}
