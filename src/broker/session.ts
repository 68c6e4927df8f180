// What the broker remembers of one client id: subscriptions, messages under way to it, messages queued for it.
//
//   send() ──► window free and room in the output ──► outbox
//      └─────► else: queue ──pump() on PUBACK, on drain, on return──► outbox
//
// A clean session ends with its connection. A persistent one stays, in memory: it queues QoS 1 and 2 while its
// client is away, and after the return sends again what was not acknowledged, in the old order and with the old
// packet ids [MQTT-4.4.0-1], then what was queued. QoS 0 is for clients that are there.
//
// Invariants
//   Order: nothing overtakes the queue, and the queue waits for what is to be sent again.
//   A delivery somebody waits for (settlement) lives and dies with the connection.
//   Retained messages for a new subscription are read lazily at the client's pace; what was published after the
//   subscription reaches it live and is left out.

import type { Buffer } from 'node:buffer';
import { packetType } from '../protocol/mqtt/frame.ts';
import { type PublishView, publishBytes, type Qos } from '../protocol/mqtt/publish.ts';
import { clientGone } from './errors.ts';
import { type Inflight, InflightWindow, type Settlement, volatileInflight } from './inflight.ts';
import { OutboundQueue, type QueuedMessage, type QueueShare } from './outbound-queue.ts';
import type { ClientWire } from './client-wire.ts';
import type { Outbox } from './outbox.ts';
import { PacketIdSet } from './packet-id-set.ts';
import type { Principal } from './ports.ts';
import type { RetainedMessage } from './retained.ts';
import type { Traffic } from './traffic.ts';

/** What SUBSCRIBE asks for with a filter; 3.x has the QoS alone. */
export interface SubscriptionOptions {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0 retained messages at every subscribe, 1 at a new subscription, 2 never (MQTT 5 §3.8.3.1). */
  readonly retainHandling: 0 | 1 | 2;
  /** 0 is none. */
  readonly subscriptionId: number;
}

export interface Grant extends SubscriptionOptions {
  /** The topic service's filter: it is not in the subscription tree. */
  readonly owned: boolean;
}

export interface SessionShare extends QueueShare {
  readonly traffic: Traffic;
  readonly limits: QueueShare['limits'] & { readonly inflightOutboundMax: number };
}

interface Replay {
  readonly messages: Iterator<RetainedMessage, void, void>;
  readonly qos: Qos;
  /** Younger ones come live. */
  readonly upTo: number;
  next: RetainedMessage | undefined;
}

export class Session {
  readonly clientId: string;
  readonly principal: Principal;
  /** Seconds the session outlives its connection: 0 ends with it, 0xffffffff never ends. DISCONNECT may change it. */
  expirySeconds: number;
  readonly subscriptions = new Map<string, Grant>();
  /** Inbound QoS 2 packet ids between PUBLISH and PUBREL. */
  readonly receiving = new PacketIdSet();
  readonly #traffic: Traffic;
  readonly #inflight: InflightWindow;
  readonly #queue: OutboundQueue;
  readonly #replays = new Map<string, Replay>();
  #again: number[] = [];
  #outbox: Outbox | undefined;

  constructor(
    client: { readonly clientId: string; readonly principal: Principal; readonly expirySeconds: number },
    share: SessionShare,
  ) {
    this.clientId = client.clientId;
    this.principal = client.principal;
    this.expirySeconds = client.expirySeconds;
    this.#traffic = share.traffic;
    this.#inflight = new InflightWindow(share.limits.inflightOutboundMax);
    this.#queue = new OutboundQueue(share);
  }

  /** Ends with its connection. */
  get clean(): boolean {
    return this.expirySeconds === 0;
  }

  get queueLength(): number {
    return this.#queue.length;
  }

  /** The client is there: its CONNACK is in `outbox` already. */
  attach(outbox: Outbox, _wire: ClientWire): void {
    this.#outbox = outbox;
    this.pump();
  }

  /** The connection ended: whoever waits for a delivery is told, a clean session forgets everything. */
  detach(): void {
    this.#outbox = undefined;
    this.#replays.clear();
    const gone = (): Error => clientGone(this.clientId);
    this.#again = this.#inflight.detach(!this.clean, gone);
    const removed = this.#queue.removeIf((message) => this.clean || message.settlement !== undefined);
    for (const { settlement } of removed) settlement?.reject(gone());
  }

