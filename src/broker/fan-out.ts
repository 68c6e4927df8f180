// One output buffer for many receivers: a packet for a group is copied once, and every socket gets the same bytes.
//
//   publish() / append() ──► buffer ──endTurn()──► socket, socket, socket …   each from where it joined
//
// A receiver joins while it owes nothing, and takes part until the turn ends. As soon as something goes to it
// alone, it takes what the buffer has for it into its own batch and leaves (Outbox), so its order holds. One that
// owes something already gets a copy into its own batch, under its own bounds.
//
// Invariants
//   Bytes behind `used` are never changed while anybody may read them: the buffer only grows until it is flushed.
//   A buffer of which any socket did not take everything belongs to that write and is never used again.

import type { Buffer } from 'node:buffer';
import { brokerFanOutBytesMax } from '../limits.ts';
import type { MqttVersion } from '../protocol/mqtt/frame.ts';
import { type PublishView, publishBytes, writePublish } from '../protocol/mqtt/publish.ts';
import type { DeliveryHeader } from './delivery.ts';
import type { OutboxShare } from './outbox.ts';
import type { PacketRange } from './run-forms.ts';
import type { Session } from './session.ts';
import type { Traffic } from './traffic.ts';

/** Receivers of one form: all of them get the same bytes for a QoS 0 message. */
export interface WireForm {
  /** 4 stands for 3.1 too. */
  readonly version: MqttVersion;
  readonly subscriptionIds: readonly number[];
}

export interface FanOutShare {
  readonly outboxes: OutboxShare;
  readonly header: DeliveryHeader;
  readonly traffic: Traffic;
}

export class FanOut {
  readonly form: WireForm;
  readonly receivers: readonly Session[];
  readonly #share: FanOutShare;
  #buffer: Buffer | undefined;
  #used = 0;
  /** A socket still reads the buffer. */
  #held = false;
  /** The slice of the last flush, which most receivers share. */
  #slice: { readonly bytes: Buffer; readonly from: number; readonly used: number } | undefined;

  constructor(form: WireForm, receivers: readonly Session[], share: FanOutShare) {
    this.form = form;
    this.receivers = receivers;
    this.#share = share;
  }

  /** End of what was collected. */
  get used(): number {
    return this.#used;
  }

  /** A QoS 0 message that is not retained. */
  publish(view: PublishView): void {
    const outgoing = { qos: 0, retain: false, subscriptionIds: this.form.subscriptionIds } as const;
    const header = this.#share.header.fill(view, outgoing, this.form.version);
    const at = this.#reserve(publishBytes(view, header));
    writePublish(view, header, { target: this.#buffer as Buffer, at });
    this.#give(at, 1, view.payloadBytes);
  }

  /** `count` whole packets in the group's form. */
  append(range: PacketRange): void {
    const at = this.#reserve(range.to - range.from);
    range.buffer.copy(this.#buffer as Buffer, at, range.from, range.to);
    this.#give(at, range.count, range.payloadBytes);
  }

  /** What a receiver that joined at `from` is to get. Borrowed by a socket: say so with hold(). */
  slice(from: number): Buffer {
    const last = this.#slice;
    if (last !== undefined && last.from === from && last.used === this.#used) return last.bytes;
    const bytes = (this.#buffer as Buffer).subarray(from, this.#used);
    this.#slice = { bytes, from, used: this.#used };
    return bytes;
  }

  /** A socket did not take everything of slice(). */
  hold(): void {
    this.#held = true;
  }

  endTurn(): void {
    this.#flush();
  }

  #give(at: number, count: number, payloadBytes: number): void {
    let sent = 0;
    for (const session of this.receivers) {
      const { outbox } = session;
      if (outbox === undefined) continue;
      if (outbox.isIn(this) || outbox.join(this, at)) sent++;
      else session.sendRun({ buffer: this.#buffer as Buffer, from: at, to: this.#used, count, payloadBytes });
    }
    if (sent > 0) this.#share.traffic.sent(sent * count, sent * payloadBytes);
    if (this.#used >= brokerFanOutBytesMax) this.#flush();
  }

  #flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    for (const { outbox } of this.receivers) {
      if (outbox?.isIn(this) === true) outbox.flush();
    }
    if (!this.#held) this.#share.outboxes.pool.give(buffer);
    this.#buffer = undefined;
    this.#slice = undefined;
    this.#used = 0;
    this.#held = false;
  }

  #reserve(bytes: number): number {
    const { pool, wake } = this.#share.outboxes;
    const at = this.#used;
    const needed = at + bytes;
    if (this.#buffer === undefined) {
      this.#buffer = pool.take(needed);
      wake(this);
    } else if (needed > this.#buffer.length) {
      const grown = pool.take(Math.max(needed, 2 * this.#buffer.length));
      this.#buffer.copy(grown, 0, 0, at);
      if (!this.#held) pool.give(this.#buffer);
      this.#held = false;
      this.#slice = undefined;
      this.#buffer = grown;
    }
    this.#used = needed;
    return at;
  }
}
