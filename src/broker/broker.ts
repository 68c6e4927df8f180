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
import { brokerLingerMsMax, brokerQueueBlockBytesMin, brokerQueuePoolBytesMax, messageBytesMax } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Connection, ConnectionSink, ListenEndpoint, Listener, Network } from '../platform/net.ts';
import { AckView } from '../protocol/mqtt/ack.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import { AckedRun } from './acked-run.ts';
import type { BrokerFacts } from './broker-facts.ts';
import { type BrokerLimits, brokerLimits } from './broker-limits.ts';
import { type BrokerPolicy, brokerPolicy } from './broker-policy.ts';
import { BufferPool } from './buffer-pool.ts';
import { ClientConnection } from './client-connection.ts';
import { ClientLog } from './client-log.ts';
import type { ConnectionShare } from './connection-share.ts';
import { DeliveryHeader } from './delivery.ts';
import { brokerClosed, type EndReason, messageInvalid } from './errors.ts';
import { Exchange } from './exchange.ts';
import { deliverInside, type InsideMessage } from './inside-delivery.ts';
import { RateQueue, TokenBucket } from './message-rate.ts';
import type { OutboxShare, TurnOutput } from './outbox.ts';
import type { Authenticator, Authoriser, MessageTap, Principal, SessionStore, TopicProtocol } from './ports.ts';
import { PublishScan } from './publish-scan.ts';
import { Refusals } from './refusals.ts';
import { restoreFrom } from './restore.ts';
import type { Session } from './session.ts';
import { SessionTable } from './session-table.ts';
import { StoreRoom } from './store-room.ts';
import { Traffic } from './traffic.ts';
import { Wills } from './will.ts';

export interface BrokerPorts {
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly authenticator: Authenticator;
  readonly authoriser: Authoriser;
  readonly service?: TopicProtocol;
  /** Absent: sessions and retained messages live in memory. */
  readonly sessionStore?: SessionStore;
  readonly tap?: MessageTap;
}

