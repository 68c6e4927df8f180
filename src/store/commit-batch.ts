// What waits for the next commit, while it waits: messages already as bytes, confirmations, documents.
//
// Owns the encoding of a commit's buffers (thread-protocol.ts has their bytes) and who is to be told. A message is
// written into them when it arrives, once, as it will lie on the disk and with its checksum, and is not held as an
// object any longer.
//
// Confirmations of one lane melt into the highest; documents of one key into the last.

import type { Identity } from '../model/address.ts';
import type { Lane } from '../model/lane.ts';
import type { Message } from '../model/message.ts';
import type { TimeStamp } from '../model/time-stamp.ts';
import { ByteWriter } from './byte-buffer.ts';
import { crc, recordAlignment, recordsAlignment } from './outbox/index.ts';
import { streamKey, wallStepMs, writeRecord } from './record.ts';
import type { CommitMemory, CommitSpec, DocumentChange } from './thread-protocol.ts';

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

/** What the buffers start with: some dozen small messages. They double when those do not fit. */
const entriesBytes = 2048;
const recordsBytes = 16_384;

/** The stream that spoke last, mostly the next one too. */
interface LastStream {
  readonly sender: Identity;
  readonly stream: string;
  readonly index: number;
}

export class CommitBatch {
  readonly appends: Waiter<AppendOutcome>[] = [];
  readonly documents = new Map<string, PendingDocument>();
  readonly #entries: ByteWriter;
  readonly #records: ByteWriter;
  readonly #streams: string[] = [];
  readonly #streamIndexes = new Map<string, number>();
  #lastStream: LastStream | undefined;
  readonly #lanes: Lane[] = [];
  /** Index into the lanes by queue, then by priority and liveness. */
  readonly #indexes = new Map<string, number[]>();
  /** Of the messages' bodies. */
  #bodyBytes = 0;
  /** Wall minus monotonic time when the first message came. */
  #offsetMs: number | undefined;

  /** `memory`: what an earlier one was written into. */
  constructor(memory?: CommitMemory) {
    this.#entries = new ByteWriter(memory?.entries ?? entriesBytes);
    this.#records = new ByteWriter(memory?.records ?? recordsBytes);
  }

  get bytes(): number {
    return this.#entries.length + this.#records.length;
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
    const records = this.#records;
    records.align(recordAlignment);
    const start = records.length;
    const length = writeRecord(records, message, now.monotonicMs);
    const entries = this.#entries;
    entries.varint(targets.length);
    for (const target of targets) {
      entries.varint(this.#indexOf(target));
      entries.float64(target.timeToLiveMs ?? Number.NaN);
    }
    entries.uint32(length);
    entries.uint32(crc(records, { start, length, seed: 0 }));
    const { hop } = message;
    if (hop === undefined) entries.varint(0);
    else {
      entries.varint(this.#streamIndexOf(message.sender, hop.stream) + 1);
      entries.float64(hop.sequence);
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

  /** The batch as a request. Its buffers are given away: the batch takes nothing more. */
  seal(rest: Pick<CommitSpec, 'order' | 'epochs' | 'stamp' | 'confirms' | 'held' | 'journal'>): CommitSpec {
    const offsetMs = rest.stamp.wallMs - rest.stamp.monotonicMs;
    this.#records.align(recordsAlignment);
    return {
      ...rest,
      lanes: this.#lanes,
      streams: this.#streams,
      count: this.appends.length,
      entries: { byteLength: this.#entries.length, bytes: this.#entries.release() },
      records: { byteLength: this.#records.length, bytes: this.#records.release() },
      wallStepMs: wallStepMs(this.#offsetMs ?? offsetMs, offsetMs),
      documents: [...this.documents.values()].map(({ change }) => change),
    };
  }

  #streamIndexOf(sender: Identity, stream: string): number {
    const last = this.#lastStream;
    if (last !== undefined && last.stream === stream && isSame(last.sender, sender)) return last.index;
    const key = streamKey(sender, stream);
    let index = this.#streamIndexes.get(key);
    if (index === undefined) {
      index = this.#streams.push(key) - 1;
      this.#streamIndexes.set(key, index);
    }
    this.#lastStream = { sender, stream, index };
    return index;
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

function isSame(one: Identity, other: Identity): boolean {
  return one.deviceId === other.deviceId && one.moduleId === other.moduleId;
}
