// Patience with those who guess: each failed attempt of an address is answered later than the one before.
//
//   failures of the address   1      2      3     …
//   the answer waits          250ms  500ms  1s    … accessFailureDelayMsMax
//
// An address is forgiven accessFailureForgetMs after its last failure. At most accessRefusalsPendingMax answers of one
// address wait at a time; beyond it nothing is checked (`isBusy`), so that many connections at once gain nothing.
// Bounded by accessAddressesMax: the address that failed longest ago is forgotten first.

import {
  accessAddressesMax,
  accessFailureDelayMs,
  accessFailureDelayMsMax,
  accessFailureForgetMs,
  accessRefusalsPendingMax,
} from '../limits.ts';
import type { Clock } from '../platform/clock.ts';

interface Record {
  failures: number;
  pending: number;
  lastMs: number;
}

export class FailureDelay {
  readonly #clock: Clock;
  /** In the order of their last failure. */
  readonly #records = new Map<string, Record>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get addresses(): number {
    return this.#records.size;
  }

  isBusy(remote: string): boolean {
    return (this.#records.get(addressOf(remote))?.pending ?? 0) >= accessRefusalsPendingMax;
  }

  /** Counts a failure; resolves when the refusal may be told. */
  failed(remote: string): Promise<void> {
    const address = addressOf(remote);
    const nowMs = this.#clock.monotonicMs();
    const record = this.#remember(address, nowMs);
    record.failures++;
    record.pending++;
    record.lastMs = nowMs;
    const delayMs = Math.min(accessFailureDelayMs * 2 ** (record.failures - 1), accessFailureDelayMsMax);
    return new Promise((resolve) => {
      this.#clock.setTimer(
        delayMs,
        () => {
          record.pending--;
          resolve();
        },
        { background: true },
      );
    });
  }

  #remember(address: string, nowMs: number): Record {
    const known = this.#records.get(address);
    this.#records.delete(address);
    const isForgiven = known !== undefined && nowMs - known.lastMs >= accessFailureForgetMs;
    if (isForgiven) known.failures = 0;
    const record = known ?? { failures: 0, pending: 0, lastMs: nowMs };
    if (known === undefined && this.#records.size >= accessAddressesMax) {
      const [eldest] = this.#records.keys();
      if (eldest !== undefined) this.#records.delete(eldest);
    }
    this.#records.set(address, record);
    return record;
  }
}

/** `10.0.0.7:40312` is the address 10.0.0.7; a unix socket is one address. */
function addressOf(remote: string): string {
  return remote.startsWith('unix:') ? remote : remote.replace(/:\d+$/, '');
}
