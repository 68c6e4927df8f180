// The link to the hub: one MQTT connection over TLS, kept up for ever, over which everything travels.
//
// Owns the connection's life (link-state.ts), its credentials' renewal, and the words of the IoT Hub device
// protocol as a client speaks them. An endpoint like any other for the router: ready() and send(). Does not
// know the store, the routes or what the messages mean.
//
// The gateway connects as `<device>/$edgeHub` and speaks for all modules of its device: their telemetry topics,
// and their twins by the `$identity` topic parameter. One connection a gateway, whatever it runs.
//
// Invariants
//   send() counts a message as accepted only after the hub's PUBACK for it and for all before it (flight.ts).
//   What a leaf device did not acknowledge the hub keeps (devicebound.ts).
//   Telemetry never takes all places of the connection: twins and answers to methods go at once, however long the
//   backlog is, behind the bytes that are in the socket already; the drain keeps these few on a slow link.
//   Nothing waits for ever: each request has a time-out, and the end of the connection rejects all of them.

import {
  upstreamAckMsMax,
  upstreamInflightMax,
  upstreamRequestsPendingMax,
  upstreamRequestTimeoutMs,
  upstreamWindowBytes,
  upstreamWindowMessages,
} from '../limits.ts';
import { type Identity, identityKey } from '../model/address.ts';
import { type BackoffOptions, backoffDelays } from '../model/backoff.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import { type Twin, withoutCarrierKeys } from '../model/twin.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { Connection, Network, TlsContext } from '../platform/net.ts';
import { sasResource } from '../protocol/iothub/sas.ts';
import { parseScopeNews, scopeFilter, scopeRequestTopic } from '../protocol/iothub/scope-topics.ts';
import { frameFilter, framesTakenTopic } from '../protocol/iothub/telemetry-frame.ts';
import {
  type CallPatience,
  desiredPatchFilter,
  methodRequestFilter,
  methodResponseTopic,
  parseServerTopic,
  twinGetTopic,
  twinPatchTopic,
  twinResponseFilter,
} from '../protocol/iothub/topics.ts';
import { formatUsername } from '../protocol/iothub/username.ts';
import { MqttClient } from '../protocol/mqtt/client.ts';
import { type LinkEvent, type LinkPhase, linkTransition } from '../protocol/mqtt/link-state.ts';
import { DeviceboundRelay, type DeviceboundTaker } from './devicebound.ts';
import { malformedResponseError, noMethodsError, offlineError, refusedError } from './errors.ts';
import { Flight } from './flight.ts';
import { Framing } from './framing.ts';
import type { DesiredChange, LinkStatus, MethodAnswer, MethodCall, OutgoingMessage, TokenSigner } from './ports.ts';
import { Requests } from './requests.ts';

export interface LinkOptions {
  /** The hub's own name: part of user name and token, also when another host is dialled. */
  readonly hubHostname: string;
  readonly dialHost: string;
  readonly dialPort: number;
  /** Undefined: plain TCP, for a broker on the same machine only. */
  readonly tls: TlsContext | undefined;
  /** Who connects: `<device>/$edgeHub`. */
  readonly identity: Identity;
  readonly keepAliveSeconds: number;
  readonly tokenLifeSeconds: number;
  readonly backoff: BackoffOptions;
}

export interface LinkPorts {
  readonly network: Network;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly signToken: TokenSigner;
}

const tickMs = 1000;
/** A token is renewed when this part of its life is over. */
const renewAtPart = 0.75;
const msPerSecond = 1000;
const noContent = 204;
const ok = 200;
const malformed = 400;
const methodFailed = 500;

export class UpstreamLink {
  /** What may be under way of telemetry; less than the connection takes, so that a command never waits for a place. */
  readonly window = { messages: upstreamWindowMessages, bytes: upstreamWindowBytes };
  readonly #ports: LinkPorts;
  readonly #options: LinkOptions;
  readonly #requests: Requests;
  readonly #sent: Counter;
  readonly #framing = new Framing();
  #phase: LinkPhase = 'stopped';
  #sinceMs = 0;
  #lastError: string | undefined;
  #delays: Generator<number, never, void>;
  #session: { readonly client: MqttClient; readonly connection: Connection; readonly flight: Flight } | undefined;
  #retryTimer: Timer | undefined;
  #tickTimer: Timer | undefined;
  #renewTimer: Timer | undefined;
  readonly #stateListeners: ((connected: boolean) => void)[] = [];
  readonly #desiredListeners: ((change: DesiredChange) => void)[] = [];
  readonly #scopeListeners: ((version: string) => void)[] = [];
  readonly #devicebound: DeviceboundRelay;
  #methodListener: ((call: MethodCall) => Promise<MethodAnswer>) | undefined;

