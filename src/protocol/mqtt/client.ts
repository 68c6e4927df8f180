// An MQTT 3.1.1 client without a socket: bytes in, bytes out, time by tick(). QoS 0 and 1.
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
//   At most inflightMax QoS 1 messages are under way; the others wait here, at most mqttClientWaitingMax.
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
import { encodeAck } from './ack.ts';
import { AckOrder } from './ack-order.ts';
import { connectionRefused, linkLost, MqttError, protocolError, timedOut } from './errors.ts';
import { flagsMask, lengthFieldBytes, lengthFieldValue, PacketCarry, packetType, typeShift } from './frame.ts';
import { decodePacket, encodePacket } from './packet.ts';
import { PublishView, publishBytes, readUint16, writePublish } from './publish.ts';
import { isValidTopicFilter, isValidTopicName } from './topic.ts';

export interface MqttClientOptions {
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** 0 switches the keep-alive off. */
  readonly keepAliveSeconds: number;
  readonly cleanSession: boolean;
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

export interface MqttClientEvents {
  onConnected(sessionPresent: boolean): void;
  /** `payload` is a copy. QoS 1 is acknowledged when the returned promise resolves; when it rejects, the link ends unacknowledged. */
  onMessage(message: { readonly topic: string; readonly payload: Buffer; readonly qos: 0 | 1 }): void | Promise<void>;
  /** CONNACK refusal, protocol error, dead peer: the client has called link.close(). */
  onFailed(error: WeirError): void;
}

interface Waiter {
  resolve(): void;
  reject(error: WeirError): void;
}

interface WaitingPublish extends Waiter {
  readonly view: PublishView;
}

interface SubscribeWaiter {
  readonly count: number;
  resolve(granted: readonly number[]): void;
  reject(error: WeirError): void;
}

const millisecondsPerSecond = 1000;
/** A PINGREQ goes out after this share of the keep-alive without sending, so that a late tick does no harm. */
const pingAfterShare = 0.75;
const ackRestBytes = 2;
const pingBytes = Buffer.from([packetType.pingreq << typeShift, 0]);
const disconnectBytes = Buffer.from([packetType.disconnect << typeShift, 0]);

export class MqttClient {
  readonly #options: MqttClientOptions;
  readonly #link: MqttClientLink;
  readonly #events: MqttClientEvents;
  readonly #carry = new PacketCarry();
  readonly #view = new PublishView();
  readonly #acks: AckOrder;
  readonly #inflight = new Map<number, Waiter>();
  readonly #subscribing = new Map<number, SubscribeWaiter>();
  #waiting: WaitingPublish[] = [];
  #waitingHead = 0;
  #state: 'idle' | 'connecting' | 'connected' | 'ended' = 'idle';
  #packetId = 0;
  #out: Uint8Array[] = [];
  #startedMs = 0;
  #sentMs = 0;
  #pingSentMs: number | undefined;

  constructor(options: MqttClientOptions, link: MqttClientLink, events: MqttClientEvents) {
    assert(options.inflightMax >= 1 && options.inflightMax < packetIdMax, 'inflightMax fits the packet ids');
    this.#options = options;
    this.#link = link;
    this.#events = events;
    this.#acks = new AckOrder((type, packetId) => this.#send(encodeAck(type, packetId)));
  }

