// Making and checking SAS tokens: the cryptography over protocol/iothub/sas.ts.
//
// A token passes when it can be read, is not expired, names the identity (or the module's device) at one of our
// host names, and its signature is that of one of the keys. No allowance for clock differences, as at the hub.
// Signatures are compared in constant time, against every key, so that time tells nothing about which one failed.

import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Identity } from '../model/address.ts';
import { formatSas, parseSas, sasCovers, sasStringToSign } from '../protocol/iothub/sas.ts';

export interface TokenRequest {
  readonly key: Buffer;
  /** Written form, as by sasResource(). */
  readonly resource: string;
  readonly expirySeconds: number;
}

export interface TokenCheck {
  readonly keys: readonly Buffer[];
  readonly hostnames: readonly string[];
  readonly identity: Identity;
  readonly nowMs: number;
}

export type TokenVerdict =
  | { readonly ok: true; readonly expiresAtMs: number }
  | { readonly ok: false; readonly detail: string };

const msPerSecond = 1000;

/** `SharedAccessSignature sr=…&sig=…&se=…` */
export function signToken({ key, resource, expirySeconds }: TokenRequest): string {
  return formatSas({
    resource,
    expirySeconds,
    signature: hmac(key, resource, expirySeconds).toString('base64'),
  });
}

export function verifyToken(text: string, { keys, hostnames, identity, nowMs }: TokenCheck): TokenVerdict {
  const token = parseSas(text);
  if (!token.ok) return { ok: false, detail: `the token ${token.reason}` };
  const expiresAtMs = token.expirySeconds * msPerSecond;
  if (expiresAtMs <= nowMs) {
    const ageSeconds = Math.round((nowMs - expiresAtMs) / msPerSecond);
    return { ok: false, detail: `the token expired ${ageSeconds} s ago (check the clocks of both sides)` };
  }
  if (!sasCovers(token.resource, { hostnames, identity })) {
    return { ok: false, detail: `the token is for '${token.resource}'` };
  }
  const signature = Buffer.from(token.signature, 'base64');
  let matches = false;
  for (const key of keys) {
    const expected = hmac(key, token.resource, token.expirySeconds);
    if (signature.length === expected.length && timingSafeEqual(signature, expected)) matches = true;
  }
  return matches ? { ok: true, expiresAtMs } : { ok: false, detail: 'the signature is of another key' };
}

function hmac(key: Buffer, resource: string, expirySeconds: number): Buffer {
  return createHmac('sha256', key).update(sasStringToSign(resource, expirySeconds)).digest();
}
