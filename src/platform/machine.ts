// Questions about the machine and its network that only a diagnosis asks. Nothing here changes anything, except
// that canListen() takes a port for a moment.
//
// Every network question has a time limit of its own, because the answer "nobody answers" is what is asked for.

import { lookup } from 'node:dns/promises';
import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { connect, createServer, isIP } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';

export interface SpaceFacts {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeInodes: number;
  /** 0 when the file system has no fixed number (btrfs). */
  readonly totalInodes: number;
}

export interface TlsFacts {
  /** The chain leads to a trust anchor and the name is right. */
  readonly isTrusted: boolean;
  /** Why it is not trusted, OpenSSL's or Node's code: `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_CERT_ALTNAME_INVALID`. */
  readonly distrust: string | undefined;
  readonly subject: string;
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly protocol: string;
}

export interface TlsQuestion {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Trust anchors; absent means the system's. */
  readonly authoritiesPem?: string | undefined;
}

export interface Machine {
  /** Addresses of a name. Rejects PLATFORM_UNREACHABLE. */
  resolve(hostname: string): Promise<readonly string[]>;
  /** Resolves when somebody accepts. Rejects PLATFORM_UNREACHABLE. */
  reachTcp(question: { readonly host: string; readonly port: number; readonly timeoutMs: number }): Promise<void>;
  /** A handshake that ends at once. Rejects PLATFORM_UNREACHABLE when there was none. */
  inspectTls(question: TlsQuestion): Promise<TlsFacts>;
  /** The reason why nobody can listen there now; undefined when one can. */
  listenObstacle(address: { readonly host: string; readonly port: number }): Promise<string | undefined>;
  space(path: string): Promise<SpaceFacts>;
  /** May this process do that to this file? */
  mayAccess(path: string, kind: 'read' | 'write' | 'read-write'): Promise<boolean>;
  readonly uid: number;
  readonly architecture: string;
}

const accessModes = {
  read: constants.R_OK,
  write: constants.W_OK,
  'read-write': constants.R_OK | constants.W_OK,
} as const;

export function systemMachine(): Machine {
  return {
    uid: process.getuid?.() ?? 0,
    architecture: process.arch,
    async resolve(hostname) {
      try {
        return (await lookup(hostname, { all: true })).map(({ address }) => address);
      } catch (cause) {
        throw unreachable(hostname, cause);
      }
    },
    reachTcp,
    inspectTls,
    listenObstacle: ({ host, port }) =>
      new Promise((resolve) => {
        const server = createServer();
        server.once('error', (error) => resolve(errorMessage(error)));
        server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
      }),
    async space(path) {
      const found = await statfs(path);
      return {
        freeBytes: found.bavail * found.bsize,
        totalBytes: found.blocks * found.bsize,
        freeInodes: found.ffree,
        totalInodes: found.files,
      };
    },
    async mayAccess(path, kind) {
      try {
        await access(path, accessModes[kind]);
        return true;
      } catch {
        return false;
      }
    },
  };
}

function reachTcp({
  host,
  port,
  timeoutMs,
}: {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const end = (failure?: unknown): void => {
      socket.destroy();
      if (failure === undefined) resolve();
      else reject(unreachable(`${host}:${port}`, failure));
    };
    socket.setTimeout(timeoutMs, () => end(timedOut(timeoutMs)));
    socket.once('connect', () => end());
    socket.once('error', end);
  });
}

function inspectTls({ host, port, timeoutMs, authoritiesPem }: TlsQuestion): Promise<TlsFacts> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host,
      port,
      // An untrusted certificate is an answer here, not a failure. Nothing is sent over this connection.
      rejectUnauthorized: false,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(authoritiesPem === undefined ? {} : { ca: authoritiesPem }),
    });
    const fail = (failure: unknown): void => {
      socket.destroy();
      reject(unreachable(`${host}:${port}`, failure));
    };
    socket.setTimeout(timeoutMs, () => fail(timedOut(timeoutMs)));
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const facts = tlsFacts(socket);
      socket.destroy();
      resolve(facts);
    });
  });
}

function tlsFacts(socket: TLSSocket): TlsFacts {
  const certificate = socket.getPeerCertificate();
  // Node's types say Error; at run time it is the code's text for chain errors and an Error for a wrong name.
  const distrust: unknown = socket.authorizationError;
  return {
    isTrusted: socket.authorized,
    distrust: socket.authorized ? undefined : typeof distrust === 'string' ? distrust : errorCode(distrust),
    subject: commonName(certificate.subject),
    issuer: commonName(certificate.issuer),
    notBeforeMs: Date.parse(certificate.valid_from),
    notAfterMs: Date.parse(certificate.valid_to),
    protocol: socket.getProtocol() ?? '',
  };
}

function commonName(name: PeerCertificate['subject'] | undefined): string {
  // A name may carry a part several times; some releases' types say so, some do not.
  const part: string | readonly string[] | undefined = name?.CN ?? name?.O;
  return String(part ?? '');
}

function timedOut(timeoutMs: number): WeirError {
  return new WeirError({ code: 'ETIMEDOUT', message: `no answer within ${timeoutMs} ms` });
}

function unreachable(what: string, cause: unknown): WeirError {
  return new WeirError({
    code: 'PLATFORM_UNREACHABLE',
    message: `${what} cannot be reached: ${errorMessage(cause)}.`,
    fields: { errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
