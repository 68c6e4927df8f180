// Files of modules on this device: fetched, verified, each in a directory of its own that is never written again.
//
//   <directory>/
//     <sha256>/                  what modules run from: readable by everybody, writable by nobody
//     <sha256>.installed.json    what is in there (record.ts); without it the directory counts as damaged
//     partial/<sha256>           being fetched (fetch.ts), kept over restarts
//     making/…                   being unpacked, or waiting to be removed; emptied at every start
//
//   source ─► installed and whole? ─ yes ─► there it is
//               │ no
//               ▼
//            fetch ─► unpack beside ─► rename ─► record ─► forget the partial file
//
// Invariants
//   A directory has its name only when all of it is on stable storage and its archive had the digest.
//   Nothing is changed under a running module: a damaged directory is moved away, its processes keep what they hold.
//   One digest is worked on once, however many ask; the work ends when the last of them gives up.
//
// Does not know what a module is, nor who still needs what: keepOnly() is told.

import { join } from 'node:path';
import { artifactCheckMs, artifactsAtOnce } from '../limits.ts';
import { ArtifactError, asArtifactError } from './errors.ts';
import { Fetch } from './fetch.ts';
import type { ArtifactPorts, ArtifactSource, InstalledArtifact, Told } from './ports.ts';
import { type ArtifactRecord, damageOf, formatRecord, parseRecord } from './record.ts';
import { Slots } from './slots.ts';
import { type KnownSource, readSource } from './source.ts';
import { unpack } from './unpacking.ts';

export interface ArtifactOptions {
  readonly directory: string;
  /** Never given to artefacts: the store and the logs need it. */
  readonly reserveBytes: number;
}

/** Work on one digest, and who waits for it. */
interface Work {
  readonly stop: AbortController;
  readonly told: Set<Told>;
  readonly done: Promise<InstalledArtifact>;
}

const passableMode = 0o711;
const privateMode = 0o700;
const sha256Name = /^[0-9a-f]{64}$/;
const temporaryBytes = 6;

export class Artifacts {
  readonly #ports: ArtifactPorts;
  readonly #options: ArtifactOptions;
  readonly #partial: string;
  readonly #making: string;
  readonly #slots = new Slots(artifactsAtOnce);
  readonly #work = new Map<string, Work>();
  /** When a directory was last found whole, by digest. */
  readonly #checkedAtMs = new Map<string, number>();
  readonly #beingMade = new Set<string>();
  #closed = false;

  constructor(ports: ArtifactPorts, options: ArtifactOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#partial = join(options.directory, 'partial');
    this.#making = join(options.directory, 'making');
  }

