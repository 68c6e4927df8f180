// What an operator hears of the disk under the store, and how often a disk that takes nothing is asked again.
//
// Owns the words: each change is told once, the refusals between "nothing can be stored" and "storing again" are
// counted. A disk that is full by turns, because what arrives at the hub gives its room back, is told of once a minute.
// While the disk cannot be used, commits are refused here until their time has come, because a dying card is not helped by
// a thousand tries a second. While a copy in memory stands in for the database, that holds for what has to be written
// there: each try opens the file again. Messages and confirmations lie elsewhere and do not wait for it.

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
/** A disk that takes and refuses by turns: no two pairs of lines within this time. */
const quietMs = 60_000;

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
  /** The log has it that nothing can be stored. */
  #isTold = false;
  #toldMs = Number.NEGATIVE_INFINITY;
  readonly #tries = new Tries();
  /** Of commits for the database, while a copy in memory stands in for it. */
  readonly #databaseTries = new Tries();
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
      this.#isTold = true;
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

  /**
   * One commit; refused without asking the disk while that would be too soon after it refused. `needsDatabase`: it has
   * documents or MQTT state.
   */
  async commit(
    work: () => Promise<CommitResult>,
    { needsDatabase }: { readonly needsDatabase: boolean },
  ): Promise<CommitResult> {
    const nowMs = this.#ports.clock.monotonicMs();
    if (nowMs < this.#tries.notBeforeMs || (needsDatabase && nowMs < this.#databaseTries.notBeforeMs)) {
      this.#refused.add();
      throw this.#lastError;
    }
    try {
      const result = await work();
      if (needsDatabase) this.#databaseTries.succeeded();
      if (result.outboxFailure === undefined) this.#succeeded(result);
      else this.#failed(new StoreError(result.outboxFailure), { needsDatabase: false });
      return result;
    } catch (error) {
      this.#failed(error, { needsDatabase });
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

  #succeeded({ appended, documentOutcomes, space }: CommitResult): void {
    const sinceMs = this.#failingSinceMs;
    // A full disk takes what says that messages have left, and still none.
    const isProof = appended.length > 0 || documentOutcomes.length > 0 || !space.low;
    if (sinceMs !== undefined && errorCode(this.#lastError) === 'STORE_DISK_FULL' && !isProof) return;
    this.#tries.succeeded();
    this.#failingSinceMs = undefined;
    if (sinceMs === undefined || !this.#isTold) return;
    const nowMs = this.#ports.clock.monotonicMs();
    const afterMs = Math.round(nowMs - sinceMs);
    this.#isTold = false;
    this.#toldMs = nowMs;
    this.#ports.log.info('the store takes messages again', { file: this.#file, afterMs });
  }

  #failed(error: unknown, { needsDatabase }: { readonly needsDatabase: boolean }): void {
    if (!(error instanceof StoreError) || (error.code !== 'STORE_UNAVAILABLE' && error.code !== 'STORE_DISK_FULL'))
      return;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#refused.add();
    this.#lastError = error;
    if (needsDatabase && this.#readOnly !== undefined) this.#databaseTries.failed(nowMs);
    else if (error.code === 'STORE_UNAVAILABLE') this.#tries.failed(nowMs);
    this.#failingSinceMs ??= nowMs;
    if (this.#isTold || nowMs - this.#toldMs < quietMs) return;
    this.#isTold = true;
    this.#ports.log.error('nothing can be stored: nothing is acknowledged until it can', {
      code: error.code,
      reason: errorMessage(error),
    });
  }
}

/** After each failure in a row a longer pause. */
class Tries {
  #failures = 0;
  notBeforeMs = 0;

  failed(nowMs: number): void {
    this.notBeforeMs = nowMs + Math.min(retryDelayMsMax, retryDelayMsMin * 2 ** this.#failures);
    this.#failures++;
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
