// One connected identity: its subscriptions in IoT Hub's name space, the method calls that wait for its answer, and
// the messages that it, a gateway, has for leaf devices and has not settled.
//
// Owns a call from its request to its one end: the answer, the time-out or the disconnect, whichever is first.
// Calls wait in memory only: a direct method is a question to somebody who is there now.

import {
  handedMessagesMax,
  methodCallsPerClientMax,
  methodPayloadBytesMax,
  methodRelayMs,
  strangersLoggedMax,
} from '../../limits.ts';
import { type Identity, sameIdentity } from '../../model/address.ts';
import { isJsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import { methodRequestTopic } from '../../protocol/iothub/topics.ts';
import { topicMatches } from '../../protocol/mqtt/topic.ts';
import type { BrokerClient } from '../ports.ts';
import {
  busyError,
  clientGoneError,
  type IotHubError,
  methodAnswerError,
  methodTimeoutError,
  notListeningError,
  notSettledError,
  relayedError,
} from './errors.ts';

export interface MethodCall {
  readonly name: string;
  readonly payload: JsonValue;
  /** For the answer, once the callee has the call. */
  readonly timeoutMs: number;
  /** For the callee to connect and subscribe; absent: it must be there already. */
  readonly connectTimeoutMs?: number;
}

export interface MethodAnswer {
  readonly status: number;
  readonly payload: JsonValue;
}

interface PendingCall {
  readonly owner: Identity;
  readonly name: string;
  readonly timer: Timer;
  readonly resolve: (answer: MethodAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/** A message on its way through a gateway. */
interface Handed {
  readonly device: Identity;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const settled = 200;
const notFound = 404;

export class Speaker {
  readonly client: BrokerClient;
  readonly identity: Identity;
  twinRequests = 0;
  /** Telemetry of this connection was refused: it is being ended, and nothing more is taken from it. */
  refused = false;
  readonly #clock: Clock;
  readonly #filters = new Map<string, 0 | 1>();
  readonly #calls = new Map<string, PendingCall>();
  /** Whom it has sent for without a right to; as many as are worth a line in the log. */
  readonly #strangers = new Set<string>();
  readonly #handed = new Map<string, Handed>();

  constructor(client: BrokerClient, identity: Identity, clock: Clock) {
    this.client = client;
    this.identity = identity;
    this.#clock = clock;
  }

  subscribe(filter: string, qos: 0 | 1): void {
    this.#filters.set(filter, qos);
  }

  unsubscribe(filter: string): void {
    this.#filters.delete(filter);
  }

  /** True once for each identity that it has no right to send for, up to a limit. */
  isNewStranger(key: string): boolean {
    if (this.#strangers.has(key) || this.#strangers.size >= strangersLoggedMax) return false;
    this.#strangers.add(key);
    return true;
  }

  /** The highest QoS at which the client has subscribed to `topic`; undefined when it has not. */
  grantedQos(topic: string): 0 | 1 | undefined {
    let granted: 0 | 1 | undefined;
    for (const [filter, qos] of this.#filters) {
      if (qos !== granted && granted !== 1 && topicMatches(filter, topic)) granted = qos;
    }
    return granted;
  }

  /** True when some filter may match topics below `root`, which ends with a slash. */
  hasFilterBelow(root: string): boolean {
    for (const filter of this.#filters.keys()) {
      if (filter.startsWith(root)) return true;
    }
    return false;
  }

  /** The filters that this client holds. */
  filters(): Iterable<string> {
    return this.#filters.keys();
  }

  /** Of somebody else's method: a gateway passes the call on and waits there as long as the call says. */
  call(
    owner: Identity,
    { name, payload, timeoutMs, connectTimeoutMs = 0 }: MethodCall,
    rid: string,
  ): Promise<MethodAnswer> {
    if (this.#calls.size >= methodCallsPerClientMax)
      return Promise.reject(busyError('method calls', methodCallsPerClientMax));
    const isOwn = sameIdentity(owner, this.identity);
    const waitMs = isOwn ? timeoutMs : connectTimeoutMs + timeoutMs + methodRelayMs;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(waitMs, () => this.#fail(rid, methodTimeoutError(owner, name, timeoutMs)));
      this.#calls.set(rid, { owner, name, timer, resolve, reject });
      const request = {
        topic: methodRequestTopic(name, rid, isOwn ? undefined : { callee: owner, connectTimeoutMs, timeoutMs }),
        payload: Buffer.from(JSON.stringify(payload)),
        qos: 0,
      } as const;
      this.client.deliver(request).catch(() => this.#fail(rid, clientGoneError(owner, name)));
    });
  }

  /** False when nobody waits for this answer (any more). */
  answer(
    { rid, status, problem }: { readonly rid: string; readonly status: number; readonly problem?: string },
    payload: Buffer,
  ): boolean {
    const call = this.#take(rid.toLowerCase());
    if (call === undefined) return false;
    const { owner, name } = call;
    const text = payload.toString('utf8');
    const parsed = text.trim() === '' ? { ok: true as const, value: null } : parseJson(text);
    // Only a gateway has something of its own to say; a callee's answer is its answer whatever stands beside it.
    if (problem !== undefined && !sameIdentity(owner, this.identity)) {
      const told = parsed.ok && isJsonObject(parsed.value) ? parsed.value['message'] : undefined;
      call.reject(relayedError(owner, { code: problem, status, message: typeof told === 'string' ? told : '' }));
    } else if (payload.length > methodPayloadBytesMax)
      call.reject(methodAnswerError(owner, name, `it has ${payload.length} bytes of ${methodPayloadBytesMax}`));
    else if (parsed.ok) call.resolve({ status, payload: parsed.value });
    else call.reject(methodAnswerError(owner, name, parsed.reason));
    return true;
  }

  /**
   * Hands a gateway a message for a device behind it; `send` sends it. Resolves when the gateway says that the device
   * has it. Rejects IOTHUB_NOT_LISTENING (the device never saw it), IOTHUB_NOT_SETTLED (it may have), IOTHUB_BUSY.
   */
  hand(device: Identity, rid: string, send: () => Promise<void>): Promise<void> {
    if (this.#handed.size >= handedMessagesMax) return Promise.reject(busyError('messages', handedMessagesMax));
    return new Promise((resolve, reject) => {
      this.#handed.set(rid, { device, resolve, reject });
      send().catch(() => this.settle(rid, notFound));
    });
  }

  /** False when nothing of that name is under way. */
  settle(rid: string, status: number): boolean {
    const handed = this.#handed.get(rid);
    if (handed === undefined) return false;
    this.#handed.delete(rid);
    if (status === settled) handed.resolve();
    else if (status === notFound) handed.reject(notListeningError(handed.device, 'cloud-to-device messages'));
    else handed.reject(notSettledError(handed.device));
    return true;
  }

  /** The connection is over. */
  gone(): void {
    for (const [rid, { owner, name }] of this.#calls) this.#fail(rid, clientGoneError(owner, name));
    for (const rid of [...this.#handed.keys()]) this.settle(rid, notFound);
  }

  #fail(rid: string, error: IotHubError): void {
    this.#take(rid)?.reject(error);
  }

  #take(rid: string): PendingCall | undefined {
    const call = this.#calls.get(rid);
    this.#calls.delete(rid);
    call?.timer.cancel();
    return call;
  }
}
