// Password hashes as mosquitto_passwd writes them.
//
//   $7$iterations$salt$hash      PBKDF2 with HMAC-SHA-512; salt and hash in base64, the hash has 64 bytes
//   $6$salt$hash                 SHA-512 of password and salt, one round: read, never written
//   $argon2id$…                  mosquitto 2.1's newest; Node has Argon2 only from version 24: refused by name
//
// PBKDF2 runs on Node's thread pool, so that the event loop serves others meanwhile. Comparison takes the same time
// wherever the difference lies.

import { Buffer } from 'node:buffer';
import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { passwordIterationsMax } from '../limits.ts';

export interface PasswordHash {
  readonly kind: 'pbkdf2-sha512' | 'sha512';
  readonly iterations: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
  /** As it stands in the file: two equal texts are the same password. */
  readonly text: string;
}

export type HashReading =
  | { readonly ok: true; readonly hash: PasswordHash }
  | { readonly ok: false; readonly reason: string };

/** A hundred times mosquitto 2.0's 101: some 10 ms on a small computer, and a thousand guesses a second for a thief. */
export const passwordIterations = 10_000;
export const saltBytes = 16;

const hashBytes = 64;
const base64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Reads what stands behind `user:`. `reason` completes "the password of user x …". */
export function readPasswordHash(text: string): HashReading {
  const [before, kind, ...fields] = text.split('$');
  if (before !== '' || kind === undefined) return { ok: false, reason: 'is not hashed' };
  if (kind.startsWith('argon2'))
    return { ok: false, reason: `is hashed with ${kind}, which this version of weir cannot check` };
  if (kind !== '7' && kind !== '6') return { ok: false, reason: `has a hash of the unknown kind $${kind}$` };
  const iterations = kind === '7' ? Number(fields.shift()) : 1;
  const [salt, hash, ...rest] = fields;
  if (!Number.isInteger(iterations) || iterations < 1 || iterations > passwordIterationsMax)
    return { ok: false, reason: `has a hash whose number of iterations is not from 1 to ${passwordIterationsMax}` };
  if (salt === undefined || hash === undefined || rest.length > 0 || !base64.test(salt) || !base64.test(hash))
    return { ok: false, reason: 'has a hash that is cut or damaged' };
  const bytes = Buffer.from(hash, 'base64');
  if (bytes.length !== hashBytes) return { ok: false, reason: 'has a hash that is cut or damaged' };
  return {
    ok: true,
    hash: {
      kind: kind === '7' ? 'pbkdf2-sha512' : 'sha512',
      iterations,
      salt: Buffer.from(salt, 'base64'),
      hash: bytes,
      text,
    },
  };
}

/** Whether `password` is the one that was hashed. */
export async function passwordMatches(password: Uint8Array, expected: PasswordHash): Promise<boolean> {
  const { kind, salt, iterations, hash } = expected;
  const found =
    kind === 'sha512'
      ? createHash('sha512').update(password).update(salt).digest()
      : await derive(password, salt, iterations);
  return timingSafeEqual(found, hash);
}

/** The text for a password file: `$7$…`. */
export async function hashPassword(
  password: Uint8Array,
  { salt, iterations }: { readonly salt: Uint8Array; readonly iterations: number },
): Promise<string> {
  const hash = await derive(password, salt, iterations);
  return `$7$${iterations}$${Buffer.from(salt).toString('base64')}$${hash.toString('base64')}`;
}

function derive(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, hashBytes, 'sha512', (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
