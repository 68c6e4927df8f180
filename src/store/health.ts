// What an operator hears of the disk under the store, and how often a disk that takes nothing is asked again.
//
// Owns the words: each change is told once, the refusals between "nothing can be stored" and "storing again" are
// counted. While the file cannot be used, commits are refused here until their time has come, because each of them
// opens the file again and a dying card is not helped by a thousand tries a second.

import { errorCode, errorMessage } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import { StoreError } from './errors.ts';
import type { CommitResult, Opened, SpaceFacts } from './thread-protocol.ts';

const retryDelayMsMin = 100;
const retryDelayMsMax = 10_000;
/** A damaged file is replaced while the call that found it fails: the next one finds the fresh file. */
const damagedRetriesMax = 3;

export interface HealthPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class StoreHealth {
  readonly #ports: HealthPorts;
  readonly #file: string;
  readonly #quarantined: Counter;
  readonly #refused: Counter;
  #failingSinceMs: number | undefined;
  #failures = 0;
  #notBeforeMs = 0;
  #lastError: unknown;
  #readOnly: string | undefined;
  #low = false;

  constructor(ports: HealthPorts, file: string) {
    this.#ports = ports;
    this.#file = file;
    this.#quarantined = ports.metrics.counter('store_quarantined_total');
    this.#refused = ports.metrics.counter('store_commits_refused_total');
    ports.metrics.gauge('store_writable', () => (this.#failingSinceMs === undefined ? 1 : 0));
  }

  opened({ quarantined, readOnly, salvaged }: Omit<Opened, 'epochs'>): void {
    if (readOnly !== undefined && readOnly !== this.#readOnly) {
      this.#ports.log.error(
        'the store takes no writes: what it knew is served, nothing is acknowledged until it does',
        {
          file: this.#file,
          reason: readOnly,
        },
      );
      this.#failingSinceMs ??= this.#ports.clock.monotonicMs();
    }
    this.#readOnly = readOnly;
    if (salvaged !== undefined) {
      this.#quarantined.add();
      this.#ports.log.error('messages in the outbox were damaged: what could be read of them is still there', {
        reason: salvaged.reason,
        messagesKept: salvaged.kept,
        messagesLost: salvaged.lost,
        quarantined: salvaged.quarantined.join(' '),
      });
    }
    if (quarantined === undefined) return;
    this.#quarantined.add();
    const { kept, lost, pages } = quarantined.salvaged;
    this.#ports.log.error('the store file was damaged: moved to quarantine, a fresh one has what could be read of it', {
      file: this.#file,
      quarantined: quarantined.path,
      reason: quarantined.reason,
      rowsKept: Object.values(kept).reduce((sum, rows) => sum + rows, 0),
      rowsLost: lost,
      pagesUnreadable: pages,
      kept: Object.entries(kept)
        .map(([table, rows]) => `${table}=${rows}`)
        .join(' '),
    });
  }

  /** Too little space is told once, and when it is over. */
  space({ freeBytes, reserveBytes, low }: SpaceFacts): void {
    if (low === this.#low) return;
    this.#low = low;
    const fields = { event: 'space', file: this.#file, freeBytes, reserveBytes };
    if (low)
      this.#ports.log.error('the disk has less space left than the reserve: the store shrinks, oldest first', fields);
    else this.#ports.log.info('the disk has its reserve back', fields);
  }

  /** One commit; refused without asking the disk while that would be too soon after it refused. */
  async commit(work: () => Promise<CommitResult>): Promise<CommitResult> {
    if (this.#ports.clock.monotonicMs() < this.#notBeforeMs) {
      this.#refused.add();
      throw this.#lastError;
    }
    try {
      const result = await work();
      if (result.outboxFailure === undefined) this.#succeeded();
      else this.#failed(new StoreError(result.outboxFailure));
      return result;
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** A question that changes nothing is asked again when a damaged file was replaced under it. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await question();
      } catch (error) {
        if (errorCode(error) !== 'STORE_DAMAGED' || attempt > damagedRetriesMax) throw error;
      }
    }
  }

  #succeeded(): void {
    const sinceMs = this.#failingSinceMs;
    this.#failures = 0;
    this.#failingSinceMs = undefined;
    this.#readOnly = undefined;
    if (sinceMs === undefined) return;
    const afterMs = Math.round(this.#ports.clock.monotonicMs() - sinceMs);
    this.#ports.log.info('the store takes messages again', { file: this.#file, afterMs });
  }

  #failed(error: unknown): void {
    if (!(error instanceof StoreError) || (error.code !== 'STORE_UNAVAILABLE' && error.code !== 'STORE_DISK_FULL'))
      return;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#refused.add();
    this.#lastError = error;
    if (error.code === 'STORE_UNAVAILABLE' || this.#readOnly !== undefined)
      this.#notBeforeMs = nowMs + Math.min(retryDelayMsMax, retryDelayMsMin * 2 ** this.#failures);
    this.#failures++;
    if (this.#failingSinceMs !== undefined) return;
    this.#failingSinceMs = nowMs;
    this.#ports.log.error('nothing can be stored: nothing is acknowledged until it can', {
      code: error.code,
      reason: errorMessage(error),
    });
  }
}
