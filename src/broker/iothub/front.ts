// IoT Hub's device protocol on MQTT topics: telemetry, twins, direct methods, module inputs.
//
//   device ── devices/…/messages/events ──► backend.telemetry() ──► PUBACK when it resolved
//          ── $iothub/frames/POST ────────► backend.telemetryFrame(), of many messages all or none
//          ── $iothub/twin/GET|PATCH ─────► backend.twin(), patchReported() ──► $iothub/twin/res
//          ◄─ $iothub/twin/PATCH/…/desired ── notifyDesired()
//          ◄─ $iothub/methods/POST ────────── invokeMethod() ◄── $iothub/methods/res
//          ◄─ devices/…/inputs ────────────── deliverInput(), resolves at the module's PUBACK
//          ◄─ devices/…/devicebound ───────── deliverToDevice(), resolves at the device's PUBACK, or when its gateway
//                                             says on $iothub/messages/res that the device has it
//
// Invariants
//   A telemetry publish is acknowledged only after the backend has it safe. One that cannot be read is refused,
//   counted and logged, and its client is disconnected: an acknowledgement would be a silent loss. Nothing more is
//   taken from that connection: what was already under way behind the refused one must not overtake it, or its
//   repetition would look like something long received.
//   An identity reaches its own topics and twin, and those for which backend.mayActFor() says so; nothing else.
//   Nothing is sent to a client that has not subscribed to it.
//
// The gateway and the hub use the same front over different backends. A connection of a generic MQTT client (no
// identity) has no business here. Identities are keyed by their name: a second connection replaces the first.

import { messageBytesMax, methodNameMax, methodPayloadBytesMax, twinRequestsPerClientMax } from '../../limits.ts';
import { type Identity, identityKey, sameIdentity } from '../../model/address.ts';
import { assertNever } from '../../model/assert-never.ts';
import { errorCode, errorMessage, WeirError } from '../../model/errors.ts';
import type { JsonObject } from '../../model/json.ts';
import { type Message, takenOver } from '../../model/message.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Counter, Metrics } from '../../platform/metrics.ts';
import {
  parseScopeRequest,
  type ScopeRequest,
  scopeChangedTopic,
  scopeFilter,
  scopeRequestTopic,
  scopeResponseTopic,
} from '../../protocol/iothub/scope-topics.ts';
import { frameFilter, framesTakenTopic } from '../../protocol/iothub/telemetry-frame.ts';
import {
  cloudToDeviceTopic,
  type DeviceTopic,
  desiredPatchTopic,
  deviceOfDeviceboundFilter,
  inputTopic,
  isIotHubTopic,
  methodRequestTopic,
  parseDeviceTopic,
  twinResponseTopic,
} from '../../protocol/iothub/topics.ts';
import { topicMatches } from '../../protocol/mqtt/topic.ts';
import { ClientLog } from '../client-log.ts';
import type { BrokerClient, InboundPublish, TopicProtocol } from '../ports.ts';
import { Arrivals } from './arrivals.ts';
import {
  badMethodError,
  busyError,
  notListeningError,
  notPermittedError,
  outOfTurnError,
  qosError,
  tooLargeError,
  unknownTopicError,
} from './errors.ts';
import type { DeviceBackend } from './ports.ts';
import { type MethodAnswer, type MethodCall, Speaker } from './speaker.ts';
import { deviceboundTopicOf, inputTopicOf, readFrame, readTelemetry } from './telemetry.ts';
import { desiredBody, errorAnswer, patchAnswer, readPatch, type TwinAnswer, twinAnswer } from './twin-answer.ts';

