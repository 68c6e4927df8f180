// The container engine: podman's or Docker's socket, spoken to in the Docker Engine API.
//
//   GET /version             who answers, and which versions of the API it speaks
//   /v1.41/…                 everything else, in the version that was tried out, or the nearest the engine has
//
// Owns finding the socket, the version, time limits, and telling apart an engine that is away from one that said no.
// Knows nothing of containers. What an engine said of itself is kept until a connection fails: the next one may be
// another engine. While it is away, one prober looks for it, however many modules wait.

import { engineAnswerBytesMax } from '../limits.ts';
import { backoffDelays } from '../model/backoff.ts';
import { errorCode, WeirError } from '../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { ExchangeAnswer, HttpExchange } from '../platform/http-exchange.ts';
import type { Log } from '../platform/log.ts';
import {
  engineAbsentError,
  engineLostError,
  engineRefusedError,
  engineSilentError,
  engineUnsuitableError,
  isEngineAway,
} from './errors.ts';
import type { ContainerTimes } from './ports.ts';
import { linkedSignal, whenAborted } from './waiting.ts';

export interface EnginePorts {
  readonly http: HttpExchange;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
}

export interface EngineFacts {
  readonly kind: 'podman' | 'docker';
  /** `podman 4.3.1`. */
  readonly text: string;
  readonly apiVersion: string;
  /** Of podman's own API, which can what Docker's cannot. */
  readonly libpodVersion: string | undefined;
  readonly socketPath: string;
}

export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below the version. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: JsonObject;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Until the head of the answer; `none`: it may take as long as a container runs. */
  readonly limitMs?: number | 'none';
  /** A path of podman's own API. */
  readonly libpod?: boolean;
}

export interface EngineAnswer {
  readonly status: number;
  /** Null when the body is empty or no JSON. */
  readonly value: JsonValue;
}

/** The version everything here was tried with; API versions are ordered by their minor number. */
const apiMinorTried = 41;
const statusErrorMin = 400;
const absentErrnos: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTSOCK', 'EPERM', 'ENOTDIR'];

export class Engine {
  readonly #ports: EnginePorts;
  readonly #sockets: readonly string[];
  readonly #times: ContainerTimes;
  #facts: EngineFacts | undefined;
  #probe: Promise<void> | undefined;
  readonly #closed = new AbortController();

  constructor(
    ports: EnginePorts,
    { sockets, times }: { readonly sockets: readonly string[]; readonly times: ContainerTimes },
  ) {
    this.#ports = ports;
    this.#sockets = sockets;
    this.#times = times;
  }

