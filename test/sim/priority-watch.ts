// Whether the drain keeps the order of its lanes: strict priority, and its bound for those who would starve.
//
// Looks at what is handed to one endpoint, lane by lane, against what the store has said to be there. It judges only
// where the answer is plain: no failure yet in this life, no rate for a backlog, messages that neither expire nor
// are dropped for want of room.

import { drainStarvationBatches, drainStarvationMsMax } from '../../src/limits.ts';
import { type Lane, laneKey } from '../../src/model/lane.ts';
import type { Endpoint, StoredMessage } from '../../src/router/ports.ts';
import type { Ledger } from './ledger.ts';
import type { SimTime } from './time.ts';

interface Seen {
  readonly lane: Lane;
  waiting: number;
  sinceMs: number;
  passedBy: number;
  /** Batches of others since it was starved. */
  overdue: number;
}

export class PriorityWatch {
  readonly #lanes = new Map<string, Seen>();
  readonly #byStream = new Map<string, string>();
  readonly #time: SimTime;
  readonly #ledger: Ledger;
  #judges: boolean;
  judged = 0;

  constructor(ports: { readonly time: SimTime; readonly ledger: Ledger }, judges: boolean) {
    this.#time = ports.time;
    this.#ledger = ports.ledger;
    this.#judges = judges;
  }

  /** So many were there when the life began. */
  found(lane: Lane, messages: number): void {
    if (messages > 0) this.#seen(lane).waiting += messages;
  }

  stored(lane: Lane): void {
    const seen = this.#seen(lane);
    if (seen.waiting++ === 0) this.#waitsFromNow(seen);
  }

  read(lane: Lane, messages: readonly StoredMessage[]): void {
    for (const { hop } of messages) this.#byStream.set(hop.stream, laneKey(lane));
  }

  endpoint(endpoint: Endpoint): Endpoint {
    const watch = this;
    return {
      window: endpoint.window,
      get isReady() {
        return endpoint.isReady;
      },
      ready: (signal) => endpoint.ready(signal),
      async send(batch) {
        try {
          watch.#handedOver(batch);
          const accepted = await endpoint.send(batch);
          if (accepted < batch.length) watch.#judges = false;
          return accepted;
        } catch (error) {
          watch.#judges = false;
          throw error;
        }
      },
    };
  }

  #handedOver(batch: readonly StoredMessage[]): void {
    const key = this.#byStream.get(batch[0]?.hop.stream ?? '');
    const going = key === undefined ? undefined : this.#lanes.get(key);
    if (!this.#judges || going === undefined) return;
    this.judged++;
    const wasStarved = this.#isStarved(going);
    for (const other of this.#lanes.values()) {
      if (other === going || other.waiting <= 0) continue;
      if (rank(other.lane) < rank(going.lane) && !wasStarved)
        this.#ledger.violated(`${laneKey(going.lane)} goes before ${laneKey(other.lane)}, where ${other.waiting} wait`);
      if (this.#isStarved(other)) other.overdue++;
      if (other.overdue > this.#lanes.size)
        this.#ledger.violated(`${laneKey(other.lane)} starves: ${other.overdue} batches went when it was its turn`);
      other.passedBy++;
    }
    going.waiting -= batch.length;
    this.#waitsFromNow(going);
  }

  #isStarved({ sinceMs, passedBy }: Seen): boolean {
    return passedBy >= drainStarvationBatches && this.#time.nowMs - sinceMs >= drainStarvationMsMax;
  }

  #waitsFromNow(seen: Seen): void {
    seen.sinceMs = this.#time.nowMs;
    seen.passedBy = 0;
    seen.overdue = 0;
  }

  #seen(lane: Lane): Seen {
    const key = laneKey(lane);
    let seen = this.#lanes.get(key);
    if (seen === undefined) {
      seen = { lane, waiting: 0, sinceMs: this.#time.nowMs, passedBy: 0, overdue: 0 };
      this.#lanes.set(key, seen);
    }
    return seen;
  }
}

function rank({ priority, live }: Lane): number {
  return priority * 2 + (live ? 0 : 1);
}
