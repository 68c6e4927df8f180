// Digests of texts: names for contents, not secrets.

import { createHash } from 'node:crypto';

const shortCharacters = 16;

/** The first 16 hexadecimal digits of the SHA-256 of `text`. */
export function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, shortCharacters);
}
