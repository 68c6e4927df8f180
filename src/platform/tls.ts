// TLS for net.ts: contexts made of PEM text, kept apart because loading TLS costs a process two megabytes.
//
// A server may ask its clients for a certificate. `request` takes who has none or one that nobody vouches for, and
// tells what is known of it (PeerCertificate): access rules decide. `require` ends the handshake of everybody else.
// Sessions are resumed by tickets, Node's default, so that a client that comes back spares both sides a handshake;
// the ticket carries the client's certificate and how it was judged.

import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import type { PeerCertificate, TlsContext } from './net.ts';
import { type TlsHandle, tlsWrapping } from './transport/tls-handle.ts';

export interface TlsMaterial {
  readonly certificatePem?: string;
  readonly privateKeyPem?: string;
  /** Trust anchors, also for client certificates. Absent: the system's roots, or with a certificate of its own only that one. */
  readonly authoritiesPem?: string;
  /** Server only; `none` when absent. */
  readonly clientCertificates?: 'none' | 'request' | 'require';
}

/** RFC 7301 names that a client may offer; `http/1.1` comes from browsers that open a WebSocket. */
const applicationProtocols = ['mqtt', 'http/1.1'];
/** A server that asks for certificates has to name its sessions, or none is resumed. */
const sessionIdContext = 'weir';
/** From a client's certificate to its root: longer chains do not exist. */
const chainCertificatesMax = 10;

/** Node's handle of a TLS stream; `verifyError` tells how the peer's chain was judged. */
type VerifyingHandle = Partial<Pick<TlsHandle, 'verifyError' | 'getPeerCertificate'>>;

export function tlsContext(material: TlsMaterial): TlsContext {
  const { certificatePem, privateKeyPem, clientCertificates = 'none' } = material;
  // A context without any would take all of Node's roots, a megabyte of memory that a server never looks at.
  const authoritiesPem = material.authoritiesPem ?? certificatePem;
  const secureContext = createSecureContext({
    minVersion: 'TLSv1.2',
    sessionIdContext,
    ...(certificatePem === undefined ? {} : { cert: certificatePem }),
    ...(privateKeyPem === undefined ? {} : { key: privateKeyPem }),
    ...(authoritiesPem === undefined ? {} : { ca: authoritiesPem }),
  });
  const requestCert = clientCertificates !== 'none';
  const requires = clientCertificates === 'require';
  const options = {
    isServer: true,
    secureContext,
    requestCert,
    rejectUnauthorized: requires,
    ALPNProtocols: applicationProtocols,
  };
  const wrap = tlsWrapping(secureContext);
  const offered = wireForm(applicationProtocols);
  return {
    accept(socket: Socket) {
      const secure = new TLSSocket(socket, options);
      // Without a tls.Server nobody else looks: OpenSSL only judges.
      if (requires)
        secure.prependOnceListener('secure', () => {
          if (problemOf(handleOf(secure)) !== undefined) secure.destroy();
        });
      return secure;
    },
    connect: ({ host, port, serverName }) => connect({ host, port, servername: serverName, secureContext }),
    certificateOf: (socket) =>
      requestCert ? peerCertificate(socket.getPeerX509Certificate(), handleOf(socket)) : undefined,
    ...(wrap === undefined
      ? {}
      : {
          acceptHandle(stream) {
            const handle = wrap(stream);
            if (requestCert) handle.setVerifyMode(true, requires);
            handle.setALPNProtocols(offered);
            return handle;
          },
          // OpenSSL lets in whomever it could not vouch for.
          admits: (handle) => !requires || problemOf(handle) === undefined,
          certificateOfHandle: (handle) => (requestCert ? peerCertificate(shownTo(handle), handle) : undefined),
        }),
  };
}

/** RFC 7301 §3.1: each name behind its length. */
function wireForm(protocols: readonly string[]): Buffer {
  return Buffer.concat(protocols.flatMap((name) => [Buffer.of(name.length), Buffer.from(name, 'latin1')]));
}

function shownTo(handle: TlsHandle): X509Certificate | undefined {
  const der = handle.getPeerCertificate()?.raw;
  return der === undefined ? undefined : new X509Certificate(der);
}

function peerCertificate(
  certificate: X509Certificate | undefined,
  handle: VerifyingHandle | null,
): PeerCertificate | undefined {
  if (certificate === undefined) return undefined;
  const problem = problemOf(handle);
  return {
    commonName: commonNameOf(certificate.subject),
    fingerprint: plainHex(certificate.fingerprint256),
    thumbprint: plainHex(certificate.fingerprint),
    authorised: problem === undefined,
    rootFingerprint: problem === undefined ? rootOf(handle) : undefined,
    problem,
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
  };
}

/** Of a verified chain. */
function rootOf(handle: VerifyingHandle | null): string | undefined {
  let shown = handle?.getPeerCertificate?.(true);
  for (let depth = 0; depth < chainCertificatesMax; depth++) {
    const issuer = shown?.issuerCertificate;
    if (shown?.raw === undefined || issuer === undefined) return undefined;
    if (issuer === shown || issuer.raw?.equals(shown.raw) === true) return certificateFingerprint(shown.raw);
    shown = issuer;
  }
  return undefined;
}

/** SHA-256 of a certificate's DER form, 64 lower-case hexadecimal digits. */
function certificateFingerprint(der: Uint8Array): string {
  return plainHex(new X509Certificate(der).fingerprint256);
}

/** The fingerprints of all certificates in a PEM text. Throws when one is none. */
export function pemFingerprints(pem: string): ReadonlySet<string> {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return new Set(blocks.map((block) => plainHex(new X509Certificate(block).fingerprint256)));
}

/** OpenSSL's verdict; `UNVERIFIED` where Node would not tell it: nobody is authorised by accident. */
function problemOf(handle: VerifyingHandle | null): string | undefined {
  if (typeof handle?.verifyError !== 'function') return 'UNVERIFIED';
  const error = handle.verifyError();
  if (error === null || error === undefined) return undefined;
  return error.code ?? error.message;
}

/** The subject has one line for each name: `CN=plc-1`, with `\` before what would be special. */
function commonNameOf(subject: string): string {
  const found = subject.split('\n').find((line) => line.startsWith('CN='));
  return (found?.slice('CN='.length) ?? '').replace(/\\(.)/g, '$1');
}

function handleOf(socket: TLSSocket): VerifyingHandle | null {
  return (socket as unknown as { readonly _handle: VerifyingHandle | null })._handle;
}

function plainHex(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}
