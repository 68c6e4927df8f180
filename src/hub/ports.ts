// What the hub needs from outside, in its own words. cloud.ts plugs in identity/, the broker and the database.
//
// Admission has the broker's shape, TokenVerifier that of identity/sas-token; both are met structurally.

import type { Identity } from '../model/address.ts';
import type { JsonObject, JsonValue } from '../model/json.ts';
import type { Message } from '../model/message.ts';
import type { ShownCertificate } from '../protocol/iothub/client-certificate.ts';

export type TokenVerdict =
  | { readonly ok: true; readonly expiresAtMs: number }
  | { readonly ok: false; readonly detail: string };

/** Checks a SAS token against keys, host names and the identity that presents it; constant time in the keys. */
export type TokenVerifier = (
  token: string,
  claim: {
    readonly keys: readonly Buffer[];
    readonly hostnames: readonly string[];
    readonly identity: Identity;
    readonly nowMs: number;
  },
) => TokenVerdict;

/** What the authenticator is told about a CONNECT. */
export interface ConnectClaim {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** What the client showed in its TLS handshake. */
  readonly certificate?: ShownCertificate | undefined;
}

export type HubAdmission =
  | {
      readonly admitted: true;
      readonly principal: { readonly name: string; readonly identity: Identity };
      readonly expiresAtMs: number | undefined;
    }
  | {
      readonly admitted: false;
      readonly reason: 'identifier-rejected' | 'unavailable' | 'bad-credentials' | 'not-authorized';
      readonly detail: string;
    };

/** Who is connected right now; the broker knows. */
export interface Presence {
  isConnected(identity: Identity): boolean;
}

/** The way to the devices, directly or through their gateways; the front of the device protocol is it. */
export interface Post {
  /** Somebody takes messages for the device. */
  isListening(device: Identity): boolean;
  /**
   * Resolves when the device acknowledged. Rejects with code IOTHUB_NOT_LISTENING or IOTHUB_BUSY when it never saw
   * the message, with another one when it may have.
   */
  deliver(device: Identity, message: Pick<Message, 'system' | 'properties' | 'body'>): Promise<void>;
}

/** Direct methods; the same front. Rejects IOTHUB_…. */
export type MethodCaller = (
  callee: Identity,
  call: {
    readonly name: string;
    readonly payload: JsonValue;
    readonly timeoutMs: number;
    readonly connectTimeoutMs: number;
  },
) => Promise<{ readonly status: number; readonly payload: JsonValue }>;

/** A change of desired properties, to be told to the module or device it concerns. */
export interface DesiredChange {
  readonly identity: Identity;
  /** Merge patch from the old to the new properties; null deletes. */
  readonly patch: JsonObject;
  readonly version: number;
}

/** What the key of a device can do with the files that it sealed (identity/device-key.ts). */
export interface FileSeal {
  hasSealed(proof: Uint8Array, salt: Uint8Array): boolean;
  /** Undefined when anything was changed since it was sealed. */
  unseal(
    sealed: Uint8Array,
    sealing: { readonly salt: Uint8Array; readonly associated: Uint8Array },
  ): Buffer | undefined;
  signReceipt(text: string, salt: Uint8Array): Uint8Array;
}
