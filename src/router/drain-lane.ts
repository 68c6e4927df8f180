// One lane of a queue while it is drained: what was read, what is under way, and how far it is acknowledged.
//
//   store ─read─► buffer ─cut─► under way (oldest first) ─settle─► position ─► confirm
//                   ▲                      │
//                   └──── rewind: read again after the position ◄── a batch was not wholly accepted
//
// Invariants
//   The position moves only over what was accepted, and over batches in the order in which they were cut: a later
//   one that is acknowledged first waits for those before it.
//   After a failure nothing moves until rewind(); what comes next begins at the first message not accepted.
//   One read is running at most. A fast endpoint has its next messages read while there are some in the buffer still;
//   the buffer never holds more than two reads.
//   release() moves the position over messages that need not be sent any more. Batches under way that hold some of
//   them settle as ever, and move it only when they come further.
//   Offsets belong to an epoch: reset() forgets all of it, and batches of the old one count for nothing.
//
// Counts of waiting messages are the drain's own estimate, kept without asking the store: never too small, and put
// right whenever the lane turns out to be empty. What the store dropped meanwhile makes them too large until then.

import { strict as assert } from 'node:assert';
import { drainReadAgeMsMax } from '../limits.ts';
import { type Lane, laneKey } from '../model/lane.ts';
import type { Clock } from '../platform/clock.ts';
import type { RouterStore, StoredMessage } from './ports.ts';
import type { Room } from './send-window.ts';

/** What a message weighs beside its body: topic, properties, frame. */
const envelopeBytes = 256;

export interface Batch {
  readonly epoch: string;
  readonly messages: readonly StoredMessage[];
  readonly bytes: number;
}

interface UnderWay {
  readonly batch: Batch;
  accepted: number | undefined;
}

export interface ReadLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export class DrainLane {
  readonly lane: Lane;
  readonly key: string;
  waitingSinceMs = 0;
  /** The number of the last batch of the whole queue when this lane began to wait. */
  waitingSinceBatch = 0;
  heldUntilMs = 0;
  /** In a row, without a message accepted. */
  failures = 0;
  readonly #store: RouterStore;
  readonly #clock: Clock;
  #epoch: string;
  #buffer: readonly StoredMessage[] = [];
  #bufferAtMs = 0;
  #readTo = 0;
  #position = 0;
  /** Not before something was found in it, or put there: a lane in which nothing is does not begin to starve. */
  #mayHaveMore = false;
  #reading: Promise<void> | undefined;
  /** Goes up when what is read or buffered is no longer what comes next. */
  #reads = 0;
  #underWay: UnderWay[] = [];
  #broken = false;
  #waiting = 0;
  #storing = 0;
  #oldestMs: number | undefined;

  constructor({ store, clock }: { readonly store: RouterStore; readonly clock: Clock }, lane: Lane) {
    this.#store = store;
    this.#clock = clock;
    this.lane = { queue: lane.queue, priority: lane.priority, live: lane.live };
    this.key = laneKey(lane);
    this.#epoch = store.epoch;
  }

  /** Messages that wait or are under way, those being stored included. */
  get waiting(): number {
    return this.#waiting;
  }

  get underWay(): number {
    return this.#underWay.reduce((sum, { batch }) => sum + batch.messages.length, 0);
  }

  /** When the oldest message that waits was accepted, wall time; undefined: none is known. */
  get oldestMs(): number | undefined {
    const oldest = this.#underWay[0]?.batch.messages[0] ?? this.#buffer[0];
    return this.#waiting === 0 ? undefined : (oldest?.message.enqueuedMs ?? this.#oldestMs);
  }

  /** False: it is known to hold nothing that is not under way. */
  get mayHaveMessages(): boolean {
    return this.#buffer.length > 0 || this.#mayHaveMore || this.#reading !== undefined;
  }

  /** What the store knew of the lane at the start. */
  found(messages: number, oldestMs: number | undefined): void {
    this.#waiting = Math.max(this.#waiting, messages);
    this.#oldestMs ??= oldestMs;
    this.#mayHaveMore ||= messages > 0;
  }

