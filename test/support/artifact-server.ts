// An HTTPS server of files for tests: whole, in ranges, broken off, hanging, or with an answer of the test's own.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface ServerPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A certificate of its own for localhost and 127.0.0.1, made in `directory`. */
export function selfSigned(directory: string): ServerPair {
  const options =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server-key.pem -out server.pem -days 2 ' +
    '-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1';
  execFileSync('openssl', options.split(' '), { cwd: directory, stdio: 'ignore' });
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  return { certificatePem: read('server.pem'), privateKeyPem: read('server-key.pem') };
}

export type Answering = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface ArtifactServer {
  /** `https://localhost:PORT/…` */
  url(path: string): string;
  /** Range headers of the requests so far, `-` for one without. */
  readonly ranges: string[];
  readonly requests: IncomingMessage[];
  answer(answering: Answering): void;
  close(): Promise<void>;
}

export async function artifactServer(pair: ServerPair, first: Answering): Promise<ArtifactServer> {
  let answering = first;
  const ranges: string[] = [];
  const requests: IncomingMessage[] = [];
  const server = createServer({ cert: pair.certificatePem, key: pair.privateKeyPem }, (request, response) => {
    requests.push(request);
    ranges.push(request.headers.range ?? '-');
    response.on('error', () => undefined);
    answering(request, response, requests.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: (path) => `https://localhost:${port}${path}`,
    ranges,
    requests,
    answer(next) {
      answering = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface ServedFile {
  readonly bytes: Buffer;
  readonly etag?: string;
  /** No ranges: always the whole. */
  readonly whole?: boolean;
  /** The connection breaks after so many bytes of each answer. */
  readonly breakAfter?: number;
}

/** As an ordinary web server answers (RFC 9110 §14). */
export function serveFile({ bytes, etag, whole = false, breakAfter }: ServedFile): Answering {
  return (request, response) => {
    const first = whole ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const stale = request.headers['if-range'] !== undefined && request.headers['if-range'] !== etag;
    const from = first === undefined || stale ? 0 : Number(first);
    const tag = etag === undefined ? {} : { etag };
    if (from >= bytes.length && from > 0) {
      response.writeHead(416, tag).end();
      return;
    }
    const part = bytes.subarray(from);
    const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(from === 0 ? 200 : 206, { 'content-length': part.length, ...tag, ...range });
    if (breakAfter === undefined) response.end(part);
    else response.write(part.subarray(0, breakAfter), () => setImmediate(() => response.destroy()));
  };
}
