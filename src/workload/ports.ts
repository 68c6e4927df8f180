// What the sockets of modules need from outside: keys that sign and an authority that issues, which identity/ has; and
// for management, which modules there are, what they logged, and what machine this is.

import type { JsonObject } from '../model/json.ts';
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

/** `sure` false: the machine does not tell who it is, and the place of the socket decides. */
export type PeerVerdict = { readonly ok: true; readonly sure: boolean } | { readonly ok: false; readonly who: string };

/** Whether the process at the other end of a socket is who may use it. Never rejects. */
export type PeerCheck = (peer: PeerCredentials) => Promise<PeerVerdict>;

export interface ManagedModule {
  readonly name: string;
  /** A part of weir under its name at Azure. */
  readonly isSystem?: boolean | undefined;
  readonly type: 'docker' | 'process';
  /** As deployed, without credentials. */
  readonly settings: JsonObject;
  readonly runtimeStatus: string;
  readonly description: string;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  readonly exitCode: number;
}

export interface ManagedIdentity {
  readonly moduleId: string;
  readonly generationId: string;
}

export interface ManagedLog {
  readonly name: string;
  readonly tail?: number | undefined;
  readonly sinceMs?: number | undefined;
  readonly follow?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** The machine and the runtime on it; times in milliseconds, sizes in bytes. */
export interface MachineReport {
  readonly architecture: string;
  readonly version: string;
  readonly kernelVersion: string;
  readonly operatingSystem: string;
  readonly cpus: number;
  readonly totalMemoryBytes: number;
  readonly usedMemoryBytes: number;
  /** Percent of all processors since the runtime started. */
  readonly usedCpuPercent: number;
  readonly hostUptimeMs: number;
  readonly processUptimeMs: number;
  readonly provisioningType: string;
  readonly disks: readonly {
    readonly name: string;
    readonly availableBytes: number;
    readonly totalBytes: number;
    readonly fileSystem: string;
  }[];
}

/** What management tells of this gateway, and may do to it. */
export interface ManagedGateway {
  modules(): readonly ManagedModule[];
  identities(): readonly ManagedIdentity[];
  /** Pieces of whole lines as the shim wrote them: `2026-11-21T09:12:44.123Z O text`. Rejects when there is no such log. */
  log(request: ManagedLog): AsyncIterable<string>;
  /** Ends the module, when it runs, and starts it at once. */
  restart(name: string): Promise<void>;
  machine(): Promise<MachineReport>;
  /** Wall time of this machine, by which logs are stamped. */
  nowMs(): number;
}
