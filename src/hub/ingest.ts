// Ingest: telemetry comes in one by one, is committed in groups, and only then acknowledged.
//
//   accept() ─► pending ─(next loop turn)─► one transaction: positions + event log ─fsync─► resolve all ─► PUBACK
//
// Invariants
//   accept() resolves only after the message, or an earlier copy of it, is on stable storage (G1).
//   Messages are logged in the order in which accept() was called.
//   A message whose hop was seen before is acknowledged and counted, never logged twice.
//   No message overtakes a refused one: its stream's position would pass it, and its repetition would count as seen
//   before. Whatever waits behind a group that failed is refused with it, and after one refused for lack of room
//   all are until the next loop turn, when its sender knows and its connection is closed to further ones.
//
// Why the next loop turn and not a timer: a commit blocks the loop for one fsync; whatever arrived meanwhile is
// read before the next turn and shares the next fsync. The group grows by itself with the load, and a lone
// message waits for nobody. Bounded: over `hubPendingBytesMax` the policy is reject (the broker ends the
// connection, the sender keeps its message and comes back).

import { hubCommitBytesMax, hubCommitMessagesMax, hubPendingBytesMax } from '../limits.ts';
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
  readonly message: Message;
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
    if (this.#closed) return Promise.reject(closed());
    if (this.#refusing || this.#pendingBytes + message.body.byteLength > hubPendingBytesMax) {
      this.#refuseThisTurn();
      this.#rejected.add();
      return Promise.reject(full());
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ message, resolve, reject });
      this.#pendingBytes += message.body.byteLength;
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
    const { database, eventLog, log } = this.#ports;
    try {
      const logged = database.transaction(() => {
        const fresh = this.#positions.advance(group.map((pending) => pending.message));
        eventLog.append(fresh, { repeated: group.length - fresh.length });
        return fresh.length;
      });
      this.#logged.add(logged);
      this.#repeated.add(group.length - logged);
    } catch (cause) {
      log.error('telemetry could not be written; its senders will repeat it', {
        messages: group.length + this.#pending.length,
        reason: errorCode(cause),
        detail: errorMessage(cause),
      });
      const refused = [...group, ...this.#pending];
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#rejected.add(refused.length);
      for (const pending of refused) pending.reject(logWriteFailed(cause));
      return;
    }
    for (const pending of group) pending.resolve();
    eventLog.committed();
  }

  #takeGroup(): readonly Pending[] {
    let count = 0;
    let bytes = 0;
    for (const { message } of this.#pending) {
      if (count === hubCommitMessagesMax || (count > 0 && bytes + message.body.byteLength > hubCommitBytesMax)) break;
      bytes += message.body.byteLength;
      count += 1;
    }
    const group = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    this.#pendingBytes -= bytes;
    return group;
  }
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
