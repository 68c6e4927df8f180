// One connected identity: its subscriptions in IoT Hub's name space and the method calls that wait for its answer.
//
// Owns a call from its request to its one end: the answer, the time-out or the disconnect, whichever is first.
// Calls wait in memory only: a direct method is a question to somebody who is there now.

import { methodCallsPerClientMax, methodPayloadBytesMax } from '../../limits.ts';
import { type Identity, sameIdentity } from '../../model/address.ts';
import { type JsonValue, parseJson } from '../../model/json.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import { methodRequestTopic } from '../../protocol/iothub/topics.ts';
import { topicMatches } from '../../protocol/mqtt/topic.ts';
import type { BrokerClient } from '../ports.ts';
import { busyError, clientGoneError, type IotHubError, methodAnswerError, methodTimeoutError } from './errors.ts';

export interface MethodCall {
  readonly name: string;
  readonly payload: JsonValue;
  readonly timeoutMs: number;
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

export class Speaker {
  readonly client: BrokerClient;
  readonly identity: Identity;
  twinRequests = 0;
  /** Telemetry of this connection was refused: it is being ended, and nothing more is taken from it. */
  refused = false;
  readonly #clock: Clock;
  readonly #filters = new Map<string, 0 | 1>();
  readonly #calls = new Map<string, PendingCall>();

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

  call(owner: Identity, { name, payload, timeoutMs }: MethodCall, rid: string): Promise<MethodAnswer> {
    if (this.#calls.size >= methodCallsPerClientMax)
      return Promise.reject(busyError('method calls', methodCallsPerClientMax));
    const onBehalfOf = sameIdentity(owner, this.identity) ? undefined : owner;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => this.#fail(rid, methodTimeoutError(owner, name, timeoutMs)));
      this.#calls.set(rid, { owner, name, timer, resolve, reject });
      const request = {
        topic: methodRequestTopic(name, rid, onBehalfOf),
        payload: Buffer.from(JSON.stringify(payload)),
        qos: 0,
      } as const;
      this.client.deliver(request).catch(() => this.#fail(rid, clientGoneError(owner, name)));
    });
  }

  /** False when nobody waits for this answer (any more). */
  answer(rid: string, status: number, payload: Buffer): boolean {
    const call = this.#take(rid.toLowerCase());
    if (call === undefined) return false;
    const { owner, name } = call;
    const text = payload.toString('utf8');
    const parsed = text.trim() === '' ? { ok: true as const, value: null } : parseJson(text);
    if (payload.length > methodPayloadBytesMax)
      call.reject(methodAnswerError(owner, name, `it has ${payload.length} bytes of ${methodPayloadBytesMax}`));
    else if (parsed.ok) call.resolve({ status, payload: parsed.value });
    else call.reject(methodAnswerError(owner, name, parsed.reason));
    return true;
  }

  /** The connection is over. */
  gone(): void {
    for (const [rid, { owner, name }] of this.#calls) this.#fail(rid, clientGoneError(owner, name));
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
