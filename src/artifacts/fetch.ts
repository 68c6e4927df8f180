// One artefact from its server into a file with the right digest, however often the connection breaks on the way.
//
//   partial/<sha256>        the bytes so far; a restart goes on from their end
//   partial/<sha256>.json   {"url", "etag"}: what the server called the file when they came
//
//   try ─ rest or whole ─► append … ─ all there ─► digest ─ right ─► done
//    ▲ pause              │ broken, stalled: another try      └ wrong: begin anew once if it was pieced together, else refused
//    └────────────────────┘
//
// Invariants
//   Never more than `sizeBytes` bytes are written.
//   What comes out has the digest that was asked for and is on stable storage.
//   Bytes of two versions of a file are not taken for one: If-Range where the server has tags, and the digest anyway.
//
// Tries that bring bytes are not counted: a download over a bad line ends when it is there or nothing comes any more.

import { strict as assert } from 'node:assert';
import {
  artifactPauseMsFirst,
  artifactPauseMsMax,
  artifactPauseMsMin,
  artifactRedirectsMax,
  artifactRoomFactor,
  artifactStallBytes,
  artifactStallMs,
  artifactTriesMax,
} from '../limits.ts';
import { backoffDelays } from '../model/backoff.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { DownloadAnswer } from '../platform/download.ts';
import type { HashedFile } from '../platform/hashed-file.ts';
import { meaningOf, strongTag } from './answer-meaning.ts';
import { ArtifactError, asArtifactError } from './errors.ts';
import type { ArtifactPorts, Told } from './ports.ts';
import { type KnownSource, shownUrl } from './source.ts';

export interface FetchOptions {
  /** Of the partial file; its notes have `.json` behind it. */
  readonly path: string;
  readonly reserveBytes: number;
  readonly told: Told;
  readonly signal: AbortSignal;
}

/** What one try came to, when it was not the end of the story. */
interface Interruption {
  readonly why: string;
  readonly afterMs: number;
}

const percent = 100;
const toldEveryMs = 500;
const msPerSecond = 1000;
const localErrors: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EFBIG']);