export interface IotHubFrontPorts {
  readonly backend: DeviceBackend;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

const hexadecimal = 16;
const statusOk = 200;
/** Stands for any request of its kind when the question is whether a client has subscribed. */
const anyRid = '0';
const anyDesiredPatch = desiredPatchTopic(0);

export class IotHubFront implements TopicProtocol {
  readonly #backend: DeviceBackend;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #refusals: ClientLog;
  readonly #metrics: Metrics;
  readonly #accepted: Counter;
  readonly #speakerByClient = new Map<BrokerClient, Speaker>();
  readonly #speakerByKey = new Map<string, Speaker>();
  readonly #listeningListeners = new Set<(identity: Identity) => void>();
  readonly #deviceboundListeners = new Set<(device: Identity) => void>();
  readonly #arrivals: Arrivals;
  #callNumber = 0;

  constructor({ backend, clock, log, metrics }: IotHubFrontPorts) {
    this.#backend = backend;
    this.#clock = clock;
    this.#arrivals = new Arrivals(clock);
    this.#log = log.child('iothub');
    this.#refusals = new ClientLog(clock, this.#log);
    this.#metrics = metrics;
    this.#accepted = metrics.counter('weir_iothub_telemetry_accepted');
  }

  // ── what the broker asks ──

  ownsTopic(topic: string): boolean {
    return isIotHubTopic(topic);
  }

  ownsFilter(filter: string): boolean {
    return isIotHubTopic(filter);
  }

