// An MQTT client without a socket, of version 3.1.1 or 5.0: bytes in, bytes out, time by tick(). QoS 0 and 1.
//
// Owns one connection's protocol state; the owner dials, hands over what arrives, and makes a new client for the
// next connection. What was not acknowledged rejects with MQTT_LINK_LOST: keeping it is the owner's business.
//
//        start()            CONNACK 0
//   idle ───────► connecting ───────► connected ──disconnect()──┐
//                    │ refusal, time-out    │ protocol error,   ▼
//                    └──────────────────────┴─dead peer──────► ended ◄── closed()
//
// Invariants
//   publish() of QoS 1 resolves only on its PUBACK; messages leave in the order of the calls.
//   At most inflightMax QoS 1 messages are under way, fewer when a server of 5.0 says so (its receive maximum); the
//   others wait here, at most mqttClientWaitingMax.
//   PUBACKs leave in the order in which the messages came, each after onMessage's promise resolved.
//   Packets of one turn leave in one link.send().

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import {
  messageBytesMax,
  mqttClientAckWaitMsMax,
  mqttClientConnectMsMax,
  mqttClientWaitingMax,
  packetBytesMax,
  packetIdMax,
} from '../../limits.ts';
import type { WeirError } from '../../model/errors.ts';
import { AckView, ackBytes, encodeAck, plainPubackId } from './ack.ts';
import { AckOrder } from './ack-order.ts';
import { connectPacket } from './connect-packet.ts';
import {
  connectionRefused,
  consumerFailed,
  disconnectedByServer,
  linkLost,
  messageInvalid,
  notTaken,
  protocolError,
  queueFull,
  timedOut,
} from './errors.ts';
import { lengthFieldBytes, lengthFieldValue, PacketCarry, packetType, typeShift } from './frame.ts';
import { type ControlPacket, decodePacket, encodePacket } from './packet.ts';
import { type OutgoingPublish, PacketBatch } from './packet-batch.ts';
import { PublishView, publishBytes, writePublish } from './publish.ts';
import { isFailure } from './reason-codes.ts';
import { isValidTopicFilter, isValidTopicName } from './topic.ts';

export interface MqttClientOptions {
  readonly clientId: string;
  /** 4 (3.1.1) when absent. */
  readonly version?: 4 | 5;
  readonly username?: string;
  readonly password?: string;
  /** 0 switches the keep-alive off. */
  readonly keepAliveSeconds: number;
  /** False: the server keeps the session for as long as it will, in 5.0 until sessionExpirySeconds are over. */
  readonly cleanSession: boolean;
  readonly sessionExpirySeconds?: number;
  /** 3.1.1: sets the bridge bit of the protocol level, by which mosquitto keeps retain flags and sends nothing back. */
  readonly bridge?: boolean;
  /** QoS 1 messages under way at a time. */
  readonly inflightMax: number;
}

/** The stream below, and the clock. `send` may keep the bytes; they are not changed afterwards. */
export interface MqttClientLink {
  /** Monotonic, milliseconds. */
  nowMs(): number;
  send(bytes: Uint8Array): void;
  close(): void;
}

/** A message from the server; its bytes are copies. */
export interface MqttClientMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Properties of 5.0 as they stood in the packet, without their length and without those of one hop. */
  readonly propertyBytes: Buffer;
}

export interface MqttClientPublish {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain?: boolean;
  /** For a server of 5.0 alone: valid properties as bytes. */
  readonly propertyBytes?: Buffer;
  /** For a server of 5.0 alone. */
  readonly expirySeconds?: number | undefined;
}

export interface MqttClientFilter {
  readonly filter: string;
  readonly qos: 0 | 1;
  /** 5.0 alone: nothing of what this client publishes comes back, and retain flags stay as they were. */
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
}

export interface MqttClientEvents {
  onConnected(sessionPresent: boolean): void;
  /** QoS 1 is acknowledged when the returned promise resolves; when it rejects, the link ends unacknowledged. */
  onMessage(message: MqttClientMessage): void | Promise<void>;
  /** CONNACK refusal, protocol error, dead peer: the client has called link.close(). */
  onFailed(error: WeirError): void;
}

/** Who waits for the end of a publish; told once, by whatever brings it. */
export interface PublishWaiter {
  resolve(): void;
  reject(error: WeirError): void;
}