/** Bounds can only be lowered. */
export type BrokerOptions = Partial<BrokerLimits> & Partial<BrokerPolicy>;

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
  readonly #policy: BrokerPolicy;
  readonly #traffic: Traffic;
  readonly #exchange: Exchange;
  readonly #sessions: SessionTable;
  readonly #wills: Wills;
  readonly #rates: RateQueue;
  readonly #refusals: Refusals;
  readonly #room: StoreRoom;
  readonly #share: ConnectionShare;
  readonly #load = { bytes: 0, written: 0, controls: 0 };
  readonly #queued = { bytes: 0, messages: 0 };
  readonly #blocks = new BufferPool({ bytesMin: brokerQueueBlockBytesMin, bytesMax: brokerQueuePoolBytesMax });
  readonly #outboxes: OutboxShare;
  readonly #received = { bytes: 0, packets: 0 };
  #sockets = 0;
  #clientsMaximum = 0;
  readonly #connections = new Set<ClientConnection>();
  readonly #byClientId = new Map<string, ClientConnection>();
  readonly #listeners = new Set<Listener>();
  readonly #work = new Set<Promise<void>>();
  #dirty: TurnOutput[] = [];
  #sweepTimer: Timer | undefined;
  #started: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #lastClosed: (() => void) | undefined;

  constructor(ports: BrokerPorts, options: BrokerOptions = {}) {
    this.#ports = ports;
    this.#limits = brokerLimits(options);
    this.#policy = brokerPolicy(options);
    this.#outboxes = {
      pool: new BufferPool(),
      load: this.#load,
      limits: this.#limits,
      wake: (output) => this.#wake(output),
    };
    this.#traffic = new Traffic(ports.metrics);
    const { clock, service, authoriser, sessionStore: store, tap } = ports;
    const outbound = {
      clock,
      store,
      traffic: this.#traffic,
      header: new DeliveryHeader(() => clock.monotonicMs()),
      outcome: { receivers: 0, durable: false, pressing: undefined },
      outboxes: this.#outboxes,
    };
    this.#exchange = new Exchange({ ...outbound, service, authoriser, tap }, this.#limits);
    this.#sessions = new SessionTable(
      { ...outbound, queued: this.#queued, blocks: this.#blocks, limits: this.#limits },
      {
        awayMax: this.#limits.sessionsAwayMax,
        forget: (session) => this.#forget(session),
        rewired: () => this.#exchange.touch(),
      },
    );
    this.#wills = new Wills({
      clock: ports.clock,
      log: ports.log,
      service: ports.service,
      exchange: this.#exchange,
      track: (work) => this.#track(work),
    });
    this.#rates = new RateQueue(ports.clock);
    this.#refusals = new Refusals(ports);
    this.#room = new StoreRoom({ ...ports, store });
    this.#share = this.#shareOf(ports);
    this.#registerGauges(ports.metrics);
  }

  /** Takes up what the session store has and starts the time-outs. Listeners are opened by listen(). Rejects STORE_…. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Accepts clients at `endpoint`; `name` is what the authenticator sees. Rejects PLATFORM_LISTEN_FAILED, BROKER_CLOSED. */
  async listen(name: string, endpoint: ListenEndpoint): Promise<Listener> {
    if (this.#closing !== undefined) throw brokerClosed();
    const { network, clock } = this.#ports;
    const { connectionsPerSecondMax } = this.#policy;
    const rate =
      connectionsPerSecondMax === 0 ? undefined : new TokenBucket(connectionsPerSecondMax, clock.monotonicMs());
    const accept = (connection: Connection): ConnectionSink => this.#accept(connection, name, rate);
    const listener = await network.listen(endpoint, accept, (refusal) => this.#refusals.add(name, refusal));
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

  /**
   * Publishes from inside for somebody who waits until it is safe: resolves when every session and tap that takes it
   * has it so, and its receivers are not behind. `origin` is told to the tap. Throws at once, when nobody has got it,
   * BROKER_MESSAGE_INVALID, BROKER_CLOSED, BROKER_STORE_FULL (retryable); rejects STORE_….
   */
  deliver(message: InsideMessage, origin: string): Promise<void> {
    if (this.#closing !== undefined) throw brokerClosed();
    return deliverInside({ exchange: this.#exchange, store: this.#ports.sessionStore }, message, origin);
  }

  /** Ends the connections of clients that may not stay any longer. */
  review(mayStay: (principal: Principal) => boolean, reason: string): void {
    for (const connection of [...this.#byClientId.values()]) {
      const { principal } = connection;
      if (principal !== undefined && !mayStay(principal)) connection.end('not-authorized', reason);
    }
  }

  connectedClients(): readonly ConnectedClientFacts[] {
    return [...this.#byClientId].map(([clientId, connection]) => ({
      clientId,
      principal: connection.principal?.name ?? '',
      remote: connection.remote,
      connectedAtMs: connection.connectedAtMs,
    }));
  }

  /** What the broker can tell of itself now. */
  facts(): BrokerFacts {
    const { totals } = this.#traffic;
    const { retained } = this.#exchange;
    const clientsDisconnected = this.#sessions.awayCount;
    const clientsConnected = this.#byClientId.size;
    this.#clientsMaximum = Math.max(this.#clientsMaximum, clientsConnected + clientsDisconnected);
    return {
      clientsConnected,
      clientsDisconnected,
      clientsMaximum: this.#clientsMaximum,
      clientsExpired: this.#sessions.expiredCount,
      subscriptions: this.#exchange.subscriptionCount,
      sharedSubscriptions: this.#exchange.sharedSubscriptionCount,
      retainedMessages: retained.count,
      retainedBytes: retained.bytes,
      queuedMessages: this.#queued.messages,
      queuedBytes: this.#queued.bytes,
      messagesReceived: this.#received.packets,
      messagesSent: totals.sent + this.#load.controls,
      publishesReceived: totals.received,
      publishesSent: totals.sent,
      publishesDropped: totals.dropped,
      publishBytesReceived: totals.receivedBytes,
      publishBytesSent: totals.sentBytes,
      bytesReceived: this.#received.bytes,
      bytesSent: this.#load.written,
      socketsOpened: this.#sockets,
      connects: totals.connects,
    };
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

  async #start(): Promise<void> {
    const { clock, log, sessionStore } = this.#ports;
    if (sessionStore !== undefined) {
      const parts = { clock, log, sessions: this.#sessions, exchange: this.#exchange, wills: this.#wills };
      await restoreFrom(sessionStore, parts);
    }
    if (this.#closing === undefined) this.#sweepLater();
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

  #accept(connection: Connection, listener: string, rate: TokenBucket | undefined): ConnectionSink {
    this.#sockets++;
    if (this.#connections.size >= this.#limits.connectionsMax || this.#closing !== undefined) {
      return this.#turnAway(connection, 'unavailable');
    }
    if (rate?.take(this.#ports.clock.monotonicMs()) === false) return this.#turnAway(connection, 'connection-rate');
    const accepted = new ClientConnection(connection, listener, this.#share);
    this.#connections.add(accepted);
    return accepted;
  }

  /** Before a word was said: in a storm even an answer costs too much. */
  #turnAway(connection: Connection, reason: EndReason): ConnectionSink {
    this.#traffic.ended(reason);
    connection.destroy();
    return { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };
  }

  #sweepLater(): void {
    this.#sweepTimer = this.#ports.clock.setTimer(sweepMs, () => {
      const { clock } = this.#ports;
      const nowMs = clock.monotonicMs();
      for (const connection of this.#connections) connection.sweep(nowMs, clock.wallMs());
      this.#wills.sweep(nowMs);
      this.#sessions.sweep(nowMs);
      this.#exchange.sweep();
      this.#room.tell();
      this.#outboxes.pool.trim();
      this.#blocks.trim();
      this.#clientsMaximum = Math.max(this.#clientsMaximum, this.#sessions.count);
      this.#sweepLater();
    });
  }

  #wake(output: TurnOutput): void {
    this.#dirty.push(output);
    if (this.#dirty.length === 1) this.#ports.clock.soon(() => this.#endTurn());
  }

  #endTurn(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const output of dirty) output.endTurn();
  }

  /** `work` handles its own failure. */
  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  /** The session is over: nobody subscribes by it any more, and its will waits no longer. */
  #forget(session: Session): void {
    this.#exchange.forget(session);
    this.#wills.sessionEnded(session.clientId);
  }

  #shareOf({ clock, log, authenticator, authoriser, service, sessionStore }: BrokerPorts): ConnectionShare {
    const { messagesPerSecondTotalMax: overallMax } = this.#policy;
    return {
      clock,
      log,
      clientLog: new ClientLog(clock, log),
      limits: this.#limits,
      policy: this.#policy,
      authenticator,
      authoriser,
      service,
      sessionStore,
      exchange: this.#exchange,
      sessions: this.#sessions,
      wills: this.#wills,
      rates: this.#rates,
      overallRate: overallMax > 0 ? new TokenBucket(overallMax, clock.monotonicMs()) : undefined,
      room: this.#room,
      traffic: this.#traffic,
      outboxes: this.#outboxes,
      received: this.#received,
      view: new PublishView(),
      ack: new AckView(),
      scan: new PublishScan(),
      run: new AckedRun(),
      track: (work) => this.#track(work),
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
    metrics.gauge('weir_broker_sessions_away', () => this.#sessions.awayCount);
    metrics.gauge('weir_broker_will_bytes', () => this.#wills.bytes);
    metrics.gauge('weir_broker_queued_messages', () => this.#queued.messages);
    metrics.gauge('weir_broker_queued_bytes', () => this.#queued.bytes);
    metrics.gauge('weir_broker_output_bytes', () => this.#load.bytes);
  }
}
