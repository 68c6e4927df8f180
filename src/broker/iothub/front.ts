// IoT Hub's device protocol on MQTT topics: telemetry, twins, direct methods, module inputs.
//
//   device ── devices/…/messages/events ──► backend.telemetry() ──► PUBACK when it resolved
//          ── $iothub/twin/GET|PATCH ─────► backend.twin(), patchReported() ──► $iothub/twin/res
//          ◄─ $iothub/twin/PATCH/…/desired ── notifyDesired()
//          ◄─ $iothub/methods/POST ────────── invokeMethod() ◄── $iothub/methods/res
//          ◄─ devices/…/inputs ────────────── deliverInput(), resolves at the module's PUBACK
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
import type { Message } from '../../model/message.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Counter, Metrics } from '../../platform/metrics.ts';
import {
  desiredPatchTopic,
  inputTopic,
  isIotHubTopic,
  methodRequestTopic,
  parseDeviceTopic,
  twinResponseTopic,
} from '../../protocol/iothub/topics.ts';
import type { BrokerClient, InboundPublish, TopicProtocol } from '../ports.ts';
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
import { inputTopicOf, readTelemetry } from './telemetry.ts';
import { desiredBody, errorAnswer, patchAnswer, readPatch, type TwinAnswer, twinAnswer } from './twin-answer.ts';

export interface IotHubFrontPorts {
  readonly backend: DeviceBackend;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

const hexadecimal = 16;
/** Stands for any request of its kind when the question is whether a client has subscribed. */
const anyRid = '0';

export class IotHubFront implements TopicProtocol {
  readonly #backend: DeviceBackend;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #accepted: Counter;
  readonly #speakerByClient = new Map<BrokerClient, Speaker>();
  readonly #speakerByKey = new Map<string, Speaker>();
  readonly #listeningListeners = new Set<(identity: Identity) => void>();
  #callNumber = 0;