  async publish(client: BrokerClient, publish: InboundPublish): Promise<void> {
    const speaker = this.#speakerByClient.get(client);
    if (speaker?.refused === true) {
      this.#metrics.counter('weir_iothub_refused', { reason: 'IOTHUB_OUT_OF_TURN' }).add();
      throw outOfTurnError(client.clientId);
    }
    const topic = parseDeviceTopic(publish.topic);
    try {
      if (speaker === undefined) throw notPermittedError(client.principal.name, publish.topic);
      if (publish.qos > 1) throw qosError(publish.topic);
      await this.#serve(speaker, topic, publish);
      if (topic?.kind === 'telemetry') this.#accepted.add();
    } catch (error) {
      const isTelemetry = topic?.kind === 'telemetry' || topic?.kind === 'frame';
      if (isTelemetry && speaker !== undefined) speaker.refused = true;
      this.#metrics.counter('weir_iothub_refused', { reason: errorCode(error) }).add();
      const { clientId } = client;
      this.#refusals.write('warn', 'publish refused', {
        client: clientId,
        code: errorCode(error),
        reason: errorMessage(error),
      });
      throw error;
    }
  }

  /** The QoS granted, at most 1. Undefined for somebody else's topics. */
  subscribe(client: BrokerClient, filter: string, qos: 0 | 1 | 2): 0 | 1 | undefined {
    const speaker = this.#speakerByClient.get(client);
    if (speaker === undefined || !this.#isOwnFilter(speaker.identity, filter)) {
      this.#metrics.counter('weir_iothub_refused', { reason: 'SUBSCRIBE' }).add();
      this.#log.warn('subscription refused: it belongs to somebody else', { client: client.clientId, filter });
      return undefined;
    }
    const granted = qos === 0 ? 0 : 1;
    speaker.subscribe(filter, granted);
    if (filter.startsWith(moduleRoot(speaker.identity)) || topicMatches(filter, anyDesiredPatch))
      this.#announceListening(speaker);
    if (filter === scopeFilter) this.#clock.soon(() => this.notifyScope(speaker.identity));
    if (filter === frameFilter) this.#clock.soon(() => this.#tellFrames(client));
    this.#changed([filter]);
    return granted;
  }

  unsubscribe(client: BrokerClient, filter: string): void {
    this.#speakerByClient.get(client)?.unsubscribe(filter);
    this.#changed([filter]);
  }

  connected(client: BrokerClient, filters: readonly string[]): void {
    const { identity } = client.principal;
    if (identity === undefined) return;
    const speaker = new Speaker(client, identity, this.#clock);
    this.#speakerByClient.set(client, speaker);
    this.#speakerByKey.set(identityKey(identity), speaker);
    for (const filter of filters) {
      if (this.#isOwnFilter(speaker.identity, filter)) speaker.subscribe(filter, 1);
    }
    this.#backend.connected?.(identity);
    if (speaker.hasFilterBelow(moduleRoot(identity)) || speaker.grantedQos(anyDesiredPatch) !== undefined)
      this.#announceListening(speaker);
    this.#changed(filters);
  }

  disconnected(client: BrokerClient): void {
    const speaker = this.#speakerByClient.get(client);
    if (speaker === undefined) return;
    this.#speakerByClient.delete(client);
    speaker.gone();
    const key = identityKey(speaker.identity);
    // A second connection of the same identity may be here already.
    if (this.#speakerByKey.get(key) === speaker) {
      this.#speakerByKey.delete(key);
      this.#backend.disconnected?.(speaker.identity);
    }
    this.#changed([...speaker.filters()]);
  }

  // ── what the owner of this node asks ──

  isConnected(identity: Identity): boolean {
    return this.#speakerByKey.has(identityKey(identity));
  }

  /** True when `target` is there and has subscribed to `input`; without one, to any of its inputs. */
  isListening(target: Identity, input?: string): boolean {
    const speaker = this.#speakerByKey.get(identityKey(target));
    if (speaker === undefined) return false;
    if (input === undefined) return speaker.hasFilterBelow(moduleRoot(target));
    return speaker.grantedQos(inputTopic(target, input, '')) !== undefined;
  }

  /** Called, after the SUBACK or CONNACK, each time an identity has begun to listen to inputs or to desired properties. */
  onListening(listener: (identity: Identity) => void): void {
    this.#listeningListeners.add(listener);
  }

  /** True when the device, or the gateway that speaks for it, takes cloud-to-device messages. */
  isListeningToCloud(device: Identity): boolean {
    return this.#speakerFor(device, cloudToDeviceTopic(device, '')) !== undefined;
  }

  /** Called after the SUBACK or CONNACK, or after the end: isListeningToCloud() of this device may have changed. */
  onDevicebound(listener: (device: Identity) => void): void {
    this.#deviceboundListeners.add(listener);
  }

  /** Tells the identity, or the gateway that speaks for it, of changed desired properties. False when nobody was there. */
  notifyDesired(identity: Identity, patch: JsonObject, version: number): boolean {
    const found = this.#speakerFor(identity, desiredPatchTopic(version));
    if (found === undefined) return false;
    const topic = desiredPatchTopic(version, sameIdentity(found.identity, identity) ? undefined : identity);
    found.client
      .deliver({ topic, payload: Buffer.from(desiredBody(patch, version)), qos: 0 })
      .catch((error: unknown) => {
        this.#log.debug('desired properties not delivered', {
          client: found.client.clientId,
          reason: errorMessage(error),
        });
      });
    return true;
  }

  /** Tells a gateway which state its scope is in, so that it reads what it does not have. */
  notifyScope(gateway: Identity): void {
    const speaker = this.#speakerByKey.get(identityKey(gateway));
    const version = speaker && this.#backend.scopeVersion?.(gateway);
    if (speaker === undefined || version === undefined) return;
    const topic = scopeChangedTopic(version);
    if (speaker.grantedQos(topic) === undefined) return;
    // A gateway that goes now is told when it is back.
    speaker.client.deliver({ topic, payload: Buffer.alloc(0), qos: 0 }).catch(() => undefined);
  }

  /**
   * Resolves when the module has acknowledged (or, where it subscribed with QoS 0, when the bytes are on their way).
   * Rejects IOTHUB_NOT_LISTENING, or BROKER_CLIENT_GONE when the connection ends before.
   */
  async deliverInput(target: Identity, input: string, message: Message): Promise<void> {
    const topic = inputTopicOf(target, input, message);
    const speaker = this.#speakerByKey.get(identityKey(target));
    const qos = speaker?.grantedQos(topic);
    if (speaker === undefined || qos === undefined) throw notListeningError(target, `input '${input}'`);
    await speaker.client.deliver({ topic, payload: message.body, qos });
  }

  /**
   * Resolves when the device has acknowledged (or, where it subscribed with QoS 0, when the bytes are on their way), or
   * its gateway tells so. Rejects IOTHUB_NOT_LISTENING and IOTHUB_BUSY when the device never saw the message,
   * BROKER_CLIENT_GONE and IOTHUB_NOT_SETTLED when it may have.
   */
  async deliverToDevice(device: Identity, message: Pick<Message, 'system' | 'properties' | 'body'>): Promise<void> {
    const speaker = this.#speakerFor(device, cloudToDeviceTopic(device, ''));
    if (speaker === undefined) throw notListeningError(device, 'cloud-to-device messages');
    const qos = speaker.grantedQos(cloudToDeviceTopic(device, '')) ?? 0;
    if (sameIdentity(speaker.identity, device)) {
      await speaker.client.deliver({ topic: deviceboundTopicOf(device, message), payload: message.body, qos });
      return;
    }
    const rid = this.#nextRid();
    const topic = deviceboundTopicOf(device, message, rid);
    await speaker.hand(device, rid, () => speaker.client.deliver({ topic, payload: message.body, qos }));
  }

  /**
   * Calls a method of the identity, directly or through its gateway, once it is there. Rejects IOTHUB_NOT_LISTENING
   * (retryable), IOTHUB_METHOD_TIMEOUT, IOTHUB_CLIENT_GONE, IOTHUB_METHOD_ANSWER_INVALID, IOTHUB_METHOD_INVALID,
   * IOTHUB_TOO_LARGE, IOTHUB_BUSY.
   */
  async invokeMethod(identity: Identity, call: MethodCall): Promise<MethodAnswer> {
    if (call.name === '' || call.name.length > methodNameMax)
      throw badMethodError(`its name has 1 to ${methodNameMax} characters`);
    const bytes = Buffer.byteLength(JSON.stringify(call.payload));
    if (bytes > methodPayloadBytesMax) throw tooLargeError('The payload of the method', bytes, methodPayloadBytesMax);
    const topic = methodRequestTopic(call.name, anyRid);
    const { connectTimeoutMs = 0 } = call;
    const startMs = this.#clock.monotonicMs();
    const find = (): Speaker | undefined => this.#speakerFor(identity, topic);
    const speaker = find() ?? (await this.#arrivals.wait(connectTimeoutMs, find));
    if (speaker === undefined) throw notListeningError(identity, 'methods');
    const leftMs = Math.max(0, connectTimeoutMs - (this.#clock.monotonicMs() - startMs));
    return speaker.call(identity, { ...call, connectTimeoutMs: leftMs }, this.#nextRid());
  }

  // ── inside ──

  /** Undefined: done. What is refused at once is thrown: a promise for each message would be most of what it costs. */
  #serve(speaker: Speaker, topic: DeviceTopic | undefined, publish: InboundPublish): Promise<void> | undefined {
    if (topic?.kind === 'telemetry') return this.#acceptTelemetry(speaker, topic, publish);
    const scopeRequest = parseScopeRequest(publish.topic);
    if (scopeRequest !== undefined) return this.#answerScope(speaker, scopeRequest);
    if (topic === undefined) throw unknownTopicError(publish.topic);
    switch (topic.kind) {
      case 'frame':
        return this.#acceptFrame(speaker, publish);
      case 'twin-get':
        return this.#answerTwin(speaker, { ...topic, topic: publish.topic }, async (owner) =>
          twinAnswer(await this.#backend.twin(owner)),
        );
      case 'twin-patch':
        return this.#answerTwin(speaker, { ...topic, topic: publish.topic }, async (owner) => {
          const version = await this.#backend.patchReported(owner, readPatch(publish.payload));
          return patchAnswer(version);
        });
      case 'method-response':
        if (!speaker.answer(topic, publish.payload)) this.#metrics.counter('weir_iothub_method_answers_late').add();
        return undefined;
      case 'settlement':
        if (!speaker.settle(topic.rid, topic.status)) this.#metrics.counter('weir_iothub_settlements_late').add();
        return undefined;
      default:
        return assertNever(topic, 'device topic');
    }
  }

  /** Resolves when the backend has it safe. */
  #acceptTelemetry(
    speaker: Speaker,
    topic: { readonly deviceId: string; readonly moduleId: string | undefined; readonly bag: string },
    publish: InboundPublish,
  ): Promise<void> {
    const { deviceId, moduleId, bag } = topic;
    const sender = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    const isOwn = this.#isOwn(speaker, sender, publish.topic);
    if (publish.payload.length > messageBytesMax)
      throw tooLargeError('The message', publish.payload.length, messageBytesMax);
    const message = readTelemetry(publish, { sender, bag }, this.#clock.wallMs());
    return this.#backend.telemetry(this.#brought(speaker, message, isOwn));
  }

  /** Resolves when the backend has all of it safe. Refuses at once, before anything behind it is looked at. */
  #acceptFrame(speaker: Speaker, publish: InboundPublish): Promise<void> {
    if (this.#backend.telemetryFrame === undefined) throw unknownTopicError(publish.topic);
    const messages = readFrame(publish, this.#clock.wallMs()).map((message) =>
      this.#brought(speaker, message, this.#isOwn(speaker, message.sender, publish.topic)),
    );
    return this.#backend.telemetryFrame(messages).then(() => {
      this.#accepted.add(messages.length);
      this.#metrics.counter('weir_iothub_frames_accepted').add();
    });
  }

  /** Whether the speaker may act for the sender of a message. False: it only answers for it. Throws IOTHUB_NOT_PERMITTED. */
  #isOwn(speaker: Speaker, sender: Identity, topic: string): boolean {
    if (this.#mayUse(speaker.identity, sender)) return true;
    if (this.#backend.takesOver?.(speaker.identity) === true) return false;
    throw notPermittedError(speaker.client.principal.name, topic);
  }

  /** The message as the one of who brought it. */
  #brought(speaker: Speaker, read: Message, isOwn: boolean): Message {
    const message = isOwn ? read : this.#takeOver(speaker, read);
    const carrier = speaker.identity.deviceId;
    return read.sender.deviceId === carrier ? message : { ...message, carrier };
  }

  #tellFrames(client: BrokerClient): void {
    if (this.#backend.telemetryFrame === undefined) return;
    client.deliver({ topic: framesTakenTopic, payload: Buffer.alloc(0), qos: 0 }).catch(() => undefined);
  }

  #takeOver(speaker: Speaker, message: Message): Message {
    const sender = identityKey(message.sender);
    this.#metrics.counter('weir_iothub_telemetry_taken_over').add();
    if (speaker.isNewStranger(sender))
      this.#log.warn("a gateway sends for a device that is not behind it; its messages are kept as the gateway's own", {
        client: speaker.client.clientId,
        sender,
        mend: `weir hub device set-parent ${message.sender.deviceId} ${speaker.identity.deviceId}`,
      });
    return takenOver(message, speaker.identity);
  }

  async #answerScope(speaker: Speaker, { rid, after }: ScopeRequest): Promise<void> {
    let status = statusOk;
    let body: string;
    try {
      if (this.#backend.scopeVersion?.(speaker.identity) === undefined)
        throw notPermittedError(identityKey(speaker.identity), scopeRequestTopic(rid));
      body = JSON.stringify(this.#backend.scopePage?.(speaker.identity, after));
    } catch (error) {
      ({ status, body } = errorAnswer(error, this.#clock.wallMs()));
    }
    const topic = scopeResponseTopic(status, rid);
    if (speaker.grantedQos(topic) === undefined) return;
    await speaker.client.deliver({ topic, payload: Buffer.from(body), qos: 0 }).catch(() => undefined);
  }

  async #answerTwin(
    speaker: Speaker,
    request: { readonly rid: string; readonly onBehalfOf: Identity | undefined; readonly topic: string },
    work: (owner: Identity) => Promise<TwinAnswer>,
  ): Promise<void> {
    const owner = request.onBehalfOf ?? speaker.identity;
    speaker.twinRequests += 1;
    let answer: TwinAnswer;
    try {
      if (!this.#mayUse(speaker.identity, owner)) throw notPermittedError(identityKey(speaker.identity), request.topic);
      if (speaker.twinRequests > twinRequestsPerClientMax) throw busyError('twin requests', twinRequestsPerClientMax);
      answer = await work(owner);
    } catch (error) {
      this.#metrics.counter('weir_iothub_twin_errors', { reason: errorCode(error) }).add();
      const level = error instanceof WeirError ? 'debug' : 'error';
      this.#log[level]('twin request failed', {
        client: speaker.client.clientId,
        code: errorCode(error),
        reason: errorMessage(error),
      });
      answer = errorAnswer(error, this.#clock.wallMs());
    } finally {
      speaker.twinRequests -= 1;
    }
    const topic = twinResponseTopic(answer.status, request.rid, answer.version);
    if (speaker.grantedQos(topic) === undefined) {
      this.#metrics.counter('weir_iothub_twin_answers_unsubscribed').add();
      return;
    }
    // The asker may have gone: nobody is left to be told.
    await speaker.client.deliver({ topic, payload: Buffer.from(answer.body), qos: 0 }).catch(() => undefined);
  }

  #mayUse(speaker: Identity, owner: Identity): boolean {
    return sameIdentity(speaker, owner) || this.#backend.mayActFor(speaker, owner);
  }

  /** Who gets what is meant for `identity`: itself when it has subscribed, else the `$edgeHub` that speaks for it. */
  #speakerFor(identity: Identity, topic: string): Speaker | undefined {
    const own = this.#speakerByKey.get(identityKey(identity));
    if (own?.grantedQos(topic) !== undefined) return own;
    const gatewayIdentity = this.#backend.gatewayOf?.(identity);
    if (gatewayIdentity === undefined) return undefined;
    const gateway = this.#speakerByKey.get(identityKey(gatewayIdentity));
    if (gateway === undefined || gateway === own || gateway.grantedQos(topic) === undefined) return undefined;
    return this.#backend.mayActFor(gateway.identity, identity) ? gateway : undefined;
  }

  /** Of weir's own making, so that the case of it does not matter. */
  #nextRid(): string {
    this.#callNumber += 1;
    return this.#callNumber.toString(hexadecimal);
  }

  /** Who listens to what has changed by these filters. */
  #changed(filters: readonly string[]): void {
    const devices = filters.map(deviceOfDeviceboundFilter).filter((device) => device !== undefined);
    if (devices.length === 0 && this.#arrivals.count === 0) return;
    this.#clock.soon(() => {
      this.#arrivals.changed();
      for (const device of devices) {
        for (const listener of this.#deviceboundListeners) listener(device);
      }
    });
  }

  #isOwnFilter(identity: Identity, filter: string): boolean {
    if (filter.startsWith('$iothub/')) return true;
    const device = deviceOfDeviceboundFilter(filter);
    if (device !== undefined && !sameIdentity(device, identity)) return this.#backend.mayActFor(identity, device);
    if (identity.moduleId === undefined) return filter.startsWith(`devices/${identity.deviceId}/messages/devicebound/`);
    return filter.startsWith(moduleRoot(identity));
  }

  #announceListening(speaker: Speaker): void {
    this.#clock.soon(() => {
      if (this.#speakerByClient.get(speaker.client) !== speaker) return;
      for (const listener of this.#listeningListeners) listener(speaker.identity);
    });
  }
}

/** Where a module's inputs lie. Microsoft's documents subscribe to all of it, the clients to `inputs/#` below. */
function moduleRoot({ deviceId, moduleId }: Identity): string {
  return `devices/${deviceId}/modules/${moduleId ?? ''}/`;
}
