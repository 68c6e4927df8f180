// Images of container modules: pulled as the deployment says, and removed again when nobody wants them.
//
//   prepare ─▶ on this machine by digest ─▶ there it is
//              "never"                   ─▶ there, or CONTAINERS_IMAGE_MISSING
//              "on-create"               ─▶ pull; fails ─▶ a copy that is here serves, and it is said so
//
// Invariants
//   Without a way to its registry a module starts from the copy that this machine has.
//   A pull ends: by its result, by its caller's signal, or by silence. Closing the connection cancels it in the engine.
//   Only images that weir pulled are removed, none that is wanted, and the engine refuses those in use.

import { errorMessage, WeirError } from '../model/errors.ts';
import { isJsonObject, type JsonValue } from '../model/json.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';
import type { Engine } from './engine.ts';
import { imageMissingError, isEngineAway, pullFailedError, pullStalledError, refusedStatus } from './errors.ts';
import type { ImageLedger, PulledImage } from './image-ledger.ts';
import { type ImageName, parseImageName } from './image-name.ts';
import { withPrefix } from './inspection.ts';
import type { ContainerTimes, ImageOptions, RegistryCredentials } from './ports.ts';
import { PullProgress } from './pull-progress.ts';
import { linkedSignal, whenAborted } from './waiting.ts';

export interface ImageStoreParts {
  readonly engine: Engine;
  readonly ledger: ImageLedger;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
}

export interface WantedImage {
  readonly image: string;
  readonly pullPolicy: 'on-create' | 'never';
  readonly credentials?: RegistryCredentials;
}

export interface PreparedImage {
  /** `sha256:…` */
  readonly id: string;
  readonly architecture: string;
}

const statusNotFound = 404;
const statusConflict = 409;
const hopeless = /not found|unknown|unauthorized|denied|authentication required|invalid|unsupported|no image found/i;

export class ImageStore {
  readonly #parts: ImageStoreParts;
  readonly #options: ImageOptions;
  readonly #times: ContainerTimes;
  /** Pulls under way, by reference: who wants the same waits for it. */
  readonly #pulling = new Map<string, Promise<unknown>>();
  #wanted: readonly string[] | undefined;
  #timer: Timer | undefined;
  #collecting: Promise<void> = Promise.resolve();
  readonly #closed = new AbortController();

  constructor(
    parts: ImageStoreParts,
    { images, times }: { readonly images: ImageOptions; readonly times: ContainerTimes },
  ) {
    this.#parts = parts;
    this.#options = images;
    this.#times = times;
  }

  /** Rejects with a WeirError that names the image and the mend; `retryable` tells whether time may help. */
  async prepare(wanted: WantedImage, told: (progress: string) => void, signal: AbortSignal): Promise<PreparedImage> {
    const name = parseImageName(wanted.image);
    const local = await this.#inspect(name.reference, signal);
    if (wanted.pullPolicy === 'never') {
      if (local === undefined) throw imageMissingError(wanted.image);
      return local;
    }
    if (name.digest !== undefined && local !== undefined) return local;
    try {
      await this.#pullOnce(name, { wanted, told, signal });
    } catch (error) {
      if (local === undefined || signal.aborted || isEngineAway(error)) throw error;
      const reason = errorMessage(error);
      this.#parts.log.warn('image cannot be pulled; the copy on this machine is used', { image: wanted.image, reason });
      told('the image cannot be pulled; the copy on this machine is used');
      return local;
    }
    const pulled = await this.#inspect(name.reference, signal);
    if (pulled === undefined)
      throw pullFailedError(wanted.image, 'the engine said it was pulled and does not have it', true);
    const nowMs = this.#parts.clock.wallMs();
    await this.#parts.ledger.pulled(name.reference, { id: pulled.id, idBefore: local?.id, nowMs });
    return pulled;
  }

  /** For a start: what is here serves; what is missing is pulled. */
  async ensure(wanted: WantedImage, told: (progress: string) => void, signal: AbortSignal): Promise<PreparedImage> {
    const local = await this.#inspect(parseImageName(wanted.image).reference, signal);
    return local ?? (await this.prepare(wanted, told, signal));
  }