  /** The session is forgotten for good. */
  discard(): void {
    this.#again = [];
    this.#inflight.detach(false, () => clientGone(this.clientId));
    for (const { settlement } of this.#queue.removeIf(() => true)) settlement?.reject(clientGone(this.clientId));
  }

  /** One message of ordinary publish and subscribe. `qos` is already the lower one of message and subscription. */
  send(view: PublishView, qos: Qos): void {
    if (qos === 0) {
      this.#sendPlain(view);
      return;
    }
    if (this.#queue.length === 0 && this.#mayTransmit(view, qos)) {
      const entry = this.clean
        ? volatileInflight(qos)
        : this.#entryOf({ view: view.kept(), qos, retain: false, settlement: undefined });
      this.#transmit(view, entry, qos);
      return;
    }
    if (!this.#queue.push({ view: view.kept(), qos, retain: false, settlement: undefined }))
      this.#traffic.dropped('queue-full', 1);
  }

  /** `count` whole QoS 0 packets that are ready as they are: `buffer[from..to)`. */
  sendRun(
    buffer: Buffer,
    { from, to, count }: { readonly from: number; readonly to: number; readonly count: number },
  ): void {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    if (!outbox.hasRoom(to - from)) {
      this.#traffic.dropped('slow-client', count);
      return;
    }
    outbox.append(buffer, from, to);
    this.#traffic.sent(count);
  }

  /** A QoS 0 message for this client alone. False when it is gone or takes nothing more. */
  deliverPlain(view: PublishView): boolean {
    const outbox = this.#outbox;
    if (outbox === undefined || !outbox.hasRoom(publishBytes(view, 0))) return false;
    outbox.publish(view, { qos: 0, retain: false, duplicate: false, packetId: 0 });
    this.#traffic.sent(1);
    return true;
  }

  /** A QoS 1 message somebody waits for. False when the queue is full. */
  deliver(view: PublishView, settlement: Settlement): boolean {
    if (!this.#queue.push({ view, qos: 1, retain: false, settlement })) return false;
    this.pump();
    return true;
  }

  /** Starts sending the retained messages of a new subscription. */
  replay(
    filter: string,
    replay: { readonly messages: Iterator<RetainedMessage, void, void>; readonly qos: Qos; readonly upTo: number },
  ): void {
    this.#replays.set(filter, { ...replay, next: undefined });
    this.pump();
  }

  forgetReplay(filter: string): void {
    this.#replays.delete(filter);
  }

  /** An inbound QoS 2 message of this id was taken; false when it was before. */
  receive(packetId: number): boolean {
    if (this.receiving.has(packetId)) return false;
    this.receiving.add(packetId);
    return true;
  }

  /** PUBREL: the id is free again. False when it was not in use. */
  release(packetId: number): boolean {
    if (!this.receiving.has(packetId)) return false;
    this.receiving.delete(packetId);
    return true;
  }

  /**
   * PUBACK, PUBREC or PUBCOMP of the client; a reason from 0x80 ends the message. False when no message waits for
   * that: it may belong to an earlier connection, and is tolerated. A PUBREC is answered by the caller.
   */
  acknowledged(type: number, packetId: number, _reason = 0): boolean {
    if (type === packetType.pubrec) {
      return this.#inflight.received(packetId);
    }
    if (!this.#inflight.finish(packetId, type)) return false;
    this.pump();
    return true;
  }

  /** Sends what waits, as far as window and output allow. */
  pump(): void {
    if (this.#outbox === undefined) return;
    if (this.#again.length > 0 && !this.#sendAgain(this.#outbox)) return;
    for (let first = this.#queue.first; first !== undefined; first = this.#queue.first) {
      if (!this.#mayTransmit(first.view, first.qos)) return;
      this.#queue.shift();
      this.#transmit(first.view, this.#entryOf(first), first.qos);
    }
    for (const [filter, replay] of this.#replays) {
      if (!this.#sendReplay(replay)) return;
      this.#replays.delete(filter);
    }
  }

  #sendPlain(view: PublishView, retain = false): boolean {
    const outbox = this.#outbox;
    if (outbox === undefined) return false;
    if (!outbox.hasRoom(publishBytes(view, 0))) {
      if (!retain) this.#traffic.dropped('slow-client', 1);
      return false;
    }
    outbox.publish(view, { qos: 0, retain, duplicate: false, packetId: 0 });
    this.#traffic.sent(1);
    return true;
  }

  #mayTransmit(view: PublishView, qos: Qos): boolean {
    if (this.#outbox === undefined || this.#again.length > 0 || this.#inflight.isFull) return false;
    return this.#outbox.hasRoom(publishBytes(view, qos));
  }

  #transmit(view: PublishView, entry: Inflight, qos: 1 | 2): void {
    const packetId = this.#inflight.open(entry);
    this.#outbox?.publish(view, { qos, retain: entry.retain, duplicate: false, packetId });
    this.#traffic.sent(1);
  }

  /** A clean session never sends again: its entry keeps no message. */
  #entryOf({ view, qos, retain, settlement }: QueuedMessage): Inflight {
    if (this.clean && settlement === undefined && !retain) return volatileInflight(qos);
    const awaiting = qos === 1 ? packetType.puback : packetType.pubrec;
    return { awaiting, view: this.clean || settlement !== undefined ? undefined : view, retain, settlement };
  }

  /** What the client had not acknowledged when it left. False while there is no room. */
  #sendAgain(outbox: Outbox): boolean {
    while (this.#again.length > 0) {
      const packetId = this.#again[0] as number;
      const entry = this.#inflight.get(packetId);
      if (entry?.awaiting === packetType.pubcomp) {
        outbox.ack(packetType.pubrel, packetId);
      } else if (entry?.view !== undefined) {
        const qos = entry.awaiting === packetType.puback ? 1 : 2;
        if (!outbox.hasRoom(publishBytes(entry.view, qos))) return false;
        outbox.publish(entry.view, { qos, retain: entry.retain, duplicate: true, packetId });
        this.#traffic.sent(1);
      }
      this.#again.shift();
    }
    return true;
  }

  /** False while there is no room for the next message. */
  #sendReplay(replay: Replay): boolean {
    for (;;) {
      if (replay.next === undefined) {
        const step = replay.messages.next();
        if (step.done === true) return true;
        replay.next = step.value;
      }
      const { view, sequence } = replay.next;
      const qos = Math.min(view.qos, replay.qos) as Qos;
      if (sequence <= replay.upTo) {
        if (qos === 0) {
          if (!this.#sendPlain(view, true)) return false;
        } else {
          if (!this.#mayTransmit(view, qos)) return false;
          this.#transmit(view, this.#entryOf({ view, qos, retain: true, settlement: undefined }), qos);
        }
      }
      replay.next = undefined;
    }
  }
}