  constructor(ports: LinkPorts, options: LinkOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#requests = new Requests(ports.clock, {
      timeoutMs: upstreamRequestTimeoutMs,
      pendingMax: upstreamRequestsPendingMax,
    });
    this.#delays = backoffDelays(options.backoff, ports.entropy.fraction);
    this.#devicebound = new DeviceboundRelay(ports.log);
    this.#sent = ports.metrics.counter('upstream_messages_sent_total');
  }

  start(): void {
    this.#handle('start');
  }

  async close(): Promise<void> {
    this.#session?.client.disconnect();
    this.#handle('stop');
  }

  status(): LinkStatus {
    return {
      state: this.#phase === 'stopped' ? 'disabled' : this.#phase,
      sinceMs: this.#sinceMs,
      lastError: this.#lastError,
    };
  }

  get connected(): boolean {
    return this.#phase === 'connected';
  }

  get isReady(): boolean {
    return this.connected;
  }

  /** Called with true after each successful connect, with false after each loss. */
  onState(listener: (connected: boolean) => void): void {
    this.#stateListeners.push(listener);
  }

  onDesired(listener: (change: DesiredChange) => void): void {
    this.#desiredListeners.push(listener);
  }

  /** Called with the version of this gateway's scope after each connect, and whenever it changes. */
  onScope(listener: (version: string) => void): void {
    this.#scopeListeners.push(listener);
  }

  /**
   * The one who answers direct methods that come from the hub. A rejection is told as the gateway's own word, with its
   * code and `fields.status`: nobody answered.
   */
  onMethod(listener: (call: MethodCall) => Promise<MethodAnswer>): void {
    this.#methodListener = listener;
  }

  /** The one who passes cloud-to-device messages on to leaf devices; resolves when the device has its message. */
  onDevicebound(taker: DeviceboundTaker): void {
    this.#devicebound.take(taker);
  }

  /** Whether messages for this leaf device are wanted; holds over the connections until it is said otherwise. */
  listenFor(device: Identity, wanted: boolean): void {
    this.#devicebound.listen(device, wanted);
  }

  /** Resolves when messages may be sent; at once when connected, or when `signal` is aborted. */
  ready(signal: AbortSignal): Promise<void> {
    if (this.connected || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        const index = this.#stateListeners.indexOf(onState);
        if (index >= 0) this.#stateListeners.splice(index, 1);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const onState = (connected: boolean): void => {
        if (connected) done();
      };
      this.#stateListeners.push(onState);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /**
   * Sends in order, behind what is under way. Resolves with how many from the front the hub acknowledged; rejects
   * when none was. What was handed over after something that was not accepted is not accepted either.
   */
  async send(batch: readonly OutgoingMessage[]): Promise<number> {
    const session = this.#session;
    if (session === undefined || !this.connected) throw offlineError('Sending messages');
    const accepted = await session.flight.send(batch);
    this.#sent.add(accepted);
    return accepted;
  }

  async twin(identity: Identity): Promise<Twin> {
    const what = `Reading the twin of ${identityKey(identity)}`;
    const answer = await this.#requests.ask(what, (rid) =>
      this.#publish(twinGetTopic(rid, this.#onBehalfOf(identity)), ''),
    );
    if (answer.status !== ok) throw refusedError(what, answer.status, problemText(answer.payload));
    return parseTwin(what, answer.payload);
  }

  /** Merges `patch` into the hub's copy of the reported properties; resolves with their new version when the hub tells it. */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number | undefined> {
    const what = `Reporting properties of ${identityKey(identity)}`;
    const answer = await this.#requests.ask(what, (rid) =>
      this.#publish(twinPatchTopic(rid, this.#onBehalfOf(identity)), JSON.stringify(patch)),
    );
    if (answer.status !== noContent && answer.status !== ok)
      throw refusedError(what, answer.status, problemText(answer.payload));
    return answer.version;
  }

  /** One page of this gateway's scope, as the hub wrote it: it holds keys, and is for identity/ to read. */
  async scopePage(after: string | undefined): Promise<Buffer> {
    const what = 'Reading the scope of this gateway';
    const answer = await this.#requests.ask(what, (rid) => this.#publish(scopeRequestTopic(rid, after), ''));
    if (answer.status !== ok) throw refusedError(what, answer.status, problemText(answer.payload));
    return answer.payload;
  }

  #onBehalfOf(identity: Identity): Identity | undefined {
    return identityKey(identity) === identityKey(this.#options.identity) ? undefined : identity;
  }

  async #publish(topic: string, text: string): Promise<void> {
    const session = this.#session;
    if (session === undefined || !this.connected) throw offlineError(`Publishing on ${topic}`);
    await session.client.publish({ topic, payload: Buffer.from(text), qos: 1 });
  }

  #handle(event: LinkEvent): void {
    const { phase, effects } = linkTransition(this.#phase, event);
    const before = this.#phase;
    this.#phase = phase;
    if (phase !== before) this.#sinceMs = this.#ports.clock.wallMs();
    for (const effect of effects) {
      if (effect === 'hang-up') this.#hangUp();
      else if (effect === 'dial') this.#dial();
      else if (effect === 'arm') this.#arm();
      else this.#settle();
    }
    if (phase === 'connected' && before !== 'connected') this.#announce(true);
    if (before === 'connected' && phase !== 'connected') this.#announce(false);
  }

  #announce(connected: boolean): void {
    for (const listener of [...this.#stateListeners]) listener(connected);
  }

  #arm(): void {
    const delayMs = this.#delays.next().value;
    this.#ports.log.info('the hub is out of reach, trying again', {
      host: this.#options.dialHost,
      port: this.#options.dialPort,
      inMs: delayMs,
      reason: this.#lastError,
    });
    this.#retryTimer = this.#ports.clock.setTimer(delayMs, () => this.#handle('due'));
  }

  #settle(): void {
    this.#lastError = undefined;
    this.#delays = backoffDelays(this.#options.backoff, this.#ports.entropy.fraction);
    this.#ports.log.info('connected to the hub', { host: this.#options.dialHost, port: this.#options.dialPort });
    this.#renewTimer = this.#ports.clock.setTimer(this.#options.tokenLifeSeconds * renewAtPart * msPerSecond, () =>
      this.#handle('renew'),
    );
  }

  #hangUp(): void {
    this.#retryTimer?.cancel();
    this.#renewTimer?.cancel();
    this.#tickTimer?.cancel();
    const session = this.#session;
    this.#session = undefined;
    this.#devicebound.detach();
    session?.client.closed();
    // An orderly end lets DISCONNECT reach the hub; a lost connection has nothing more to say.
    if (this.#phase === 'stopped') session?.connection.end();
    else session?.connection.destroy();
    this.#requests.rejectAll();
  }

  #dial(): void {
    const { hubHostname, dialHost, dialPort, tls, identity, keepAliveSeconds, tokenLifeSeconds } = this.#options;
    const expirySeconds = Math.floor(this.#ports.clock.wallMs() / msPerSecond) + tokenLifeSeconds;
    const isCurrent = (): boolean => this.#session?.client === client;
    const lost = (reason: string): void => {
      if (!isCurrent()) return;
      this.#lastError = reason;
      this.#handle('lost');
    };
    const client: MqttClient = new MqttClient(
      {
        clientId: identityKey(identity),
        username: formatUsername(hubHostname, identity),
        password: this.#ports.signToken(sasResource(hubHostname, identity), expirySeconds),
        keepAliveSeconds,
        cleanSession: true,
        inflightMax: upstreamInflightMax,
      },
      {
        send: (bytes) => void connection.write(bytes),
        close: () => connection.destroy(),
        nowMs: () => this.#ports.clock.monotonicMs(),
      },
      {
        onConnected: () => this.#subscribe(client, lost),
        onMessage: (message) => this.#receive(message),
        onFailed: (error: WeirError) => lost(error.message),
      },
    );
    const connection = this.#ports.network.dial(
      {
        kind: 'tcp',
        host: dialHost,
        port: dialPort,
        ...(tls === undefined ? {} : { tls: { context: tls, serverName: dialHost } }),
      },
      {
        onOpen: () => client.start(),
        onData: (chunk, length) => client.receive(chunk, length),
        onDrain: () => undefined,
        onClose: (error) => lost(error === undefined ? 'the hub closed the connection' : error.message),
      },
    );
    this.#session = { client, connection, flight: new Flight(client, this.#ports.clock, this.#framing) };
    this.#armTick(client, lost);
  }

  #armTick(client: MqttClient, lost: (reason: string) => void): void {
    this.#tickTimer = this.#ports.clock.setTimer(tickMs, () => {
      if (this.#session?.client !== client) return;
      this.#armTick(client, lost);
      client.tick();
      if ((this.#session?.flight.stalledMs ?? 0) >= upstreamAckMsMax)
        lost(`the hub acknowledged nothing for ${upstreamAckMsMax} ms`);
    });
  }

  #subscribe(client: MqttClient, lost: (reason: string) => void): void {
    const wanted = [twinResponseFilter, desiredPatchFilter, methodRequestFilter, scopeFilter, frameFilter];
    const filters = wanted.map((filter) => ({ filter, qos: 0 as const }));
    client.subscribe(filters).then(
      () => {
        if (this.#session?.client !== client) return;
        this.#handle('accepted');
        this.#devicebound.attach(client);
      },
      (error: unknown) => lost(errorMessage(error)),
    );
  }

  #receive({ topic, payload }: { readonly topic: string; readonly payload: Buffer }): void {
    const parsed = parseServerTopic(topic);
    if (parsed?.kind === 'twin-response') {
      this.#requests.answered(parsed.rid, { status: parsed.status, version: parsed.version, payload });
    } else if (parsed?.kind === 'desired-patch') {
      this.#receiveDesired(parsed.onBehalfOf ?? this.#options.identity, { payload, version: parsed.version });
    } else if (parsed?.kind === 'method-request') {
      this.#answerMethod(parsed.onBehalfOf ?? this.#options.identity, { ...parsed, payload });
    } else if (parsed?.kind === 'devicebound') {
      this.#passOn(parsed, payload);
    } else if (topic === framesTakenTopic) {
      if (this.#session !== undefined) this.#session.flight.takesFrames = true;
    } else if (!this.#receiveScope(topic, payload)) {
      this.#ports.log.warn('the hub sent a message on a topic that is not understood', { topic });
      this.#ports.metrics.counter('upstream_messages_unknown_total').add();
    }
  }

  #receiveScope(topic: string, payload: Buffer): boolean {
    const news = parseScopeNews(topic);
    if (news === undefined) return false;
    if (news.kind === 'scope-response') {
      this.#requests.answered(news.rid, { status: news.status, version: undefined, payload });
      return true;
    }
    // The news comes right behind the SUBACK: by the next turn the link counts as connected.
    this.#ports.clock.soon(() => {
      for (const listener of this.#scopeListeners) listener(news.version);
    });
    return true;
  }

  #receiveDesired(
    identity: Identity,
    { payload, version }: { readonly payload: Buffer; readonly version: number },
  ): void {
    const parsed = parseJson(payload.toString('utf8'));
    if (!parsed.ok || !isJsonObject(parsed.value)) {
      this.#ports.log.warn(
        'a desired property patch is not a JSON object; the whole twin will be read on the next connect',
        { identity: identityKey(identity) },
      );
      return;
    }
    for (const listener of this.#desiredListeners)
      listener({ identity, patch: withoutCarrierKeys(parsed.value), version });
  }

  #answerMethod(callee: Identity, request: MethodRequest): void {
    const { name, rid, patience } = request;
    this.#answerOf(callee, request)
      .then(
        ({ status, payload }) => this.#publish(methodResponseTopic(status, rid), JSON.stringify(payload)),
        (error: unknown) => {
          const told = error instanceof WeirError ? error.fields['status'] : undefined;
          const problem = patience === undefined ? undefined : errorCode(error);
          const topic = methodResponseTopic(typeof told === 'number' ? told : methodFailed, rid, problem);
          return this.#publish(topic, JSON.stringify({ message: errorMessage(error) }));
        },
      )
      .catch((error: unknown) =>
        this.#ports.log.warn('the answer to a direct method was lost with the link', {
          method: name,
          reason: errorMessage(error),
        }),
      );
  }

  async #answerOf(callee: Identity, { name, payload, patience }: MethodRequest): Promise<MethodAnswer> {
    const parsed = payload.length === 0 ? { ok: true as const, value: null } : parseJson(payload.toString('utf8'));
    if (!parsed.ok) return { status: malformed, payload: { message: 'The payload is not JSON.' } };
    if (this.#methodListener === undefined) throw noMethodsError(identityKey(callee));
    return await this.#methodListener({ identity: callee, name, payload: parsed.value, patience });
  }

  #passOn({ deviceId, bag }: { readonly deviceId: string; readonly bag: string }, payload: Buffer): void {
    this.#devicebound
      .receive(deviceId, bag, payload)
      .then((topic) => (topic === undefined ? undefined : this.#publish(topic, '')))
      // The hub takes the end of the link for an answer: the message stays there.
      .catch((error: unknown) => this.#ports.log.debug('a message was not settled', { reason: errorMessage(error) }));
  }
}

interface MethodRequest {
  readonly payload: Buffer;
  readonly name: string;
  readonly rid: string;
  readonly patience?: CallPatience;
}

function parseTwin(what: string, payload: Buffer): Twin {
  const parsed = parseJson(payload.toString('utf8'));
  if (!parsed.ok) throw malformedResponseError(what, parsed.reason);
  const { value } = parsed;
  if (!isJsonObject(value) || !isJsonObject(value['desired']) || !isJsonObject(value['reported']))
    throw malformedResponseError(what, 'desired and reported are expected');
  return { desired: parseSection(value['desired']), reported: parseSection(value['reported']) };
}

function parseSection(section: JsonObject): Twin['desired'] {
  const version = section['$version'];
  return { properties: withoutCarrierKeys(section), version: typeof version === 'number' ? version : 0 };
}

function problemText(payload: Buffer): string {
  const parsed = parseJson(payload.toString('utf8'));
  if (parsed.ok && isJsonObject(parsed.value) && typeof parsed.value['message'] === 'string')
    return parsed.value['message'];
  return payload.length === 0 ? 'no reason given' : payload.toString('utf8');
}
