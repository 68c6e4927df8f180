// Group commit: when what waits is sent to the thread, so that one fsync serves many and nobody waits in vain.
//
// Owns the timer and the promises. One commit is under way as a rule; what arrives meanwhile is the next. With none
// under way the next one goes
//   · at once, when anything in it is urgent (`durable: 'now'`);
//   · when pace.ts says so, as long as somebody waits for it;
//   · after confirmDelayMs, when nothing but confirmations waits: nobody is kept waiting by them, and alone they
//     would cost a commit each. A lost confirmation is a repetition that the receiver ignores.
//
// With one under way another goes as soon as it has as many messages as that, and no fewer than are sent without waiting
// for more: the thread has it when it is done with the first, and the disk waits for nobody. Two are the most, and the
// second has neither documents nor MQTT state. After a failure the next one waits until nothing is under way: what was
// sent behind a commit that failed is refused by the thread, whatever the disk says by then.
//
// The broker's MQTT state (mqtt-journal.ts) rides along: whoever waits for it counts like a message.
//
// Invariants
//   append() resolves only from the reply to its own commit. A commit that failed rejects its messages and
//   documents; its confirmations go into the next one. When only the outbox failed, documents and MQTT state stand.
//   No message overtakes a refused one of its stream (thread-protocol.ts says why): a commit that failed takes the
//   messages that had gathered behind it along, and once one was refused for lack of room, all are until the
//   next loop turn, when its sender knows.

import { strict as assert } from 'node:assert';
import { storePendingBytesMax, storeTargetsMax } from '../limits.ts';
import { type Lane, laneKey } from '../model/lane.ts';
import type { Message } from '../model/message.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { type AppendOutcome, CommitBatch, type PendingConfirm, type StoreTarget, type Waiter } from './commit-batch.ts';
import { CommitPool } from './commit-pool.ts';
import { StoreError } from './errors.ts';
import type { MqttJournal } from './mqtt-journal.ts';
import { Pace, type PaceOptions } from './pace.ts';
import { stampOf } from './stamp.ts';
import { type CommitResult, type CommitSpec, type DocumentChange, type Epochs, outcome } from './thread-protocol.ts';

const confirmDelayMs = 1000;
const underWayMax = 2;
/** Arrivals behind so many that wait say nothing more about the pace. */
const observedMessagesMax = 32;
/** Between tries to get confirmations alone through, when commits fail. */
const retryDelayMs = 1000;

export interface GroupCommitPorts {
  readonly clock: Clock;
  readonly epochs: () => Epochs;
  readonly send: (spec: CommitSpec) => Promise<CommitResult>;
  /** `appended`: lanes that have got at least one message. */
  readonly onCommitted: (result: CommitResult, appended: readonly Lane[], bytes: CommittedBytes) => void;
  readonly journal: Rider;
}

/** What the storage got for what was asked. */
export interface CommittedBytes {
  /** Bodies of messages, and MQTT state. */
  readonly accepted: number;
  /** The same with all that is kept beside it. */
  readonly submitted: number;
}

interface Sent {
  readonly batch: CommitBatch;
  readonly confirms: ReadonlyMap<string, PendingConfirm>;
  readonly lanes: readonly Lane[];
  readonly bytes: CommittedBytes;
}

/** What rides along with the commits, and has its own opinion of when it is time. */
export type Rider = Pick<MqttJournal, 'idle' | 'crowd' | 'bytes' | 'dueMs' | 'seal' | 'committed' | 'failed' | 'close'>;

export class GroupCommit {
  readonly #ports: GroupCommitPorts;
  readonly #pacing: Pace;
  /** A second commit under way has as many messages at least: fewer wait for more. */
  readonly #followMessagesMin: number;
  readonly #pool = new CommitPool();
  #batch = new CommitBatch();
  #confirms = new Map<string, PendingConfirm>();
  #confirmsSinceMs: number | undefined;
  #bytesUnderWay = 0;
  readonly #underWay = new Map<number, { readonly messages: number; readonly ended: Promise<void> }>();
  /** Of the last commit sent. */
  #number = 0;
  /** The commit before those under way failed, and so will they. */
  #doomed = false;
  #timer: Timer | undefined;
  #timerDueMs = 0;
  /** How many waited for a commit when last looked at, and since when. */
  #seen = 0;
  #seenSinceMs = 0;
  #urgent = false;
  /** A message was refused for lack of room in this turn of the loop. */
  #refusing = false;
  #closed = false;

  constructor(ports: GroupCommitPorts, options: PaceOptions) {
    this.#ports = ports;
    this.#pacing = new Pace(options);
    this.#followMessagesMin = options.messagesMax;
  }

  /** The longest a message waits for company from now on; undefined: as configured. */
  lengthen(delayMs: number | undefined): void {
    this.#pacing.lengthen(delayMs);
  }

