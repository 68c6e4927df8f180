// HTTP/1.1 requests over a unix socket whose answers are bytes as they come: for the container engine.
//
// http.ts answers with text and knows no response headers; an engine's logs are frames of bytes, its pulls last minutes,
// and some of its answers end only with the container. So nothing here has a time limit of its own: the caller's
// signal ends an exchange at any moment, and closing the connection is how an engine learns that nobody waits.

import { request as sendRequest } from 'node:http';
import { errorCode, WeirError } from '../model/errors.ts';

export interface ExchangeCall {
  readonly socketPath: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface ExchangeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Read to its end, or ended by the signal. Rejects with PLATFORM_HTTP_FAILED when the connection breaks. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface HttpExchange {
  /** Resolves when the head of the answer is there. Rejects with PLATFORM_HTTP_FAILED; its field `errno` tells why. */
  exchange(call: ExchangeCall): Promise<ExchangeAnswer>;
}

export function systemHttpExchange(): HttpExchange {
  return {
    exchange: (call) =>
      new Promise((resolve, reject) => {
        const { socketPath, method, path, headers, body, signal } = call;
        const outgoing = sendRequest(
          {
            socketPath,
            method,
            path,
            // A connection for each exchange: one that the engine closed while idle is never met.
            agent: false,
            headers: {
              host: 'localhost',
              ...(body === undefined
                ? {}
                : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
              ...headers,
            },
            signal,
          },
          (incoming) => {
            // Read or not, a broken connection must not become an uncaught error.
            incoming.on('error', () => undefined);
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers as Readonly<Record<string, string | undefined>>,
              body: chunks(incoming, call),
            });
          },
        );
        outgoing.on('error', (cause) => reject(failed(call, cause)));
        outgoing.end(body);
      }),
  };
}

async function* chunks(incoming: AsyncIterable<Uint8Array>, call: ExchangeCall): AsyncGenerator<Uint8Array> {
  try {
    yield* incoming;
  } catch (cause) {
    throw failed(call, cause);
  }
}

function failed({ socketPath, method, path }: ExchangeCall, cause: unknown): WeirError {
  return new WeirError({
    code: 'PLATFORM_HTTP_FAILED',
    message: `No answer on ${socketPath} to ${method} ${path.replace(/\?.*$/s, '')}: ${cause instanceof Error ? cause.message : String(cause)}.`,
    fields: { socket: socketPath, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
