// Access to Node's internal TLS streams, and the check that they are as this program knows them.
//
// A TLSSocket and the net.Socket below it cost each connection 5 KB of JavaScript and every read and write a walk
// through four stream machines. TLSWrap, the native stream inside, does without them: it is a stream like that of
// TCP (handle-access.ts), to which the handshake's events are added. It is private to Node, and calling it with the
// wrong arguments ends the process. Therefore it is used only in the major versions it was tried in, and only when
// everything that tls-connection.ts touches is there; else TLSSocket is used. Known to fit: 20.11, 20.20, 24.21, 24.22.
//
// Loaded by tls.ts only: process.binding('tls_wrap') brings TLS with it.

import type { StreamHandle } from './handle-access.ts';

/** node/src/crypto/crypto_tls.cc: TLSWrap as JavaScript sees it, the server's side. */
export interface ShownCertificate {
  readonly raw?: Buffer;
  readonly issuerCertificate?: ShownCertificate;
}

export interface TlsHandle extends StreamHandle {
  /** Milliseconds of the loop's clock; again with each renegotiation, and with each key update of TLS 1.3. */
  onhandshakestart: (this: TlsHandle, nowMs: number) => void;
  onhandshakedone: (this: TlsHandle) => void;
  /** After the alert was sent. */
  onerror: (this: TlsHandle, error: Error & { readonly code?: string }) => void;
  setVerifyMode(requests: boolean, requires: boolean): void;
  setALPNProtocols(wireForm: Uint8Array): void;
  verifyError(): (Error & { readonly code?: string }) | null | undefined;
  /** `raw`: DER. Undefined or empty without one. Detailed, it has its issuers; a root is its own. */
  getPeerCertificate(detailed?: boolean): ShownCertificate | undefined;
  /** As if the stream below had given these bytes. */
  receive(bytes: Uint8Array): void;
  /** Frees OpenSSL's state; what is under way ends with ECANCELED. Only when the stream below is closed. */
  destroySSL(): void;
}

/** The native stream for the server's side of TLS over `stream`. */
export type TlsWrapping = (stream: StreamHandle) => TlsHandle;

interface TlsBinding {
  readonly wrap?: (stream: StreamHandle, context: object, isServer: boolean, hasActiveWrite: boolean) => TlsHandle;
  readonly TLSWrap?: { readonly prototype: object };
}

const majorsKnown = ['20', '24'];
const methods = [
  'setVerifyMode',
  'setALPNProtocols',
  'verifyError',
  'getPeerCertificate',
  'receive',
  'destroySSL',
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'shutdown',
];

/** `secureContext`: what node:tls makes. Undefined where Node's TLS streams are not as known. */
export function tlsWrapping(secureContext: object): TlsWrapping | undefined {
  try {
    if (!majorsKnown.some((major) => process.versions.node.startsWith(`${major}.`))) return undefined;
    const { binding } = process as unknown as { readonly binding?: (name: string) => unknown };
    const tls = binding?.('tls_wrap') as TlsBinding | undefined;
    const prototype = tls?.TLSWrap?.prototype;
    const wrap = tls?.wrap;
    const { context } = secureContext as { readonly context?: object };
    if (prototype === undefined || typeof wrap !== 'function' || typeof context !== 'object') return undefined;
    // None of them is a getter, which would want a living handle.
    const fits = methods.every((name) => typeof (prototype as Record<string, unknown>)[name] === 'function');
    return fits ? (stream) => wrap(stream, context, true, false) : undefined;
  } catch {
    return undefined;
  }
}
