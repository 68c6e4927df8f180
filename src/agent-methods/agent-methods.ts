// The direct methods of `$edgeAgent`: what somebody at the hub may ask of this gateway without being here.
//
//   ping                 200 null
//   RestartModule        200 null, or 500 when there is no such module
//   GetModuleLogs        200 [{"id","payload"}] or [{"id","payloadBytes"}] (base64 of gzip)
//   UploadModuleLogs     200 {"status":"Running","message":"","correlationId"}; each module's log becomes a blob
//   UploadSupportBundle  the same; one ZIP archive
//   GetTaskStatus        200 {"status","message","correlationId"}
//   anything else        400 {"message":"Command 'x' not found. The supported commands are - …"}
//
// Names, payloads, statuses and texts are those of Azure's agent (Core/requests/RequestManager.cs and its handlers).
// `edgeAgent` and `edgeHub` are modules there and this very process here: both names mean its own log.
//
// No call ends with an exception. Expressions are stopped when they take too long, answers and uploads are bounded.

import { agentLogAnswerBytesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { JsonObject, JsonValue } from '../model/json.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import { BlobContainer, blobName } from './blob.ts';
import { AgentMethodError, badRequestError } from './errors.ts';
import { type LogReading, type LogSelection, logBytes } from './log-stream.ts';
import type {
  LinePattern,
  MethodAnswer,
  MethodCall,
  MethodLogs,
  MethodModules,
  MethodPatterns,
  MethodWeb,
  SupportFacts,
} from './ports.ts';
import {
  type LogFilter,
  type LogsRequest,
  readBundle,
  readLogs,
  readLogsUpload,
  readRestart,
  readTaskStatus,
} from './requests.ts';
import { supportBundle } from './support-bundle.ts';
import { TaskTable } from './task-table.ts';

export interface AgentMethodsPorts {
  readonly modules: MethodModules;
  readonly logs: MethodLogs;
  readonly support: SupportFacts;
  readonly web: MethodWeb;
  readonly patterns: MethodPatterns;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
}

export interface AgentMethodsOptions {
  readonly deviceId: string;
  /** Of the hub; names blobs and lines. */
  readonly hubHostname: string;
  /** Stands where an address says `$upstream`. */
  readonly parentHostname?: string | undefined;
}

const ownNames = ['edgeAgent', 'edgeHub'];
const everyone = 'all';
const ok = 200;
const failed = 500;

interface ChosenLog {
  readonly id: string;
  readonly selection: LogSelection;
}

export class AgentMethods {
  readonly #ports: AgentMethodsPorts;
  readonly #options: AgentMethodsOptions;
  readonly #tasks: TaskTable;
  readonly #closing = new AbortController();
  readonly #methods: ReadonlyMap<string, readonly [name: string, answer: (payload: JsonValue) => unknown]>;

  constructor(ports: AgentMethodsPorts, options: AgentMethodsOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#tasks = new TaskTable(ports);
    const methods: Readonly<Record<string, (payload: JsonValue) => unknown>> = {
      ping: () => null,
      RestartModule: (payload) => this.#restart(payload),
      GetModuleLogs: (payload) => this.#getLogs(payload),
      UploadModuleLogs: (payload) => this.#uploadLogs(payload),
      UploadSupportBundle: (payload) => this.#uploadBundle(payload),
      GetTaskStatus: (payload) => this.#tasks.status(readTaskStatus(payload).correlationId),
    };
    this.#methods = new Map(Object.entries(methods).map((entry) => [entry[0].toLowerCase(), entry]));
  }

  /** Ends uploads that are under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#tasks.close();
  }

  /** Never rejects. */
  async invoke({ name, payload }: MethodCall): Promise<MethodAnswer> {
    const { log } = this.#ports;
    try {
      const method = this.#methods.get(name.toLowerCase());
      if (method === undefined) {
        const known = [...this.#methods.values()].map(([known]) => known).join(',');
        throw badRequestError(`Command '${name}' not found. The supported commands are - ${known}`);
      }
      const answer = (await method[1](payload)) as JsonValue;
      if (method[0] !== 'ping') log.info('a direct method was carried out', { method: method[0] });
      return { status: ok, payload: answer };
    } catch (error) {
      const status = error instanceof AgentMethodError ? error.status : failed;
      log.warn('a direct method was refused or failed', {
        method: name,
        status,
        code: errorCode(error),
        reason: errorMessage(error),
      });
      return { status, payload: { message: errorMessage(error) } };
    }
  }

  async #restart(payload: JsonValue): Promise<null> {
    const { id } = readRestart(payload);
    const { modules } = this.#ports;
    if (ownNames.includes(id)) {
      throw new AgentMethodError(
        'AGENT_METHODS_CANNOT_RESTART',
        `Module ${id} cannot be restarted: it is weir itself. Restart it on the gateway: systemctl restart weir`,
      );
    }
    const found = modules.list().find(({ name }) => name === id);
    if (found === undefined)
      throw new AgentMethodError('AGENT_METHODS_MODULE_UNKNOWN', `Module ${id} not found in the current environment`);
    if (found.wanted === 'stopped')
      throw new AgentMethodError(
        'AGENT_METHODS_CANNOT_RESTART',
        `Module ${id} cannot be restarted since it is not running`,
      );
    await modules.restart(id);
    return null;
  }

  async #getLogs(payload: JsonValue): Promise<readonly JsonObject[]> {
    const request = readLogs(payload, this.#ports.clock.wallMs());
    const answers: JsonObject[] = [];
    let room = agentLogAnswerBytesMax;
    for (const chosen of await this.#choose(request)) {
      const bytes = await this.#collect(chosen, { request, room });
      const answer: JsonObject =
        request.encoding === 'gzip'
          ? { id: chosen.id, payloadBytes: bytes.toString('base64') }
          : { id: chosen.id, payload: bytes.toString('utf8') };
      room -= Buffer.byteLength(JSON.stringify(answer)) + 1;
      if (room < 0) throw tooLargeError();
      answers.push(answer);
    }
    return answers;
  }

  async #collect(
    chosen: ChosenLog,
    { request, room }: { readonly request: LogsRequest; readonly room: number },
  ): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    for await (const piece of logBytes(this.#reading(chosen, this.#closing.signal), request)) {
      length += piece.length;
      if (length > room) throw tooLargeError();
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }

  async #uploadLogs(payload: JsonValue): Promise<unknown> {
    const { clock } = this.#ports;
    const request = readLogsUpload(payload, clock.wallMs());
    const chosen = await this.#choose(request);
    const isJson = request.contentType === 'json';
    const isGzip = request.encoding === 'gzip';
    const extension = `${isJson ? 'json' : 'log'}${isGzip ? '.gz' : ''}`;
    return this.#tasks.run('upload logs', async (signal) => {
      const container = this.#container(request.sasUrl, signal);
      for (const log of chosen) {
        await container.put({
          name: this.#blobName(log.id, extension),
          contentType: isJson ? 'application/json' : 'text/plain',
          ...(isGzip ? { contentEncoding: 'gzip' } : {}),
          bytes: logBytes(this.#reading(log, signal), request),
        });
      }
    });
  }

  #uploadBundle(payload: JsonValue): unknown {
    const { sasUrl, window, runtimeOnly } = readBundle(payload, this.#ports.clock.wallMs());
    return this.#tasks.run('upload support bundle', async (signal) => {
      await this.#container(sasUrl, signal).put({
        name: this.#blobName('support-bundle', 'zip'),
        contentType: 'application/zip',
        contentEncoding: 'zip',
        bytes: supportBundle(this.#ports, { window, runtimeOnly, signal }),
      });
    });
  }

  /** Which logs, each once: the first item that names a module is its own. Throws AGENT_METHODS_BAD_REQUEST. */
  async #choose({ items }: LogsRequest): Promise<readonly ChosenLog[]> {
    const { modules, logs } = this.#ports;
    const there = modules.list().map(({ name }) => name);
    const names = [...new Set([...ownNames, ...there, ...(await logs.names())])];
    const chosen = new Map<string, ChosenLog>();
    for (const { id, filter } of items) {
      const marks = id.toLowerCase() === everyone ? names.map(() => true) : this.#compile(id, true).matches(names);
      const matching = names.filter((name, at) => marks[at] === true && !chosen.has(name));
      if (matching.length === 0) continue;
      const selection = this.#selectionOf(filter);
      for (const name of matching) chosen.set(name, { id: name, selection });
    }
    return [...chosen.values()];
  }

  #selectionOf({ pattern, ...window }: LogFilter): LogSelection {
    return pattern === undefined ? window : { ...window, pattern: this.#compile(pattern, false) };
  }

  #compile(source: string, ignoreCase: boolean): LinePattern {
    // .NET's way to say it inside the expression.
    const bare = source.replace(/^\(\?i\)/, '');
    try {
      return this.#ports.patterns.compile(bare, { ignoreCase: ignoreCase || bare !== source });
    } catch (error) {
      throw badRequestError(`Error parsing command payload because of error - ${errorMessage(error)}`);
    }
  }

  #reading({ id, selection }: ChosenLog, signal: AbortSignal): LogReading {
    const { deviceId, hubHostname } = this.#options;
    return {
      logs: this.#ports.logs,
      origin: { iothub: hubHostname, device: deviceId, id },
      isOwn: ownNames.includes(id),
      selection,
      signal,
    };
  }

  #container(sasUrl: string, signal: AbortSignal): BlobContainer {
    const { parentHostname } = this.#options;
    const url =
      parentHostname === undefined
        ? sasUrl
        : sasUrl.replace(/^(https?:\/\/)\$upstream(?=[:/])/i, `$1${parentHostname}`);
    return new BlobContainer(this.#ports, { sasUrl: url, signal });
  }

  #blobName(id: string, extension: string): string {
    const { deviceId, hubHostname } = this.#options;
    return blobName(id, { iothub: hubHostname, device: deviceId, nowMs: this.#ports.clock.wallMs(), extension });
  }
}

function tooLargeError(): AgentMethodError {
  return new AgentMethodError(
    'AGENT_METHODS_TOO_LARGE',
    `The logs are too large for a direct method, whose answer has at most ${agentLogAnswerBytesMax} bytes. Ask for less with 'tail', 'since', 'until' or 'regex', with the encoding gzip, or use UploadModuleLogs.`,
  );
}
