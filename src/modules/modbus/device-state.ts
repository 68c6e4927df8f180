// Whether a device answers, and when to ask again one that does not.
//
//            failed (fewer than `after` in a row)
//              ┌───┐
//   up ────────┴───┴──── failed, `after` in a row ──► down, probe in probeMs[0]
//    ▲                                                  │ probe failed: the pause doubles, up to probeMs[1]
//    └───────────────── any answer ─────────────────────┘
//
// An exception is an answer: the device is there. Pure: time is an argument.

import type { DownPolicy } from './settings.ts';

export type Change = 'went-down' | 'came-back' | 'none';

export class DeviceState {
  readonly #policy: DownPolicy;
  #failures = 0;
  #probePauseMs = 0;
  #probeAtMs = 0;

  constructor(policy: DownPolicy) {
    this.#policy = policy;
  }

  get isDown(): boolean {
    return this.#failures >= this.#policy.after;
  }

  /** When to ask again; only meaningful while down. */
  get probeAtMs(): number {
    return this.#probeAtMs;
  }

  answered(): Change {
    const wasDown = this.isDown;
    this.#failures = 0;
    return wasDown ? 'came-back' : 'none';
  }

  failed(nowMs: number): Change {
    const wasDown = this.isDown;
    this.#failures += 1;
    if (!this.isDown) return 'none';
    const [first, longest] = this.#policy.probeMs;
    this.#probePauseMs = wasDown ? Math.min(longest, this.#probePauseMs * 2) : first;
    this.#probeAtMs = nowMs + this.#probePauseMs;
    return wasDown ? 'none' : 'went-down';
  }
}
