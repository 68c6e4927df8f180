// The connection to another MQTT broker: kept up for ever, its session kept by the other side while it is down.
//
//   dial ─► CONNECT (clean start false) ─► CONNACK ─► SUBSCRIBE what comes in ─► connected ─► lost ─► wait ─► dial …
//
// Owns the connection's life (link-state.ts), the dialect, and the list of filters that the other broker holds for us,
// which is remembered so that one taken out of the configuration is unsubscribed even after a restart.
//
// Dialects. 5.0 first: nothing comes back that went out (no local), retain flags and properties are kept. Who does not
// understand gets 3.1.1 with the bridge bit, which mosquitto knows and which does the same; who refuses that, plain
// 3.1.1. What was once accepted is kept; a version in the configuration leaves out the others.
//
// Invariants
//   A message that came is acknowledged when the owner's promise resolved. After one that nobody took, none is taken
//   from this connection any more: those behind it would overtake it.
//   Nothing waits for ever: a connection on which nothing is acknowledged any more is given up.

import { bridgeInflightMax, upstreamAckMsMax } from '../limits.ts';
import { type BackoffOptions, backoffDelays } from '../model/backoff.ts';
import { errorMessage, type WeirError } from '../model/errors.ts';
import { parseJson } from '../model/json.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { Connection, Network, TlsContext } from '../platform/net.ts';
import { MqttClient, type MqttClientMessage } from '../protocol/mqtt/client.ts';
import { type LinkEvent, type LinkPhase, linkTransition } from '../protocol/mqtt/link-state.ts';
import { reasonCode } from '../protocol/mqtt/reason-codes.ts';
import type { BridgeDocuments } from './ports.ts';

export interface RemoteBroker {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Undefined: plain TCP. */
  readonly tls: TlsContext | undefined;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Undefined: 5.0, and 3.1.1 for who does not understand it. */
  readonly version: 4 | 5 | undefined;
  readonly keepAliveSeconds: number;
}

export interface RemoteLinkPorts {
  readonly network: Network;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly documents: BridgeDocuments;
}

export interface RemoteLinkEvents {
  /** Throws at once when nobody has got the message, rejects when some may have. */
  onMessage(message: MqttClientMessage): Promise<void>;
  /** A new connection, before anything is sent on it: who sends makes a flight of its own for it. */
  onConnected(client: MqttClient): void;
  onLost(): void;
  /** For how long nothing of what is under way was acknowledged, milliseconds. */
  stalledMs(): number;
}

interface Dialect {
  readonly version: 4 | 5;
  readonly bridge: boolean;
}

interface Session {
  readonly client: MqttClient;
  readonly connection: Connection;
  readonly dialect: Dialect;
  opened: boolean;
  /** A message of it was not taken. */
  refusing: boolean;
}

const tickMs = 1000;
const backoff: BackoffOptions = { floorMs: 200, firstCeilingMs: 1000, ceilingMsMax: 30_000 };
const neverExpires = 0xffff_ffff;
const refusedFrom = 0x80;
const unacceptableVersion = 1;
const version5 = 5;
const dialects: readonly Dialect[] = [
  { version: 5, bridge: false },
  { version: 4, bridge: true },
  { version: 4, bridge: false },
];

export class RemoteLink {
  readonly broker: RemoteBroker;
  readonly #ports: RemoteLinkPorts;
  readonly #events: RemoteLinkEvents;
  readonly #dialects: readonly Dialect[];
  readonly #readyListeners = new Set<() => void>();
  readonly #losses: Counter;
  #dialect = 0;
  #isDialectKnown = false;
  #phase: LinkPhase = 'stopped';
  #lastError: string | undefined;
  #delays: Generator<number, never, void>;
  #session: Session | undefined;
  #retryTimer: Timer | undefined;
  #tickTimer: Timer | undefined;
  #filters: readonly string[] = [];
  /** What the other broker may hold for us. */
  #held: ReadonlySet<string> = new Set();
  #subscribing: Promise<void> = Promise.resolve();

