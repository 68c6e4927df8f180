// Messages that are acknowledged, and retained ones, on their way to one client.
//
//   send() ──► window free and room in the output ──► outbox
//      └─────► else: queue ──pump() on PUBACK, on drain, on return──► outbox
//
// After a reconnect what was not acknowledged is sent again, in the old order and with the old packet ids
// [MQTT-4.4.0-1], then what was queued. With a session store a QoS 2 PUBLISH leaves only once its packet id is
// flushed, so that after a power cut it cannot come again under another one and be taken twice. What is sent after
// it waits with it, under an id of its own: it is sent in this order, and again in the same [MQTT-4.6.0-1].
//
// Invariants
//   Order: nothing overtakes the queue, nothing in the queue what is due (packet ids in `#due`).
//   A delivery somebody waits for (settlement) lives and dies with the connection, and is not stored.
//   Messages of a session that ends with its connection cost no memory once they are sent, unless somebody waits.

import { packetType } from '../protocol/mqtt/frame.ts';
import { type PublishView, publishBytes } from '../protocol/mqtt/publish.ts';
import { type Delivery, noSubscriptionIds } from './delivery.ts';
import { DuePackets } from './due-packets.ts';
import { clientGone } from './errors.ts';
import { InflightWindow } from './inflight.ts';
import { OutboundQueue } from './outbound-queue.ts';
import type { Outbox } from './outbox.ts';
import {
  PendingMessage,
  type QueuedMessage,
  type Settlement,
  volatileMessage,
  volatilePubcomp,
} from './pending-message.ts';
import type { SessionStore, StoredDelivery } from './ports.ts';
import { Pressure } from './pressure.ts';
import { type Replay, Replays } from './replay.ts';
import type { Session, SessionShare } from './session.ts';
import { putAllMessages, putMessage } from './stored-messages.ts';
import { UnderWay } from './under-way.ts';

interface Sending {
  readonly qos: 1 | 2;
  readonly retain: boolean;
  readonly delivery: Delivery;
}

const reasonErrorMin = 0x80;
const plain = { retain: false, subscriptionIds: noSubscriptionIds } as const;

export class AcknowledgedFlow {
  readonly #session: Session;
  readonly #share: SessionShare;
  #inflight: InflightWindow | undefined;
  /** The bytes of what is there, as far as they are packed. */
  #underWay: UnderWay | undefined;
  #queue: OutboundQueue | undefined;
  #replays: Replays | undefined;
  /** Packet ids to write, in this order, as soon as there is room and they are flushed. */
  #due: DuePackets | undefined;
  #ordinal = 0;
  #pressure: Pressure | undefined;

  constructor(session: Session, share: SessionShare) {
    this.#session = session;
    this.#share = share;
  }

  get queueLength(): number {
    return this.#queue?.length ?? 0;
  }

  /** Messages are under way to the client. */
  get isOwed(): boolean {
    return this.#inflight !== undefined && this.#inflight.size > 0;
  }

  whenEased(goOn: () => void): void {
    this.#pressure ??= new Pressure(this.#share.clock);
    this.#pressure.wait(goOn);
  }

