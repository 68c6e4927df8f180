// What can go wrong in identity/: material that cannot be used. No message ever quotes a key.

import { WeirError, type WeirErrorDetail } from '../model/errors.ts';

const badRequest = 400;

export class IdentityError extends WeirError {}

export function badKeyError(what: string): IdentityError {
  return identityError({
    code: 'IDENTITY_KEY_INVALID',
    message: `${what} is not a base64 key of 16 bytes or more: copy the whole key again from the hub.`,
  });
}

export function badCertificateError(reason: string, cause?: unknown): IdentityError {
  return identityError({
    code: 'IDENTITY_CERTIFICATE_INVALID',
    message: `A certificate cannot be used: ${reason}.`,
    cause,
  });
}

export function badCiphertextError(): IdentityError {
  return identityError({
    code: 'IDENTITY_CIPHERTEXT_INVALID',
    message: 'The ciphertext was not made by this module with this initialization vector, or was changed since.',
    fields: { status: badRequest },
  });
}

export function badScopeError(reason: string): IdentityError {
  return identityError({
    code: 'IDENTITY_SCOPE_INVALID',
    message: `What the hub tells of the devices behind this gateway cannot be used: ${reason}.`,
    retryable: true,
  });
}

function identityError(detail: WeirErrorDetail): IdentityError {
  return new IdentityError(detail);
}