  constructor(ports: RemoteLinkPorts, broker: RemoteBroker, events: RemoteLinkEvents) {
    this.broker = broker;
    this.#ports = ports;
    this.#events = events;
    this.#dialects = dialects.filter(({ version }) => broker.version === undefined || version === broker.version);
    this.#delays = backoffDelays(backoff, ports.entropy.fraction);
    const labels = { bridge: broker.name };
    this.#losses = ports.metrics.counter('weir_bridge_connections_lost_total', labels);
    ports.metrics.gauge('weir_bridge_connected', () => (this.isConnected ? 1 : 0), labels);
  }

  get isConnected(): boolean {
    return this.#phase === 'connected';
  }

  /** Whether nothing comes back that goes out; true while that is not known. */
  get hasNoEcho(): boolean {
    const { dialect } = this.#session ?? {};
    return dialect === undefined || dialect.version === version5 || dialect.bridge;
  }

  async start(): Promise<void> {
    const remembered = await this.#ports.documents.state(this.#heldKey);
    const parsed = remembered === undefined ? undefined : parseJson(remembered);
    const held = parsed?.ok === true && Array.isArray(parsed.value) ? parsed.value : [];
    this.#held = new Set(held.filter((filter) => typeof filter === 'string'));
    this.#handle('start');
  }

  async close(): Promise<void> {
    this.#session?.client.disconnect();
    this.#handle('stop');
    await this.#subscribing;
  }

  /** What the other broker is to send from now on. */
  setFilters(filters: readonly string[]): void {
    this.#filters = filters;
    const session = this.#session;
    if (session !== undefined && this.isConnected) this.#subscribe(session);
  }