  /** Who answers. Rejects with an error that isEngineAway. */
  async facts(): Promise<EngineFacts> {
    if (this.#facts !== undefined) return this.#facts;
    let reason: unknown;
    for (const socketPath of this.#sockets) {
      if ((await this.#ports.disk.facts('containers:socket', socketPath).catch(() => undefined)) === undefined)
        continue;
      try {
        const facts = await this.#ask(socketPath);
        this.#ports.log.info('container engine found', {
          engine: facts.text,
          api: facts.apiVersion,
          socket: socketPath,
        });
        this.#facts = facts;
        return facts;
      } catch (error) {
        if (!isEngineAway(error)) throw error;
        reason = error;
      }
    }
    if (reason instanceof WeirError && reason.code !== 'CONTAINERS_ENGINE_ABSENT') throw reason;
    throw engineAbsentError(this.#sockets, reason);
  }

  /** One whole answer. Rejects with CONTAINERS_ENGINE_REFUSED for a status of 400 and more that is not in `accept`. */
  async call(what: string, request: EngineRequest, accept: readonly number[] = []): Promise<EngineAnswer> {
    const facts = await this.facts();
    const limit = this.#limit(request);
    try {
      const answer = await this.#send(facts, request, limit.signal);
      const value = await readJson(answer);
      this.#refuse(what, { status: answer.status, value, accept });
      return { status: answer.status, value };
    } catch (cause) {
      throw this.#translate(what, { cause, limit, socketPath: facts.socketPath });
    } finally {
      limit.end();
    }
  }

  /** An answer whose body is read by the caller; its time limit ends with the head. */
  async open(what: string, request: EngineRequest): Promise<ExchangeAnswer> {
    const facts = await this.facts();
    const limit = this.#limit(request);
    try {
      const answer = await this.#send(facts, request, limit.signal);
      if (answer.status >= statusErrorMin)
        this.#refuse(what, { status: answer.status, value: await readJson(answer), accept: [] });
      limit.lift();
      return { ...answer, body: this.#translated(what, answer.body, limit) };
    } catch (cause) {
      limit.end();
      throw this.#translate(what, { cause, limit, socketPath: facts.socketPath });
    }
  }

  /** Resolves when the engine answers again, or the signal is aborted. */
  async untilBack(signal: AbortSignal): Promise<void> {
    // Once closed nobody looks any more: whoever still waits is let go by its own signal.
    if (!this.#closed.signal.aborted) {
      this.#probe ??= this.#lookForIt().finally(() => {
        this.#probe = undefined;
      });
    }
    const gone = whenAborted(signal);
    await Promise.race([this.#probe ?? gone.promise, gone.promise]).finally(gone.end);
  }

  close(): Promise<void> {
    this.#closed.abort();
    return this.#probe ?? Promise.resolve();
  }

  async #lookForIt(): Promise<void> {
    this.#ports.log.warn('the container engine is away; its containers are taken to be as they were');
    const { awayMsMin, awayMsMax } = this.#times;
    const delays = backoffDelays({ floorMs: awayMsMin, firstCeilingMs: awayMsMin, ceilingMsMax: awayMsMax }, () =>
      this.#ports.entropy.fraction(),
    );
    for (const delayMs of delays) {
      await pause(this.#ports.clock, delayMs, this.#closed.signal);
      if (this.#closed.signal.aborted) return;
      try {
        this.#facts = undefined;
        await this.facts();
        return;
      } catch (error) {
        if (!isEngineAway(error)) throw error;
      }
    }
  }

  async #ask(socketPath: string): Promise<EngineFacts> {
    const limit = this.#limit({ method: 'GET', path: '/version' });
    try {
      const answer = await this.#ports.http.exchange({
        socketPath,
        method: 'GET',
        path: '/version',
        signal: limit.signal,
      });
      const value = await readJson(answer);
      const facts = factsOf(value, socketPath);
      if (facts === undefined)
        throw engineUnsuitableError(socketPath, `it answers /version with status ${answer.status} and no API version`);
      return facts;
    } catch (cause) {
      throw this.#translate('/version', { cause, limit, socketPath });
    } finally {
      limit.end();
    }
  }

  #send(facts: EngineFacts, request: EngineRequest, signal: AbortSignal): Promise<ExchangeAnswer> {
    const query = new URLSearchParams(request.query).toString();
    const root = request.libpod === true ? `/v${facts.libpodVersion}/libpod` : `/v${facts.apiVersion}`;
    return this.#ports.http.exchange({
      socketPath: facts.socketPath,
      method: request.method,
      path: `${root}${request.path}${query === '' ? '' : `?${query}`}`,
      ...(request.headers === undefined ? {} : { headers: request.headers }),
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      signal,
    });
  }

  #refuse(
    what: string,
    {
      status,
      value,
      accept,
    }: { readonly status: number; readonly value: JsonValue; readonly accept: readonly number[] },
  ): void {
    if (status < statusErrorMin || accept.includes(status)) return;
    const told = isJsonObject(value) ? (value['message'] ?? value['cause']) : undefined;
    const reason = typeof told === 'string' && told !== '' ? told : `status ${status}`;
    throw engineRefusedError(what, { status, reason });
  }

  #limit({ signal, limitMs = this.#times.answerMsMax }: EngineRequest): Limit {
    const linked = linkedSignal(signal, this.#closed.signal);
    let isOut = false;
    const expire = (): void => {
      isOut = true;
      linked.abort();
    };
    const timer = limitMs === 'none' ? undefined : this.#ports.clock.setTimer(limitMs, expire);
    return {
      signal: linked.signal,
      expiredMs: () => (isOut && typeof limitMs === 'number' ? limitMs : undefined),
      isGivenUp: () => linked.signal.aborted && !isOut,
      lift: () => timer?.cancel(),
      end: () => {
        timer?.cancel();
        linked.unlink();
        // Whatever of the answer was not read is not wanted: the connection is closed.
        linked.abort();
      },
    };
  }

  async *#translated(what: string, body: AsyncIterable<Uint8Array>, limit: Limit): AsyncGenerator<Uint8Array> {
    const socketPath = this.#facts?.socketPath ?? '';
    try {
      yield* body;
    } catch (cause) {
      throw this.#translate(what, { cause, limit, socketPath });
    } finally {
      limit.end();
    }
  }

  #translate(
    what: string,
    { cause, limit, socketPath }: { readonly cause: unknown; readonly limit: Limit; readonly socketPath: string },
  ): unknown {
    if (errorCode(cause) !== 'PLATFORM_HTTP_FAILED') return cause;
    if (!limit.isGivenUp()) this.#facts = undefined;
    const afterMs = limit.expiredMs();
    if (afterMs !== undefined) return engineSilentError(what, { socketPath, afterMs });
    const errno = cause instanceof WeirError ? String(cause.fields['errno']) : '';
    if (absentErrnos.includes(errno)) return engineAbsentError([socketPath], cause);
    return engineLostError(what, { socketPath, cause });
  }
}

interface Limit {
  readonly signal: AbortSignal;
  readonly expiredMs: () => number | undefined;
  /** True when it was the caller who ended it: that says nothing about the engine. */
  readonly isGivenUp: () => boolean;
  /** The time limit no longer holds; the caller's signal does. */
  readonly lift: () => void;
  readonly end: () => void;
}

function factsOf(value: JsonValue, socketPath: string): EngineFacts | undefined {
  if (!isJsonObject(value)) return undefined;
  const apiMinor = minorOf(value['ApiVersion']);
  if (apiMinor === undefined) return undefined;
  const components = Array.isArray(value['Components']) ? value['Components'].filter(isJsonObject) : [];
  const podman = components.find((component) => component['Name'] === 'Podman Engine');
  const version = typeof value['Version'] === 'string' ? value['Version'] : '?';
  const details = podman?.['Details'];
  const libpod = isJsonObject(details) ? details['APIVersion'] : undefined;
  const minor = Math.max(minorOf(value['MinAPIVersion']) ?? 0, Math.min(apiMinor, apiMinorTried));
  const kind = podman === undefined ? 'docker' : 'podman';
  return {
    kind,
    text: `${kind} ${version}`,
    apiVersion: `1.${minor}`,
    libpodVersion: typeof libpod === 'string' ? libpod : undefined,
    socketPath,
  };
}

function minorOf(version: JsonValue | undefined): number | undefined {
  const found = typeof version === 'string' ? /^1\.(\d{1,3})$/.exec(version) : null;
  return found === null ? undefined : Number(found[1]);
}

async function readJson(answer: ExchangeAnswer): Promise<JsonValue> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body) {
    bytes += chunk.byteLength;
    if (bytes > engineAnswerBytesMax) break;
    chunks.push(chunk);
  }
  const parsed = parseJson(Buffer.concat(chunks).toString('utf8'));
  return parsed.ok ? parsed.value : null;
}
