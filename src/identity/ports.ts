// What identity/ needs from outside, and the shapes it answers in, in its own words.
//
// ConnectClaim and ConnectVerdict fit the broker's authenticator port; CertificateTls is the platform's
// tlsContext. The composition roots plug them together.

import type { Identity } from '../model/address.ts';
import type { TlsContext } from '../platform/net.ts';
import type { TlsMaterial } from '../platform/tls.ts';
import type { ShownCertificate } from '../protocol/iothub/client-certificate.ts';

/** The modules that may connect on this device. */
export interface ModuleDirectory {
  /** Of the module's identity; undefined when there is no such module. */
  generationId(moduleId: string): string | undefined;
}

/** What a client says about itself when it connects. */
export interface ConnectClaim {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** What it showed in its TLS handshake. */
  readonly certificate?: ShownCertificate | undefined;
}

export type ConnectVerdict =
  | {
      readonly admitted: true;
      readonly principal: { readonly name: string; readonly identity: Identity };
      readonly expiresAtMs: number;
    }
  | {
      readonly admitted: false;
      readonly reason: 'bad-credentials' | 'not-authorized';
      readonly detail: string;
    };

/** The hub, as far as it tells this gateway of the devices behind it. */
export interface ScopeSource {
  readonly connected: boolean;
  /** One page as JSON text (hub/scope.ts); rejects when the hub is away. */
  scopePage(after: string | undefined): Promise<Buffer>;
}

/** Turns keys and certificates into something that can serve TLS and cannot be read. */
export type CertificateTls = (material: TlsMaterial) => TlsContext;
