// Packets of one client that are to be written in their order: what a reconnect made due again, and QoS 2 messages
// whose packet id has to be on stable storage before, with everything sent after them.
//
//   add(id) ──► due ──► first and shift() by who writes, as far as there is room
//   flush(id) ──► store.flushed() ──► flushed(id)
//                       └─ rejected ──► kept, until flushAgain()
//
// Owns the order and who waits for a commit, not the messages. One for each time the client is there or away: what
// is flushed after end() concerns nobody.

import type { SessionStore } from './ports.ts';

export class DuePackets {
  readonly #store: SessionStore | undefined;
  readonly #flushed: (packetId: number) => void;
  readonly #ids: number[] = [];
  #flushing = 0;
  #unflushed: number[] | undefined;
  #ended = false;

  /** `flushed` is called in a turn of its own when the step of a packet is safe. */
  constructor(store: SessionStore | undefined, flushed: (packetId: number) => void) {
    this.#store = store;
    this.#flushed = flushed;
  }

  get length(): number {
    return this.#ids.length;
  }

  get first(): number | undefined {
    return this.#ids[0];
  }

  /** Something waits for the session store: what is due behind it does not mean that there is no room. */
  get isFlushing(): boolean {
    return this.#flushing > 0;
  }

  add(packetId: number): void {
    this.#ids.push(packetId);
  }

  shift(): void {
    this.#ids.shift();
  }

  /** Tells when the step of `packetId`, which was put, is on stable storage. */
  flush(packetId: number): void {
    if (this.#store === undefined) return;
    this.#flushing++;
    const flushed = (): void => {
      if (this.#ended) return;
      this.#flushing--;
      this.#flushed(packetId);
    };
    const failed = (): void => {
      if (this.#ended) return;
      this.#flushing--;
      this.#unflushed ??= [];
      this.#unflushed.push(packetId);
    };
    this.#store.flushed().then(flushed, failed);
  }

  /** Tries again what could not be flushed. */
  flushAgain(): void {
    const packetIds = this.#unflushed;
    if (packetIds === undefined) return;
    this.#unflushed = undefined;
    for (const packetId of packetIds) this.flush(packetId);
  }

  end(): void {
    this.#ended = true;
  }
}