  async start(): Promise<void> {
    const { disk } = this.#ports;
    await disk.makeDirectory('artifact:directory', this.#options.directory, passableMode);
    await disk.makeDirectory('artifact:directory', this.#partial, privateMode);
    await disk.makeDirectory('artifact:directory', this.#making, privateMode);
    await this.#sweep();
  }

  /** What is being fetched stays where it is, for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#work.values()];
    for (const { stop } of all) stop.abort();
    await Promise.allSettled(all.map(({ done }) => done));
  }

  /**
   * Fetches (resuming), verifies and installs; at once when it is installed already. Rejects with an ArtifactError:
   * `retryable` when trying again can help without another deployment.
   */
  async install(source: ArtifactSource, told: Told, signal: AbortSignal): Promise<InstalledArtifact> {
    const known = readSource(source);
    for (;;) {
      if (this.#closed || signal.aborted) throw stopped(known);
      const work = this.#work.get(known.sha256);
      if (work?.stop.signal.aborted !== true) return this.#join(work ?? this.#begin(known), { known, told, signal });
      // Given up by everybody and not ended yet.
      await work.done.catch(() => undefined);
    }
  }

  /** Everything but these digests is removed, also what was fetched in part. What is being worked on stays. */
  async keepOnly(sha256s: readonly string[]): Promise<void> {
    const { disk } = this.#ports;
    const kept = new Set(sha256s.map((sha256) => sha256.toLowerCase()));
    const goes = (sha256: string): boolean => !kept.has(sha256) && !this.#work.has(sha256);
    for (const name of await disk.list('artifact:list', this.#options.directory)) {
      const [sha256 = ''] = name.split('.');
      if (sha256Name.test(sha256) && goes(sha256)) await this.#setAside(name);
    }
    for (const name of await disk.list('artifact:list', this.#partial))
      if (goes(name.split('.')[0] ?? '')) await disk.remove('artifact:remove', join(this.#partial, name));
    await this.#sweep();
  }

  #begin(known: KnownSource): Work {
    const stop = new AbortController();
    const told = new Set<Told>();
    const tell: Told = (progress) => {
      for (const one of told) one(progress);
    };
    if (this.#slots.full) queueMicrotask(() => tell(`waiting to download ${known.name}`));
    const done = this.#slots
      .run(() => this.#make(known, tell, stop.signal), stop.signal)
      .catch((error: unknown) => {
        throw stop.signal.aborted ? stopped(known) : asArtifactError(error, known.shown);
      })
      .finally(() => this.#work.delete(known.sha256));
    const work = { stop, told, done };
    this.#work.set(known.sha256, work);
    return work;
  }

  #join(
    work: Work,
    { known, told, signal }: { readonly known: KnownSource; readonly told: Told; readonly signal: AbortSignal },
  ): Promise<InstalledArtifact> {
    // One listener for each caller, also when two callers pass the same function.
    const mine: Told = (progress) => told(progress);
    work.told.add(mine);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        work.told.delete(mine);
        if (work.told.size === 0) work.stop.abort();
        reject(stopped(known));
      };
      signal.addEventListener('abort', leave, { once: true });
      work.done.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
    });
  }

  async #make(known: KnownSource, told: Told, signal: AbortSignal): Promise<InstalledArtifact> {
    const { sha256, shown } = known;
    const installed = await this.#installed(known);
    if (installed !== undefined) return installed;
    const { reserveBytes } = this.#options;
    const from = join(this.#partial, sha256);
    const temporary = this.#temporary(sha256);
    this.#beingMade.add(temporary);
    try {
      await new Fetch(this.#ports, known, { path: from, reserveBytes, told, signal }).run();
      const to = join(this.#making, temporary);
      told(`installing ${known.name}`);
      const record = await unpack(this.#ports, known, { from, to, reserveBytes, told, signal });
      await this.#give(sha256, to, record);
      await this.#forgetPartial(sha256);
      this.#checkedAtMs.set(sha256, this.#ports.clock.monotonicMs());
      this.#ports.log.info('files of a module are installed', {
        url: shown,
        bytes: record.bytes,
        files: record.nodes.length,
      });
      return this.#answer(sha256, record);
    } catch (error) {
      await this.#ports.disk.remove('artifact:remove', join(this.#making, temporary)).catch(() => undefined);
      // What cannot be used is not worth its space; a deployment that names it again fetches it again.
      if (error instanceof ArtifactError && !error.retryable) await this.#forgetPartial(sha256);
      throw error;
    } finally {
      this.#beingMade.delete(temporary);
    }
  }

  /** Undefined when it is not there, or damaged. */
  async #installed(known: KnownSource): Promise<InstalledArtifact | undefined> {
    const { disk, clock, log, trees } = this.#ports;
    const { sha256, shown } = known;
    const directory = join(this.#options.directory, sha256);
    if ((await disk.facts('artifact:check', directory))?.isDirectory !== true) return undefined;
    const text = await disk.readTextIfPresent('artifact:record', this.#recordPath(sha256));
    const record = text === undefined ? undefined : parseRecord(text);
    const checkedAtMs = this.#checkedAtMs.get(sha256) ?? Number.NEGATIVE_INFINITY;
    const isFresh = clock.monotonicMs() - checkedAtMs < artifactCheckMs;
    const damage =
      record === undefined ? 'its record is missing' : isFresh ? undefined : await damageOf(record, directory, trees);
    if (record === undefined || damage !== undefined) {
      log.warn('the files of a module are damaged and are installed anew', { url: shown, damage });
      return undefined;
    }
    if ((record.file === undefined) !== (known.kind !== 'file'))
      throw new ArtifactError(
        'ARTIFACTS_SOURCE_INVALID',
        `${shown} is the same file as ${record.url}, and one of the two names is an archive's while the other is not. Use one name.`,
        { fields: { url: shown } },
      );
    this.#checkedAtMs.set(sha256, clock.monotonicMs());
    return this.#answer(sha256, record);
  }

  #answer(sha256: string, { bytes, file }: ArtifactRecord): InstalledArtifact {
    const directory = join(this.#options.directory, sha256);
    return { directory, installedBytes: bytes, ...(file === undefined ? {} : { file: join(directory, file) }) };
  }

  /** The tree gets its name, then its record: the latter's sync puts both names on stable storage. */
  async #give(sha256: string, from: string, record: ArtifactRecord): Promise<void> {
    const { disk } = this.#ports;
    const directory = join(this.#options.directory, sha256);
    if ((await disk.facts('artifact:check', directory)) !== undefined) await this.#setAside(sha256);
    await disk.rename('artifact:install', from, directory);
    await disk.writeFileAtomic('artifact:record', this.#recordPath(sha256), { data: formatRecord(record) });
  }

  async #forgetPartial(sha256: string): Promise<void> {
    await this.#ports.disk.remove('artifact:remove', join(this.#partial, sha256));
    await this.#ports.disk.remove('artifact:remove', join(this.#partial, `${sha256}.json`));
  }

  /** Out of its place at once; its files go with the next sweep. */
  #setAside(name: string): Promise<void> {
    this.#checkedAtMs.delete(name);
    const to = join(this.#making, this.#temporary(name));
    return this.#ports.disk.rename('artifact:set-aside', join(this.#options.directory, name), to);
  }

  async #sweep(): Promise<void> {
    const { disk } = this.#ports;
    for (const name of await disk.list('artifact:list', this.#making))
      if (!this.#beingMade.has(name)) await disk.remove('artifact:remove', join(this.#making, name));
  }

  #recordPath(sha256: string): string {
    return join(this.#options.directory, `${sha256}.installed.json`);
  }

  #temporary(name: string): string {
    return `${name}-${Buffer.from(this.#ports.entropy.bytes(temporaryBytes)).toString('hex')}`;
  }
}

function stopped({ shown }: KnownSource): ArtifactError {
  return new ArtifactError(
    'ARTIFACTS_STOPPED',
    `${shown} is not installed: it was told to stop. It goes on from there.`,
    {
      fields: { url: shown },
    },
  );
}
