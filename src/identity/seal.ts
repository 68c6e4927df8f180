// Sealing with a device's key what travels by hand between the device and its hub, which know the key and nobody else
// does, and what the device keeps for itself (`purpose` scope).
//
//   key and nonce  = HKDF-SHA256(device key, salt, "weir {purpose} 1: seal", 44 bytes): 32 for AES-256-GCM, 12 of nonce
//   proof          = HKDF-SHA256(device key, salt, "weir queue file 1: proof", 16 bytes)
//   receipt's key  = HKDF-SHA256(device key, salt, "weir queue receipt 1: sign", 32 bytes), for HMAC-SHA256
//
// The salt is 32 random bytes of each file's own, so no key meets a nonce twice. What is sealed: the body, by
// encryption; `associated` (the header), by the tag of 16 bytes that stands behind the ciphertext. The proof tells
// whether a key is the right one without touching the body, and says nothing about it. The last word of each info
// string keeps the uses apart; its number is the format's version.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

export interface Sealing {
  readonly salt: Uint8Array;
  readonly associated: Uint8Array;
  /** `queue file` when absent. */
  readonly purpose?: SealPurpose;
}

export type SealPurpose = 'queue file' | 'scope';

const cipher = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const proofBytes = 16;

/** What seal() adds to the length. */
export const sealTagBytes = 16;

export function sealProof(key: Buffer, salt: Uint8Array): Buffer {
  return derive(key, salt, { info: 'weir queue file 1: proof', bytes: proofBytes });
}

export function seal(key: Buffer, plain: Uint8Array, { salt, associated, purpose }: Sealing): Buffer {
  const { secret, nonce } = sealingKey(key, salt, purpose);
  const encrypting = createCipheriv(cipher, secret, nonce).setAAD(associated);
  return Buffer.concat([encrypting.update(plain), encrypting.final(), encrypting.getAuthTag()]);
}

/** Undefined when the key is another one, or anything was changed. */
export function unseal(key: Buffer, sealed: Uint8Array, { salt, associated, purpose }: Sealing): Buffer | undefined {
  if (sealed.length < sealTagBytes) return undefined;
  const end = sealed.length - sealTagBytes;
  const { secret, nonce } = sealingKey(key, salt, purpose);
  const decrypting = createDecipheriv(cipher, secret, nonce, { authTagLength: sealTagBytes });
  decrypting.setAAD(associated).setAuthTag(sealed.subarray(end));
  const plain = decrypting.update(sealed.subarray(0, end));
  try {
    return Buffer.concat([plain, decrypting.final()]);
  } catch {
    return undefined;
  }
}

export function signReceipt(key: Buffer, salt: Uint8Array, text: string): Buffer {
  const secret = derive(key, salt, { info: 'weir queue receipt 1: sign', bytes: keyBytes });
  return createHmac('sha256', secret).update(text).digest();
}

export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function sealingKey(
  key: Buffer,
  salt: Uint8Array,
  purpose: SealPurpose = 'queue file',
): { readonly secret: Buffer; readonly nonce: Buffer } {
  const derived = derive(key, salt, { info: `weir ${purpose} 1: seal`, bytes: keyBytes + nonceBytes });
  return { secret: derived.subarray(0, keyBytes), nonce: derived.subarray(keyBytes) };
}

function derive(
  key: Buffer,
  salt: Uint8Array,
  { info, bytes }: { readonly info: string; readonly bytes: number },
): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, bytes));
}
