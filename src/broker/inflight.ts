// Messages sent to one client and not acknowledged yet, by packet id, in the order of sending.
//
//   QoS 1   open(puback) ──PUBACK──► gone
//   QoS 2   open(pubrec) ──PUBREC──► pubcomp (PUBREL is sent) ──PUBCOMP──► gone
//
// Packet ids are given one after the other, so a message lies at its id modulo the size of a ring, at most half of
// which is used; an id whose place is taken is left out. That costs nothing per message, which a Map would.
//
// After a reconnect what is here is due again (AcknowledgedFlow); it counts against the window of the new connection
// only once it was written to it, so a client may come back with a smaller receive maximum [MQTT-4.9.0-1].

import { strict as assert } from 'node:assert';
import type { Buffer } from 'node:buffer';
import { packetIdMax } from '../limits.ts';
import { ackBytes } from '../protocol/mqtt/ack.ts';
import { packetIdBytes, readUint16, writeUint16 } from '../protocol/mqtt/publish-view.ts';
import type { AckedRun } from './acked-run.ts';
import type { PendingMessage } from './pending-message.ts';

const slotsMin = 8;

export class InflightWindow {
  /** The packet id of each slot, 0 for none. */
  #ids = new Uint16Array(slotsMin);
  /** When each was sent, by a count: an id that stays for long is older than lower ids that came round again. */
  #turns = new Uint32Array(slotsMin);
  #messages: (PendingMessage | undefined)[] = new Array(slotsMin).fill(undefined);
  #size = 0;
  #max: number;
  #lastId = 0;
  #turn = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** How many the client takes unacknowledged from now on. */
  set max(max: number) {
    this.#max = max;
  }

  /** Whether a further message would be more than the client takes; `due` of those here are not written to it yet. */
  isFull(due: number): boolean {
    return this.#size - due >= this.#max;
  }

  /** How many further messages the client takes. */
  get room(): number {
    return Math.max(0, this.#max - this.#size);
  }

  /** Takes a free packet id for `message`. */
  open(message: PendingMessage): number {
    assert(this.#size < packetIdMax / 2, 'there is a free packet id');
    if (this.#size * 2 >= this.#ids.length) this.#grow();
    do {
      this.#lastId = this.#lastId === packetIdMax ? 1 : this.#lastId + 1;
    } while (this.#ids[this.#slot(this.#lastId)] !== 0);
    this.#place(this.#lastId, message, ++this.#turn);
    return this.#lastId;
  }

  get(packetId: number): PendingMessage | undefined {
    const slot = this.#slot(packetId);
    return this.#ids[slot] === packetId ? this.#messages[slot] : undefined;
  }

  /** Puts `message` in the place of the one of `packetId`. */
  replace(packetId: number, message: PendingMessage): void {
    const slot = this.#slot(packetId);
    assert(this.#ids[slot] === packetId, 'only what is there is replaced');
    this.#messages[slot] = message;
  }

  /** Puts `message` back under the id it had before a restart; the one sent last comes last. */
  restore(packetId: number, message: PendingMessage): void {
    while (this.#ids[this.#slot(packetId)] !== 0) this.#grow();
    this.#place(packetId, message, ++this.#turn);
    this.#lastId = packetId;
  }

  delete(packetId: number): void {
    const slot = this.#slot(packetId);
    if (this.#ids[slot] !== packetId) return;
    this.#ids[slot] = 0;
    this.#messages[slot] = undefined;
    this.#size--;
  }

  /**
   * Takes packet ids for the packets of `run`, all of them `message`, and writes them into its copy at
   * `target[at..)`.
   */
  stamp(
    message: PendingMessage,
    run: AckedRun,
    { target, at }: { readonly target: Buffer; readonly at: number },
  ): void {
    const { idsAt, count } = run;
    const shift = at - run.from;
    for (let index = 0; index < count; index++) {
      writeUint16(target, (idsAt[index] as number) + shift, this.open(message));
    }
  }

  /**
   * Acknowledgements of four bytes at `buffer[at..end)`, alike but for their packet ids, as far as each is of
   * `message`: puts `next` in its place, or nothing. Returns the offset behind them.
   */
  settle(
    buffer: Buffer,
    { at, end }: { readonly at: number; readonly end: number },
    { message, next }: { readonly message: PendingMessage; readonly next: PendingMessage | undefined },
  ): number {
    const firstByte = buffer[at];
    let behind = at;
    while (behind + ackBytes <= end && buffer[behind] === firstByte && buffer[behind + 1] === packetIdBytes) {
      const packetId = readUint16(buffer, behind + packetIdBytes);
      const slot = packetId & (this.#ids.length - 1);
      if (this.#ids[slot] !== packetId || this.#messages[slot] !== message) break;
      this.#messages[slot] = next;
      if (next === undefined) {
        this.#ids[slot] = 0;
        this.#size--;
      }
      behind += ackBytes;
    }
    return behind;
  }

  /** The packet ids in use, in the order of sending. */
  ids(): number[] {
    const turnOf = (packetId: number): number => this.#turns[this.#slot(packetId)] as number;
    return [...this.#ids].filter((packetId) => packetId !== 0).sort((a, b) => turnOf(a) - turnOf(b));
  }

  #slot(packetId: number): number {
    return packetId & (this.#ids.length - 1);
  }

  #place(packetId: number, message: PendingMessage, turn: number): void {
    const slot = this.#slot(packetId);
    this.#ids[slot] = packetId;
    this.#turns[slot] = turn;
    this.#messages[slot] = message;
    this.#size++;
  }

  /** Ids that differ modulo a size differ modulo its double, so everybody finds a place. */
  #grow(): void {
    const ids = this.#ids;
    const messages = this.#messages;
    const turns = this.#turns;
    this.#turns = new Uint32Array(ids.length * 2);
    this.#ids = new Uint16Array(ids.length * 2);
    this.#messages = new Array(ids.length * 2).fill(undefined);
    this.#size = 0;
    for (const [slot, packetId] of ids.entries()) {
      if (packetId !== 0) this.#place(packetId, messages[slot] as PendingMessage, turns[slot] as number);
    }
  }
}
