// What the workload sockets need from outside: keys that sign, an authority that issues. identity/ has both.

import type { PeerCredentials } from '../platform/net.ts';

/** The modules' keys, which never come here. */
export interface WorkloadKeys {
  /** Base64 of the HMAC-SHA256 of `data` with the module's key. */
  sign(moduleId: string, generationId: string, data: Uint8Array): string;
  encrypt(
    moduleId: string,
    generationId: string,
    text: { readonly plaintext: Uint8Array; readonly initializationVector: Uint8Array },
  ): Uint8Array;
  /** Throws a WeirError with fields.status 400 when the text is not this module's. */
  decrypt(
    moduleId: string,
    generationId: string,
    text: { readonly ciphertext: Uint8Array; readonly initializationVector: Uint8Array },
  ): Uint8Array;
}

export interface IssuedCertificate {
  /** Chain, leaf first. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notAfterMs: number;
}

export interface WorkloadCertificates {
  /** PEM: every anchor a module is to trust. */
  trustBundle(): string;
  issueServer(request: { readonly commonName: string; readonly moduleId: string }): Promise<IssuedCertificate>;
  issueIdentity(request: { readonly moduleId: string; readonly uri: string }): Promise<IssuedCertificate>;
}

/** Whether the process at the other end of a module's socket is that module. Absent: the socket's place decides. */
export type PeerCheck = (moduleId: string, peer: PeerCredentials) => boolean;