  /** The client is there, maybe with another window than before. */
  attach(): void {
    if (this.#inflight !== undefined) this.#inflight.max = this.#windowMax;
    this.pump();
  }

  /** The connection ended. */
  detach(): void {
    this.#pressure?.release();
    if (this.#session.clean) this.#replays = undefined;
    this.#due?.end();
    for (const packetId of this.#inflight?.ids() ?? []) {
      const message = this.#inflight?.get(packetId);
      if (message !== undefined) message.flushing = false;
      if (message === undefined || this.#staysUnderWay(message)) continue;
      this.#inflight?.delete(packetId);
      this.#underWay?.letGo(message);
      this.#end(message);
    }
    this.#queue?.removeIf((message) => {
      if (this.#stays(message)) return false;
      this.#end(message);
      return true;
    });
    this.#due = undefined;
    for (const packetId of this.#inflight?.ids() ?? []) this.#dueOf().add(packetId);
  }

  /** Everything is forgotten for good. What of shared subscriptions may still go to others does. */
  discard(): void {
    this.#pressure?.release();
    this.#due?.end();
    const { clientId } = this.#session;
    for (const packetId of this.#inflight?.ids() ?? []) {
      const message = this.#inflight?.get(packetId);
      if (message?.isMovable === true) this.#passOn(message, true);
      if (message !== undefined) this.#underWay?.letGo(message);
      message?.settlement?.reject(clientGone(clientId));
    }
    this.#queue?.removeIf((message) => {
      message.settlement?.reject(clientGone(clientId));
      if (!this.#passOn(message, true)) this.#share.traffic.dropped('session-dropped', 1);
      return true;
    });
  }

  send(view: PublishView, { qos, retain, delivery }: Sending): void {
    const { share, subscriptionIds } = delivery;
    if (this.#session.clean && share === undefined && this.#sendVolatile(view, { qos, retain, delivery })) return;
    this.#take(new PendingMessage({ view, qos, retain, subscriptionIds, share }));
  }

  /** Where the messages under way are. */
  get window(): InflightWindow {
    this.#inflight ??= new InflightWindow(this.#windowMax);
    return this.#inflight;
  }

  /** Whether nothing stands before a message of `qos`. */
  isFree(qos: number): boolean {
    return qos === 0 || (this.#dueLength === 0 && this.queueLength === 0 && !this.#isWindowFull());
  }

  /** The store lost everything: tells it all messages again. */
  putAgain(store: SessionStore): void {
    const [inflight, queue, underWay] = [this.#inflight, this.#queue, this.#underWay];
    putAllMessages(store, this.#session.clientId, { inflight, queue, underWay });
  }

  /** A QoS 1 message somebody waits for. False when the queue is full. */
  deliver(view: PublishView, settlement: Settlement): boolean {
    const message = new PendingMessage({ ...plain, view, qos: 1, settlement });
    if (!this.#queueOf().push(message as QueuedMessage)) return false;
    this.pump();
    return true;
  }

  /** Starts sending the retained messages of a new subscription. */
  replay(filter: string, replay: Replay): void {
    this.#replays ??= new Replays(this.#session, this.#share);
    this.#replays.add(filter, replay);
    this.pump();
  }

  isReplaying(filter: string): boolean {
    return this.#replays?.has(filter) === true;
  }

  forgetReplay(filter: string): void {
    this.#replays?.forget(filter);
  }

  /**
   * PUBACK, PUBREC or PUBCOMP of the client; a PUBREC with a reason from 0x80 ends the message [MQTT-4.3.3-4]. False
   * when no message waits for that: it may belong to an earlier connection, and is tolerated. The caller answers a
   * PUBREC, after a flush when the session is stored.
   */
  acknowledged(type: number, packetId: number, reason = 0): boolean {
    const message = this.#inflight?.get(packetId);
    if (message === undefined) return false;
    const { awaiting } = message;
    if (type === packetType.pubrec && awaiting === packetType.pubcomp) return true;
    if (type !== awaiting) return false;
    if (type === packetType.pubrec && reason < reasonErrorMin) {
      this.#received(packetId, message);
      return true;
    }
    this.#inflight?.delete(packetId);
    this.#underWay?.letGo(message);
    this.#forget(message);
    message.settlement?.resolve();
    this.pump();
    return true;
  }

  /** Sends what waits, as far as window and output allow. */
  pump(): void {
    this.#sendWaiting();
    this.#pressure?.moved(this.#queue?.isShort !== false);
  }

  #sendWaiting(): void {
    const { outbox } = this.#session;
    if (outbox === undefined) return;
    const due = this.#due;
    if (due !== undefined) {
      due.flushAgain();
      if (!this.#writeDue(outbox, due) && !due.isFlushing) return;
    }
    const queue = this.#queue;
    if (queue !== undefined) {
      for (let first = queue.first; first !== undefined; first = queue.first) {
        if (this.#isOver(first)) {
          queue.shift();
        } else {
          if (!this.#mayTransmit(first)) return;
          // Its bytes are the queue's until then.
          this.#transmit(first, !first.view.isKept);
          queue.shift();
        }
      }
    }
    this.#replays?.send((message) => this.#takeRetained(message));
  }

  hasQueueRoom(bytes: number): boolean {
    return this.#queueOf().hasRoom(bytes);
  }

  /** Gives queued messages that are `wanted` to another session, as long as that has room. */
  handOver(to: Session, wanted: (message: QueuedMessage) => boolean): void {
    this.#queue?.removeIf((message) => {
      const delivery = message.share?.members.get(to);
      if (delivery === undefined || delivery.qos === 0 || !wanted(message)) return false;
      if (!to.hasQueueRoom(message.view.keptBytes)) return false;
      to.send(message.view, delivery);
      this.#forget(message);
      return true;
    });
  }

  /** Drops queued messages whose time is over, as far as they are the oldest. */
  expire(): void {
    const queue = this.#queue;
    for (let first = queue?.first; first !== undefined && this.#isOver(first); first = queue?.first) queue?.shift();
  }

  /** Puts back what the session store had, in its order. */
  restore(stored: StoredDelivery, view: PublishView): void {
    const { retain, subscriptionIds } = stored.message;
    const qos = stored.message.qos === 2 ? 2 : 1;
    const message = new PendingMessage({ view, qos, retain, subscriptionIds });
    message.ordinal = stored.ordinal;
    this.#ordinal = Math.max(this.#ordinal, stored.ordinal);
    if (stored.packetId === 0) {
      this.#queueOf().restore(message as QueuedMessage);
      return;
    }
    message.awaiting = stored.awaiting;
    message.written = true;
    if (stored.awaiting === packetType.pubcomp) message.view = undefined;
    else this.#underWayOf().keep(message, 0);
    this.window.restore(stored.packetId, message);
    this.#dueOf().add(stored.packetId);
  }

  /**
   * Takes a message that may not be forgotten: sends it, or queues it. Whether the store has room was asked by who
   * publishes, for all receivers at once (Exchange); what moves from one session to another is acknowledged already.
   */
  #take(message: PendingMessage): void {
    const { outcome } = this.#share;
    const store = this.#session.isStored ? this.#share.store : undefined;
    if (store !== undefined) {
      // The queue packs what it is given: it must have its ordinal by then.
      message.view = message.view?.kept();
      message.ordinal = ++this.#ordinal;
    }
    const transmits = this.queueLength === 0 && this.#mayTransmit(message as QueuedMessage) && this.#mayKeep(message);
    const isTaken = transmits || this.#queueMessage(message as QueuedMessage);
    if (this.#isPressing) outcome.pressing = this.#session;
    if (!isTaken) {
      this.#share.traffic.dropped('queue-full', 1);
      return;
    }
    if (store !== undefined) {
      putMessage(store, this.#session.clientId, { message, view: message.view });
      outcome.durable = true;
    }
    if (transmits) this.#transmit(message, this.#keeps(message) && this.#queueOf().packs(message as QueuedMessage));
  }

  /** Its client is there and behind: who publishes had better wait. */
  get #isPressing(): boolean {
    return this.#session.outbox !== undefined && this.#queue?.isLong === true && this.#pressure?.isOn !== false;
  }

  /** False when the queue is full of messages that are still good. */
  #queueMessage(message: QueuedMessage): boolean {
    if (this.#queueOf().push(message)) return true;
    this.expire();
    return this.#queueOf().push(message);
  }

  /** Whether the first of the queue may go out now, or has to be looked at because the client cannot take it. */
  #mayTransmit(message: QueuedMessage): boolean {
    const { outbox } = this.#session;
    if (outbox === undefined || (this.#dueLength > 0 && this.#due?.isFlushing === false)) return false;
    // Behind what is due everything counts, because all of it will be written before.
    if (this.#inflight?.isFull(0) === true) return false;
    return outbox.hasRoom(this.#bytesOf(message, message.view));
  }

  /** Gives `message` a packet id, keeps it if it may come again, and writes it, now or once what has to be flushed is. */
  #transmit(message: PendingMessage, packs: boolean): void {
    const { view } = message;
    if (view === undefined) return;
    if (this.#bytesOf(message, view) > this.#session.wire.packetBytesMax) {
      // As if it had been sent [MQTT-3.1.2-25].
      this.#share.traffic.dropped('packet-too-large', 1);
      this.#forget(message);
      message.settlement?.resolve();
      return;
    }
    message.awaiting = message.qos === 1 ? packetType.puback : packetType.pubrec;
    const keeps = this.#keeps(message);
    const packetId = this.window.open(keeps ? message : volatileMessage(message.qos));
    if (keeps) this.#underWayOf().keep(message, packs ? packetId : 0);
    if (message.ordinal > 0) {
      const step = { packetId, awaiting: message.awaiting };
      this.#share.store?.sentMessage(this.#session.clientId, message.ordinal, step);
      if (message.qos === 2) {
        message.flushing = true;
        this.#dueOf().add(packetId);
        this.#dueOf().flush(packetId);
        return;
      }
    }
    if (this.#dueLength === 0) this.#writeMessage(message, view, packetId);
    else this.#dueOf().add(packetId);
  }

  /** Whether it may come again: the client back in its session, another member of a share, somebody who waits. */
  #keeps({ share, settlement }: PendingMessage): boolean {
    return !this.#session.clean || share !== undefined || settlement !== undefined;
  }

  /** What is kept while it is under way needs as much room as in the queue. */
  #mayKeep(message: PendingMessage): boolean {
    return !this.#keeps(message) || message.view === undefined || this.hasQueueRoom(message.view.keptBytes);
  }

  get #dueLength(): number {
    return this.#due === undefined ? 0 : this.#due.length;
  }

  #dueOf(): DuePackets {
    this.#due ??= new DuePackets(this.#share.store, (packetId) => {
      const message = this.#inflight?.get(packetId);
      if (message !== undefined) message.flushing = false;
      this.pump();
    });
    return this.#due;
  }

  #writeMessage(message: PendingMessage, view: PublishView, packetId: number): void {
    const { outbox } = this.#session;
    if (outbox === undefined) return;
    const bytes = this.#bytesOf(message, view);
    const { header } = this.#share;
    header.packetId = packetId;
    header.duplicate = message.written;
    message.written = true;
    this.#session.write(outbox, view, bytes);
  }

  /** Fills the header for `message` and tells its size. */
  #bytesOf(message: PendingMessage, view: PublishView): number {
    return publishBytes(view, this.#share.header.fill(view, message, this.#session.wire.version));
  }

  /** PUBREC: the message itself is not needed any more. */
  #received(packetId: number, message: PendingMessage): void {
    this.#underWay?.letGo(message);
    if (message.ordinal === 0 && message.settlement === undefined) {
      this.#inflight?.replace(packetId, volatilePubcomp);
      return;
    }
    message.awaiting = packetType.pubcomp;
    const step = { packetId, awaiting: packetType.pubcomp };
    if (this.#session.isStored) this.#share.store?.sentMessage(this.#session.clientId, message.ordinal, step);
  }

  /** What is due, in order. False while there is no room, or something has to be flushed before. */
  #writeDue(outbox: Outbox, due: DuePackets): boolean {
    for (let packetId = due.first; packetId !== undefined; packetId = due.first) {
      const message = this.#inflight?.get(packetId);
      if (message?.flushing === true) return false;
      const view = message === undefined ? undefined : this.#underWay?.viewOf(message);
      if (message?.awaiting === packetType.pubcomp) {
        outbox.ack(packetType.pubrel, packetId);
      } else if (message !== undefined && view !== undefined) {
        const bytes = this.#bytesOf(message, view);
        if (bytes > this.#session.wire.packetBytesMax) {
          this.#inflight?.delete(packetId);
          this.#underWay?.letGo(message);
          this.#share.traffic.dropped('packet-too-large', 1);
          this.#forget(message);
        } else {
          if (this.#isWindowFull() || !outbox.hasRoom(bytes)) return false;
          this.#writeMessage(message, view, packetId);
        }
      }
      due.shift();
    }
    if (!due.isFlushing) this.#due = undefined;
    return true;
  }

  /** A retained message, as soon as it can go out: it does not wait in the queue. */
  #takeRetained(message: PendingMessage): boolean {
    if (!this.#mayTransmit(message as QueuedMessage) || !this.#mayKeep(message)) return false;
    this.#take(message);
    return true;
  }

  /** Whether `message` ran out of time; it is counted and forgotten then. */
  #isOver(message: QueuedMessage): boolean {
    if (message.view.expiresAtMs === 0 || !message.isExpired(this.#share.clock.monotonicMs())) return false;
    this.#share.traffic.dropped('expired', 1);
    this.#forget(message);
    return true;
  }

  #stays(message: PendingMessage): boolean {
    const { clean } = this.#session;
    return message.settlement === undefined && !this.#passOn(message, clean) && !clean;
  }

  /** A shared QoS 2 message that was sent is this session's for good [MQTT-4.8.2-5]. */
  #staysUnderWay(message: PendingMessage): boolean {
    if (message.isMovable || message.settlement !== undefined) return this.#stays(message);
    return !this.#session.clean;
  }

  /** True when another member of its share has `message` now; one that is absent takes it once this session `isOver`. */
  #passOn(message: PendingMessage, isOver: boolean): boolean {
    const view = message.share && (message.view ?? this.#underWay?.viewOf(message));
    return view !== undefined && message.share?.redeliver({ view, qos: message.qos }, this.#session, isOver) === true;
  }

  /** `message` is not this session's any more. */
  #end(message: PendingMessage): void {
    this.#forget(message);
    message.settlement?.reject(clientGone(this.#session.clientId));
  }

  /** The store need not keep `message` any more. */
  #forget(message: PendingMessage): void {
    if (message.ordinal > 0 && this.#session.isStored)
      this.#share.store?.deleteMessage(this.#session.clientId, message.ordinal);
  }

  #isWindowFull(): boolean {
    return this.#inflight?.isFull(this.#dueLength) === true;
  }

  #underWayOf(): UnderWay {
    this.#underWay ??= new UnderWay(this.#queueOf(), this.window, this.#share.blocks);
    return this.#underWay;
  }

  #queueOf(): OutboundQueue {
    this.#queue ??= new OutboundQueue(this.#share);
    return this.#queue;
  }

  /** For a session that never sends again: no memory per message. False when it has to wait. */
  #sendVolatile(view: PublishView, { qos, retain, delivery }: Sending): boolean {
    const { outbox, wire } = this.#session;
    if (outbox === undefined || !this.isFree(qos)) return false;
    const { header, traffic } = this.#share;
    header.fill(view, { qos, retain, subscriptionIds: delivery.subscriptionIds }, wire.version);
    const bytes = publishBytes(view, header);
    if (bytes > wire.packetBytesMax) {
      traffic.dropped('packet-too-large', 1);
      return true;
    }
    if (!outbox.hasRoom(bytes)) return false;
    header.packetId = this.window.open(volatileMessage(qos));
    this.#session.write(outbox, view, bytes);
    return true;
  }

  get #windowMax(): number {
    return Math.min(this.#share.limits.inflightOutboundMax, this.#session.wire.receiveMaximum);
  }
}
