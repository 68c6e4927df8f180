// The MQTT broker: listeners, connections, sessions and the turn in which everything is written.
//
//   Network ──accept──► ClientConnection ──► TopicProtocol   (what it owns)
//                            │    ▲
//                            ▼    └─ Session ◄── Exchange ◄── publish()
//                          Outbox ──wake()──► flush once a turn ──► socket
//
// Output of one loop turn is collected and written in one go after the reads (Clock.soon): at one message a read
// this doubles what fan-in reaches, because one write serves many reads.
//
// Knows nothing of devices, routes or stores: they come through ports.ts. The gateway and the hub are the same
// broker with other ports.

import { strict as assert } from 'node:assert';
import { brokerLingerMsMax, messageBytesMax } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Connection, ConnectionSink, ListenEndpoint, Listener, Network } from '../platform/net.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import { type BrokerLimits, brokerLimits } from './broker-limits.ts';
import { BufferPool } from './buffer-pool.ts';
import { ClientConnection } from './client-connection.ts';
import type { ConnectionShare } from './connection-share.ts';
import { brokerClosed, messageInvalid } from './errors.ts';
import { Exchange } from './exchange.ts';
import type { Outbox } from './outbox.ts';
import type { Authenticator, Authoriser, TopicProtocol } from './ports.ts';
import { PublishScan } from './publish-scan.ts';
import { SessionTable } from './session-table.ts';
import { Traffic } from './traffic.ts';

export interface BrokerPorts {
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly authenticator: Authenticator;
  readonly authoriser: Authoriser;
  readonly service?: TopicProtocol;
}

export interface ConnectedClientFacts {
  readonly clientId: string;
  readonly principal: string;
  readonly remote: string;
  readonly connectedAtMs: number;
}

const sweepMs = 1000;

export class Broker {
  readonly #ports: BrokerPorts;
  readonly #limits: BrokerLimits;
  readonly #traffic: Traffic;
  readonly #exchange: Exchange;
  readonly #sessions: SessionTable;
  readonly #share: ConnectionShare;
  readonly #load = { bytes: 0 };
  readonly #queued = { bytes: 0 };
  readonly #connections = new Set<ClientConnection>();
  readonly #byClientId = new Map<string, ClientConnection>();
  readonly #listeners = new Set<Listener>();
  readonly #work = new Set<Promise<void>>();
  #dirty: Outbox[] = [];
  #sweepTimer: Timer | undefined;
  #closing: Promise<void> | undefined;
  #lastClosed: (() => void) | undefined;

