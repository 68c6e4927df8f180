// HTTP/1.1 over unix sockets and TCP, as a parameter: small request and response values, no framework.
//
// Serves the admin, workload and hub sockets; dials them for the CLI. A request body is bounded; a response
// body may be a stream (logs, monitor) that ends when the client goes away.

import { chmod, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { PeerCredentials } from './net.ts';

export interface HttpRequest {
  readonly method: string;
  /** Decoded path segments: `/modules/a%2Fb/sign` is `['modules', 'a/b', 'sign']`. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
  readonly peer: PeerCredentials | undefined;
  /** Aborted when the client goes away: ends a streamed response. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text in one piece, or pieces as they come. */
  readonly body?: string | AsyncIterable<string | Uint8Array>;
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

export interface HttpEndpointOptions {
  readonly endpoint:
    | { readonly kind: 'unix'; readonly path: string; readonly mode: number }
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number };
  readonly handler: HttpHandler;
  readonly bodyBytesMax: number;
  /** Open at a time; whoever comes then is let go at once. Absent: as many as there are descriptors. */
  readonly connectionsMax?: number;
}

export interface HttpServer {
  readonly port: number | undefined;
  close(): Promise<void>;
}

export interface HttpCall {
  readonly socketPath: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Http {
  serve(options: HttpEndpointOptions): Promise<HttpServer>;
  /** One whole answer. Throws PLATFORM_HTTP_FAILED when nobody answers. */
  call(call: HttpCall): Promise<{ readonly status: number; readonly body: string }>;
  /** The answer's body piece by piece, as UTF-8 text. */
  stream(call: HttpCall): Promise<{ readonly status: number; readonly body: AsyncIterable<string> }>;
}

export function systemHttp(
  options: { readonly peerCredentials?: ((fd: number) => PeerCredentials) | undefined } = {},
): Http {
  return {
    serve: (serving) => serve(serving, options.peerCredentials),
    async call(call) {
      const { status, body } = await open(call);
      let text = '';
      for await (const piece of body) text += piece;
      return { status, body: text };
    },
    stream: open,
  };
}

async function serve(
  { endpoint, handler, bodyBytesMax, connectionsMax }: HttpEndpointOptions,
  peerCredentials?: (fd: number) => PeerCredentials,
): Promise<HttpServer> {
  // Asked when the connection comes, not with each request: by then the peer's pid may be another process's.
  const peers = new WeakMap<Socket, PeerCredentials>();
  const server = createServer((incoming, outgoing) => {
    void answer(incoming, outgoing, { handler, bodyBytesMax, peer: peers.get(incoming.socket) });
  });
  if (connectionsMax !== undefined) server.maxConnections = connectionsMax;
  server.on('connection', (socket: Socket) => {
    const peer = readPeer(socket, peerCredentials);
    if (peer !== undefined) peers.set(socket, peer);
  });
  if (endpoint.kind === 'unix') await unlink(endpoint.path).catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new WeirError({
          code: 'PLATFORM_LISTEN_FAILED',
          message: `Cannot serve HTTP on ${endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}`}: ${cause.message}.`,
          cause,
        }),
      ),
    );
    if (endpoint.kind === 'unix') server.listen(endpoint.path, resolve);
    else server.listen(endpoint.port, endpoint.host, resolve);
  });
  // A connection that cannot be taken, for want of descriptors, is no reason to end.
  server.on('error', () => undefined);
  if (endpoint.kind === 'unix') await chmod(endpoint.path, endpoint.mode);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface Answering {
  readonly handler: HttpHandler;
  readonly bodyBytesMax: number;
  readonly peer: PeerCredentials | undefined;
}

/** Reads the request, calls the handler, writes its answer; every failure becomes an answer, or breaks off the one that has begun. */
export async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { handler, bodyBytesMax, peer }: Answering,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on('close', () => gone.abort());
  outgoing.on('error', () => gone.abort());
  try {
    const body = await readBody(incoming, bodyBytesMax);
    if (body === undefined) {
      outgoing
        .writeHead(413, { 'content-type': 'application/json' })
        .end(JSON.stringify({ message: `The request body is over ${bodyBytesMax} bytes.` }));
      return;
    }
    const url = new URL(incoming.url ?? '/', 'http://socket');
    const response = await handler({
      method: incoming.method ?? 'GET',
      segments: url.pathname
        .split('/')
        .filter((part) => part !== '')
        .map(decodeSegment),
      query: url.searchParams,
      headers: incoming.headers as Record<string, string | undefined>,
      body,
      peer,
      signal: gone.signal,
    });
    await writeResponse(outgoing, response, gone.signal);
  } catch (error) {
    // An answer that has begun is broken off: an end would say that it is whole.
    if (outgoing.headersSent) return void outgoing.socket?.end();
    outgoing.writeHead(500, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify({ code: errorCode(error), message: errorMessage(error) }));
  }
}

function decodeSegment(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Undefined for TCP, and where the kernel does not tell: whoever must know treats that as not known. */
function readPeer(
  socket: Socket,
  peerCredentials: ((fd: number) => PeerCredentials) | undefined,
): PeerCredentials | undefined {
  const handle = (socket as unknown as { readonly _handle: { readonly fd?: number } | null })._handle;
  if (socket.remoteAddress !== undefined || handle?.fd === undefined || handle.fd < 0) return undefined;
  try {
    return peerCredentials?.(handle.fd);
  } catch {
    return undefined;
  }
}

async function readBody(incoming: IncomingMessage, bytesMax: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function writeResponse(outgoing: ServerResponse, response: HttpResponse, signal: AbortSignal): Promise<void> {
  outgoing.writeHead(response.status, { 'content-type': 'application/json', ...response.headers });
  if (response.body === undefined || typeof response.body === 'string') {
    outgoing.end(response.body ?? '');
    return;
  }
  outgoing.flushHeaders();
  for await (const piece of response.body) {
    if (signal.aborted) break;
    if (!outgoing.write(piece)) await drained(outgoing, signal);
  }
  outgoing.end();
}

/** Resolves when more can be written, or nobody is there to take it. Leaves no listener: an answer may never end. */
function drained(outgoing: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    outgoing.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}

function open(call: HttpCall): Promise<{ readonly status: number; readonly body: AsyncIterable<string> }> {
  return new Promise((resolve, reject) => {
    const outgoing = sendRequest(
      {
        socketPath: call.socketPath,
        method: call.method,
        path: call.path,
        agent: false,
        headers: {
          ...(call.body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(call.body) }),
          ...call.headers,
        },
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      },
      (incoming) => {
        incoming.setEncoding('utf8');
        // Read or not, a broken connection must not become an uncaught error.
        incoming.on('error', () => undefined);
        resolve({ status: incoming.statusCode ?? 0, body: pieces(incoming, call.socketPath) });
      },
    );
    outgoing.on('error', (cause) => reject(failed(`No answer on ${call.socketPath}`, call.socketPath, cause)));
    outgoing.end(call.body);
  });
}

async function* pieces(incoming: AsyncIterable<string>, socketPath: string): AsyncGenerator<string> {
  try {
    yield* incoming;
  } catch (cause) {
    throw failed(`The answer on ${socketPath} broke off`, socketPath, cause);
  }
}

function failed(what: string, socketPath: string, cause: unknown): WeirError {
  return new WeirError({
    code: 'PLATFORM_HTTP_FAILED',
    message: `${what}: ${errorMessage(cause)}.`,
    fields: { socket: socketPath, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
