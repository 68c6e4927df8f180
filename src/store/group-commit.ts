// Group commit: when what waits is sent to the thread, so that one fsync serves many and nobody waits in vain.
//
// Owns the pace and the promises. At most one commit is under way; what arrives meanwhile is the next. With none
// under way the next one goes when the first of these is true:
//   · commitMessages messages or commitBytes bytes wait;
//   · at least as many messages wait as the last commit had, if those were crowdMin or more: everybody who was
//     just answered is back, waiting longer would only make them slower;
//   · the oldest message has waited for commitDelayMs (also while another commit was under way);
//   · nothing but confirmations waits, for confirmDelayMs: nobody is kept waiting by them, and alone they would
//     cost a commit each. A lost confirmation is a repetition that the receiver ignores.
// Sending at once whenever nothing is under way would be quicker for a lone sender and would wear out the card:
// a hundred messages a second would be a hundred commits.
//
// The broker's MQTT state (mqtt-journal.ts) rides along: whoever waits for it counts like a message.
//
// Invariants
//   append() resolves only from the reply to its own commit. A commit that failed rejects its messages and
//   documents; its confirmations go into the next one.
//   No message overtakes a refused one of its stream (thread-protocol.ts says why): a commit that failed takes the
//   messages that had gathered behind it along, and once one was refused for lack of room, all are until the
//   next loop turn, when its sender knows.

import { strict as assert } from 'node:assert';
import { storePendingBytesMax, storeTargetsMax } from '../limits.ts';
import type { Message } from '../model/message.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import {
  type AppendOutcome,
  type AppendTarget,
  CommitBatch,
  type PendingConfirm,
  type Waiter,
} from './commit-batch.ts';
import { StoreError } from './errors.ts';
import type { MqttJournal } from './mqtt-journal.ts';
import { type CommitResult, type CommitSpec, type DocumentChange, outcome } from './thread-protocol.ts';

/** Below this many messages a full crowd says nothing about the load. */
const crowdMin = 16;
const confirmDelayMs = 250;
/** Between tries to get confirmations alone through, when commits fail. */
const retryDelayMs = 1000;

export interface GroupCommitOptions {
  readonly commitDelayMs: number;
  readonly commitMessages: number;
  readonly commitBytes: number;
}

export interface GroupCommitPorts {
  readonly clock: Clock;
  readonly epoch: () => string;
  readonly send: (spec: CommitSpec) => Promise<CommitResult>;
  readonly onCommitted: (result: CommitResult) => void;
  readonly journal: Rider;
}

/** What rides along with the commits, and has its own opinion of when it is time. */
export type Rider = Pick<MqttJournal, 'idle' | 'crowd' | 'bytes' | 'dueMs' | 'seal' | 'committed' | 'failed' | 'close'>;

export class GroupCommit {
  readonly #ports: GroupCommitPorts;
  readonly #options: GroupCommitOptions;
  #batch = new CommitBatch();
  #confirms = new Map<string, PendingConfirm>();
  #confirmsSinceMs: number | undefined;
  #bytesUnderWay = 0;
  #underWay: Promise<void> | undefined;
  #timer: Timer | undefined;
  #timerDueMs = 0;
  #crowd = 0;
  /** A message was refused for lack of room in this turn of the loop. */
  #refusing = false;
  #closed = false;