  /** Sends CONNECT. Call it once, when the stream is open. */
  start(): void {
    assert(this.#state === 'idle', 'a client connects once');
    this.#state = 'connecting';
    this.#startedMs = this.#link.nowMs();
    const { clientId, username, password, keepAliveSeconds, cleanSession } = this.#options;
    this.#send(
      encodePacket({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clientId,
        clean: cleanSession,
        keepalive: keepAliveSeconds,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password: Buffer.from(password) }),
      }),
    );
    this.#flush();
  }

  /** Bytes from the network: `chunk[0..length)`, borrowed until the call returns. */
  receive(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length && this.#state !== 'ended') {
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
    const keepAliveMs = this.#options.keepAliveSeconds * millisecondsPerSecond;
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
   * Rejects: MQTT_LINK_LOST when the connection ends first, MQTT_QUEUE_FULL, MQTT_MESSAGE_INVALID.
   */
  publish(message: { readonly topic: string; readonly payload: Uint8Array; readonly qos: 0 | 1 }): Promise<void> {
    const { clientId } = this.#options;
    if (this.#state === 'ended') return Promise.reject(linkLost(clientId));
    if (!isValidTopicName(message.topic) || message.payload.length > messageBytesMax) {
      return Promise.reject(messageInvalid(clientId, message.topic, message.payload.length));
    }
    if (this.#waiting.length - this.#waitingHead >= mqttClientWaitingMax) return Promise.reject(queueFull(clientId));
    const view = PublishView.of({ ...message, retain: false });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ view, resolve, reject });
      this.#pump();
    });
  }

  /** Resolves with the granted QoS per filter (128 = refused). Only while connected; rejects as publish() does. */
  subscribe(filters: readonly { readonly filter: string; readonly qos: 0 | 1 }[]): Promise<readonly number[]> {
    assert(filters.length > 0 && filters.every(({ filter }) => isValidTopicFilter(filter)), 'filters are valid');
    if (this.#state !== 'connected') return Promise.reject(linkLost(this.#options.clientId));
    const messageId = this.#nextPacketId();
    return new Promise((resolve, reject) => {
      this.#subscribing.set(messageId, { count: filters.length, resolve, reject });
      const subscriptions = filters.map(({ filter, qos }) => ({ topic: filter, qos }));
      this.#send(encodePacket({ cmd: 'subscribe', messageId, subscriptions }));
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
    this.#out = [];
    this.#carry.clear();
    const lost = linkLost(this.#options.clientId);
    const waiters = [
      ...this.#inflight.values(),
      ...this.#subscribing.values(),
      ...this.#waiting.slice(this.#waitingHead),
    ];
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
      this.#connack(packet, type);
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
        this.#suback(packet);
        return;
      case packetType.pingresp:
        this.#pingSentMs = undefined;
        return;
      default:
        this.#fail(protocolError(this.#options.clientId, `unexpected packet type ${type}`));
    }
  }

  #connack(packet: Buffer, type: number): void {
    const decoded = type === packetType.connack ? decodePacket(packet) : undefined;
    if (decoded === undefined || !decoded.ok || decoded.packet.cmd !== 'connack') {
      this.#fail(protocolError(this.#options.clientId, 'the first packet is not a CONNACK'));
      return;
    }
    const { returnCode = 0, sessionPresent } = decoded.packet;
    if (returnCode !== 0) {
      this.#fail(connectionRefused(this.#options.clientId, returnCode));
      return;
    }
    this.#state = 'connected';
    this.#events.onConnected(sessionPresent);
    this.#pump();
  }

  #message(packet: Buffer, bodyAt: number): void {
    const view = this.#view;
    const problem = view.read(packet, { firstByte: packet[0] as number, from: bodyAt, to: packet.length });
    const topic = problem === undefined ? view.topic() : undefined;
    const { qos, packetId } = view;
    if (topic === undefined || qos === 2) {
      this.#fail(protocolError(this.#options.clientId, problem ?? 'a PUBLISH that was not subscribed to'));
      return;
    }
    const message = { topic, payload: view.payload(), qos };
    const place = qos === 1 ? this.#acks.reserve(packetType.puback, packetId) : undefined;
    const settle = (): void => {
      if (place !== undefined && this.#state === 'connected') this.#acks.settle(place);
    };
    const give = async (): Promise<void> => this.#events.onMessage(message);
    give().then(settle, (cause: unknown) => this.#fail(consumerFailed(this.#options.clientId, topic, cause)));
  }

  #puback(packet: Buffer, bodyAt: number): void {
    const malformed = packet.length !== bodyAt + ackRestBytes || ((packet[0] as number) & flagsMask) !== 0;
    const packetId = malformed ? 0 : readUint16(packet, bodyAt);
    const waiter = this.#inflight.get(packetId);
    if (waiter === undefined) {
      this.#fail(protocolError(this.#options.clientId, `a PUBACK for packet ${packetId}, which is not under way`));
      return;
    }
    this.#inflight.delete(packetId);
    waiter.resolve();
    this.#pump();
  }

  #suback(packet: Buffer): void {
    const decoded = decodePacket(packet);
    const suback = decoded.ok && decoded.packet.cmd === 'suback' ? decoded.packet : undefined;
    const waiter = this.#subscribing.get(suback?.messageId ?? 0);
    const granted = (suback?.granted ?? []).map(Number);
    if (waiter === undefined || granted.length !== waiter.count) {
      this.#fail(protocolError(this.#options.clientId, 'a SUBACK that answers nothing'));
      return;
    }
    this.#subscribing.delete(suback?.messageId ?? 0);
    waiter.resolve(granted);
  }

  /** Sends what waits, as far as the window allows. */
  #pump(): void {
    while (this.#state === 'connected' && this.#waitingHead < this.#waiting.length) {
      const next = this.#waiting[this.#waitingHead] as WaitingPublish;
      const { qos } = next.view;
      if (qos > 0 && this.#inflight.size >= this.#options.inflightMax) break;
      this.#waitingHead++;
      const packetId = qos > 0 ? this.#nextPacketId() : 0;
      const bytes = Buffer.allocUnsafeSlow(publishBytes(next.view, qos));
      writePublish(next.view, { qos, retain: false, duplicate: false, packetId }, { target: bytes, at: 0 });
      this.#send(bytes);
      if (qos > 0) this.#inflight.set(packetId, next);
      else next.resolve();
    }
    // Shifting in bulk keeps a long queue linear.
    if (this.#waitingHead === this.#waiting.length || this.#waitingHead >= mqttClientWaitingMax) {
      this.#waiting = this.#waiting.slice(this.#waitingHead);
      this.#waitingHead = 0;
    }
  }

  #nextPacketId(): number {
    do {
      this.#packetId = this.#packetId === packetIdMax ? 1 : this.#packetId + 1;
    } while (this.#inflight.has(this.#packetId) || this.#subscribing.has(this.#packetId));
    return this.#packetId;
  }

  /** Packets of one turn leave together. */
  #send(bytes: Uint8Array): void {
    this.#out.push(bytes);
    if (this.#out.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const out = this.#out;
    if (out.length === 0 || this.#state === 'ended') return;
    this.#out = [];
    this.#sentMs = this.#link.nowMs();
    this.#link.send(out.length === 1 ? (out[0] as Uint8Array) : Buffer.concat(out));
  }
}

function queueFull(clientId: string): MqttError {
  return new MqttError({
    code: 'MQTT_QUEUE_FULL',
    message: `More than ${mqttClientWaitingMax} messages of ${clientId} wait to be sent. Wait for earlier publishes before adding more.`,
    retryable: true,
    fields: { client: clientId, waitingMax: mqttClientWaitingMax },
  });
}

function messageInvalid(clientId: string, topic: string, payloadBytes: number): MqttError {
  return new MqttError({
    code: 'MQTT_MESSAGE_INVALID',
    message: `A message of ${clientId} cannot be sent: the topic is no valid topic name, or ${payloadBytes} bytes are more than ${messageBytesMax}.`,
    fields: { client: clientId, topic, payloadBytes },
  });
}

function consumerFailed(clientId: string, topic: string, cause: unknown): MqttError {
  return new MqttError({
    code: 'MQTT_CONSUMER_FAILED',
    message: `A message for ${clientId} could not be taken: the connection ends unacknowledged, so that the server sends it again.`,
    retryable: true,
    fields: { client: clientId, topic },
    cause,
  });
}
