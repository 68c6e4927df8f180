// Connections of one listener that are not streams yet: waiting for a PROXY header, a TLS handshake or a WebSocket
// upgrade. None of them counts in the broker, so their number and their time are bounded here.
//
// Policy when full: the newcomer is closed. Those who wait have their time-out, which makes room.

import { pendingEntriesMax } from '../../limits.ts';

export class Entry {
  readonly #waiting = new Set<() => void>();
  readonly #max: number;

  constructor(max: number = pendingEntriesMax) {
    this.#max = max;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for one step. `drop` is called when it takes longer than `msMax`, when too many wait, or when the
   * listener closes. The result ends the waiting; undefined: dropped already.
   */
  begin(msMax: number, drop: () => void): (() => void) | undefined {
    if (this.#waiting.size >= this.#max) {
      drop();
      return undefined;
    }
    const timer = setTimeout(() => {
      this.#waiting.delete(drop);
      drop();
    }, msMax);
    timer.unref();
    this.#waiting.add(drop);
    return () => {
      clearTimeout(timer);
      this.#waiting.delete(drop);
    };
  }

  /** Drops all. Their steps end themselves when their sockets close. */
  close(): void {
    for (const drop of [...this.#waiting]) drop();
  }
}
