// The device's symmetric key: what proves to the hub who this gateway is.
//
// Owns the key; it leaves only as signatures and tokens. Every local module gets a key of its own derived from
// it, so that no module's key is stored anywhere, a module keeps its key over restarts, and a new generation of
// the same module (deleted and created again) has another one:
//
//   module key = HMAC-SHA256(device key, "weir module key" 00 moduleId 00 generationId 00 purpose)
//
// Ids hold no NUL, so no two inputs look alike. A derived key says nothing about the device key.

import { createHmac } from 'node:crypto';
import { badKeyError } from './errors.ts';
import { signToken } from './sas-token.ts';
import { type Sealing, sameSecret, seal, sealProof, sealTagBytes, signReceipt, unseal } from './seal.ts';

export type ModuleKeyPurpose = 'sign' | 'encrypt';

const keyBytesMin = 16;
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;

export class DeviceKey {
  /** What seal() adds to the length. */
  readonly sealTagBytes: number = sealTagBytes;
  readonly #key: Buffer;

  /** Throws IDENTITY_KEY_INVALID. */
  constructor(keyBase64: string) {
    const key = Buffer.from(keyBase64, 'base64');
    if (!base64Pattern.test(keyBase64) || key.length < keyBytesMin) throw badKeyError('The device key');
    this.#key = key;
  }

  /** HMAC-SHA256 of `data`, as base64. */
  sign(data: Uint8Array | string): string {
    return createHmac('sha256', this.#key).update(data).digest('base64');
  }

  /** A SAS token by the device key. `resource` in written form, as by sasResource(). */
  token(resource: string, expirySeconds: number): string {
    return signToken({ key: this.#key, resource, expirySeconds });
  }

  moduleKey(moduleId: string, generationId: string, purpose: ModuleKeyPurpose = 'sign'): Buffer {
    return createHmac('sha256', this.#key).update(`weir module key\0${moduleId}\0${generationId}\0${purpose}`).digest();
  }

  /** Tells, beside a sealed body, that it is this key's. 16 bytes. */
  sealProof(salt: Uint8Array): Buffer {
    return sealProof(this.#key, salt);
  }

  /** Encrypts `plain` and protects `associated`; `sealTagBytes` longer. `salt` must never have been used before. */
  seal(plain: Uint8Array, sealing: Sealing): Buffer {
    return seal(this.#key, plain, sealing);
  }

  /** True when the proof is this key's. */
  hasSealed(proof: Uint8Array, salt: Uint8Array): boolean {
    return sameSecret(proof, sealProof(this.#key, salt));
  }

  /** What was sealed with this key; undefined when anything was changed since. */
  unseal(sealed: Uint8Array, sealing: Sealing): Buffer | undefined {
    return unseal(this.#key, sealed, sealing);
  }

  /** The signature of a receipt for what was sealed. */
  signReceipt(text: string, salt: Uint8Array): Buffer {
    return signReceipt(this.#key, salt, text);
  }

  verifyReceipt(signature: Uint8Array, text: string, salt: Uint8Array): boolean {
    return sameSecret(signature, signReceipt(this.#key, salt, text));
  }

  /** The keys that may sign for a local module: its own, and the device's. For comparison inside identity/ only. */
  keysFor(moduleId: string, generationId: string): readonly Buffer[] {
    return [this.moduleKey(moduleId, generationId), this.#key];
  }
}