  /** `options` can only lower the ceilings of limits.ts. */
  constructor(ports: BrokerPorts, options: Partial<BrokerLimits> = {}) {
    this.#ports = ports;
    this.#limits = brokerLimits(options);
    this.#traffic = new Traffic(ports.metrics);
    this.#exchange = new Exchange({ service: ports.service, traffic: this.#traffic }, this.#limits);
    this.#sessions = new SessionTable(
      { traffic: this.#traffic, queued: this.#queued, limits: this.#limits },
      { awayMax: this.#limits.sessionsAwayMax, forget: (session) => this.#exchange.forget(session) },
    );
    this.#share = this.#shareOf(ports);
    this.#registerGauges(ports.metrics);
  }

  /** Starts the time-outs. Listeners are opened by listen(). */
  start(): Promise<void> {
    if (this.#sweepTimer === undefined && this.#closing === undefined) this.#sweepLater();
    return Promise.resolve();
  }

  /** Accepts clients at `endpoint`; `name` is what the authenticator sees. Rejects PLATFORM_LISTEN_FAILED, BROKER_CLOSED. */
  async listen(name: string, endpoint: ListenEndpoint): Promise<Listener> {
    if (this.#closing !== undefined) throw brokerClosed();
    const listener = await this.#ports.network.listen(endpoint, (connection) => this.#accept(connection, name));
    const owned: Listener = {
      address: listener.address,
      close: () => {
        this.#listeners.delete(owned);
        return listener.close();
      },
    };
    this.#listeners.add(owned);
    this.#ports.log.info('listening', { listener: name, ...listener.address });
    return owned;
  }

  /** Publishes from inside to whoever subscribed. Throws BROKER_MESSAGE_INVALID, BROKER_CLOSED. */
  publish(message: {
    readonly topic: string;
    readonly payload: Uint8Array;
    readonly qos: 0 | 1;
    readonly retain?: boolean;
  }): void {
    if (this.#closing !== undefined) throw brokerClosed();
    const { topic, payload, qos, retain = false } = message;
    const route = payload.length > messageBytesMax ? undefined : this.#exchange.route(topic);
    if (route === undefined) throw messageInvalid(topic, payload.length);
    this.#exchange.publish(PublishView.of({ topic, payload, qos, retain }), route, undefined);
  }

  connectedClients(): readonly ConnectedClientFacts[] {
    return [...this.#byClientId].map(([clientId, connection]) => ({
      clientId,
      principal: connection.principal?.name ?? '',
      remote: connection.remote,
      connectedAtMs: connection.connectedAtMs,
    }));
  }

  /** Ends the connection of `clientId`. False when there is none. */
  disconnect(clientId: string, reason: string): boolean {
    const connection = this.#byClientId.get(clientId);
    connection?.end('disconnected', reason);
    return connection !== undefined;
  }

  /** Stops listening, ends all connections, and waits for what they had begun. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#sweepTimer?.cancel();
    const listeners = [...this.#listeners].map((listener) => listener.close());
    for (const connection of this.#connections) connection.end('closing');
    if (this.#connections.size > 0) await this.#connectionsClosed();
    await Promise.all([...listeners, ...this.#work]);
    assert(this.#byClientId.size === 0, 'no client outlives the broker');
  }

  /** Peers get brokerLingerMsMax to take the last bytes. */
  #connectionsClosed(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#ports.clock.setTimer(brokerLingerMsMax, () => {
        const nowMs = this.#ports.clock.monotonicMs();
        for (const connection of this.#connections) connection.sweep(nowMs, this.#ports.clock.wallMs());
      });
      this.#lastClosed = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #accept(connection: Connection, listener: string): ConnectionSink {
    if (this.#connections.size >= this.#limits.connectionsMax || this.#closing !== undefined) {
      this.#traffic.ended('unavailable');
      connection.destroy();
      return { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };
    }
    const accepted = new ClientConnection(connection, listener, this.#share);
    this.#connections.add(accepted);
    return accepted;
  }

  #sweepLater(): void {
    this.#sweepTimer = this.#ports.clock.setTimer(sweepMs, () => {
      const { clock } = this.#ports;
      for (const connection of this.#connections) connection.sweep(clock.monotonicMs(), clock.wallMs());
      this.#sweepLater();
    });
  }

  #wake(outbox: Outbox): void {
    this.#dirty.push(outbox);
    if (this.#dirty.length === 1) this.#ports.clock.soon(() => this.#endTurn());
  }

  #endTurn(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const outbox of dirty) outbox.endTurn();
  }

  #shareOf({ clock, log, authenticator, authoriser, service }: BrokerPorts): ConnectionShare {
    return {
      clock,
      log,
      limits: this.#limits,
      authenticator,
      authoriser,
      service,
      exchange: this.#exchange,
      sessions: this.#sessions,
      traffic: this.#traffic,
      outboxes: {
        pool: new BufferPool(),
        load: this.#load,
        limits: this.#limits,
        wake: (outbox) => this.#wake(outbox),
      },
      view: new PublishView(),
      scan: new PublishScan(),
      track: (work) => {
        this.#work.add(work);
        void work.finally(() => this.#work.delete(work));
      },
      entered: (connection, clientId) => {
        this.#byClientId.get(clientId)?.end('taken-over', connection.remote);
        this.#byClientId.set(clientId, connection);
      },
      left: (connection, clientId) => {
        if (this.#byClientId.get(clientId) === connection) this.#byClientId.delete(clientId);
      },
      closed: (connection) => {
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.#lastClosed?.();
      },
    };
  }

  #registerGauges(metrics: Metrics): void {
    metrics.gauge('weir_broker_connections', () => this.#connections.size);
    metrics.gauge('weir_broker_sessions', () => this.#sessions.count);
    metrics.gauge('weir_broker_subscriptions', () => this.#exchange.subscriptionCount);
    metrics.gauge('weir_broker_retained_messages', () => this.#exchange.retained.count);
    metrics.gauge('weir_broker_retained_bytes', () => this.#exchange.retained.bytes);
    metrics.gauge('weir_broker_queued_bytes', () => this.#queued.bytes);
    metrics.gauge('weir_broker_output_bytes', () => this.#load.bytes);
  }
}