interface WaitingPublish {
  readonly waiter: PublishWaiter;
  readonly view: PublishView;
  readonly expirySeconds: number | undefined;
}

interface SubscribeWaiter {
  readonly count: number;
  resolve(granted: readonly number[]): void;
  reject(error: WeirError): void;
}

const millisecondsPerSecond = 1000;
/** A PINGREQ goes out after this share of the keep-alive without sending, so that a late tick does no harm. */
const pingAfterShare = 0.75;
const version4 = 4;
const version5 = 5;
/** Of a PUBLISH, beside topic, properties and payload: fixed header, lengths, packet id, expiry. */
const headerBytesMax = 24;
/** Flags and return code: what a CONNACK of 3.1.1 is, also as the answer to a CONNECT of 5.0. */
const plainConnackBytes = 2;
const pingBytes = Buffer.from([packetType.pingreq << typeShift, 0]);
const disconnectBytes = Buffer.from([packetType.disconnect << typeShift, 0]);

export class MqttClient {
  readonly #options: MqttClientOptions;
  readonly #link: MqttClientLink;
  readonly #events: MqttClientEvents;
  readonly #carry = new PacketCarry();
  readonly #view = new PublishView();
  readonly #ack = new AckView();
  readonly #version: 4 | 5;
  readonly #acks: AckOrder;
  readonly #inflight = new Map<number, PublishWaiter>();
  readonly #subscribing = new Map<number, SubscribeWaiter>();
  #waiting: WaitingPublish[] = [];
  #waitingHead = 0;
  #state: 'idle' | 'connecting' | 'connected' | 'ended' = 'idle';
  #packetId = 0;
  readonly #out = new PacketBatch(() => queueMicrotask(() => this.#flush()));
  #startedMs = 0;
  #sentMs = 0;
  #pingSentMs: number | undefined;
  #inflightMax: number;
  #packetBytesMax = packetBytesMax;
  #keepAliveSeconds: number;

  constructor(options: MqttClientOptions, link: MqttClientLink, events: MqttClientEvents) {
    assert(options.inflightMax >= 1 && options.inflightMax < packetIdMax, 'inflightMax fits the packet ids');
    this.#options = options;
    this.#link = link;
    this.#events = events;
    this.#version = options.version ?? 4;
    this.#inflightMax = options.inflightMax;
    this.#keepAliveSeconds = options.keepAliveSeconds;
    this.#acks = new AckOrder((type, packetId) => this.#send(encodeAck(type, packetId)));
  }

