// Messages of the session store as views again. Sessions that got the same message share its bytes in the store;
// they share its view here, and so its memory.
//
// The store speaks of wall time, which survives a restart; from here on expiry is told by the monotonic clock.

import type { Buffer } from 'node:buffer';
import { wallSettleAloneMs } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import type { StoredMessage } from './ports.ts';

export class StoredViews {
  readonly #clock: Clock;
  readonly #byBytes = new Map<Buffer, PublishView>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of({ canonical, qos, retain, expiresAtMs }: StoredMessage): PublishView {
    const known = this.#byBytes.get(canonical);
    if (known !== undefined && known.qos >= qos) return known;
    const facts = { qos, retain, expiresAtMs: this.monotonicMs(expiresAtMs) };
    const view = PublishView.fromCanonical(canonical, facts);
    this.#byBytes.set(canonical, view);
    return view;
  }

  /** A wall time on the monotonic clock; 0 stays 0. What was over before the clock began is over at 1. */
  monotonicMs(wallMs: number): number {
    if (wallMs === 0) return 0;
    const leftMs = wallMs - this.#clock.wallMs();
    // Nothing is over by a clock that nobody vouches for; by tomorrow it is believed or found out.
    const heldMs = this.#clock.wallTrusted() ? leftMs : Math.max(leftMs, wallSettleAloneMs);
    return Math.max(1, this.#clock.monotonicMs() + heldMs);
  }
}
