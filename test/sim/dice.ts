// Everything drawn in a run comes from here, in one order: the same seed gives the same run.

import type { Entropy } from '../../src/platform/entropy.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

export class Dice {
  readonly entropy: Entropy;
  /** How often something was drawn. */
  draws = 0;

  constructor(seed: number) {
    const entropy = seededEntropy(Math.imul(seed, 0x9e3779b1) ^ seed);
    const counted = <T>(drawn: T): T => {
      this.draws++;
      return drawn;
    };
    this.entropy = {
      bytes: (count) => counted(entropy.bytes(count)),
      fraction: () => counted(entropy.fraction()),
      uuid: () => counted(entropy.uuid()),
    };
  }

  fraction(): number {
    return this.entropy.fraction();
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** 0 … limit - 1. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  /** Mostly small, at times as large as `max`. */
  skewed(max: number): number {
    return Math.floor(max * this.fraction() ** 3);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
