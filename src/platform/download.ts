// One request for a file from https:// or file://, and its answer as a stream: a step of a download, not the download.
//
// Owns the wire: TLS with the authorities it is given, one connection a request, headers in and out. Knows nothing of
// redirects, tries, sizes and digests; who downloads decides by status and headers (artifacts/). A file answers with
// the statuses of HTTP, so that both are one story: 200, 206 from an offset on, 403, 404, 416.

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';

export interface DownloadRequest {
  readonly url: URL;
  /** First byte wanted; 0 asks for the whole. */
  readonly offset: number;
  /** RFC 9110 §13.1.5: an entity tag; the rest comes only while the file still has it, else the whole. */
  readonly ifRange?: string | undefined;
  readonly signal: AbortSignal;
}

export interface DownloadAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  /** Ends it unread. */
  discard(): void;
}

export interface Downloads {
  /** Rejects with PLATFORM_DOWNLOAD_FAILED when nobody answers. The body fails with the connection's error. */
  open(request: DownloadRequest): Promise<DownloadAnswer>;
}

export interface DownloadOptions {
  /** Certificates of the authorities that may vouch for a server, PEM, asked before each request. */
  readonly authorities: () => Promise<readonly string[]>;
  readonly userAgent: string;
}

const statusOk = 200;
const statusPartial = 206;
const statusForbidden = 403;
const statusMissing = 404;
const statusRangeBad = 416;

export function systemDownloads(options: DownloadOptions): Downloads {
  return {
    open: (request) => (request.url.protocol === 'file:' ? openFile(request) : openHttps(request, options)),
  };
}

async function openHttps(
  { url, offset, ifRange, signal }: DownloadRequest,
  { authorities, userAgent }: DownloadOptions,
): Promise<DownloadAnswer> {
  const ca = await authorities();
  // TLS costs megabytes, and most gateways fetch nothing most of the time.
  const { request } = await import('node:https');
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        agent: false,
        ca: [...ca],
        signal,
        headers: {
          'user-agent': userAgent,
          accept: '*/*',
          // The digest is that of the file, not of what a server makes of it.
          'accept-encoding': 'identity',
          ...(offset === 0 ? {} : { range: `bytes=${offset}-` }),
          ...(offset === 0 || ifRange === undefined ? {} : { 'if-range': ifRange }),
        },
      },
      (incoming) => resolve(answerOf(incoming)),
    );
    outgoing.on('error', (cause) => reject(failure(url, cause)));
    outgoing.end();
  });
}

function answerOf(incoming: IncomingMessage): DownloadAnswer {
  // A body that nobody reads any more may still fail.
  incoming.on('error', () => undefined);
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers as Readonly<Record<string, string | undefined>>,
    body: incoming as AsyncIterable<Buffer>,
    discard: () => void incoming.destroy(),
  };
}

function failure(url: URL, cause: unknown): WeirError {
  return new WeirError({
    code: 'PLATFORM_DOWNLOAD_FAILED',
    message: `${url.host}: ${errorMessage(cause)}`,
    fields: { host: url.host, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}

async function openFile({ url, offset }: DownloadRequest): Promise<DownloadAnswer> {
  let file: FileHandle;
  try {
    const { O_RDONLY, O_NONBLOCK } = constants;
    // A pipe without a writer would be waited for.
    file = await open(fileURLToPath(url), O_RDONLY | O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return refusal(statusMissing);
    if (code === 'EACCES' || code === 'EPERM' || code === 'ELOOP') return refusal(statusForbidden);
    throw failure(url, error);
  }
  const facts = await file.stat();
  if (facts.isFile() && offset < Math.max(1, facts.size)) return fileAnswer(file, facts, offset);
  await file.close();
  return refusal(facts.isFile() ? statusRangeBad : statusForbidden);
}

function fileAnswer(file: FileHandle, facts: Stats, offset: number): DownloadAnswer {
  const stream = file.createReadStream({ start: offset });
  stream.on('error', () => undefined);
  return {
    status: offset === 0 ? statusOk : statusPartial,
    headers: {
      'content-length': String(facts.size - offset),
      ...(offset === 0 ? {} : { 'content-range': `bytes ${offset}-${facts.size - 1}/${facts.size}` }),
    },
    body: stream as AsyncIterable<Buffer>,
    discard: () => void stream.destroy(),
  };
}

function refusal(status: number): DownloadAnswer {
  return { status, headers: {}, body: nothing(), discard: () => undefined };
}

async function* nothing(): AsyncGenerator<Buffer> {}

const authorityFiles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

/** Who vouches for servers of files: the machine's authorities, and those of the trust bundle. PEM texts. */
export async function trustedAuthorities(trustPem: string | undefined): Promise<readonly string[]> {
  return [...(await systemAuthorities()), ...(trustPem === undefined ? [] : [trustPem])];
}

/**
 * Who vouches for servers on this machine: the file that SSL_CERT_FILE names, as OpenSSL has it, else the system's,
 * else the list inside Node, which is as old as this executable. PEM texts.
 */
export async function systemAuthorities(): Promise<readonly string[]> {
  const named = process.env['SSL_CERT_FILE'];
  for (const path of named === undefined || named === '' ? authorityFiles : [named]) {
    const pem = await readFile(path, 'utf8').catch(() => undefined);
    if (pem?.includes('-----BEGIN CERTIFICATE-----') === true) return [pem];
  }
  return (await import('node:tls')).rootCertificates;
}