  /** Sends CONNECT. Call it once, when the stream is open. */
  start(): void {
    assert(this.#state === 'idle', 'a client connects once');
    this.#state = 'connecting';
    this.#startedMs = this.#link.nowMs();
    this.#send(encodePacket(connectPacket(this.#options), this.#version));
    this.#flush();
  }

  /** Bytes from the network: `chunk[0..length)`, borrowed until the call returns. */
  receive(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length && this.#state !== 'ended') {
      const acknowledged = this.#state === 'connected' && this.#carry.isEmpty ? plainPubackId(chunk, at, length) : 0;
      if (acknowledged > 0) {
        this.#acknowledged(acknowledged);
        at += ackBytes;
        continue;
      }
      const taken = this.#carry.fill(chunk, { at, end: length, packetBytesMax });
      if (typeof taken === 'string') {
        this.#fail(protocolError(this.#options.clientId, taken));
        return;
      }
      at = taken;
      if (this.#carry.isWhole) this.#packet(this.#carry.take());
    }
  }

  /** Call it about every second: keep-alive, dead peer, CONNECT time-out. */
  tick(): void {
    const nowMs = this.#link.nowMs();
    if (this.#state === 'connecting' && nowMs - this.#startedMs >= mqttClientConnectMsMax) {
      this.#fail(timedOut(this.#options.clientId, 'CONNECT'));
      return;
    }
    const keepAliveMs = this.#keepAliveSeconds * millisecondsPerSecond;
    if (this.#state !== 'connected' || keepAliveMs === 0) return;
    if (this.#pingSentMs !== undefined) {
      const patienceMs = Math.min(keepAliveMs, mqttClientAckWaitMsMax);
      if (nowMs - this.#pingSentMs >= patienceMs) this.#fail(timedOut(this.#options.clientId, 'PINGREQ'));
    } else if (nowMs - this.#sentMs >= keepAliveMs * pingAfterShare) {
      this.#pingSentMs = nowMs;
      this.#send(pingBytes);
      this.#flush();
    }
  }

  /**
   * QoS 1 resolves on PUBACK, QoS 0 when the packet was handed over. Waits inside for CONNACK and for a free place.
   * Rejects: MQTT_LINK_LOST when the connection ends first, MQTT_NOT_TAKEN when a server of 5.0 says no,
   * MQTT_QUEUE_FULL, MQTT_MESSAGE_INVALID.
   */
  publish(message: MqttClientPublish): Promise<void> {
    return new Promise((resolve, reject) => this.publishFor({ resolve, reject }, message));
  }

  /** The same for those who send many: a promise for each would be most of what a message costs. */
  publishFor(waiter: PublishWaiter, message: MqttClientPublish): void {
    const { clientId } = this.#options;
    const { topic, payload, qos, retain = false, propertyBytes, expirySeconds } = message;
    if (this.#state === 'ended') waiter.reject(linkLost(clientId));
    else if (!isValidTopicName(topic) || payload.length > messageBytesMax)
      waiter.reject(messageInvalid(clientId, topic, payload.length));
    else if (this.#waiting.length - this.#waitingHead >= mqttClientWaitingMax) waiter.reject(queueFull(clientId));
    else if (!retain && this.#leavesAtOnce(qos)) this.#handOver(message, waiter);
    else {
      const view = PublishView.of({ topic, payload, qos, retain, propertyBytes });
      this.#waiting.push({ view, expirySeconds, waiter });
      this.#pump();
    }
  }

  /** Whether the server has said that it takes packets of this message's size. */
  takesSize({ topic, payload, propertyBytes }: Omit<MqttClientPublish, 'qos'>): boolean {
    const allowance = headerBytesMax + Buffer.byteLength(topic) + (propertyBytes?.length ?? 0);
    return payload.length + allowance <= this.#packetBytesMax;
  }

  /** Resolves with the granted QoS per filter (128 and above = refused). Only while connected; rejects as publish() does. */
  subscribe(filters: readonly MqttClientFilter[]): Promise<readonly number[]> {
    assert(filters.length > 0 && filters.every(({ filter }) => isValidTopicFilter(filter)), 'filters are valid');
    const subscriptions = filters.map(({ filter, qos, noLocal = false, retainAsPublished = false }) =>
      this.#version === version5
        ? { topic: filter, qos, nl: noLocal, rap: retainAsPublished, rh: 0 }
        : { topic: filter, qos },
    );
    return this.#ask(filters.length, (messageId) => ({ cmd: 'subscribe', messageId, subscriptions }));
  }

  /** Resolves when the server has answered. Only while connected; rejects as publish() does. */
  async unsubscribe(filters: readonly string[]): Promise<void> {
    assert(filters.length > 0 && filters.every((filter) => isValidTopicFilter(filter)), 'filters are valid');
    await this.#ask(filters.length, (messageId) => ({
      cmd: 'unsubscribe',
      messageId,
      unsubscriptions: [...filters],
    }));
  }

  #ask(count: number, packet: (messageId: number) => ControlPacket): Promise<readonly number[]> {
    if (this.#state !== 'connected') return Promise.reject(linkLost(this.#options.clientId));
    const messageId = this.#nextPacketId();
    return new Promise((resolve, reject) => {
      this.#subscribing.set(messageId, { count, resolve, reject });
      this.#send(encodePacket(packet(messageId), this.#version));
    });
  }

  /** Sends DISCONNECT: the server forgets the will. The owner ends the stream afterwards. */
  disconnect(): void {
    if (this.#state === 'connected') {
      this.#send(disconnectBytes);
      this.#flush();
    }
    this.closed();
  }

  /** The stream ended: everything under way rejects with MQTT_LINK_LOST. */
  closed(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#out.clear();
    this.#carry.clear();
    const lost = linkLost(this.#options.clientId);
    const waiting = this.#waiting.slice(this.#waitingHead).map(({ waiter }) => waiter);
    const waiters = [...this.#inflight.values(), ...this.#subscribing.values(), ...waiting];
    this.#inflight.clear();
    this.#subscribing.clear();
    this.#waiting = [];
    this.#waitingHead = 0;
    for (const waiter of waiters) waiter.reject(lost);
  }

  #fail(error: WeirError): void {
    if (this.#state === 'ended') return;
    this.closed();
    this.#link.close();
    this.#events.onFailed(error);
  }

  #packet(packet: Buffer): void {
    const fieldBytes = lengthFieldBytes(packet, 1, packet.length);
    assert(packet.length === 1 + fieldBytes + lengthFieldValue(packet, 1, fieldBytes), 'the carry holds one packet');
    const type = (packet[0] as number) >> typeShift;
    const bodyAt = 1 + fieldBytes;
    if (this.#state === 'connecting') {
      this.#connack(packet, { type, bodyAt });
      return;
    }
    switch (type) {
      case packetType.publish:
        this.#message(packet, bodyAt);
        return;
      case packetType.puback:
        this.#puback(packet, bodyAt);
        return;
      case packetType.suback:
      case packetType.unsuback:
        this.#subscribed(packet);
        return;
      case packetType.pingresp:
        this.#pingSentMs = undefined;
        return;
      case packetType.disconnect:
        this.#disconnected(packet);
        return;
      default:
        this.#fail(protocolError(this.#options.clientId, `unexpected packet type ${type}`));
    }
  }

  #connack(packet: Buffer, { type, bodyAt }: { readonly type: number; readonly bodyAt: number }): void {
    const { clientId } = this.#options;
    const isPlain = packet.length === bodyAt + plainConnackBytes;
    const version = isPlain ? version4 : this.#version;
    const decoded = type === packetType.connack ? decodePacket(packet, version) : undefined;
    if (decoded === undefined || !decoded.ok || decoded.packet.cmd !== 'connack') {
      this.#fail(protocolError(clientId, 'the first packet is not a CONNACK'));
      return;
    }
    const { returnCode = 0, reasonCode: reason = returnCode, sessionPresent, properties = {} } = decoded.packet;
    if (reason !== 0) {
      this.#fail(connectionRefused(clientId, reason));
      return;
    }
    if (version !== this.#version) {
      this.#fail(protocolError(clientId, 'a CONNACK of another version'));
      return;
    }
    const { receiveMaximum, maximumPacketSize, serverKeepAlive } = properties;
    this.#inflightMax = Math.min(this.#inflightMax, receiveMaximum ?? packetIdMax);
    this.#packetBytesMax = Math.min(this.#packetBytesMax, maximumPacketSize ?? packetBytesMax);
    this.#keepAliveSeconds = serverKeepAlive ?? this.#keepAliveSeconds;
    this.#state = 'connected';
    this.#events.onConnected(sessionPresent);
    this.#pump();
  }

  /** A server of 5.0 says why it ends the connection. */
  #disconnected(packet: Buffer): void {
    const { clientId } = this.#options;
    const decoded = this.#version === version5 ? decodePacket(packet, version5) : undefined;
    if (decoded?.ok !== true || decoded.packet.cmd !== 'disconnect')
      this.#fail(protocolError(clientId, 'a DISCONNECT that is none'));
    else
      this.#fail(
        disconnectedByServer(clientId, decoded.packet.reasonCode ?? 0, decoded.packet.properties?.reasonString),
      );
  }

  #message(packet: Buffer, bodyAt: number): void {
    const view = this.#view;
    const range = { firstByte: packet[0] as number, from: bodyAt, to: packet.length };
    const problem = view.read(packet, range, this.#version);
    const topic = problem === undefined && view.topicAlias === 0 ? view.topic() : undefined;
    const { qos, packetId, retain, propertiesBuffer, propertiesAt, propertiesBytes } = view;
    if (topic === undefined || qos === 2) {
      this.#fail(protocolError(this.#options.clientId, problem ?? 'a PUBLISH that was not subscribed to'));
      return;
    }
    const propertyBytes = Buffer.from(propertiesBuffer.subarray(propertiesAt, propertiesAt + propertiesBytes));
    const message = { topic, payload: view.payload(), qos, retain, propertyBytes };
    const place = qos === 1 ? this.#acks.reserve(packetType.puback, packetId) : undefined;
    const settle = (): void => {
      if (place !== undefined && this.#state === 'connected') this.#acks.settle(place);
    };
    const give = async (): Promise<void> => this.#events.onMessage(message);
    give().then(settle, (cause: unknown) => this.#fail(consumerFailed(this.#options.clientId, topic, cause)));
  }

  #puback(packet: Buffer, bodyAt: number): void {
    const ack = this.#ack;
    const problem = ack.read(packet, { at: 0, bodyAt, end: packet.length }, this.#version);
    this.#acknowledged(problem === undefined ? ack.packetId : 0, ack.reason);
  }

  #acknowledged(packetId: number, reason?: number): void {
    const { clientId } = this.#options;
    const waiter = this.#inflight.get(packetId);
    if (waiter === undefined) {
      this.#fail(protocolError(clientId, `a PUBACK for packet ${packetId}, which is not under way`));
      return;
    }
    this.#inflight.delete(packetId);
    if (reason !== undefined && isFailure(reason)) waiter.reject(notTaken(clientId, reason));
    else waiter.resolve();
    this.#pump();
  }

  /** SUBACK or UNSUBACK; an UNSUBACK of 3.1.1 says nothing of its filters. */
  #subscribed(packet: Buffer): void {
    const decoded = decodePacket(packet, this.#version);
    const answer =
      decoded.ok && (decoded.packet.cmd === 'suback' || decoded.packet.cmd === 'unsuback') ? decoded.packet : undefined;
    const waiter = this.#subscribing.get(answer?.messageId ?? 0);
    const granted = ((answer?.granted ?? []) as readonly unknown[]).map(Number);
    const fits = granted.length === waiter?.count || (answer?.cmd === 'unsuback' && this.#version === version4);
    if (waiter === undefined || !fits) {
      this.#fail(protocolError(this.#options.clientId, 'a SUBACK that answers nothing'));
      return;
    }
    this.#subscribing.delete(answer?.messageId ?? 0);
    waiter.resolve(granted);
  }

  /** Sends what waits, as far as the window allows. */
  #pump(): void {
    while (this.#state === 'connected' && this.#waitingHead < this.#waiting.length) {
      const { view, expirySeconds, waiter } = this.#waiting[this.#waitingHead] as WaitingPublish;
      const { qos, retain } = view;
      if (!this.#hasRoomFor(qos)) break;
      this.#waitingHead++;
      const packetId = qos > 0 ? this.#nextPacketId() : 0;
      const header = { qos, retain, duplicate: false, packetId, version: this.#version, expirySeconds };
      const bytes = Buffer.allocUnsafeSlow(publishBytes(view, header));
      writePublish(view, header, { target: bytes, at: 0 });
      this.#send(bytes);
      if (qos > 0) this.#inflight.set(packetId, waiter);
      else waiter.resolve();
    }
    // Shifting in bulk keeps a long queue linear.
    if (this.#waitingHead === this.#waiting.length || this.#waitingHead >= mqttClientWaitingMax) {
      this.#waiting = this.#waiting.slice(this.#waitingHead);
      this.#waitingHead = 0;
    }
  }

  #hasRoomFor(qos: number): boolean {
    return qos === 0 || this.#inflight.size < this.#inflightMax;
  }

  #leavesAtOnce(qos: number): boolean {
    if (this.#waitingHead < this.#waiting.length || !this.#hasRoomFor(qos)) return false;
    return this.#state === 'connected' && this.#version === version4;
  }

  /** What most messages are: a packet of 3.1.1 that leaves at once, written where it leaves from. */
  #handOver(message: OutgoingPublish, waiter: PublishWaiter): void {
    const packetId = message.qos > 0 ? this.#nextPacketId() : 0;
    this.#out.publish(message, packetId);
    if (message.qos > 0) this.#inflight.set(packetId, waiter);
    else waiter.resolve();
  }

  #nextPacketId(): number {
    do {
      this.#packetId = this.#packetId === packetIdMax ? 1 : this.#packetId + 1;
    } while (this.#inflight.has(this.#packetId) || this.#subscribing.has(this.#packetId));
    return this.#packetId;
  }

  /** Packets of one turn leave together. */
  #send(bytes: Uint8Array): void {
    this.#out.append(bytes);
  }

  #flush(): void {
    if (this.#out.isEmpty || this.#state === 'ended') return;
    this.#sentMs = this.#link.nowMs();
    this.#link.send(this.#out.take());
  }
}
