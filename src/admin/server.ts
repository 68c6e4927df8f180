// The admin socket: HTTP/1.1 over a unix socket, for operators and for the command line.
//
//   GET  /status  /modules  /queues  /metrics  /config  /version     JSON
//   …    /queues/{queue}/…  /receipts                                queue-requests.ts
//   POST /modules/{name}/restart                                     202, no content
//   GET  /modules/{name}/logs?tail=N&since=MS&follow=true            text/plain, oldest line first
//
// Who may connect may do everything: the socket's mode (0660) and its directory decide. A process module is turned
// away even when it runs as root, for whom modes are nothing. Owns the mapping from
// requests to the device's ports and from errors to status and JSON; knows nothing of what is behind the ports.

import { adminLogTailLinesMax, httpBodyBytesMax } from '../limits.ts';
import { isValidId } from '../model/address.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Http, HttpRequest, HttpResponse, HttpServer } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import { deploymentRequest } from './deployment-requests.ts';
import { AdminError } from './errors.ts';
import type { AdminDevice, LogRequest, MetricSource } from './ports.ts';
import { queueRequest } from './queue-requests.ts';
import { json, wholeNumber } from './request-parts.ts';

export interface AdminServerPorts {
  readonly http: Http;
  readonly log: Log;
  readonly metrics: MetricSource;
  readonly device: AdminDevice;
  /** Is this process a module's? Absent: nobody is asked. */
  readonly isModule?: (pid: number) => Promise<boolean>;
}

/** Owner and group. */
const socketMode = 0o660;

const statusOk = 200;
const statusAccepted = 202;
const statusMethodNotAllowed = 405;
const statusErrorMin = 400;
const statusErrorMax = 599;
const statusInternal = 500;

export class AdminServer {
  readonly #ports: AdminServerPorts;
  readonly #socketPath: string;
  #server: HttpServer | undefined;

  constructor(ports: AdminServerPorts, options: { readonly socketPath: string }) {
    this.#ports = ports;
    this.#socketPath = options.socketPath;
  }

  /** Rejects PLATFORM_LISTEN_FAILED. */
  async start(): Promise<void> {
    this.#server = await this.#ports.http.serve({
      endpoint: { kind: 'unix', path: this.#socketPath, mode: socketMode },
      handler: (request) => this.#handle(request),
      bodyBytesMax: httpBodyBytesMax,
    });
  }

  /** Ends streamed logs, too. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  async #handle(request: HttpRequest): Promise<HttpResponse> {
    try {
      await this.#admit(request);
      return await this.#route(request);
    } catch (error) {
      const status = error instanceof WeirError ? Number(error.fields['status']) : statusInternal;
      const isStatus = status >= statusErrorMin && status <= statusErrorMax;
      if (!isStatus || status >= statusInternal) {
        this.#ports.log.warn('request failed', {
          path: `/${request.segments.join('/')}`,
          code: errorCode(error),
          reason: errorMessage(error),
        });
      }
      return json({ code: errorCode(error), message: errorMessage(error) }, isStatus ? status : statusInternal);
    }
  }

  async #admit({ peer }: HttpRequest): Promise<void> {
    const { isModule } = this.#ports;
    if (peer === undefined || peer.pid === 0 || isModule === undefined || !(await isModule(peer.pid))) return;
    throw new AdminError('ADMIN_FORBIDDEN', `Process ${peer.pid} is a module's; modules may not use the admin socket.`);
  }

  async #route(request: HttpRequest): Promise<HttpResponse> {
    const [first, name, verb, ...rest] = request.segments;
    if (first === 'modules' && name !== undefined) {
      if (rest.length === 0 && verb === 'restart') return allow(request, 'POST', () => this.#restart(name));
      if (rest.length === 0 && verb === 'logs') return allow(request, 'GET', () => this.#logs(name, request));
    }
    const queues = queueRequest(this.#ports.device.queues, request);
    if (queues !== undefined) return allow(request, queues.method, queues.answer);
    const deployment = deploymentRequest(this.#ports.device.deployment, request);
    if (deployment !== undefined) return allow(request, deployment.method, deployment.answer);
    if (first === 'support-bundle' && name === undefined) return allow(request, 'GET', () => this.#bundle(request));
    if (name === undefined) {
      const resource = this.#resource(first ?? '');
      if (resource !== undefined) return allow(request, 'GET', async () => json(await resource()));
    }
    throw new AdminError('ADMIN_NOT_FOUND', `There is nothing at /${request.segments.join('/')} on the admin socket.`);
  }

  #resource(name: string): (() => unknown) | undefined {
    const { device, metrics } = this.#ports;
    switch (name) {
      case 'status':
        return () => device.status();
      case 'modules':
        return async () => (await device.status()).modules;
      case 'queues':
        return async () => (await device.status()).queues;
      case 'usage':
        return () => device.usage();
      case 'metrics':
        return () => metrics.snapshot();
      case 'config':
        return () => device.config();
      case 'version':
        return () => device.version();
      default:
        return undefined;
    }
  }

  async #restart(name: string): Promise<HttpResponse> {
    await this.#ports.device.restartModule(checkedName(name));
    return { status: statusAccepted };
  }

  async #bundle({ query, signal }: HttpRequest): Promise<HttpResponse> {
    const bytes = this.#ports.device.supportBundle({
      sinceMs: wholeNumber(query, 'since', Number.MAX_SAFE_INTEGER),
      untilMs: wholeNumber(query, 'until', Number.MAX_SAFE_INTEGER),
      runtimeOnly: query.get('runtime-only') === 'true',
      signal,
    });
    return { status: statusOk, headers: { 'content-type': 'text/plain' }, body: await started(asBase64Lines(bytes)) };
  }

  async #logs(name: string, request: HttpRequest): Promise<HttpResponse> {
    const body = this.#ports.device.logs({
      name: checkedName(name),
      tail: wholeNumber(request.query, 'tail', adminLogTailLinesMax),
      sinceMs: wholeNumber(request.query, 'since', Number.MAX_SAFE_INTEGER),
      untilMs: wholeNumber(request.query, 'until', Number.MAX_SAFE_INTEGER),
      follow: request.query.get('follow') === 'true',
      signal: request.signal,
    } satisfies LogRequest);
    return {
      status: statusOk,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: await started(body),
    };
  }
}

/** Bytes as lines of base64, each of which stands for itself: bodies are text here. */
async function* asBase64Lines(bytes: AsyncIterable<Buffer>): AsyncIterable<string> {
  for await (const piece of bytes) if (piece.length > 0) yield `${piece.toString('base64')}\n`;
}

/** Fetches the first piece before the status is sent, so that a log that cannot be read is an error and not an empty log. */
async function started(pieces: AsyncIterable<string>): Promise<AsyncIterable<string>> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = await iterator.next();
  return (async function* () {
    try {
      for (let piece = first; piece.done !== true; piece = await iterator.next()) yield piece.value;
    } finally {
      await iterator.return?.();
    }
  })();
}

function allow(request: HttpRequest, method: string, answer: () => Promise<HttpResponse>): Promise<HttpResponse> {
  if (request.method === method) return answer();
  const message = `${request.method} is not allowed here, use ${method}.`;
  return Promise.resolve({
    ...json({ code: 'ADMIN_BAD_REQUEST', message }, statusMethodNotAllowed),
    headers: { allow: method },
  });
}

function checkedName(name: string): string {
  if (isValidId(name)) return name;
  throw new AdminError('ADMIN_BAD_REQUEST', `'${name}' is not a module name.`);
}
