// Keeps the device's twins and the hub's in step while the link is up.
//
// On each connect every twin is read once and reconciled; afterwards desired patches are merged as they come
// and reported ones are sent, several changes as one patch, one patch of a twin a second at most.
// One piece of work per identity at a time; what comes meanwhile is done by the next pass.
//
//   idle ──connect / new identity──► read ──► send what is owed ──► idle
//                                     ▲ gap        │ reported meanwhile: again, not before the spacing is over
//
// Invariants
//   A desired patch that comes while its twin is being read waits for the answer, which may be older than the patch.
//   What became of a patch whose answer never came is not guessed: the twin is read before the next one is sent.
//   A failure leaves the identity marked; the next connect or a retry timer takes it up again. What the hub refuses
//   for good (400, 403, 413) waits for the next change or connect instead.
//   At most `syncsMax` twins are being read or sent at a time, in the order in which they asked.

import { twinFirstReadMsMax, twinSendSpacingMs, twinSyncsMax } from '../limits.ts';
import { type Identity, identityKey } from '../model/address.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Twin } from '../model/twin.ts';
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
  /** Overrides for tests; the rest of the world takes those of limits.ts. */
  readonly syncsMax?: number;
  readonly sendSpacingMs?: number;
}

interface Work {
  readonly identity: Identity;
  needsRead: boolean;
  needsSend: boolean;
  state: 'idle' | 'queued' | 'running';
  isReading: boolean;
  /** Desired patches that came while the twin was being read. */
  readonly held: DesiredNews[];
  /** When the next patch may be sent, and when anything may be tried again after a failure; monotonic. */
  sendFromMs: number;
  retryFromMs: number;
  timer: Timer | undefined;
  /** The hub said no for good to what there is. */
  isRefused: boolean;
  /** It stands in the log already that this twin is not in step. */
  isComplained: boolean;
  readonly firstReaders: (() => void)[];
}

const heldMax = 16;
const refusals: readonly unknown[] = [400, 403, 413];

export class TwinSync {
  readonly #ports: TwinSyncPorts;
  readonly #syncsMax: number;
  readonly #sendSpacingMs: number;
  readonly #work = new Map<string, Work>();
  readonly #queue = new Set<Work>();
  readonly #running = new Set<Promise<void>>();
  #syncs = 0;
  #closed = false;

