// What one client publishes: from its packets to the exchange or the topic service, and back its acknowledgements.
//
//   PUBLISH ──topic, or its alias──► exchange            ack in its turn; when it is durable, after the commit
//                    ├─ tapped ────► exchange, tap       ack when the tap has it safe, too; QoS 2: tap first
//                    └─ owned ─────► service.publish()   ack when its promise resolved, in its turn
//   PUBREL  ────────────────────────────────────────────► PUBCOMP, after the commit that frees the packet id
//
// A QoS 1 or 2 message that the session store would have to keep while it has no room reaches nobody and is not
// acknowledged: 5.0 is refused with 0x97, 3.x waits (store-wait.ts).
//
// Invariants
//   Acknowledgements leave in the order of arrival [MQTT-4.6.0-2], whatever is settled first.
//   At most inflightInboundMax publishes are unsettled: a 3.x client is not read beyond, a 5.0 client was told the
//   number as our receive maximum and is disconnected when it exceeds it [MQTT-3.3.4-9]. Nobody is read while they
//   have more than brokerInflightInboundBytesMax.
//   A QoS 2 packet id is remembered from PUBLISH to PUBREL: a repetition is acknowledged, never passed on.
//   What was authorised for a topic holds for the next packets of the same topic, which are recognised by bytes,
//   until the authoriser says that its rules changed.

import { Buffer } from 'node:buffer';
import {
  brokerAcksWaitingMax,
  brokerInflightInboundBytesMax,
  brokerTopicAliasesMax,
  messageBytesMax,
} from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { ackBytes } from '../protocol/mqtt/ack.ts';
import { AckOrder, type AckPlace } from '../protocol/mqtt/ack-order.ts';
import { type MqttVersion, packetType } from '../protocol/mqtt/frame.ts';
import { type PublishView, readUint16 } from '../protocol/mqtt/publish.ts';
import { packetIdBytes } from '../protocol/mqtt/publish-view.ts';
import { isFailure, reasonCode } from '../protocol/mqtt/reason-codes.ts';
import { type AckedRun, plainQos1Byte } from './acked-run.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { BrokerPolicy } from './broker-policy.ts';
import type { Exchange, TopicRoute } from './exchange.ts';
import type { FlushWait } from './flush-wait.ts';
import { InboundAliases } from './inbound-aliases.ts';
import type { PacketRange } from './packet-reader.ts';
import type { Authoriser, BrokerClient, InboundPublish, Principal, TopicProtocol } from './ports.ts';
import type { PublishConnection } from './publish-connection.ts';
import { type PublishScan, startsWith } from './publish-scan.ts';
import { keepServed, type Safekeeping, tapFirst } from './safekeeping.ts';
import type { Session } from './session.ts';
import type { StoreRoom } from './store-room.ts';
import { StoreWait } from './store-wait.ts';
import type { Traffic } from './traffic.ts';
import { UnderCare } from './under-care.ts';

export interface PublishSource {
  readonly session: Session;
  readonly client: BrokerClient;
  readonly principal: Principal;
  readonly version: MqttVersion;
  /** Answers that wait for the session store. */
  readonly safe: FlushWait;
}

interface PublishShare {
  readonly clock: { monotonicMs(): number };
  readonly limits: BrokerLimits;
  readonly policy: BrokerPolicy;
  readonly authoriser: Authoriser;
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly room: StoreRoom;
  readonly traffic: Traffic;
  readonly view: PublishView;
  readonly scan: PublishScan;
  readonly run: AckedRun;
  readonly received: { packets: number };
  track(work: Promise<void>): void;
}

/** A topic that this client published to, and what was decided about it. */
interface KnownTopic {
  /** Length-prefixed, as in the packet. */
  readonly bytes: Buffer;
  /** What a plain QoS 0 packet of it begins with behind its fixed header: 5.0 has an empty property section there. */
  readonly prefix: Buffer;
  readonly route: TopicRoute;
  readonly allowed: boolean;
  /** Of the authoriser, when it was asked. */
  readonly epoch: number;
}

const millisecondsPerSecond = 1000;
const noBytes = Buffer.alloc(0);
const noStoreRoom = 'the session store is full';
const noRetainedRoom = 'there is no room for more retained messages';
const notAllowed = 'publishing to this topic is not allowed';
const notText = 'the payload is not the UTF-8 that its format indicator says';