  constructor(ports: GroupCommitPorts, options: GroupCommitOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  append(message: Message, targets: readonly AppendTarget[]): Promise<AppendOutcome> {
    assert(targets.length > 0 && targets.length <= storeTargetsMax, 'a stored message goes somewhere');
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#refuseWhenFull(message.body.byteLength);
      this.#batch.append(message, targets, { resolve, reject });
      this.#urgent();
    });
  }

  save(change: DocumentChange): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#batch.save(change, { resolve, reject });
      this.#urgent();
    });
  }

  confirm(queue: string, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#keepConfirm(queue, { offset, waiters: [{ resolve, reject }] });
      this.#pace();
    });
  }

  /** The journal has something, or somebody waits for it. */
  wake(): void {
    if (!this.#closed) this.#pace();
  }

  /** Commits what waits now, without delay. Settles when that commit has; never rejects. */
  async flush(): Promise<void> {
    await this.#underWay;
    if (this.#underWay === undefined && this.#waiting) this.#send();
    await this.#underWay;
  }

  /** Offsets of another epoch mean nothing: what they confirmed is gone with their file. */
  forgetConfirms(): void {
    const forgotten = this.#confirms;
    this.#confirms = new Map();
    this.#confirmsSinceMs = undefined;
    for (const { waiters } of forgotten.values()) for (const { resolve } of waiters) resolve();
  }

  /** Commits what waits, and takes nothing more. Confirmations that could not be committed reject. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.flush();
    this.#timer?.cancel();
    const error = closedError();
    for (const { waiters } of this.#confirms.values()) for (const { reject } of waiters) reject(error);
    this.#confirms.clear();
    this.#ports.journal.close();
  }

  get #waiting(): boolean {
    return this.#batch.urgentSinceMs !== undefined || this.#confirms.size > 0 || !this.#ports.journal.idle;
  }

  #urgent(): void {
    this.#batch.urgentSinceMs ??= this.#ports.clock.monotonicMs();
    this.#pace();
  }

  /** Sends now, or sets the timer for the moment at which to look again. */
  #pace(): void {
    if (this.#underWay !== undefined || !this.#waiting) return;
    const { commitMessages, commitBytes } = this.#options;
    const { journal } = this.#ports;
    const count = this.#batch.appends.length + journal.crowd;
    const crowded = count >= commitMessages || (this.#crowd >= crowdMin && count >= this.#crowd);
    const dueMs = this.#dueMs();
    if (crowded || this.#batch.bytes + journal.bytes >= commitBytes || dueMs <= this.#ports.clock.monotonicMs()) {
      this.#send();
      return;
    }
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = this.#ports.clock.setTimer(dueMs - this.#ports.clock.monotonicMs(), () => {
      this.#timer = undefined;
      this.#pace();
    });
  }

  #dueMs(): number {
    const { urgentSinceMs } = this.#batch;
    const urgentMs =
      urgentSinceMs === undefined ? Number.POSITIVE_INFINITY : urgentSinceMs + this.#options.commitDelayMs;
    const lazyMs =
      this.#confirmsSinceMs === undefined ? Number.POSITIVE_INFINITY : this.#confirmsSinceMs + confirmDelayMs;
    return Math.min(urgentMs, lazyMs, this.#ports.journal.dueMs(this.#options.commitDelayMs));
  }

  /** `held`: streams of which a message was refused just now. */
  #send(held: readonly string[] = []): void {
    assert(this.#underWay === undefined, 'one commit at a time');
    const { journal } = this.#ports;
    const crowd = this.#batch.appends.length + journal.crowd;
    const sealed = journal.seal({ force: this.#closed });
    // Nothing of it is left, or its time has not come: the timer stays.
    if (sealed === undefined && this.#batch.urgentSinceMs === undefined && this.#confirms.size === 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#crowd = crowd;
    const batch = this.#batch;
    const confirms = this.#confirms;
    this.#batch = new CommitBatch();
    this.#confirms = new Map();
    this.#confirmsSinceMs = undefined;
    this.#bytesUnderWay = batch.bytes;
    const spec = batch.seal({
      epoch: this.#ports.epoch(),
      nowMs: this.#ports.clock.wallMs(),
      confirms: [...confirms].map(([queue, { offset }]) => ({ queue, offset })),
      held,
      journal: sealed === undefined ? undefined : { bytes: sealed.bytes, byteLength: sealed.byteLength },
    });
    this.#underWay = this.#ports.send(spec).then(
      (result) => {
        this.#done();
        if (sealed !== undefined) journal.committed(sealed, result.mqttBytes);
        this.#settle(batch, confirms, result);
      },
      (error: unknown) => {
        this.#done();
        if (sealed !== undefined) journal.failed(sealed, error);
        this.#fail(batch, confirms, { error, epoch: spec.epoch });
      },
    );
  }

  #done(): void {
    this.#underWay = undefined;
    this.#bytesUnderWay = 0;
  }

  #settle(batch: CommitBatch, confirms: ReadonlyMap<string, PendingConfirm>, result: CommitResult): void {
    assert(result.outcomes.length === batch.appends.length, 'each message has its outcome');
    for (const [index, waiter] of batch.appends.entries()) settleAppend(waiter, result.outcomes[index]);
    for (const [index, { waiters }] of [...batch.documents.values()].entries()) {
      for (const waiter of waiters) settleDocument(waiter, result.documentOutcomes[index]);
    }
    for (const { waiters } of confirms.values()) for (const { resolve } of waiters) resolve();
    if (result.held.length > 0 && this.#batch.appends.length > 0) this.#send(result.held);
    this.#ports.onCommitted(result);
    this.#pace();
  }

  #fail(
    batch: CommitBatch,
    confirms: ReadonlyMap<string, PendingConfirm>,
    { error, epoch }: { readonly error: unknown; readonly epoch: string },
  ): void {
    for (const { reject } of batch.appends) reject(error);
    this.#rejectGathered(error);
    for (const { waiters } of batch.documents.values()) for (const { reject } of waiters) reject(error);
    const stillMeant = epoch === this.#ports.epoch();
    for (const [queue, confirm] of confirms) {
      if (stillMeant) this.#keepConfirm(queue, confirm);
      else for (const { resolve } of confirm.waiters) resolve();
    }
    if (this.#confirms.size > 0) this.#confirmsSinceMs = this.#ports.clock.monotonicMs() + retryDelayMs;
    this.#pace();
  }

  /** Messages that came behind those of a commit that failed must not be stored before them. */
  #rejectGathered(error: unknown): void {
    const gathered = this.#batch;
    if (gathered.appends.length === 0) return;
    this.#batch = new CommitBatch();
    for (const { change, waiters } of gathered.documents.values()) {
      for (const waiter of waiters) this.#batch.save(change, waiter);
      this.#batch.urgentSinceMs = gathered.urgentSinceMs;
    }
    for (const { reject } of gathered.appends) reject(error);
  }

  #keepConfirm(queue: string, confirm: PendingConfirm): void {
    const pending = this.#confirms.get(queue);
    if (pending === undefined) this.#confirms.set(queue, confirm);
    else {
      pending.offset = Math.max(pending.offset, confirm.offset);
      pending.waiters.push(...confirm.waiters);
    }
    this.#confirmsSinceMs ??= this.#ports.clock.monotonicMs();
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw closedError();
  }

  #refuseWhenFull(bytes: number): void {
    const fits = this.#batch.bytes + this.#bytesUnderWay + bytes <= storePendingBytesMax;
    if (fits && !this.#refusing) return;
    if (!this.#refusing) {
      this.#refusing = true;
      this.#ports.clock.soon(() => {
        this.#refusing = false;
      });
    }
    throw new StoreError({
      code: 'STORE_BUSY',
      message: `${this.#batch.bytes + this.#bytesUnderWay} bytes wait for the disk, no more are taken. Send again when it has caught up.`,
      retryable: true,
    });
  }
}

function settleAppend({ resolve, reject }: Waiter<AppendOutcome>, code: number | undefined): void {
  if (code === outcome.stored) resolve('stored');
  else if (code === outcome.duplicate) resolve('duplicate');
  else if (code === outcome.held) {
    reject(
      new StoreError({
        code: 'STORE_OUT_OF_TURN',
        message: 'An earlier message of the same sender was refused. Send again from that one on.',
        retryable: true,
      }),
    );
  } else {
    reject(
      new StoreError({
        code: 'STORE_TOO_MANY_QUEUES',
        message:
          'The message would open a queue more than the store has room for. Use fewer module inputs in the routes.',
      }),
    );
  }
}

function settleDocument({ resolve, reject }: Waiter<void>, code: number | undefined): void {
  if (code === outcome.stored) resolve();
  else {
    reject(
      new StoreError({
        code: 'STORE_TOO_MANY_DOCUMENTS',
        message: 'The store has no room for another twin or state document. Remove modules that are not used.',
      }),
    );
  }
}

function closedError(): StoreError {
  return new StoreError({ code: 'STORE_CLOSED', message: 'The store is closed.' });
}
