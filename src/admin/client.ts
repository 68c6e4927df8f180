// The other end of the admin socket, for the command line.
//
// Turns a socket that nobody serves into ADMIN_NOT_RUNNING with the mend, and an answered error back into an
// error with the daemon's own code. The answers of our own daemon are trusted to have the shape of ports.ts.

import { WeirError } from '../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import { linesOf, wholeLines } from '../model/whole-lines.ts';
import type { Http, HttpCall } from '../platform/http.ts';
import type { MetricSample } from '../platform/metrics.ts';
import { AdminError, AnsweredError } from './errors.ts';
import type {
  BundleRequest,
  DeploymentProgress,
  DeployReport,
  ExportedFile,
  ExportRequest,
  LogRequest,
  ModuleReport,
  PeekedMessage,
  PeekRequest,
  PurgeReport,
  PurgeRequest,
  QueueReport,
  ReceiptReport,
  ReceiptText,
  StatusReport,
  UsageReport,
} from './ports.ts';

const statusErrorMin = 400;
const statusNothing = 204;

export class AdminClient {
  readonly #http: Http;
  readonly #runDir: string;

  constructor(http: Http, runDir: string) {
    this.#http = http;
    this.#runDir = runDir;
  }

  get socketPath(): string {
    return `${this.#runDir}/admin.sock`;
  }

  status(signal?: AbortSignal): Promise<StatusReport> {
    return this.#get<StatusReport>('/status', signal);
  }

  modules(): Promise<readonly ModuleReport[]> {
    return this.#get<readonly ModuleReport[]>('/modules');
  }

  queues(): Promise<readonly QueueReport[]> {
    return this.#get<readonly QueueReport[]>('/queues');
  }

  peekQueue({ queue, priority, count, from }: PeekRequest): Promise<readonly PeekedMessage[]> {
    const query = new URLSearchParams({ ...priorityQuery(priority), count: String(count), from });
    return this.#get<readonly PeekedMessage[]>(`/queues/${encodeURIComponent(queue)}/messages?${query}`);
  }

