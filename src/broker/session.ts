// What the broker remembers of one client id, and its way to the client: subscriptions, inbound QoS 2 ids, QoS 0 out.
//
//   send() ──QoS 0──► outbox          QoS 1, 2, retained ──► AcknowledgedFlow (window, queue) ──► outbox
//
// A session whose expiry is 0 ends with its connection. A persistent one stays: it queues QoS 1 and 2 while its
// client is away and goes on after the return. QoS 0 is for clients that are there. With a session store a
// persistent session is on stable storage, step by step as it changes.
//
// Invariant: an idle session has no flow and no maps: they are made when first needed.

import type { Buffer } from 'node:buffer';
import type { Clock } from '../platform/clock.ts';
import { type MqttVersion, packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { type PublishView, publishBytes, type Qos } from '../protocol/mqtt/publish.ts';
import type { AckedRun } from './acked-run.ts';
import { AcknowledgedFlow } from './acknowledged-flow.ts';
import { type ClientWire, wire311 } from './client-wire.ts';
import {
  type Delivery,
  type DeliveryHeader,
  noSubscriptionIds,
  type Outgoing,
  type SubscriptionOptions,
} from './delivery.ts';
import { OutboundAliases } from './outbound-aliases.ts';
import type { QueueShare } from './outbound-queue.ts';
import type { Outbox } from './outbox.ts';
import { PacketIdSet } from './packet-id-set.ts';
import {
  type QueuedMessage,
  type Settlement,
  volatilePuback,
  volatilePubcomp,
  volatilePubrec,
} from './pending-message.ts';
import type { LoadedSession, Principal, SessionStore, StoredWill } from './ports.ts';
import type { Replay } from './replay.ts';
import { type PacketRange, packetsOf } from './run-forms.ts';
import type { SharedSubscription } from './shared-subscription.ts';
import type { StoredViews } from './stored-views.ts';
import type { Traffic } from './traffic.ts';

export type { SubscriptionOptions } from './delivery.ts';

export interface Grant extends SubscriptionOptions {
  /** The topic service's filter: it is not in the subscription tree. */
  readonly owned: boolean;
  /** Retained messages of it are still to come, at QoS 1 or 2. */
  readonly replaying: boolean;
}

export interface SessionShare extends QueueShare {
  readonly traffic: Traffic;
  readonly clock: Clock;
  readonly store: SessionStore | undefined;
  readonly header: DeliveryHeader;
  /** What is being published: a session says here that it went to the store, and that it is behind. */
  readonly outcome: QueueShare['outcome'] & { durable: boolean; pressing: Session | undefined };
  readonly limits: QueueShare['limits'] & { readonly inflightOutboundMax: number };
}

/** An alias that is new makes a packet longer by its property. */
const aliasRoomBytes = 3;
const version5 = 5;
const pubackStep = { message: volatilePuback, next: undefined };
const pubrecStep = { message: volatilePubrec, next: volatilePubcomp };
const pubcompStep = { message: volatilePubcomp, next: undefined };
const noGrants: ReadonlyMap<string, Grant> = new Map();
const plain = { qos: 0, retain: false, subscriptionIds: noSubscriptionIds } as const;

export class Session {
  readonly clientId: string;
  readonly principal: Principal;
  /** Tells sessions apart in target lists. */
  readonly serial: number;
  /** What its connection takes, or took last. */
  wire: ClientWire;
  /** When the connection ended, monotonic; 0 while it is there. */
  leftMs = 0;
  readonly #share: SessionShare;
  #expirySeconds: number;
  #will: StoredWill | undefined;
  #subscriptions: Map<string, Grant> | undefined;
  #shared: Set<SharedSubscription> | undefined;
  #receiving: PacketIdSet | undefined;
  /** Inbound QoS 2 messages that somebody inside makes safe, by packet id. */
  #settling: Map<number, Promise<void>> | undefined;
  #flow: AcknowledgedFlow | undefined;
  #aliases: OutboundAliases | undefined;
  #outbox: Outbox | undefined;

  constructor(
    client: {
      readonly clientId: string;
      readonly principal: Principal;
      readonly expirySeconds: number;
      readonly serial: number;
      readonly wire?: ClientWire;
    },
    share: SessionShare,
  ) {
    this.clientId = client.clientId;
    this.principal = client.principal;
    this.serial = client.serial;
    this.wire = client.wire ?? wire311;
    this.#expirySeconds = client.expirySeconds;
    this.#share = share;
  }

  /** Undefined while its client is away. */
  get outbox(): Outbox | undefined {
    return this.#outbox;
  }

  /** Seconds the session outlives its connection: 0 ends with it, 0xffffffff never ends. DISCONNECT may change it. */
  get expirySeconds(): number {
    return this.#expirySeconds;
  }

  set expirySeconds(seconds: number) {
    const { store } = this.#share;
    if (seconds === 0 && this.isStored) store?.deleteSession(this.clientId);
    this.#expirySeconds = seconds;
    this.save();
  }

  /** Ends with its connection. */
  get clean(): boolean {
    return this.#expirySeconds === 0;
  }

  /** It is on stable storage: what it acknowledges must be flushed before. */
  get isStored(): boolean {
    return this.#share.store !== undefined && this.#expirySeconds > 0;
  }

  get will(): StoredWill | undefined {
    return this.#will;
  }

  /** What is to be published when the session or the will's delay ends, kept with the session. */
  set will(will: StoredWill | undefined) {
    if (will === undefined && this.#will === undefined) return;
    this.#will = will;
    this.save();
  }

  get queueLength(): number {
    return this.#flow?.queueLength ?? 0;
  }

  /** By filter. Changed by grant() and revoke() alone. */
  get subscriptions(): ReadonlyMap<string, Grant> {
    return this.#subscriptions ?? noGrants;
  }

  grant(filter: string, grant: Grant): void {
    this.#subscriptions ??= new Map();
    this.#subscriptions.set(filter, grant);
    if (this.isStored) this.#share.store?.putSubscription(this.clientId, { ...grant, filter });
  }

  /** False when there was no such subscription. */
  revoke(filter: string): boolean {
    if (this.#subscriptions?.delete(filter) !== true) return false;
    this.#flow?.forgetReplay(filter);
    if (this.isStored) this.#share.store?.deleteSubscription(this.clientId, filter);
    return true;
  }

  joinShared(shared: SharedSubscription): void {
    this.#shared ??= new Set();
    this.#shared.add(shared);
  }

  leaveShared(shared: SharedSubscription): void {
    this.#shared?.delete(shared);
  }

  /** The client is there: its CONNACK is in `outbox` already. */
  attach(outbox: Outbox, wire: ClientWire): void {
    this.#outbox = outbox;
    this.wire = wire;
    this.leftMs = 0;
    this.save();
    this.#flow?.attach();
    if (this.#shared === undefined) return;
    for (const shared of this.#shared) shared.returned(this);
  }

  /** The connection ended: whoever waits for a delivery is told, a clean session forgets everything. */
  detach(): void {
    this.#outbox = undefined;
    this.#aliases = undefined;
    this.leftMs = this.#share.clock.monotonicMs();
    this.#flow?.detach();
    this.save();
  }

  /** The session is forgotten for good. */
  discard(): void {
    this.#outbox = undefined;
    this.#flow?.discard();
    this.#flow = undefined;
    this.#settling = undefined;
    if (this.isStored) this.#share.store?.deleteSession(this.clientId);
  }

  /** Writes what is known of the session itself to the store. */
  save(): void {
    const { store, clock } = this.#share;
    if (store === undefined || !this.isStored) return;
    const { clientId, principal, expirySeconds } = this;
    // A time nobody vouches for would end the session early once the clock is right: away since the restart, then.
    const leftAtMs =
      this.leftMs === 0 || !clock.wallTrusted() ? 0 : clock.wallMs() - Math.round(clock.monotonicMs() - this.leftMs);
    store.putSession({ clientId, principal, expirySeconds, leftAtMs, will: this.#will });
  }

  /** One message of ordinary publish and subscribe. */
  send(view: PublishView, delivery: Delivery): void {
    const qos = Math.min(view.qos, delivery.qos) as Qos;
    const retain = view.retain && delivery.retainAsPublished;
    if (qos > 0) {
      this.#flowOf().send(view, { qos: qos as 1 | 2, retain, delivery });
      return;
    }
    const outcome = this.sendPlain(view, { qos, retain, subscriptionIds: delivery.subscriptionIds });
    if (outcome !== 'sent' && outcome !== 'gone') this.#share.traffic.dropped(outcome, 1);
  }

  /** Whole QoS 0 packets that are ready as they are. */
  sendRun(range: PacketRange): void {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    const bytes = range.to - range.from;
    if (bytes > this.wire.packetBytesMax) {
      if (range.count === 1) this.#share.traffic.dropped('packet-too-large', 1);
      else for (const packet of packetsOf(range)) this.sendRun(packet);
      return;
    }
    if (!outbox.hasRoom(bytes)) {
      this.#share.traffic.dropped('slow-client', range.count);
      return;
    }
    outbox.appendRun(range.buffer, range.from, range.to);
    this.#share.traffic.sent(range.count, range.payloadBytes);
  }

  /**
   * How many packets of QoS `qos` from a publisher of `version` can go as they came: to a client that is there, takes
   * their form and has a free window, in a session that ends with its connection and so keeps none of them.
   */
  runRoom(qos: 1 | 2, version: MqttVersion): number {
    const { version: own, topicAliasMax } = this.wire;
    if (this.#outbox === undefined || !this.clean || topicAliasMax > 0) return 0;
    if ((own === version5) !== (version === version5)) return 0;
    const flow = this.#flowOf();
    return flow.isFree(qos) ? flow.window.room : 0;
  }

  /** Whether the bytes of `run` can go now. */
  takesRun(run: AckedRun): boolean {
    return run.packetBytesMax <= this.wire.packetBytesMax && this.#outbox?.hasRoom(run.to - run.from) === true;
  }

  /** Sends `run`, for which there is runRoom() and which it takes. */
  sendAckedRun(run: AckedRun): void {
    this.#outbox?.publishRun(run, this.#flowOf().window, run.qos === 1 ? volatilePuback : volatilePubrec);
    this.#share.traffic.sent(run.count, run.payloadBytes);
  }

  /**
   * PUBACK, PUBREC or PUBCOMP packets of four bytes at `buffer[at..end)`, one like the other; returns the offset
   * behind those of messages that nobody needs again. A PUBREC is answered.
   */
  acknowledgedRun(buffer: Buffer, at: number, end: number): number {
    const flow = this.#flow;
    const outbox = this.#outbox;
    if (flow === undefined || outbox === undefined) return at;
    const type = (buffer[at] as number) >> typeShift;
    const step = type === packetType.puback ? pubackStep : type === packetType.pubrec ? pubrecStep : pubcompStep;
    const to = flow.window.settle(buffer, { at, end }, step);
    if (to === at) return at;
    if (type === packetType.pubrec) outbox.answerRun(packetType.pubrel, buffer, { from: at, to });
    else flow.pump();
    return to;
  }

  /** A QoS 0 message for this client alone. False when it is gone or takes nothing more. */
  deliverPlain(view: PublishView): boolean {
    return this.sendPlain(view, plain) === 'sent';
  }

  /** A QoS 1 message somebody waits for. False when the queue is full. */
  deliver(view: PublishView, settlement: Settlement): boolean {
    return this.#flowOf().deliver(view, settlement);
  }

  /** Starts sending the retained messages of a new subscription, or has them wait for the client. */
  replay(filter: string, replay: Replay): void {
    this.#flowOf().replay(filter, replay);
  }

  isReplaying(filter: string): boolean {
    return this.#flow?.isReplaying(filter) === true;
  }

  /** All retained messages of the subscription were sent, or are kept until they are acknowledged. */
  replayed(filter: string): void {
    const grant = this.#subscriptions?.get(filter);
    if (grant?.replaying === true) this.grant(filter, { ...grant, replaying: false });
  }

  /**
   * PUBACK, PUBREC or PUBCOMP of the client; a PUBREC with a reason from 0x80 ends the message [MQTT-4.3.3-4]. False
   * when no message waits for that: it may belong to an earlier connection, and is tolerated. The caller answers a
   * PUBREC, after a flush when the session is stored.
   */
  acknowledged(type: number, packetId: number, reason = 0): boolean {
    return this.#flow?.acknowledged(type, packetId, reason) === true;
  }

  /** Sends what waits, as far as window and output allow. */
  pump(): void {
    this.#flow?.pump();
  }

  /** Its client owes acknowledgements. */
  get isOwed(): boolean {
    return this.#flow?.isOwed === true;
  }

  /** It was pressing: `goOn` is called when it has caught up, or will not. */
  whenEased(goOn: () => void): void {
    this.#flowOf().whenEased(goOn);
  }

  /** Whether a message of `qos` and about `bytes` would go out at once. */
  hasPlace(qos: number, bytes: number): boolean {
    if (this.#outbox === undefined || this.#flow?.isFree(qos) === false) return false;
    return this.#outbox.hasRoom(bytes) && (qos === 0 || this.hasQueueRoom(bytes));
  }

  hasQueueRoom(bytes: number): boolean {
    return this.#flowOf().hasQueueRoom(bytes);
  }

  /** Gives queued messages that are `wanted` to another session, as long as that has room. */
  handOver(to: Session, wanted: (message: QueuedMessage) => boolean): void {
    this.#flow?.handOver(to, wanted);
  }

  /** Drops queued messages whose time is over, as far as they are the oldest. */
  expire(): void {
    this.#flow?.expire();
  }

  /** A QoS 1 or 2 message of about `bytes` for it would go to the session store, rather than be dropped. */
  wouldStore(bytes: number): boolean {
    return this.isStored && this.hasQueueRoom(bytes);
  }

  /** An inbound QoS 2 message of this id was taken, or is being made safe, and is not released yet. */
  hasReceived(packetId: number): boolean {
    return this.#receiving?.has(packetId) === true || this.#settling?.has(packetId) === true;
  }

  /** An inbound QoS 2 message of this id was taken; false when it was before. */
  receive(packetId: number): boolean {
    if (this.hasReceived(packetId)) return false;
    this.#receiving ??= new PacketIdSet();
    this.#receiving.add(packetId);
    if (this.isStored) this.#share.store?.putReceiving(this.clientId, packetId);
    return true;
  }

  /**
   * `work` makes an inbound QoS 2 message safe, whatever becomes of its connection: it calls settled() when it is. When
   * it fails the id is free again. Nothing of it is stored until then.
   */
  settle(packetId: number, work: Promise<void>): void {
    this.#settling ??= new Map();
    this.#settling.set(packetId, work);
    const failed = (): void => {
      if (this.#settling?.get(packetId) === work) this.#settling.delete(packetId);
    };
    work.catch(failed);
  }

  /** What makes the message of this id safe, as long as it does. */
  settling(packetId: number): Promise<void> | undefined {
    return this.#settling?.get(packetId);
  }

  settled(packetId: number): void {
    if (this.#settling?.delete(packetId) === true) this.receive(packetId);
  }

  /** PUBREL: the id is free again. False when it was not in use. */
  release(packetId: number): boolean {
    if (this.#receiving?.has(packetId) !== true) return false;
    this.#receiving.delete(packetId);
    if (this.isStored) this.#share.store?.deleteReceiving(this.clientId, packetId);
    return true;
  }

  /** Puts back what the session store had of it; nothing of it is put there again. */
  restore({ subscriptions, deliveries, receiving, will }: LoadedSession, views: StoredViews): void {
    this.#will = will;
    if (subscriptions.length > 0) this.#subscriptions = new Map(subscriptions.map((grant) => [grant.filter, grant]));
    for (const delivery of deliveries) this.#flowOf().restore(delivery, views.of(delivery.message));
    if (receiving.length === 0) return;
    this.#receiving = new PacketIdSet();
    for (const packetId of receiving) this.#receiving.add(packetId);
  }

  /** The store lost everything: tells it all of this session again. */
  putAgain(store: SessionStore): void {
    if (!this.isStored) return;
    this.save();
    for (const [filter, grant] of this.subscriptions) store.putSubscription(this.clientId, { ...grant, filter });
    this.#flow?.putAgain(store);
    for (const packetId of this.#receiving?.ids() ?? []) store.putReceiving(this.clientId, packetId);
  }

  /** A QoS 0 message, if it can go now. */
  sendPlain(view: PublishView, outgoing: Outgoing): 'sent' | 'gone' | 'packet-too-large' | 'slow-client' {
    const outbox = this.#outbox;
    if (outbox === undefined) return 'gone';
    const header = this.#share.header.fill(view, outgoing, this.wire.version);
    const bytes = publishBytes(view, header);
    if (bytes > this.wire.packetBytesMax) return 'packet-too-large';
    if (!outbox.hasRoom(bytes)) return 'slow-client';
    this.write(outbox, view, bytes);
    return 'sent';
  }

  /** Writes the packet of the filled header, whose size is `bytes` without an alias. */
  write(outbox: Outbox, view: PublishView, bytes: number): void {
    const { header, traffic } = this.#share;
    const { topicAliasMax, packetBytesMax } = this.wire;
    if (topicAliasMax > 0 && bytes + aliasRoomBytes <= packetBytesMax) {
      this.#aliases ??= new OutboundAliases(topicAliasMax);
      this.#aliases.apply(view, header);
    }
    outbox.publish(view, header);
    traffic.sent(1, view.payloadBytes);
  }

  #flowOf(): AcknowledgedFlow {
    this.#flow ??= new AcknowledgedFlow(this, this.#share);
    return this.#flow;
  }
}