  append(
    message: Message,
    targets: readonly StoreTarget[],
    { durable }: { readonly durable?: 'now' } = {},
  ): Promise<AppendOutcome> {
    assert(targets.length > 0 && targets.length <= storeTargetsMax, 'a stored message goes somewhere');
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#refuseWhenFull(message.body.byteLength);
      const { clock } = this.#ports;
      const now = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
      this.#batch.append(message, targets, { waiter: { resolve, reject }, now });
      if (durable === 'now') this.#urgent = true;
      this.#pace();
    });
  }

  save(change: DocumentChange): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#batch.save(change, { resolve, reject });
      this.#pace();
    });
  }

  confirm(lane: Lane, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      this.#keepConfirm({ lane, offset, waiters: [{ resolve, reject }] });
      this.#pace();
    });
  }

  /** The journal has something, or somebody waits for it. */
  wake(): void {
    if (!this.#closed) this.#pace();
  }

  /** Commits what waits now, without delay. Settles when that commit has; never rejects. */
  async flush(): Promise<void> {
    await this.#idle();
    if (this.#underWay.size === 0 && this.#waiting) this.#send();
    await this.#idle();
  }

  /** Until what is under way now has ended. */
  async #idle(): Promise<void> {
    await Promise.all([...this.#underWay.values()].map(({ ended }) => ended));
  }

  /** Offsets of another epoch mean nothing: what they confirmed is gone with their outbox. */
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
    // What went behind two commits because of a refusal left MQTT state to the next one.
    await this.flush();
    this.#timer?.cancel();
    const error = closedError();
    for (const { waiters } of this.#confirms.values()) for (const { reject } of waiters) reject(error);
    this.#confirms.clear();
    this.#ports.journal.close();
  }

  get #waiting(): boolean {
    return !this.#batch.empty || this.#confirms.size > 0 || !this.#ports.journal.idle;
  }

  /** Sends now, or sets the timer for the moment at which to look again. */
  #pace(): void {
    const { clock } = this.#ports;
    const crowd = this.#crowd;
    if (crowd > this.#seen && this.#seen < observedMessagesMax) this.#observe(crowd);
    if (!this.#waiting) return;
    if (this.#underWay.size > 0) {
      if (this.#mayFollow) this.#send();
      return;
    }
    const dueMs = this.#urgent ? 0 : this.#dueMs(crowd);
    const nowMs = clock.monotonicMs();
    if (dueMs <= nowMs) {
      this.#send();
      return;
    }
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = clock.setTimer(dueMs - nowMs, () => {
      this.#timer = undefined;
      this.#pace();
    });
  }

  /** A second commit is worth sending while one is under way. */
  get #mayFollow(): boolean {
    const before = this.#underWay.get(this.#number);
    if (before === undefined || this.#underWay.size >= underWayMax || this.#doomed) return false;
    if (this.#batch.documents.size > 0 || !this.#ports.journal.idle) return false;
    return this.#batch.appends.length >= Math.max(before.messages, this.#followMessagesMin);
  }

  /** Who waits for the next commit, by number. */
  get #crowd(): number {
    return this.#batch.appends.length + this.#batch.documents.size + this.#ports.journal.crowd;
  }

  #observe(crowd: number): void {
    const nowMs = this.#ports.clock.monotonicMs();
    if (this.#seen === 0) this.#seenSinceMs = nowMs;
    this.#pacing.arrived(nowMs, crowd - this.#seen, this.#seen > 0);
    this.#seen = crowd;
  }

  #dueMs(crowd: number): number {
    const { journal } = this.#ports;
    const pacedMs = this.#pacing.dueMs({
      messages: crowd,
      bytes: this.#batch.bytes + journal.bytes,
      sinceMs: this.#seenSinceMs,
    });
    const batchMs = this.#batch.empty ? Number.POSITIVE_INFINITY : pacedMs;
    const lazyMs =
      this.#confirmsSinceMs === undefined ? Number.POSITIVE_INFINITY : this.#confirmsSinceMs + confirmDelayMs;
    return Math.min(batchMs, lazyMs, journal.dueMs(Math.max(0, pacedMs - this.#seenSinceMs)));
  }

  /** `held`: streams of which a message was refused just now. */
  #send(held: readonly string[] = []): void {
    assert(this.#underWay.size < underWayMax, 'two commits at a time');
    const { journal } = this.#ports;
    const crowd = this.#crowd;
    const isAlone = this.#underWay.size === 0;
    const sealed = isAlone ? journal.seal({ force: this.#closed }) : undefined;
    // Nothing of it is left, or its time has not come: the timer stays.
    if (sealed === undefined && this.#batch.empty && this.#confirms.size === 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pacing.committed(crowd);
    this.#seen = 0;
    this.#urgent = false;
    const batch = this.#batch;
    const confirms = this.#confirms;
    const mqttBytes = sealed?.byteLength ?? 0;
    const bytes = { accepted: batch.bodyBytes + mqttBytes, submitted: batch.bytes + mqttBytes };
    this.#batch = new CommitBatch(this.#pool.take());
    this.#confirms = new Map();
    this.#confirmsSinceMs = undefined;
    this.#bytesUnderWay += batch.bytes;
    const batchBytes = batch.bytes;
    const follows = isAlone ? undefined : this.#number;
    const number = ++this.#number;
    const spec = batch.seal({
      order: { number, follows },
      epochs: this.#ports.epochs(),
      stamp: stampOf(this.#ports.clock),
      confirms: [...confirms.values()].map(({ lane, offset }) => ({ lane, offset })),
      held,
      journal: sealed === undefined ? undefined : { bytes: sealed.bytes, byteLength: sealed.byteLength },
    });
    const ended = this.#ports.send(spec).then(
      (result) => {
        this.#done(number, batchBytes);
        this.#pool.give(result.spent, spec.records.byteLength);
        if (sealed !== undefined) journal.committed(sealed, result.mqttBytes);
        this.#settle({ batch, confirms, lanes: spec.lanes, bytes }, result);
      },
      (error: unknown) => {
        this.#done(number, batchBytes);
        if (sealed !== undefined) journal.failed(sealed, error);
        this.#fail(batch, confirms, { error, epoch: spec.epochs.outbox });
      },
    );
    this.#underWay.set(number, { messages: batch.appends.length, ended });
  }

  #done(number: number, bytes: number): void {
    this.#underWay.delete(number);
    this.#bytesUnderWay -= bytes;
    if (this.#underWay.size === 0) this.#doomed = false;
  }

  #settle({ batch, confirms, lanes, bytes }: Sent, result: CommitResult): void {
    assert(result.outcomes.length === batch.appends.length, 'each message has its outcome');
    const { outboxFailure } = result;
    if (outboxFailure === undefined) {
      // What goes next goes first: those who are answered now have time until it is back.
      if (result.held.length > 0 && this.#batch.appends.length > 0) this.#send(result.held);
      else this.#pace();
      for (const [index, waiter] of batch.appends.entries()) settleAppend(waiter, result.outcomes[index]);
      for (const { waiters } of confirms.values()) for (const { resolve } of waiters) resolve();
    } else {
      const error = new StoreError(outboxFailure);
      this.#rejectMessages(batch, error);
      this.#retryConfirms(confirms);
    }
    for (const [index, { waiters }] of [...batch.documents.values()].entries()) {
      for (const waiter of waiters) settleDocument(waiter, result.documentOutcomes[index]);
    }
    this.#ports.onCommitted(
      result,
      result.appended.flatMap((index) => lanes[index] ?? []),
      bytes,
    );
    this.#pace();
  }

  #fail(
    batch: CommitBatch,
    confirms: ReadonlyMap<string, PendingConfirm>,
    { error, epoch }: { readonly error: unknown; readonly epoch: string },
  ): void {
    this.#rejectMessages(batch, error);
    for (const { waiters } of batch.documents.values()) for (const { reject } of waiters) reject(error);
    if (epoch === this.#ports.epochs().outbox) this.#retryConfirms(confirms);
    else for (const { waiters } of confirms.values()) for (const { resolve } of waiters) resolve();
    this.#pace();
  }

  /** Confirmations that were not committed go into the next commit, or alone after a while. */
  #retryConfirms(confirms: ReadonlyMap<string, PendingConfirm>): void {
    for (const confirm of confirms.values()) this.#keepConfirm(confirm);
    if (this.#confirms.size > 0) this.#confirmsSinceMs = this.#ports.clock.monotonicMs() + retryDelayMs;
  }

  /** Messages that came behind those of a commit that failed must not be stored before them. */
  #rejectMessages({ appends }: CommitBatch, error: unknown): void {
    this.#doomed = this.#underWay.size > 0;
    for (const { reject } of appends) reject(error);
    const gathered = this.#batch;
    if (gathered.appends.length === 0) return;
    this.#batch = new CommitBatch();
    for (const { change, waiters } of gathered.documents.values()) {
      for (const waiter of waiters) this.#batch.save(change, waiter);
    }
    for (const { reject } of gathered.appends) reject(error);
  }

  #keepConfirm(confirm: PendingConfirm): void {
    const key = laneKey(confirm.lane);
    const pending = this.#confirms.get(key);
    if (pending === undefined) this.#confirms.set(key, confirm);
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
          'The message would open a lane more than the store has room for. Use fewer module inputs and priorities in the routes.',
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
