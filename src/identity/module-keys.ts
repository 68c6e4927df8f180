// What a local module may have done with its key: sign, encrypt, decrypt. The workload socket asks.
//
// Signing is HMAC-SHA256 (a module signs its own SAS tokens with it). Encryption is AES-256-GCM with the
// caller's initialization vector:
//
//   ciphertext = version 01 (1 byte) · tag (16 bytes) · AES-256-GCM text
//
// Both keys are derived from the device key (device-key.ts), so they are the same after every restart.

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import type { DeviceKey } from './device-key.ts';
import { badCiphertextError } from './errors.ts';

const cipher = 'aes-256-gcm';
const ciphertextVersion = 1;
const tagBytes = 16;
const headerBytes = 1;

export class ModuleKeys {
  readonly #deviceKey: DeviceKey;

  constructor(deviceKey: DeviceKey) {
    this.#deviceKey = deviceKey;
  }

  /** Base64 of the HMAC-SHA256 of `data`. */
  sign(moduleId: string, generationId: string, data: Uint8Array): string {
    return createHmac('sha256', this.#deviceKey.moduleKey(moduleId, generationId)).update(data).digest('base64');
  }

  encrypt(
    moduleId: string,
    generationId: string,
    { plaintext, initializationVector }: { readonly plaintext: Uint8Array; readonly initializationVector: Uint8Array },
  ): Buffer {
    const key = this.#deviceKey.moduleKey(moduleId, generationId, 'encrypt');
    const encryption = createCipheriv(cipher, key, initializationVector, { authTagLength: tagBytes });
    const text = Buffer.concat([encryption.update(plaintext), encryption.final()]);
    return Buffer.concat([Buffer.from([ciphertextVersion]), encryption.getAuthTag(), text]);
  }

  /** Throws IDENTITY_CIPHERTEXT_INVALID. */
  decrypt(
    moduleId: string,
    generationId: string,
    {
      ciphertext,
      initializationVector,
    }: { readonly ciphertext: Uint8Array; readonly initializationVector: Uint8Array },
  ): Buffer {
    if (ciphertext.length < headerBytes + tagBytes || ciphertext[0] !== ciphertextVersion) throw badCiphertextError();
    const key = this.#deviceKey.moduleKey(moduleId, generationId, 'encrypt');
    const decryption = createDecipheriv(cipher, key, initializationVector, { authTagLength: tagBytes });
    decryption.setAuthTag(ciphertext.subarray(headerBytes, headerBytes + tagBytes));
    try {
      return Buffer.concat([decryption.update(ciphertext.subarray(headerBytes + tagBytes)), decryption.final()]);
    } catch {
      throw badCiphertextError();
    }
  }
}
