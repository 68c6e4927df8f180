// Keeps the device's twins and the hub's in step while the link is up.
//
// On each connect every twin is read once and reconciled; afterwards desired patches are merged as they come
// and reported ones are sent, several changes as one patch. A gap in versions means reading the whole twin.
// One piece of work per identity at a time; what comes meanwhile is done by the next pass.
//
//   idle ──connect / new identity──► read ──► send what is owed ──► idle
//                                     ▲ gap        │ reported meanwhile: again
//
// A failure leaves the identity marked; the next connect or a retry timer takes it up again.

import { type Identity, identityKey } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { TwinSource } from './ports.ts';
import type { DesiredNews, TwinCache } from './twin-cache.ts';

export interface TwinSyncPorts {
  readonly cache: TwinCache;
  readonly source: TwinSource;
  readonly clock: Clock;
  readonly log: Log;
  readonly retryMs: number;
}

interface Work {
  readonly identity: Identity;
  needsRead: boolean;
  needsSend: boolean;
  running: boolean;
}

export class TwinSync {
  readonly #ports: TwinSyncPorts;
  readonly #work = new Map<string, Work>();
  readonly #running = new Set<Promise<void>>();
  #retry: Timer | undefined;
  #closed = false;

  constructor(ports: TwinSyncPorts) {
    this.#ports = ports;
    ports.cache.onOwed((identity) => this.#mark(identity, { send: true }));
  }

  /** Takes an identity under care; its twin is read as soon as the link is up. */
  watch(identity: Identity): void {
    const known = this.#work.has(identityKey(identity));
    if (!known) this.#mark(identity, { read: true });
  }

  /** The identity is no longer on this device. */
  async unwatch(identity: Identity): Promise<void> {
    this.#work.delete(identityKey(identity));
    await this.#ports.cache.forget(identity);
  }

  /** The link came up: everything is read once more, since nobody says what was missed. */
  connected(): void {
    for (const work of this.#work.values()) {
      work.needsRead = true;
      this.#run(work);
    }
  }

  /** A desired patch came over the link. */
  desired(news: DesiredNews): void {
    const merging = this.#ports.cache
      .applyDesiredPatch(news)
      .then((applied) => {
        if (!applied) this.#mark(news.identity, { read: true });
      })
      .catch((error: unknown) => {
        this.#ports.log.warn('a desired property patch could not be kept; the twin is read again', {
          identity: identityKey(news.identity),
          reason: errorMessage(error),
        });
        this.#mark(news.identity, { read: true });
      });
    this.#track(merging);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    await Promise.all(this.#running);
  }

  #mark(
    identity: Identity,
    { read = false, send = false }: { readonly read?: boolean; readonly send?: boolean },
  ): void {
    const key = identityKey(identity);
    let work = this.#work.get(key);
    if (work === undefined) {
      work = { identity, needsRead: true, needsSend: false, running: false };
      this.#work.set(key, work);
    }
    work.needsRead ||= read;
    work.needsSend ||= send;
    this.#run(work);
  }

  #run(work: Work): void {
    if (work.running || this.#closed || !this.#ports.source.connected) return;
    if (!work.needsRead && !work.needsSend) return;
    work.running = true;
    this.#track(
      this.#pass(work).then(
        () => {
          work.running = false;
          this.#run(work);
        },
        (error: unknown) => {
          work.running = false;
          this.#ports.log.warn('a twin is not in step with the hub yet', {
            identity: identityKey(work.identity),
            reason: errorMessage(error),
          });
          this.#armRetry();
        },
      ),
    );
  }

  async #pass(work: Work): Promise<void> {
    const { cache, source } = this.#ports;
    if (work.needsRead) {
      const hub = await source.twin(work.identity);
      work.needsRead = false;
      await cache.reconcile(work.identity, hub);
    }
    work.needsSend = false;
    const owed = cache.owedReported(work.identity);
    if (owed === undefined) return;
    try {
      await source.patchReported(work.identity, owed);
    } catch (error) {
      work.needsSend = true;
      throw error;
    }
    cache.acknowledgeReported(work.identity, owed);
  }

  #armRetry(): void {
    this.#retry?.cancel();
    if (this.#closed) return;
    this.#retry = this.#ports.clock.setTimer(this.#ports.retryMs, () => {
      for (const work of this.#work.values()) this.#run(work);
    });
  }

  #track(promise: Promise<void>): void {
    this.#running.add(promise);
    void promise.finally(() => this.#running.delete(promise));
  }
}