  async purgeQueue({ queue, priority, beforeMs }: PurgeRequest): Promise<readonly PurgeReport[]> {
    const before = beforeMs === undefined ? {} : { before: String(Math.floor(beforeMs)) };
    const query = new URLSearchParams({ ...priorityQuery(priority), ...before });
    const path = `/queues/${encodeURIComponent(queue)}/messages?${query}`;
    return (await this.#ask<readonly PurgeReport[]>({ ...this.#call(path), method: 'DELETE' })) ?? [];
  }

  /** The next queue file for the hub; undefined when there is nothing more. */
  exportQueue({ queue, have, done }: ExportRequest): Promise<ExportedFile | undefined> {
    const path = `/queues/${encodeURIComponent(queue)}/files`;
    return this.#ask({ ...this.#call(path), method: 'POST', body: JSON.stringify({ have, done }) });
  }

  async takeReceipts(receipts: readonly ReceiptText[]): Promise<readonly ReceiptReport[]> {
    const body = JSON.stringify({ receipts });
    return (await this.#ask<readonly ReceiptReport[]>({ ...this.#call('/receipts'), method: 'POST', body })) ?? [];
  }

  usage(): Promise<UsageReport> {
    return this.#get<UsageReport>('/usage');
  }

  deployment(): Promise<DeploymentProgress> {
    return this.#get<DeploymentProgress>('/deployment');
  }

  /** `manifest` is JSON text of an object. */
  async deploy(manifest: string, { dryRun }: { readonly dryRun: boolean }): Promise<DeployReport> {
    const path = `/deployment${dryRun ? '?dry-run=true' : ''}`;
    return (await this.#ask<DeployReport>({ ...this.#call(path), method: 'POST', body: manifest })) as DeployReport;
  }

  /** The bytes of a ZIP archive. */
  async *supportBundle(request: BundleRequest): AsyncIterable<Buffer> {
    const query = new URLSearchParams(windowQuery(request));
    if (request.runtimeOnly === true) query.set('runtime-only', 'true');
    const pieces = this.#stream(`/support-bundle?${query}`, request.signal);
    for await (const line of linesOf(pieces)) yield Buffer.from(line, 'base64');
  }

  metrics(): Promise<readonly MetricSample[]> {
    return this.#get<readonly MetricSample[]>('/metrics');
  }

  config(): Promise<JsonObject> {
    return this.#get<JsonObject>('/config');
  }

  version(): Promise<JsonObject> {
    return this.#get<JsonObject>('/version');
  }

  async restartModule(name: string): Promise<void> {
    const path = `/modules/${encodeURIComponent(name)}/restart`;
    const answer = await this.#reach(() => this.#http.call({ ...this.#call(path), method: 'POST' }));
    throwIfRefused(answer.status, answer.body);
  }

  /** Pieces of whole lines. Ends quietly when `signal` is aborted. */
  async *logs(request: LogRequest): AsyncIterable<string> {
    const query = new URLSearchParams({
      ...(request.tail === undefined ? {} : { tail: String(request.tail) }),
      ...windowQuery(request),
      ...(request.follow === true ? { follow: 'true' } : {}),
    });
    try {
      yield* wholeLines(this.#stream(`/modules/${encodeURIComponent(request.name)}/logs?${query}`, request.signal));
    } catch (error) {
      if (!request.signal.aborted) throw error;
    }
  }

  async *#stream(path: string, signal: AbortSignal): AsyncIterable<string> {
    const { status, body } = await this.#reach(() => this.#http.stream({ ...this.#call(path), signal }));
    if (status >= statusErrorMin) {
      let text = '';
      for await (const piece of body) text += piece;
      throwIfRefused(status, text);
    }
    yield* body;
  }

  #get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
    return this.#ask<Answer>({ ...this.#call(path), ...(signal === undefined ? {} : { signal }) }) as Promise<Answer>;
  }

  /** Undefined for an answer without content. */
  async #ask<Answer>(call: HttpCall): Promise<Answer | undefined> {
    const { status, body } = await this.#reach(() => this.#http.call(call));
    throwIfRefused(status, body);
    if (status === statusNothing) return undefined;
    const parsed = parseJson(body);
    if (parsed.ok) return parsed.value as JsonValue as Answer;
    throw new AdminError(
      'ADMIN_BAD_ANSWER',
      `${this.socketPath} answered with something that is not JSON: ${parsed.reason}.`,
    );
  }

  #call(path: string): HttpCall {
    return { socketPath: this.socketPath, method: 'GET', path };
  }

  async #reach<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call();
    } catch (cause) {
      throw this.#explained(cause);
    }
  }

  #explained(cause: unknown): unknown {
    if (!(cause instanceof WeirError) || cause.code !== 'PLATFORM_HTTP_FAILED') return cause;
    const errno = cause.fields['errno'];
    if (errno === 'EACCES' || errno === 'EPERM') {
      return new AdminError(
        'ADMIN_FORBIDDEN',
        `${this.socketPath} may not be used by this user. Use sudo, or join the group that owns it.`,
        cause,
      );
    }
    if (errno === 'ENOENT' || errno === 'ECONNREFUSED' || errno === 'ENOTDIR') {
      return new AdminError(
        'ADMIN_NOT_RUNNING',
        `weir is not running on ${this.#runDir}. Start it: systemctl start weir, or weir run; or name the directory of the one that runs with --run-dir.`,
        cause,
      );
    }
    return cause;
  }
}

function priorityQuery(priority: number | undefined): Readonly<Record<string, string>> {
  return priority === undefined ? {} : { priority: String(priority) };
}

function windowQuery({ sinceMs, untilMs }: Pick<LogRequest, 'sinceMs' | 'untilMs'>): Readonly<Record<string, string>> {
  return {
    ...(sinceMs === undefined ? {} : { since: String(Math.floor(sinceMs)) }),
    ...(untilMs === undefined ? {} : { until: String(Math.floor(untilMs)) }),
  };
}

function throwIfRefused(status: number, body: string): void {
  if (status < statusErrorMin) return;
  const parsed = parseJson(body);
  const answer = parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
  const { code, message } = answer as { readonly code?: JsonValue; readonly message?: JsonValue };
  throw new AnsweredError({
    status,
    code: typeof code === 'string' ? code : 'ADMIN_BAD_ANSWER',
    message: typeof message === 'string' ? message : `The daemon answered with status ${status}.`,
  });
}