  constructor({ backend, clock, log, metrics }: IotHubFrontPorts) {
    this.#backend = backend;
    this.#clock = clock;
    this.#log = log.child('iothub');
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
    if (this.#speakerByClient.get(client)?.refused === true) {
      this.#metrics.counter('weir_iothub_refused', { reason: 'IOTHUB_OUT_OF_TURN' }).add();
      throw outOfTurnError(client.clientId);
    }
    try {
      await this.#publish(client, publish);
    } catch (error) {
      this.#metrics.counter('weir_iothub_refused', { reason: errorCode(error) }).add();
      this.#log.warn('publish refused', {
        client: client.clientId,
        code: errorCode(error),
        reason: errorMessage(error),
      });
      throw error;
    }
  }

  /** The QoS granted, at most 1. Undefined for somebody else's topics. */
  subscribe(client: BrokerClient, filter: string, qos: 0 | 1 | 2): 0 | 1 | undefined {
    const speaker = this.#speakerByClient.get(client);
    if (speaker === undefined || !isOwnFilter(speaker.identity, filter)) {
      this.#metrics.counter('weir_iothub_refused', { reason: 'SUBSCRIBE' }).add();
      this.#log.warn('subscription refused: it belongs to somebody else', { client: client.clientId, filter });
      return undefined;
    }
    const granted = qos === 0 ? 0 : 1;
    speaker.subscribe(filter, granted);
    if (filter.startsWith(moduleRoot(speaker.identity))) this.#announceListening(speaker);
    return granted;
  }

  unsubscribe(client: BrokerClient, filter: string): void {
    this.#speakerByClient.get(client)?.unsubscribe(filter);
  }

  connected(client: BrokerClient, filters: readonly string[]): void {
    const { identity } = client.principal;
    if (identity === undefined) return;
    const speaker = new Speaker(client, identity, this.#clock);
    this.#speakerByClient.set(client, speaker);
    this.#speakerByKey.set(identityKey(identity), speaker);
    for (const filter of filters) {
      if (isOwnFilter(speaker.identity, filter)) speaker.subscribe(filter, 1);
    }
    this.#backend.connected?.(identity);
    if (speaker.hasFilterBelow(moduleRoot(identity))) this.#announceListening(speaker);
  }

  disconnected(client: BrokerClient): void {
    const speaker = this.#speakerByClient.get(client);
    if (speaker === undefined) return;
    this.#speakerByClient.delete(client);
    speaker.gone();
    const key = identityKey(speaker.identity);
    // A second connection of the same identity may be here already.
    if (this.#speakerByKey.get(key) !== speaker) return;
    this.#speakerByKey.delete(key);
    this.#backend.disconnected?.(speaker.identity);
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

  /** Called, after the SUBACK or CONNACK, each time an identity has begun to listen to inputs. */
  onListening(listener: (identity: Identity) => void): void {
    this.#listeningListeners.add(listener);
  }

  /** Tells the identity, or the gateway that speaks for it, of changed desired properties. Whoever is away asks when it is back. */
  notifyDesired(identity: Identity, patch: JsonObject, version: number): void {
    const found = this.#speakerFor(identity, desiredPatchTopic(version));
    if (found === undefined) return;
    const topic = desiredPatchTopic(version, sameIdentity(found.identity, identity) ? undefined : identity);
    found.client
      .deliver({ topic, payload: Buffer.from(desiredBody(patch, version)), qos: 0 })
      .catch((error: unknown) => {
        this.#log.debug('desired properties not delivered', {
          client: found.client.clientId,
          reason: errorMessage(error),
        });
      });
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
   * Calls a method of the identity, directly or through its gateway. Rejects IOTHUB_NOT_LISTENING (retryable),
   * IOTHUB_METHOD_TIMEOUT, IOTHUB_CLIENT_GONE, IOTHUB_METHOD_ANSWER_INVALID, IOTHUB_METHOD_INVALID, IOTHUB_BUSY.
   */
  async invokeMethod(identity: Identity, call: MethodCall): Promise<MethodAnswer> {
    if (call.name === '' || call.name.length > methodNameMax)
      throw badMethodError(`its name has 1 to ${methodNameMax} characters`);
    const bytes = Buffer.byteLength(JSON.stringify(call.payload));
    if (bytes > methodPayloadBytesMax) throw tooLargeError('The payload of the method', bytes, methodPayloadBytesMax);
    const speaker = this.#speakerFor(identity, methodRequestTopic(call.name, anyRid));
    if (speaker === undefined) throw notListeningError(identity, 'methods');
    this.#callNumber += 1;
    return speaker.call(identity, call, this.#callNumber.toString(hexadecimal));
  }

  // ── inside ──

  async #publish(client: BrokerClient, publish: InboundPublish): Promise<void> {
    const speaker = this.#speakerByClient.get(client);
    if (speaker === undefined) throw notPermittedError(client.principal.name, publish.topic);
    if (publish.qos > 1) throw qosError(publish.topic);
    const topic = parseDeviceTopic(publish.topic);
    if (topic === undefined) throw unknownTopicError(publish.topic);
    switch (topic.kind) {
      case 'telemetry':
        try {
          return await this.#acceptTelemetry(speaker, topic, publish);
        } catch (error) {
          speaker.refused = true;
          throw error;
        }
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
        if (!speaker.answer(topic.rid, topic.status, publish.payload))
          this.#metrics.counter('weir_iothub_method_answers_late').add();
        return;
      default:
        return assertNever(topic, 'device topic');
    }
  }

  async #acceptTelemetry(
    speaker: Speaker,
    topic: { readonly deviceId: string; readonly moduleId: string | undefined; readonly bag: string },
    publish: InboundPublish,
  ): Promise<void> {
    const { deviceId, moduleId, bag } = topic;
    const sender = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    if (!this.#mayUse(speaker.identity, sender)) throw notPermittedError(speaker.client.principal.name, publish.topic);
    if (publish.payload.length > messageBytesMax)
      throw tooLargeError('The message', publish.payload.length, messageBytesMax);
    await this.#backend.telemetry(readTelemetry(publish, { sender, bag }, this.#clock.wallMs()));
    this.#accepted.add();
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

function isOwnFilter(identity: Identity, filter: string): boolean {
  if (filter.startsWith('$iothub/')) return true;
  if (identity.moduleId === undefined) return filter.startsWith(`devices/${identity.deviceId}/messages/devicebound/`);
  return filter.startsWith(moduleRoot(identity));
}