export class Fetch {
  readonly #ports: ArtifactPorts;
  readonly #source: KnownSource;
  readonly #options: FetchOptions;
  readonly #delays: Iterator<number, never>;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(ports: ArtifactPorts, source: KnownSource, options: FetchOptions) {
    this.#ports = ports;
    this.#source = source;
    this.#options = options;
    const pauses = {
      floorMs: artifactPauseMsMin,
      firstCeilingMs: artifactPauseMsFirst,
      ceilingMsMax: artifactPauseMsMax,
    };
    this.#delays = backoffDelays(pauses, () => ports.entropy.fraction());
  }

  /** Resolves when the file is whole. Rejects with an ArtifactError; what came so far stays for the next time. */
  async run(): Promise<void> {
    const { path, signal } = this.#options;
    const file = await this.#ports.hashedFiles.open('artifact:partial', path, signal);
    try {
      await this.#untilWhole(file);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #untilWhole(file: HashedFile): Promise<void> {
    const { sizeBytes, shown } = this.#source;
    if (file.bytes > sizeBytes) await file.restart();
    let pieced = file.bytes > 0;
    let isAnew = false;
    let tries = 0;
    for (;;) {
      if (file.bytes === sizeBytes) {
        if (file.sha256() === this.#source.sha256) return;
        await file.restart();
        // Once: over a line that always breaks, the wrong file would be fetched for ever.
        if (!pieced || isAnew) throw this.#wrongDigest();
        pieced = false;
        isAnew = true;
        this.#ports.log.warn('a download that was put together has a wrong digest and begins anew', { url: shown });
      }
      await this.#checkSpace(file);
      const before = file.bytes;
      const interruption = await this.#try(file);
      if (interruption === undefined) continue;
      pieced = file.bytes > 0;
      tries = file.bytes > before ? 1 : tries + 1;
      if (tries >= artifactTriesMax) throw this.#unreachable(interruption.why);
      await this.#pause(interruption, tries);
    }
  }

  /** One request, followed where it leads. Undefined: all bytes are there, or it is worth beginning anew at once. */
  async #try(file: HashedFile): Promise<Interruption | undefined> {
    const stall = new Stall(this.#ports.clock);
    const signal = AbortSignal.any([this.#options.signal, stall.signal]);
    try {
      const answer = await this.#answer(file, signal);
      return 'why' in answer ? answer : await this.#receive(file, answer, stall);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (stall.signal.aborted) return { why: 'nothing came any more', afterMs: 0 };
      if (error instanceof ArtifactError) throw error;
      // What this machine refused, in contrast to what the network did.
      if (localErrors.has(errorCode(error))) throw asArtifactError(error, this.#source.shown);
      return { why: errorMessage(error), afterMs: 0 };
    } finally {
      stall.end();
    }
  }

  /** The answer that carries bytes, its redirects followed. */
  async #answer(file: HashedFile, signal: AbortSignal): Promise<DownloadAnswer | Interruption> {
    const { sizeBytes, shown } = this.#source;
    const ifRange = await this.#tag();
    let url = this.#source.url;
    for (let hops = 0; hops <= artifactRedirectsMax; hops++) {
      const answer = await this.#ports.downloads.open({ url, offset: file.bytes, ifRange, signal });
      const meaning = meaningOf(answer, { offset: file.bytes, sizeBytes });
      if (meaning.kind === 'rest') return answer;
      if (meaning.kind === 'whole') {
        if (file.bytes > 0) await file.restart();
        await this.#noteTag(answer.headers['etag']);
        return answer;
      }
      answer.discard();
      if (meaning.kind === 'elsewhere') url = this.#redirected(url, meaning.location);
      else if (meaning.kind === 'refused') throw this.#refused(answer.status, url);
      else if (meaning.kind === 'size wrong') throw this.#wrongSize(`the file there has ${meaning.bytes} bytes`);
      else if (meaning.kind === 'later')
        return { why: `the server answers ${answer.status}`, afterMs: meaning.afterMs };
      else {
        if (file.bytes > 0) await file.restart();
        return { why: 'the server has not the rest of what came before', afterMs: 0 };
      }
    }
    throw new ArtifactError(
      'ARTIFACTS_NOT_SERVED',
      `${shown} leads elsewhere more than ${artifactRedirectsMax} times.`,
      {
        fields: { url: shown },
      },
    );
  }

  async #receive(file: HashedFile, answer: DownloadAnswer, stall: Stall): Promise<Interruption | undefined> {
    const { sizeBytes } = this.#source;
    for await (const piece of answer.body) {
      stall.came(piece.length);
      if (file.bytes + piece.length > sizeBytes) {
        answer.discard();
        await file.restart();
        throw this.#wrongSize('the server sends more than that');
      }
      await file.append(piece);
      this.#tellProgress(file.bytes);
    }
    assert(file.bytes <= sizeBytes);
    return file.bytes === sizeBytes ? undefined : { why: 'the connection ended early', afterMs: 0 };
  }

  #redirected(from: URL, location: string): URL {
    const { shown } = this.#source;
    let to: URL | undefined;
    try {
      to = new URL(location, from);
    } catch {
      to = undefined;
    }
    if (to !== undefined && to.protocol === 'https:' && from.protocol === 'https:') return to;
    throw new ArtifactError(
      'ARTIFACTS_NOT_SERVED',
      `${shown} leads to ${to === undefined ? 'an address that cannot be read' : shownUrl(to)}; only https:// is followed.`,
      { fields: { url: shown } },
    );
  }

  async #checkSpace(file: HashedFile): Promise<void> {
    const { path, reserveBytes } = this.#options;
    const missing = Math.ceil((this.#source.sizeBytes - file.bytes) * artifactRoomFactor);
    const free = await this.#ports.disk.freeBytes('artifact:space', path);
    if (free >= missing + reserveBytes) return;
    throw this.#noSpace(`${missing + reserveBytes} bytes are needed with the reserve, ${free} are free`);
  }

  async #tag(): Promise<string | undefined> {
    const text = await this.#ports.disk.readTextIfPresent('artifact:notes', `${this.#options.path}.json`);
    const parsed = text === undefined ? undefined : parseJson(text);
    if (parsed?.ok !== true || !isJsonObject(parsed.value)) return undefined;
    const { url, etag } = parsed.value;
    return url === this.#source.shown && typeof etag === 'string' ? strongTag(etag) : undefined;
  }

  /** Before the bytes that it is about. */
  async #noteTag(etag: string | undefined): Promise<void> {
    const path = `${this.#options.path}.json`;
    const tag = strongTag(etag);
    if (tag === (await this.#tag())) return;
    if (tag === undefined) await this.#ports.disk.remove('artifact:notes', path);
    else {
      const data = JSON.stringify({ url: this.#source.shown, etag: tag });
      await this.#ports.disk.writeFileAtomic('artifact:notes', path, { data });
    }
  }

  async #pause({ why, afterMs }: Interruption, tries: number): Promise<void> {
    const { told, signal } = this.#options;
    const { shown, name } = this.#source;
    const delayMs = Math.max(afterMs, this.#delays.next().value);
    this.#ports.log.warn('a download is interrupted', { url: shown, why, delayMs, tries });
    told(`downloading ${name}: ${why}; again in ${Math.ceil(delayMs / msPerSecond)} s`);
    this.#toldAtMs = Number.NEGATIVE_INFINITY;
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        timer.cancel();
        reject(signal.reason);
      };
      const timer = this.#ports.clock.setTimer(delayMs, () => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
  }

  #tellProgress(bytes: number): void {
    const nowMs = this.#ports.clock.monotonicMs();
    const { sizeBytes, name } = this.#source;
    if (nowMs - this.#toldAtMs < toldEveryMs && bytes < sizeBytes) return;
    this.#toldAtMs = nowMs;
    this.#options.told(`downloading ${name}: ${Math.floor((bytes * percent) / sizeBytes)} %`);
  }

  #noSpace(what: string): ArtifactError {
    const { shown } = this.#source;
    return new ArtifactError('ARTIFACTS_NO_SPACE', `No room for ${shown}: ${what}. Make room, or deploy less.`, {
      fields: { url: shown },
    });
  }

  #wrongSize(what: string): ArtifactError {
    const { shown, sizeBytes } = this.#source;
    return new ArtifactError(
      'ARTIFACTS_SIZE_WRONG',
      `${shown} is not the file of the deployment: that has ${sizeBytes} bytes, and ${what}. Correct source.size, or put the right file there.`,
      { fields: { url: shown, sizeBytes } },
    );
  }

  #wrongDigest(): ArtifactError {
    const { shown, sha256 } = this.#source;
    return new ArtifactError(
      'ARTIFACTS_DIGEST_WRONG',
      `${shown} is not the file of the deployment: its SHA-256 is not ${sha256}. Correct source.sha256, or put the right file there.`,
      { fields: { url: shown, sha256 } },
    );
  }

  #refused(status: number, url: URL): ArtifactError {
    const { shown } = this.#source;
    const what = url.protocol === 'file:' ? fileRefusal(status) : `the server answers ${status}`;
    return new ArtifactError(
      'ARTIFACTS_NOT_SERVED',
      `${shown} cannot be had: ${what}. Correct the address, or what is there.`,
      {
        fields: { url: shown, status },
      },
    );
  }

  #unreachable(why: string): ArtifactError {
    const { shown } = this.#source;
    return new ArtifactError(
      'ARTIFACTS_UNREACHABLE',
      `${shown} cannot be had after ${artifactTriesMax} tries: ${why}. It goes on from there when it is tried again.`,
      { fields: { url: shown } },
    );
  }
}

const statusMissing = 404;

function fileRefusal(status: number): string {
  return status === statusMissing ? 'there is no such file' : 'it is no file that may be read';
}

/** Gives a connection up that brings too little. */
class Stall {
  readonly #gone = new AbortController();
  readonly #clock: ArtifactPorts['clock'];
  #timer: { cancel(): void };
  #bytes = 0;

  constructor(clock: ArtifactPorts['clock']) {
    this.#clock = clock;
    this.#timer = this.#arm();
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  end(): void {
    this.#timer.cancel();
  }

  #arm(): { cancel(): void } {
    return this.#clock.setTimer(artifactStallMs, () => {
      if (this.#bytes < artifactStallBytes) this.#gone.abort();
      else {
        this.#bytes = 0;
        this.#timer = this.#arm();
      }
    });
  }
}
