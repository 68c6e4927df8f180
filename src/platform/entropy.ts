// Randomness as a parameter: jitter, ids and secrets come from here, so a seed replays a whole run.

import { randomBytes, randomInt, randomUUID } from 'node:crypto';

export interface Entropy {
  /** `count` unpredictable bytes. */
  bytes(count: number): Uint8Array;
  /** A number in [0, 1). */
  fraction(): number;
  /** A random RFC 9562 version 4 UUID. */
  uuid(): string;
}

const fractionSteps = 2 ** 32;

export function systemEntropy(): Entropy {
  return {
    bytes: (count) => randomBytes(count),
    fraction: () => randomInt(fractionSteps) / fractionSteps,
    uuid: () => randomUUID(),
  };
}