  /** A message is being stored; `stored` or `withdrawn` follows. */
  storing(enqueuedMs: number): void {
    if (this.#waiting === 0) this.#oldestMs = enqueuedMs;
    this.#waiting++;
    this.#storing++;
  }

  stored(): void {
    this.#storing--;
  }

  withdrawn(): void {
    this.#storing--;
    this.#waiting = Math.max(0, this.#waiting - 1);
  }

  appended(): void {
    this.#mayHaveMore = true;
  }

  /** The outbox began afresh. */
  reset(epoch: string): void {
    this.#epoch = epoch;
    this.#position = 0;
    this.#underWay = [];
    this.#waiting = this.#storing;
    this.rewind();
  }

  /** Everything up to `offset` arrived another way, or was given up: it is not sent any more. */
  release(offset: number): void {
    this.#position = Math.max(this.#position, offset);
    const kept = this.#buffer.filter((stored) => stored.offset > offset);
    this.#waiting = Math.max(0, this.#waiting - (this.#buffer.length - kept.length));
    this.#buffer = kept;
  }

  /** What was not accepted is read again, from the position on. */
  rewind(): void {
    assert(this.#underWay.length === 0, 'nothing is under way when a lane is rewound');
    this.#broken = false;
    this.#discard(this.#position);
  }

  /** Messages that were read and not handed over. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** True when a batch can be cut now. */
  isLoaded(): boolean {
    const [first] = this.#buffer;
    if (first !== undefined && this.#clock.monotonicMs() - this.#bufferAtMs >= drainReadAgeMsMax)
      this.#discard(first.offset - 1);
    return this.#buffer.length > 0;
  }

  /** True when a read would bring what comes behind the buffer, as far as is known. */
  get mayReadAhead(): boolean {
    return this.#mayHaveMore && this.#reading === undefined;
  }

  /** Reads what comes next unless that is being done. Rejects as the store does. */
  load(limits: ReadLimits): Promise<void> {
    this.#reading ??= this.#read(limits).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Resolves when no read is running. */
  async idle(): Promise<void> {
    await this.#reading?.catch(() => undefined);
  }

  /** Takes from the buffer what fits, at least one message: it is under way from now on. */
  cut(room: Room): Batch {
    assert(this.#buffer.length > 0 && !this.#broken, 'a batch is cut from a loaded lane');
    let count = 0;
    let bytes = 0;
    for (const { message } of this.#buffer) {
      const next = bytes + message.body.byteLength + envelopeBytes;
      if (count > 0 && (count >= room.messages || next > room.bytes)) break;
      count++;
      bytes = next;
    }
    const batch = { epoch: this.#epoch, messages: this.#buffer.slice(0, count), bytes };
    this.#buffer = this.#buffer.slice(count);
    this.#underWay.push({ batch, accepted: undefined });
    return batch;
  }

  /**
   * So many of the batch were accepted. Answers the offset to confirm, when the position moved, and whether the
   * endpoint accepted something behind a message that it had not accepted.
   */
  settle(batch: Batch, accepted: number): { readonly confirm: number | undefined; readonly overtook: boolean } {
    const entry = this.#underWay.find((candidate) => candidate.batch === batch);
    if (entry === undefined) return { confirm: undefined, overtook: false };
    entry.accepted = accepted;
    const before = this.#position;
    let overtook = false;
    for (let head = this.#underWay[0]; head?.accepted !== undefined; head = this.#underWay[0]) {
      this.#underWay.shift();
      if (this.#broken) overtook ||= head.accepted > 0;
      else this.#advance(head.batch, head.accepted);
    }
    return { confirm: this.#position > before ? this.#position : undefined, overtook };
  }

  #advance({ messages }: Batch, accepted: number): void {
    const last = messages[accepted - 1];
    if (last !== undefined) {
      this.#position = Math.max(this.#position, last.offset);
      this.#oldestMs = last.message.enqueuedMs;
      this.#waiting = Math.max(0, this.#waiting - accepted);
    }
    this.#broken = accepted < messages.length;
  }

  async #read(limits: ReadLimits): Promise<void> {
    const epoch = this.#epoch;
    const reads = this.#reads;
    const afterOffset = Math.max(this.#readTo, this.#position);
    this.#mayHaveMore = false;
    let messages: readonly StoredMessage[];
    try {
      messages = await this.#store.read(this.lane, { afterOffset, ...limits });
    } catch (error) {
      this.#mayHaveMore = true;
      throw error;
    }
    // The outbox began afresh, or the lane was rewound, while it was read: these offsets may be of either.
    if (this.#reads !== reads || this.#store.epoch !== epoch) {
      this.#mayHaveMore = true;
      return;
    }
    if (messages.length === 0) {
      if (this.#underWay.length === 0 && this.#buffer.length === 0)
        this.#waiting = Math.min(this.#waiting, this.#storing);
      return;
    }
    // What was released while it was read is not sent any more.
    const fresh = messages.filter(({ offset }) => offset > this.#position);
    if (this.#buffer.length === 0) this.#bufferAtMs = this.#clock.monotonicMs();
    this.#buffer = this.#buffer.length === 0 ? fresh : [...this.#buffer, ...fresh];
    this.#readTo = (messages.at(-1) as StoredMessage).offset;
    this.#mayHaveMore = true;
  }

  #discard(readTo: number): void {
    this.#reads++;
    this.#buffer = [];
    this.#readTo = readTo;
    this.#mayHaveMore = true;
  }
}
