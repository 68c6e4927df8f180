// Whether a fresh message passes the backlog: for each priority of one queue, a small machine.
//
//           connected, backlog > liveFirstBacklogMessages, or live messages found at the start
//   joined ─────────────────────────────────────────────────────────────────────────────────────► split
//      ▲                                                                                            │
//      └─────────────────────────── backlog lane and live lane are both empty ──────────────────────┘
//
// joined  fresh messages go behind the others: one lane, one order.
// split   fresh messages go to the live lane while the endpoint is connected, and pass the backlog. While it is
//         not they go to the backlog lane: what is accepted in an outage is no longer fresh when it ends.
//
// The lane is chosen once, when a message is stored. So each lane keeps its own order and its own stream towards
// the receiver, and after a restart live lanes are drained like all others.

import { liveFirstBacklogMessages } from '../limits.ts';

/** How many messages of one priority wait in its two lanes, those being stored included. */
export interface LaneCounts {
  readonly backlog: number;
  readonly live: number;
}

export class LiveFirst {
  readonly #split = new Set<number>();

  /** True: a message that comes now goes to the live lane of its priority. */
  takes(priority: number, { connected, backlog, live }: LaneCounts & { readonly connected: boolean }): boolean {
    return this.isSplit(priority, { connected, backlog, live }) && connected;
  }

  /** True: the backlog of this priority is passed by fresh messages, and leaves at its own rate. */
  isSplit(priority: number, { connected, backlog, live }: LaneCounts & { readonly connected: boolean }): boolean {
    if (this.#split.has(priority)) {
      if (backlog > 0 || live > 0) return true;
      this.#split.delete(priority);
      return false;
    }
    if (live === 0 && !(connected && backlog > liveFirstBacklogMessages)) return false;
    this.#split.add(priority);
    return true;
  }
}
