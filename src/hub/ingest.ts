// Ingest: telemetry comes in one by one or in frames, is committed in groups, and only then acknowledged.
//
//   accept(), acceptAll() ─► pending ─(next loop turn)─► one transaction: positions + event log ─fsync─► resolve all ─► PUBACK
//
// Invariants
//   accept() resolves only after the message, or an earlier copy of it, is on stable storage (G1).
//   Messages are logged in the order in which accept() was called; those of one acceptAll() in one commit, or none of them.
//   A message whose hop was seen before is acknowledged and counted, never logged twice.
//   No message overtakes a refused one: its stream's position would pass it, and its repetition would count as seen
//   before. Whatever waits behind a group that failed is refused with it, and after one refused for lack of room
//   all are until the next loop turn, when its sender knows and its connection is closed to further ones.
//
// Why the next loop turn and not a timer: a commit blocks the loop for one fsync; whatever arrived meanwhile is
// read before the next turn and shares the next fsync. The group grows by itself with the load, and a lone
// message waits for nobody. Bounded: over `hubPendingBytesMax` the policy is reject (the broker ends the
// connection, the sender keeps its message and comes back).

import { strict as assert } from 'node:assert';
import { hubCommitBytesMax, hubCommitMessagesMax, hubPendingBytesMax, hubPendingMessageBytes } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Message } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { HubDatabase } from './database.ts';
import { HubError, logWriteFailed } from './errors.ts';
import type { EventLog } from './event-log.ts';
import { Positions } from './positions.ts';

interface Pending {
  readonly messages: readonly Message[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: HubError) => void;
}

export interface IngestPorts {
  readonly database: HubDatabase;
  readonly eventLog: EventLog;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class Ingest {
  readonly #ports: IngestPorts;
  readonly #positions: Positions;
  readonly #logged: Counter;
  readonly #repeated: Counter;
  readonly #rejected: Counter;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #scheduled = false;
  /** A message was refused for lack of room in this turn of the loop. */
  #refusing = false;
  #closed = false;

  constructor(ports: IngestPorts) {
    this.#ports = ports;
    this.#positions = new Positions(ports);
    this.#logged = ports.metrics.counter('weir_hub_events_logged');
    this.#repeated = ports.metrics.counter('weir_hub_events_repeated');
    this.#rejected = ports.metrics.counter('weir_hub_events_rejected');
  }

  /** Resolves after commit. Rejects HUB_INGEST_FULL, HUB_LOG_WRITE_FAILED, HUB_CLOSED; all may be tried again. */
  accept(message: Message): Promise<void> {
    return this.acceptAll([message]);
  }

  /** The same for several messages, as many as a commit holds: all of them in one, or none. */
  acceptAll(messages: readonly Message[]): Promise<void> {
    assert(messages.length <= hubCommitMessagesMax, 'what comes together fits a commit');
    if (this.#closed) return Promise.reject(closed());
    let bytes = 0;
    for (const { body } of messages) bytes += hubPendingMessageBytes + body.byteLength;
    if (this.#refusing || this.#pendingBytes + bytes > hubPendingBytesMax) {
      this.#refuseThisTurn();
      this.#rejected.add(messages.length);
      return Promise.reject(full());
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ messages, bytes, resolve, reject });
      this.#pendingBytes += bytes;
      this.#schedule();
    });
  }

  /** Commits what is pending; later messages are refused. */
  close(): Promise<void> {
    this.#closed = true;
    while (this.#pending.length > 0) this.#commit();
    return Promise.resolve();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.clock.soon(() => {
      this.#scheduled = false;
      if (this.#pending.length > 0) this.#commit();
      if (this.#pending.length > 0) this.#schedule();
    });
  }

  #refuseThisTurn(): void {
    if (this.#refusing) return;
    this.#refusing = true;
    this.#ports.clock.soon(() => {
      this.#refusing = false;
    });
  }

  #commit(): void {
    const group = this.#takeGroup();
    const messages = messagesOf(group);
    const { database, eventLog, log } = this.#ports;
    try {
      const logged = database.transaction(() => {
        const fresh = this.#positions.advance(messages);
        eventLog.append(fresh, { repeated: messages.length - fresh.length });
        return fresh.length;
      });
      this.#logged.add(logged);
      this.#repeated.add(messages.length - logged);
    } catch (cause) {
      const refused = [...group, ...this.#pending];
      const count = messages.length + messagesOf(this.#pending).length;
      log.error('telemetry could not be written; its senders will repeat it', {
        messages: count,
        reason: errorCode(cause),
        detail: errorMessage(cause),
      });
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#rejected.add(count);
      for (const pending of refused) pending.reject(logWriteFailed(cause));
      return;
    }
    for (const pending of group) pending.resolve();
    eventLog.committed();
  }

  #takeGroup(): readonly Pending[] {
    let count = 0;
    let messages = 0;
    let bytes = 0;
    for (const pending of this.#pending) {
      const isOver =
        messages + pending.messages.length > hubCommitMessagesMax || bytes + pending.bytes > hubCommitBytesMax;
      if (count > 0 && isOver) break;
      messages += pending.messages.length;
      bytes += pending.bytes;
      count += 1;
    }
    const group = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    this.#pendingBytes -= bytes;
    return group;
  }
}

function messagesOf(group: readonly Pending[]): readonly Message[] {
  const all: Message[] = [];
  for (const { messages } of group) for (const message of messages) all.push(message);
  return all;
}

function full(): HubError {
  return new HubError({
    code: 'HUB_INGEST_FULL',
    message: 'The hub cannot write telemetry as fast as it arrives; this message was not taken. The sender repeats it.',
    status: 429,
    azureCode: 'ThrottlingException',
    retryable: true,
  });
}

function closed(): HubError {
  return new HubError({
    code: 'HUB_CLOSED',
    message: 'The hub is shutting down; nothing more is taken.',
    status: 503,
    azureCode: 'ServiceUnavailable',
    retryable: true,
  });
}