  constructor(ports: TwinSyncPorts) {
    this.#ports = ports;
    this.#syncsMax = ports.syncsMax ?? twinSyncsMax;
    this.#sendSpacingMs = ports.sendSpacingMs ?? twinSendSpacingMs;
    ports.cache.onOwed((identity) => this.#mark(identity, { send: true }));
  }

  /** Takes an identity under care; its twin is read as soon as the link is up. */
  watch(identity: Identity): void {
    const known = this.#work.has(identityKey(identity));
    if (!known) this.#mark(identity, { read: true });
  }

  /** The identity is no longer on this device. */
  async unwatch(identity: Identity): Promise<void> {
    const key = identityKey(identity);
    const work = this.#work.get(key);
    this.#work.delete(key);
    if (work !== undefined) {
      this.#queue.delete(work);
      work.timer?.cancel();
      release(work);
    }
    await this.#ports.cache.forget(identity);
  }

  /**
   * The twin for its owner. The first time, with the hub there, it waits for the hub's, for a bounded time: an empty
   * twin would be believed.
   */
  async show(identity: Identity): Promise<Twin> {
    const { cache, source, clock } = this.#ports;
    this.watch(identity);
    const work = this.#work.get(identityKey(identity));
    if (work !== undefined && !cache.isKnown(identity) && source.connected && !this.#closed) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(twinFirstReadMsMax, resolve);
        work.firstReaders.push(() => {
          timer.cancel();
          resolve();
        });
      });
    }
    return cache.show(identity);
  }

  /** The link came up: everything is read once more, since nobody says what was missed. */
  connected(): void {
    for (const work of this.#work.values()) {
      work.needsRead = true;
      work.isRefused = false;
      work.retryFromMs = 0;
      this.#enqueue(work);
    }
  }

  /** A desired patch came over the link. Who is not here yet is read when it is. */
  desired(news: DesiredNews): void {
    const work = this.#work.get(identityKey(news.identity));
    if (work === undefined || this.#closed) return;
    if (work.isReading) {
      if (work.held.length < heldMax) work.held.push(news);
      else work.needsRead = true;
      return;
    }
    this.#track(this.#apply(news));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const work of this.#work.values()) {
      work.timer?.cancel();
      release(work);
    }
    await Promise.all(this.#running);
  }

  #mark(
    identity: Identity,
    { read = false, send = false }: { readonly read?: boolean; readonly send?: boolean },
  ): void {
    const key = identityKey(identity);
    let work = this.#work.get(key);
    if (work === undefined) {
      work = newWork(identity);
      this.#work.set(key, work);
    }
    work.needsRead ||= read;
    work.needsSend ||= send;
    work.isRefused = false;
    this.#enqueue(work);
  }

  #enqueue(work: Work): void {
    if (this.#closed || work.state !== 'idle' || work.isRefused || !this.#ports.source.connected) return;
    if (!work.needsRead && !work.needsSend) return;
    const { clock } = this.#ports;
    const waitMs = dueMs(work) - clock.monotonicMs();
    work.timer?.cancel();
    if (waitMs > 0) {
      work.timer = clock.setTimer(waitMs, () => this.#enqueue(work));
      return;
    }
    work.state = 'queued';
    this.#queue.add(work);
    this.#startQueued();
  }

  #startQueued(): void {
    for (const work of this.#queue) {
      if (this.#syncs >= this.#syncsMax) return;
      this.#queue.delete(work);
      this.#syncs += 1;
      work.state = 'running';
      this.#track(
        this.#pass(work)
          .catch((error: unknown) => this.#failed(work, error))
          .finally(() => {
            this.#syncs -= 1;
            work.state = 'idle';
            release(work);
            if (this.#isWatched(work)) this.#enqueue(work);
            this.#startQueued();
          }),
      );
    }
  }

  async #pass(work: Work): Promise<void> {
    const { cache, source, clock } = this.#ports;
    if (work.needsRead) await this.#read(work);
    if (!this.#isWatched(work) || !source.connected) return;
    work.needsSend = false;
    const owed = cache.owedReported(work.identity);
    if (owed !== undefined) {
      if (work.sendFromMs > clock.monotonicMs()) {
        work.needsSend = true;
        return;
      }
      work.sendFromMs = clock.monotonicMs() + this.#sendSpacingMs;
      try {
        const version = await source.patchReported(work.identity, owed);
        cache.acknowledgeReported(work.identity, owed, version);
      } catch (error) {
        cache.doubtReported(work.identity);
        work.needsSend = true;
        work.needsRead = true;
        throw error;
      }
    }
    work.isComplained = false;
  }

  async #read(work: Work): Promise<void> {
    const { cache, source } = this.#ports;
    work.needsRead = false;
    work.isReading = true;
    try {
      const hub = await source.twin(work.identity);
      if (this.#isWatched(work)) await cache.reconcile(work.identity, hub);
    } catch (error) {
      work.needsRead = true;
      throw error;
    } finally {
      work.isReading = false;
      const held = work.held.splice(0);
      if (this.#isWatched(work)) for (const news of held) await this.#apply(news);
    }
  }

  /** Never rejects. */
  async #apply(news: DesiredNews): Promise<void> {
    try {
      if (!(await this.#ports.cache.applyDesiredPatch(news))) this.#mark(news.identity, { read: true });
    } catch (error) {
      this.#ports.log.warn('a desired property patch could not be kept; the twin is read again', {
        identity: identityKey(news.identity),
        reason: errorMessage(error),
      });
      this.#mark(news.identity, { read: true });
    }
  }

  #failed(work: Work, error: unknown): void {
    if (!this.#isWatched(work)) return;
    work.isRefused = isRefusal(error);
    const level = work.isComplained ? 'debug' : 'warn';
    work.isComplained = true;
    this.#ports.log[level]('a twin is not in step with the hub yet', {
      identity: identityKey(work.identity),
      code: errorCode(error),
      reason: errorMessage(error),
    });
    work.retryFromMs = this.#ports.clock.monotonicMs() + this.#ports.retryMs;
  }

  #isWatched(work: Work): boolean {
    return this.#work.get(identityKey(work.identity)) === work;
  }

  #track(promise: Promise<void>): void {
    this.#running.add(promise);
    void promise.finally(() => this.#running.delete(promise));
  }
}

function newWork(identity: Identity): Work {
  return {
    identity,
    needsRead: true,
    needsSend: false,
    state: 'idle',
    isReading: false,
    held: [],
    sendFromMs: 0,
    retryFromMs: 0,
    timer: undefined,
    isRefused: false,
    isComplained: false,
    firstReaders: [],
  };
}

function dueMs({ needsRead, sendFromMs, retryFromMs }: Work): number {
  return needsRead ? retryFromMs : Math.max(sendFromMs, retryFromMs);
}

/** Whoever waits for the first reading waits no longer. */
function release({ firstReaders }: Work): void {
  for (const done of firstReaders.splice(0)) done();
}

/** True when repeating cannot help: the hub has understood, and does not want it. */
function isRefusal(error: unknown): boolean {
  return error instanceof WeirError && !error.retryable && refusals.includes(error.fields['status']);
}