  /** Resolves when connected, or when `signal` is aborted. */
  ready(signal: AbortSignal): Promise<void> {
    if (this.isConnected || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#readyListeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#readyListeners.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  get #heldKey(): string {
    return `bridge:${this.broker.name}:filters`;
  }

  #handle(event: LinkEvent): void {
    const { phase, effects } = linkTransition(this.#phase, event);
    const before = this.#phase;
    this.#phase = phase;
    for (const effect of effects) {
      if (effect === 'hang-up') this.#hangUp();
      else if (effect === 'dial') this.#dial();
      else if (effect === 'arm') this.#arm();
      else this.#settle();
    }
    if (before === 'connected' && phase !== 'connected') this.#losses.add();
    if (phase === 'connected' && before !== 'connected') for (const done of [...this.#readyListeners]) done();
  }

  #settle(): void {
    this.#lastError = undefined;
    this.#isDialectKnown = true;
    this.#delays = backoffDelays(backoff, this.#ports.entropy.fraction);
    const { version = version5, bridge = false } = this.#session?.dialect ?? {};
    const spoken = version === version5 ? 'MQTT 5.0' : `MQTT 3.1.1${bridge ? ' with the bridge bit' : ''}`;
    this.#ports.log.info('connected to the other broker', { ...this.#where(), spoken });
  }

  #arm(): void {
    const delayMs = this.#delays.next().value;
    const fields = { ...this.#where(), inMs: delayMs, reason: this.#lastError };
    this.#ports.log.info('the other broker is out of reach, trying again', fields);
    this.#retryTimer = this.#ports.clock.setTimer(delayMs, () => this.#handle('due'));
  }

  #hangUp(): void {
    this.#retryTimer?.cancel();
    this.#tickTimer?.cancel();
    const session = this.#session;
    this.#session = undefined;
    session?.client.closed();
    if (this.#phase === 'stopped') session?.connection.end();
    else session?.connection.destroy();
    if (session !== undefined) this.#events.onLost();
  }

  #dial(): void {
    const { host, port, tls, clientId, username, password, keepAliveSeconds } = this.broker;
    const dialect = this.#dialects[this.#dialect] as Dialect;
    const lost = (reason: string): void => {
      if (this.#session?.client !== client) return;
      this.#lastError = reason;
      this.#handle('lost');
    };
    const client: MqttClient = new MqttClient(
      {
        clientId,
        ...dialect,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        keepAliveSeconds,
        cleanSession: false,
        sessionExpirySeconds: neverExpires,
        inflightMax: bridgeInflightMax,
      },
      {
        send: (bytes) => void connection.write(bytes),
        close: () => connection.destroy(),
        nowMs: () => this.#ports.clock.monotonicMs(),
      },
      {
        onConnected: () => this.#connected(session),
        onMessage: (message) => this.#receive(session, message),
        onFailed: (error) => {
          if (this.#session === session) this.#doubtDialect(error);
          lost(error.message);
        },
      },
    );
    const layers = tls === undefined ? {} : { tls: { context: tls, serverName: host } };
    const connection = this.#ports.network.dial(
      { kind: 'tcp', host, port, ...layers },
      {
        onOpen: () => {
          session.opened = true;
          client.start();
        },
        onData: (chunk, length) => client.receive(chunk, length),
        onDrain: () => undefined,
        onClose: (error) => {
          if (this.#session === session && session.opened && this.#phase === 'connecting') this.#doubtDialect();
          lost(error === undefined ? 'the other broker closed the connection' : error.message);
        },
      },
    );
    const session: Session = { client, connection, dialect, opened: false, refusing: false };
    this.#session = session;
    this.#armTick(session, lost);
  }

  /** The other broker did not answer our CONNECT as one does who understands it: the next time another dialect. */
  #doubtDialect(error?: WeirError): void {
    const { returnCode } = error?.fields ?? {};
    const isRefused = returnCode === unacceptableVersion || returnCode === reasonCode.unsupportedProtocolVersion;
    if (!isRefused && (error !== undefined || this.#isDialectKnown)) return;
    this.#isDialectKnown = false;
    this.#dialect = (this.#dialect + 1) % this.#dialects.length;
  }

  #armTick(session: Session, lost: (reason: string) => void): void {
    this.#tickTimer = this.#ports.clock.setTimer(tickMs, () => {
      if (this.#session !== session) return;
      this.#armTick(session, lost);
      session.client.tick();
      if (this.#events.stalledMs() >= upstreamAckMsMax)
        lost(`the other broker acknowledged nothing for ${upstreamAckMsMax} ms`);
    });
  }

  #connected(session: Session): void {
    if (this.#session !== session) return;
    this.#events.onConnected(session.client);
    this.#handle('accepted');
    this.#subscribe(session);
  }

  /** Brings what the other broker holds for us in line with the filters, one change after the other. */
  #subscribe(session: Session): void {
    this.#subscribing = this.#subscribing
      .then(() => this.#bringInLine(session))
      .catch((error: unknown) => {
        if (this.#session !== session) return;
        this.#ports.log.warn('the other broker was not asked for all topics; again with the next connection', {
          ...this.#where(),
          reason: errorMessage(error),
        });
        this.#lastError = errorMessage(error);
        this.#handle('lost');
      });
  }

  async #bringInLine(session: Session): Promise<void> {
    const filters = this.#filters;
    if (this.#session !== session) return;
    // Remembered before it is asked for: what might be held there is never forgotten here.
    await this.#remember(new Set([...this.#held, ...filters]));
    const surplus = [...this.#held].filter((filter) => !filters.includes(filter));
    if (surplus.length > 0) await session.client.unsubscribe(surplus);
    if (filters.length > 0) {
      const options = { qos: 1 as const, noLocal: true, retainAsPublished: true };
      const granted = await session.client.subscribe(filters.map((filter) => ({ filter, ...options })));
      const refused = filters.filter((_, index) => (granted[index] ?? 0) >= refusedFrom);
      if (refused.length > 0)
        this.#ports.log.error('the other broker refuses topics', { ...this.#where(), filters: refused.join(' ') });
    }
    await this.#remember(new Set(filters));
  }

  async #remember(held: ReadonlySet<string>): Promise<void> {
    if (held.size === this.#held.size && [...held].every((filter) => this.#held.has(filter))) return;
    await this.#ports.documents.saveState(this.#heldKey, JSON.stringify([...held]));
    this.#held = held;
  }

  #receive(session: Session, message: MqttClientMessage): Promise<void> {
    // Whatever is thrown or rejected ends the connection: the other broker keeps what was not acknowledged.
    if (session.refusing) return Promise.reject(new TypeError('a message before this one was not taken'));
    try {
      return this.#events.onMessage(message);
    } catch (error) {
      session.refusing = true;
      throw error;
    }
  }

  #where(): { readonly bridge: string; readonly host: string; readonly port: number } {
    const { name, host, port } = this.broker;
    return { bridge: name, host, port };
  }
}