  /** These are wanted from now on; others that weir pulled go when they are old, or when space is short. */
  async keepOnly(images: readonly string[]): Promise<void> {
    this.#wanted = images.flatMap((image) => {
      try {
        return parseImageName(image).reference;
      } catch {
        return [];
      }
    });
    await this.#parts.ledger.used(this.#wanted, this.#parts.clock.wallMs());
    await this.#collect();
    this.#arm();
  }

  async available(): Promise<
    { readonly ok: true; readonly engine: string } | { readonly ok: false; readonly reason: string }
  > {
    try {
      // What is remembered of the engine may be older than its end.
      await this.#parts.engine.call('a sign of life', { method: 'GET', path: '/_ping' });
      return { ok: true, engine: (await this.#parts.engine.facts()).text };
    } catch (error) {
      return { ok: false, reason: errorMessage(error) };
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#timer?.cancel();
    await Promise.allSettled([this.#collecting, ...this.#pulling.values()]);
  }

  async #inspect(reference: string, signal: AbortSignal): Promise<PreparedImage | undefined> {
    const { status, value } = await this.#parts.engine.call(
      `a look at the image ${reference}`,
      { method: 'GET', path: `/images/${reference}/json`, signal },
      [statusNotFound],
    );
    return status === statusNotFound ? undefined : preparedOf(value);
  }

  async #pullOnce(name: ImageName, pull: Pull): Promise<void> {
    const underWay = this.#pulling.get(name.reference);
    if (underWay !== undefined) {
      const gone = whenAborted(pull.signal);
      await Promise.race([underWay.catch(() => undefined), gone.promise]).finally(gone.end);
      if ((await this.#inspect(name.reference, pull.signal)) !== undefined) return;
    }
    const pulling = this.#pull(name, pull);
    this.#pulling.set(name.reference, pulling);
    try {
      await pulling;
    } finally {
      if (this.#pulling.get(name.reference) === pulling) this.#pulling.delete(name.reference);
    }
  }

  async #pull(name: ImageName, { wanted, told, signal }: Pull): Promise<void> {
    const linked = linkedSignal(signal, this.#closed.signal);
    const progress = new PullProgress();
    let silentMs = 0;
    let timer: Timer | undefined;
    const listen = (limitMs: number): void => {
      timer?.cancel();
      timer = this.#parts.clock.setTimer(limitMs, () => {
        silentMs = limitMs;
        linked.abort();
      });
    };
    try {
      told(progress.text);
      listen(this.#times.pullFirstMsMax);
      const answer = await this.#parts.engine.open(`the pull of ${wanted.image}`, {
        method: 'POST',
        path: '/images/create',
        query: { fromImage: name.repository, tag: name.digest ?? name.tag ?? 'latest' },
        ...(wanted.credentials === undefined ? {} : { headers: { 'x-registry-auth': authHeader(wanted.credentials) } }),
        signal: linked.signal,
        limitMs: 'none',
      });
      let text = progress.text;
      for await (const chunk of answer.body) {
        listen(this.#times.pullSilentMsMax);
        progress.take(chunk);
        if (progress.text !== text) told(progress.text);
        text = progress.text;
      }
      progress.end();
    } catch (error) {
      if (silentMs > 0) throw pullStalledError(wanted.image, silentMs);
      if (refusedStatus(error) === undefined) throw error;
      throw pullFailure(wanted.image, error instanceof WeirError ? error.message : String(error));
    } finally {
      timer?.cancel();
      linked.unlink();
    }
    if (progress.error !== undefined) throw pullFailure(wanted.image, progress.error);
  }

  #arm(): void {
    this.#timer?.cancel();
    if (!this.#options.collect || this.#closed.signal.aborted) return;
    this.#timer = this.#parts.clock.setTimer(
      this.#options.recurrenceMs,
      () => void this.keepOnly(this.#wanted ?? []).catch((error: unknown) => this.#collectFailed(error)),
      { background: true },
    );
  }

  #collect(): Promise<void> {
    this.#collecting = this.#collecting
      .then(() => (this.#options.collect && !this.#closed.signal.aborted ? this.#removeUnwanted() : undefined))
      .catch((error: unknown) => this.#collectFailed(error));
    return this.#collecting;
  }

  #collectFailed(error: unknown): void {
    // Away or refusing: nothing is lost by trying again at the next turn.
    this.#parts.log.debug('images were not collected', { reason: errorMessage(error) });
  }

  async #removeUnwanted(): Promise<void> {
    const { ledger, clock } = this.#parts;
    const wanted = this.#wanted ?? [];
    const entries = await ledger.entries();
    const wantedIds = new Set(entries.filter(({ key }) => wanted.includes(key)).map(({ id }) => id));
    const spare = entries.filter(({ key, id }) => !wanted.includes(key) && !(key === id && wantedIds.has(id)));
    if (spare.length === 0) return;
    const isShort = await this.#isSpaceShort();
    const isOld = (entry: PulledImage): boolean =>
      clock.wallTrusted() && clock.wallMs() - entry.usedAtMs >= this.#options.ageMs;
    for (const entry of spare) {
      if (!isShort && !isOld(entry)) continue;
      // One that the engine does not give up keeps none of the others.
      await this.#remove(entry, isShort ? 'space is short' : 'unused for long').catch((error: unknown) => {
        if (isEngineAway(error)) throw error;
        this.#collectFailed(error);
      });
    }
  }

  async #remove({ key }: PulledImage, why: string): Promise<void> {
    const { engine, ledger, log } = this.#parts;
    const { status } = await engine.call(
      `the removal of the image ${key}`,
      { method: 'DELETE', path: `/images/${key}` },
      [statusNotFound, statusConflict],
    );
    if (status === statusConflict) return;
    await ledger.forget(key);
    log.info('image removed', { image: key, why });
  }

  async #isSpaceShort(): Promise<boolean> {
    const { value } = await this.#parts.engine.call('where its images are', { method: 'GET', path: '/info' });
    const root = isJsonObject(value) ? value['DockerRootDir'] : undefined;
    if (typeof root !== 'string') return false;
    const free = await this.#parts.disk.freeBytes('containers:space', root).catch(() => undefined);
    return free !== undefined && free < this.#options.reserveBytes;
  }
}

interface Pull {
  readonly wanted: WantedImage;
  readonly told: (progress: string) => void;
  readonly signal: AbortSignal;
}

function pullFailure(image: string, reason: string): WeirError {
  return pullFailedError(image, reason.trim().replace(/\.$/, ''), !hopeless.test(reason));
}

function preparedOf(value: JsonValue): PreparedImage | undefined {
  if (!isJsonObject(value) || typeof value['Id'] !== 'string') return undefined;
  const architecture = value['Architecture'];
  return { id: withPrefix(value['Id']), architecture: typeof architecture === 'string' ? architecture : '' };
}

/** Base64 of the URL alphabet with its padding, as Go's decoder wants it. */
function authHeader({ username, password, address }: RegistryCredentials): string {
  const text = JSON.stringify({ username, password, serveraddress: address });
  return Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}
