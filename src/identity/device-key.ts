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

export type ModuleKeyPurpose = 'sign' | 'encrypt';

const keyBytesMin = 16;
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;

export class DeviceKey {
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

  /** The keys that may sign for a local module: its own, and the device's. For comparison inside identity/ only. */
  keysFor(moduleId: string, generationId: string): readonly Buffer[] {
    return [this.moduleKey(moduleId, generationId), this.#key];
  }
}
