// Losses made visible: every message that left undelivered is counted by queue and reason, and logged in sums
// by queue, priority and reason.
//
// The first loss of a kind is logged at once, further ones at most every logEveryMs with their total, because a
// full store drops with every commit and must not fill the log as well.

import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Drop, DropReason } from './thread-protocol.ts';

const logEveryMs = 60_000;

const explanation: Readonly<Record<DropReason, string>> = {
  quota: 'the store is full: oldest messages dropped',
  ttl_expiry: 'messages dropped: their time to live ran out',
  damaged: 'stored messages dropped: they do not fit their checksums',
};

interface Tally {
  loggedMs: number | undefined;
  unlogged: number;
}

export class DropLog {
  readonly #ports: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics };
  readonly #tallies = new Map<string, Tally>();

  constructor(ports: { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics }) {
    this.#ports = ports;
  }

  add(drops: readonly Drop[]): void {
    for (const {
      lane: { queue, priority },
      reason,
      messages,
    } of drops) {
      this.#ports.metrics.counter('store_messages_dropped_total', { queue, reason }).add(messages);
      const key = `${reason} ${priority} ${queue}`;
      const tally = this.#tallies.get(key) ?? { loggedMs: undefined, unlogged: 0 };
      this.#tallies.set(key, tally);
      tally.unlogged += messages;
      const nowMs = this.#ports.clock.monotonicMs();
      if (tally.loggedMs !== undefined && nowMs - tally.loggedMs < logEveryMs) continue;
      this.#ports.log.warn(explanation[reason], { event: reason, queue, priority, messages: tally.unlogged });
      tally.loggedMs = nowMs;
      tally.unlogged = 0;
    }
  }
}
