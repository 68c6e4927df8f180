// Keeps the scope as the hub has it: reads it whenever the hub tells of a version that is not known here.
//
//   changed(version) ──► pages, one after the other, all of one version ──► cache.replace()
//                             └─ another version in between: from the first page on
//
// One reading at a time, and `scopeSyncMsMin` between two: what changes meanwhile is in the next one. A reading that
// fails is repeated after `scopeRetryMs`, and when the link is back the hub tells again.
//
// A device that connects the moment it was created may be earlier than the news of it: settled() lets it wait.

import { scopeIdentitiesMax, scopeRetryMs, scopeSyncMsMin, scopeWaitMsMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { badScopeError } from './errors.ts';
import type { ScopeSource } from './ports.ts';
import type { ScopeCache } from './scope-cache.ts';
import { parseScopePage, type ScopePage } from './scope-page.ts';

export interface ScopeSyncPorts {
  readonly cache: ScopeCache;
  readonly source: ScopeSource;
  readonly clock: Clock;
  readonly log: Log;
}

/** A page holds one identity at least. */
const pagesMax = scopeIdentitiesMax + 1;

export class ScopeSync {
  readonly #ports: ScopeSyncPorts;
  readonly #waiting = new Set<() => void>();
  #wanted: string | undefined;
  #timer: Timer | undefined;
  #reading: Promise<void> | undefined;
  #lastMs: number | undefined;
  #hasFailed = false;
  #closed = false;

  constructor(ports: ScopeSyncPorts) {
    this.#ports = ports;
  }

  /** The hub's scope of this gateway is at `version` now. */
  changed(version: string): void {
    this.#wanted = version;
    this.#hasFailed = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#schedule(0);
  }

  /** Reads the scope again although the hub did not tell of a new one. Resolves as settled() does. */
  refresh(): Promise<void> {
    this.changed(`${this.#ports.cache.version ?? ''} again`);
    return this.settled();
  }

  /** Resolves at once when nothing is under way or the hub does not answer, else after the reading, or after `scopeWaitMsMax` at the latest. */
  settled(): Promise<void> {
    if (this.#isSettled() || this.#hasFailed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#waiting.delete(done);
        resolve();
      };
      const timer = this.#ports.clock.setTimer(scopeWaitMsMax, done);
      this.#waiting.add(done);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#release();
    await this.#reading;
  }

  #isSettled(): boolean {
    return this.#closed || this.#wanted === undefined || this.#wanted === this.#ports.cache.version;
  }

  #schedule(delayMs: number): void {
    if (this.#isSettled() || this.#hasFailed) this.#release();
    if (this.#isSettled() || this.#reading !== undefined || this.#timer !== undefined) return;
    const { clock } = this.#ports;
    const pauseMs = this.#lastMs === undefined ? 0 : this.#lastMs + scopeSyncMsMin - clock.monotonicMs();
    this.#timer = clock.setTimer(Math.max(0, delayMs, pauseMs), () => {
      this.#timer = undefined;
      this.#reading = this.#read().then((retryMs) => {
        this.#reading = undefined;
        if (retryMs !== undefined) this.#schedule(retryMs);
        else this.#release();
      });
    });
  }

  /** How long to wait before the next reading, should one be due; undefined: until the hub tells again. */
  async #read(): Promise<number | undefined> {
    const { cache, source, clock, log } = this.#ports;
    this.#lastMs = clock.monotonicMs();
    const wanted = this.#wanted;
    try {
      const pages = await this.#pages();
      if (pages === undefined) return 0;
      await cache.replace(pages);
      // The pages may be newer than the news; news that came meanwhile may be newer than the pages.
      if (this.#wanted === wanted) this.#wanted = cache.version;
      return 0;
    } catch (error) {
      this.#hasFailed = this.#wanted === wanted;
      if (this.#hasFailed && !source.connected) return undefined;
      log.warn('the devices behind this gateway could not be read from the hub; those known before stay so', {
        reason: errorMessage(error),
      });
      return scopeRetryMs;
    }
  }

  /** All pages of one version; undefined when they belong to different ones. */
  async #pages(): Promise<readonly ScopePage[] | undefined> {
    const { source, log } = this.#ports;
    const pages: ScopePage[] = [];
    let after: string | undefined;
    let members = 0;
    do {
      const page = parseScopePage(await source.scopePage(after));
      if (page.unreadable > 0)
        log.warn('devices behind this gateway are left out: what the hub tells of them cannot be read', {
          identities: page.unreadable,
        });
      if (page.version !== (pages[0]?.version ?? page.version)) return undefined;
      pages.push(page);
      members += page.members.length;
      if (members > scopeIdentitiesMax || pages.length > pagesMax)
        throw badScopeError(`there are more than ${scopeIdentitiesMax} devices and modules`);
      after = page.continuationLink;
    } while (after !== undefined);
    return pages;
  }

  /** Whoever waits is judged by what is known. */
  #release(): void {
    for (const done of [...this.#waiting]) done();
  }
}