export class Publisher {
  readonly #source: PublishSource;
  readonly #connection: PublishConnection;
  readonly #share: PublishShare;
  readonly #acks: AckOrder;
  #aliases: InboundAliases<KnownTopic> | undefined;
  #last: KnownTopic | undefined;
  /** Publishes of QoS 1 and 2 that the client has no final answer to: what our receive maximum counts. */
  #owed = 0;
  /** Publishes the topic service, or a tap, has not settled. */
  readonly #care: UnderCare;
  /** A receiver holds it back. */
  #waits = false;
  /** The session store holds it back; made when that was full. */
  #storeWait: StoreWait | undefined;
  /** Why the packets of these ids are refused, for people, until their acknowledgement leaves. */
  #because: Map<number, string> | undefined;

  constructor(source: PublishSource, connection: PublishConnection, share: PublishShare) {
    this.#source = source;
    this.#connection = connection;
    this.#share = share;
    this.#care = new UnderCare(share);
    this.#acks = new AckOrder((type, packetId, reason) => {
      if (type === packetType.puback || isFailure(reason)) this.#owed--;
      const because = isFailure(reason) ? this.#because?.get(packetId) : undefined;
      if (because === undefined) return connection.ack(type, packetId, reason);
      this.#because?.delete(packetId);
      connection.refuse(type, packetId, { reason, because });
    });
  }

  /** Forwards the plain QoS 0 packets at `at` that have the last topic; returns the offset behind them. */
  run(buffer: Buffer, at: number, end: number): number {
    const topic = this.#last;
    const { scan, exchange, traffic, received, authoriser } = this.#share;
    if (topic?.allowed !== true || topic.epoch !== (authoriser.epoch ?? 0)) return at;
    if (exchange.isTapped(topic.route)) return at;
    scan.measure(buffer, { at, end, topic: topic.prefix });
    const { to, count } = scan;
    if (count === 0) return at;
    received.packets += count;
    traffic.received(count, scan.payloadBytes);
    scan.version = this.#source.version;
    exchange.forwardRun(scan, topic.route, this.#source.session);
    this.#connection.came(count);
    return to;
  }

  /**
   * Forwards the plain QoS 1 or 2 packets at `at` that have the last topic, as far as they go to all receivers as
   * they are; returns the offset behind them.
   */
  ackedRun(buffer: Buffer, at: number, end: number): number {
    const topic = this.#last;
    const { run, exchange, traffic, received, authoriser } = this.#share;
    const { session, version } = this.#source;
    if (topic?.allowed !== true || topic.epoch !== (authoriser.epoch ?? 0) || this.#acks.open > 0) return at;
    if (this.#storeWait?.isOn === true) return at;
    const qos = buffer[at] === plainQos1Byte ? 1 : 2;
    const room = Math.min(exchange.runRoom(topic.route, { qos, version, from: session }), this.#quotaLeft(qos));
    if (room === 0) return at;
    run.measure(buffer, { at, end, topic: topic.bytes, version, room });
    if (run.count === 0 || !exchange.takesRun(run, topic.route)) return at;
    if (qos === 2) run.cut(this.#receive(run));
    const { count } = run;
    if (count === 0) return at;
    received.packets += count;
    traffic.received(count, run.payloadBytes);
    if (qos === 2) this.#owed += count;
    exchange.forwardAcked(run, topic.route);
    this.#connection.ackRun(qos === 1 ? packetType.puback : packetType.pubrec, run);
    this.#connection.came(count);
    return run.to;
  }

  /** PUBREL packets of four bytes at `at`: returns the offset behind those whose packet ids are free again at once. */
  releasedRun(buffer: Buffer, at: number, end: number): number {
    const { session, safe } = this.#source;
    if (session.isStored || safe.length > 0) return at;
    const firstByte = buffer[at];
    let to = at;
    while (to + ackBytes <= end && buffer[to] === firstByte && buffer[to + 1] === packetIdBytes) {
      if (!session.release(readUint16(buffer, to + packetIdBytes))) break;
      if (this.#owed > 0) this.#owed--;
      to += ackBytes;
    }
    this.#share.received.packets += (to - at) / ackBytes;
    if (to > at) this.#connection.answerRun(packetType.pubcomp, buffer, { from: at, to });
    return to;
  }

  /** One whole PUBLISH packet. */
  publish(buffer: Buffer, { at, bodyAt, end }: PacketRange): void {
    const { view, traffic, room } = this.#share;
    const { session, version } = this.#source;
    const problem = view.read(buffer, { firstByte: buffer[at] as number, from: bodyAt, to: end }, version);
    if (problem !== undefined || view.payloadBytes > messageBytesMax) {
      this.#connection.end(problem ?? 'packet-too-large', 'PUBLISH');
      return;
    }
    const topic = this.#topicOf(view);
    if (topic === undefined) return;
    const { qos, packetId } = view;
    if (qos > 0 && (room.isFull || this.#storeWait?.isOn === true) && this.#isLeft(view, topic)) return;
    traffic.received(1, view.payloadBytes);
    if (!topic.allowed) {
      this.#denied(view, topic);
      return;
    }
    if (view.declaresText && !view.isPayloadAsDeclared()) {
      traffic.dropped('payload-format', 1);
      this.#refuse(view, reasonCode.payloadFormatInvalid, notText); // §3.3.2.3.2
      return;
    }
    if (qos === 2 && session.hasReceived(packetId)) {
      this.#repeated(view, topic);
    } else if (qos > 0 && this.#isOverQuota()) {
      this.#connection.end('receive-maximum-exceeded', `more than ${this.#share.limits.inflightInboundMax}`);
      return;
    } else {
      this.#take(view, topic);
    }
    this.#connection.came(1);
  }

  /** PUBREL: the packet id is free again. */
  released(packetId: number): void {
    const { session, version } = this.#source;
    const known = session.release(packetId);
    if (known && this.#owed > 0) this.#owed--;
    const reason = known || version !== 5 ? reasonCode.success : reasonCode.packetIdentifierNotFound;
    const answer = (safe: boolean): void => {
      if (safe && this.#connection.isOpen) this.#connection.ack(packetType.pubcomp, packetId, reason);
    };
    // An id that is used again before its release is safe would count as a repetition after a power cut.
    if (known && session.isStored) this.#source.safe.after(answer);
    else this.#source.safe.inTurn(answer);
  }

  /** The connection ended. */
  close(): void {
    this.#storeWait?.close();
  }

  /** How many packets of `qos` may come in one run: those of QoS 1 are acknowledged one after the other. */
  #quotaLeft(qos: 1 | 2): number {
    if (this.#source.version !== 5) return Number.MAX_SAFE_INTEGER;
    const left = Math.max(0, this.#share.limits.inflightInboundMax - this.#owed);
    return qos === 1 && left > 0 ? Number.MAX_SAFE_INTEGER : left;
  }

  /** How many packets of `run`, from its first, are new; their packet ids are in use from now on. */
  #receive(run: AckedRun): number {
    const { session } = this.#source;
    if (session.isStored) return 0;
    let count = 0;
    while (count < run.count && session.receive(run.packetId(count))) count++;
    return count;
  }

  /** 3.x clients were told no number: they are held back instead. */
  #isOverQuota(): boolean {
    return this.#source.version === 5 && this.#owed >= this.#share.limits.inflightInboundMax;
  }

  /** What is known of the packet's topic; undefined when the connection ended over it. */
  #topicOf(view: PublishView): KnownTopic | undefined {
    const last = this.#last;
    const { topicAlias } = view;
    if (topicAlias === 0) {
      const { topicBuffer, topicFrom, topicAt, topicBytes } = view;
      if (last?.bytes.length === topicAt - topicFrom + topicBytes && startsWith(topicBuffer, topicFrom, last.bytes)) {
        return this.#upToDate(last);
      }
      return this.#newTopic(view);
    }
    return this.#aliased(view, topicAlias);
  }

  #aliased(view: PublishView, alias: number): KnownTopic | undefined {
    if (view.topicBytes === 0) {
      const known = this.#aliases?.get(alias);
      if (known === undefined) {
        this.#connection.end('topic-alias-invalid', `topic alias ${alias} stands for nothing`);
        return undefined;
      }
      view.useTopic(known.bytes);
      return this.#upToDate(known, alias);
    }
    const topic = this.#newTopic(view);
    if (topic === undefined) return undefined;
    this.#aliases ??= new InboundAliases(brokerTopicAliasesMax);
    const set = this.#aliases.set(alias, topic);
    if (set === 'set') return topic;
    if (set === 'invalid') this.#connection.end('topic-alias-invalid', `topic alias ${alias}`);
    else this.#connection.end('quota-exceeded', 'the topics behind the topic aliases are too long');
    return undefined;
  }

  /** `known` as the authoriser sees it now. */
  #upToDate(known: KnownTopic, alias = 0): KnownTopic {
    const { authoriser } = this.#share;
    const epoch = authoriser.epoch ?? 0;
    if (known.epoch === epoch) return known;
    const topic = { ...known, epoch, allowed: this.#mayPublish(known.route) };
    if (this.#last === known) this.#last = topic;
    if (alias > 0) this.#aliases?.set(alias, topic);
    return topic;
  }

  #newTopic(view: PublishView): KnownTopic | undefined {
    const { exchange, authoriser } = this.#share;
    const text = view.topic();
    const route = text === undefined ? undefined : exchange.route(text);
    if (route === undefined) {
      this.#connection.end(text === undefined ? 'malformed-packet' : 'malformed-topic', text ?? 'topic is not UTF-8');
      return undefined;
    }
    const { topicBuffer, topicFrom, topicAt, topicBytes } = view;
    // The service's topics differ from message to message: they are neither remembered nor forwarded in runs.
    if (route.owned && view.topicAlias === 0)
      return { bytes: noBytes, prefix: noBytes, route, allowed: true, epoch: 0 };
    const length = topicAt - topicFrom + topicBytes;
    const prefix = Buffer.alloc(this.#source.version === 5 ? length + 1 : length);
    topicBuffer.copy(prefix, 0, topicFrom, topicFrom + length);
    const bytes = prefix.length === length ? prefix : prefix.subarray(0, length);
    const topic = { bytes, prefix, route, allowed: this.#mayPublish(route), epoch: authoriser.epoch ?? 0 };
    if (!route.owned) this.#last = topic;
    return topic;
  }

  #mayPublish(route: TopicRoute): boolean {
    return route.owned || this.#share.authoriser.mayPublish(this.#source.principal, route.topic);
  }

  /** A publish that is not allowed. 5.0 says so and goes on; 3.x cannot say no [MQTT-3.3.5-2 of 3.1.1]. */
  #denied(view: PublishView, { route }: KnownTopic): void {
    const { policy, traffic } = this.#share;
    const { version } = this.#source;
    if (version !== 5 && policy.deniedPublish === 'disconnect') {
      this.#connection.end('not-authorized', `publish to ${route.topic}`);
      return;
    }
    traffic.dropped('not-authorized', 1);
    if (version === 5) this.#refuse(view, reasonCode.notAuthorized, notAllowed);
    else this.#refuse(view, reasonCode.success);
  }

  /** Acknowledges, with what `reason` says, a message that goes nowhere. */
  #refuse({ qos, packetId }: PublishView, reason: number, because?: string): void {
    if (qos === 0) return;
    // Of QoS 2, a success is owed until PUBREL; its id is not kept, because a repetition does no harm.
    if (qos === 1 || isFailure(reason)) this.#owed++;
    this.#answerRefused(packetId, { type: qos === 1 ? packetType.puback : packetType.pubrec, reason, because });
  }

  #answerRefused(
    packetId: number,
    { type, reason, because }: { readonly type: number; readonly reason: number; readonly because: string | undefined },
  ): void {
    if (because !== undefined) {
      this.#because ??= new Map();
      this.#because.set(packetId, because);
    }
    this.#acks.pass(type, packetId, reason);
  }

  /** Whether a QoS 1 or 2 message is left, neither passed on nor acknowledged, for want of room in the session store. */
  #isLeft(view: PublishView, topic: KnownTopic): boolean {
    this.#storeWait ??= new StoreWait(this.#source, this.#connection, this.#share);
    const decision = this.#storeWait.decide(view, topic);
    if (decision === 'wait') {
      this.#connection.waitWithPacket();
    } else if (decision === 'withhold') {
      this.#share.traffic.received(1, view.payloadBytes);
      this.#share.traffic.dropped('store-full', 1);
      this.#connection.came(1);
    }
    return decision !== 'take';
  }

  /** A message that is allowed and new. */
  #take(view: PublishView, { route }: KnownTopic): void {
    const { exchange, clock, room } = this.#share;
    const { session, version } = this.#source;
    const { qos, packetId, expirySeconds } = view;
    if (qos > 0) this.#owed++;
    if (route.owned) {
      this.#serve(view, route.topic);
      return;
    }
    if (expirySeconds !== undefined) {
      view.expiresAtMs = Math.max(1, clock.monotonicMs() + expirySeconds * millisecondsPerSecond);
    }
    if (version === 5 && qos > 0) {
      if (room.isFull && exchange.needsStore(view, route, session)) {
        room.refused();
        this.#full(view, 'store-full');
        return;
      }
      if (view.retain && !exchange.mayRetain(view, route, session)) {
        this.#full(view, 'retained-full');
        return;
      }
    }
    if (qos === 2 && exchange.isTapped(route)) {
      const press = (receiver: Session): void => this.#waitFor(receiver);
      this.#answerWhen(view, route.topic, tapFirst(view, route, { exchange, session, press }));
      return;
    }
    if (qos === 2) session.receive(packetId);
    const { receivers, durable, pressing } = exchange.publish(view, route, session);
    const tapped = exchange.tap(view, route);
    if (qos > 0 && pressing !== undefined) this.#waitFor(pressing);
    if (tapped !== undefined) {
      this.#answerWhen(view, route.topic, { work: tapped, durable });
      return;
    }
    if (qos === 0) return;
    const type = qos === 1 ? packetType.puback : packetType.pubrec;
    const reason = version === 5 && receivers === 0 ? reasonCode.noMatchingSubscribers : reasonCode.success;
    if (durable) this.#ackWhenSafe(this.#acks.reserve(type, packetId), reason);
    else this.#acks.pass(type, packetId, reason);
  }

  /** Lets a receiver that is behind catch up; one that owes acknowledgements must be read on, so that others can. */
  #waitFor(receiver: Session): void {
    if (this.#waits || receiver === this.#source.session || this.#source.session.isOwed) return;
    this.#waits = true;
    this.#connection.hold();
    receiver.whenEased(() => {
      this.#waits = false;
      if (this.#connection.isOpen) this.#goOn();
    });
  }

  /** A message that cannot be kept where it has to be: its publisher is told, and nobody gets it. */
  #full({ qos, packetId }: PublishView, full: 'store-full' | 'retained-full'): void {
    this.#share.traffic.dropped(full, 1);
    this.#answerRefused(packetId, {
      type: qos === 1 ? packetType.puback : packetType.pubrec,
      reason: reasonCode.quotaExceeded,
      because: full === 'store-full' ? noStoreRoom : noRetainedRoom,
    });
  }

  #ackWhenSafe(place: AckPlace, reason: number): void {
    if (this.#acks.open >= brokerAcksWaitingMax) this.#connection.hold();
    this.#source.safe.after((safe) => {
      // What is not safe yet stays put and is tried again; its repetition is acknowledged when that succeeded.
      if (!safe || !this.#connection.isOpen) return;
      this.#acks.settle(place, reason);
      this.#goOn();
    });
  }

  #serve(view: PublishView, topic: string): void {
    const { client, session } = this.#source;
    const { qos, retain, duplicate, packetId } = view;
    const publish: InboundPublish = { topic, payload: view.payload(), qos, retain, duplicate };
    const work = this.#share.service?.publish(client, publish) ?? Promise.resolve();
    this.#answerWhen(view, topic, qos === 2 ? keepServed(packetId, work, session) : { work, durable: false });
  }

  /** A QoS 2 message that came before, maybe just before its connection broke: it is promised when it is safe. */
  #repeated(view: PublishView, { route }: KnownTopic): void {
    const { session } = this.#source;
    const work = session.settling(view.packetId);
    if (work !== undefined) this.#answerWhen(view, route.topic, { work, durable: session.isStored });
    else if (!session.isStored) this.#acks.pass(packetType.pubrec, view.packetId);
    else this.#ackWhenSafe(this.#acks.reserve(packetType.pubrec, view.packetId), reasonCode.success);
  }

  /** Acknowledges when somebody inside has the message safe; ends the connection when it cannot be. */
  #answerWhen({ qos, packetId, payloadBytes }: PublishView, topic: string, keeping: Safekeeping): void {
    const type = qos === 1 ? packetType.puback : packetType.pubrec;
    const place = qos === 0 ? undefined : this.#acks.reserve(type, packetId);
    this.#care.take(payloadBytes);
    void keeping.work.then(
      () => {
        this.#care.give(payloadBytes);
        if (!this.#connection.isOpen) return;
        if (place !== undefined && keeping.durable) this.#ackWhenSafe(place, reasonCode.success);
        else if (place !== undefined) this.#acks.settle(place);
        this.#goOn();
      },
      (error: unknown) => {
        this.#care.give(payloadBytes);
        this.#connection.end('service-rejected', `${topic}: ${errorMessage(error)}`);
      },
    );
    if (!this.#mayGoOn()) this.#connection.hold();
  }

  #mayGoOn(): boolean {
    const { inflightInboundMax } = this.#share.limits;
    const fits = this.#care.count < inflightInboundMax && this.#care.bytes < brokerInflightInboundBytesMax;
    return fits && !this.#waits && this.#acks.open < brokerAcksWaitingMax;
  }

  #goOn(): void {
    if (this.#mayGoOn()) this.#connection.release();
  }
}
