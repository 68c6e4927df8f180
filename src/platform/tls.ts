// TLS for net.ts: contexts made of PEM text, kept apart because loading TLS costs a process two megabytes.

import type { Socket } from 'node:net';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import type { TlsContext } from './net.ts';

export interface TlsMaterial {
  readonly certificatePem?: string;
  readonly privateKeyPem?: string;
  /** Trust anchors. Absent: the system's roots, or with a certificate of its own only that one. */
  readonly authoritiesPem?: string;
}

export function tlsContext(material: TlsMaterial): TlsContext {
  const { certificatePem, privateKeyPem } = material;
  // A context without any would take all of Node's roots, a megabyte of memory that a server never looks at.
  const authoritiesPem = material.authoritiesPem ?? certificatePem;
  const secureContext = createSecureContext({
    minVersion: 'TLSv1.2',
    ...(certificatePem === undefined ? {} : { cert: certificatePem }),
    ...(privateKeyPem === undefined ? {} : { key: privateKeyPem }),
    ...(authoritiesPem === undefined ? {} : { ca: authoritiesPem }),
  });
  return {
    accept: (socket: Socket) => new TLSSocket(socket, { isServer: true, secureContext }),
    connect: ({ host, port, serverName }) => connect({ host, port, servername: serverName, secureContext }),
  };
}
