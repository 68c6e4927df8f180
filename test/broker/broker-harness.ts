// A broker over a network in memory: tests hand in bytes and read the packets that come back.

import { Buffer } from 'node:buffer';
import type { Test } from 'tap';
import { Broker, type BrokerOptions } from '../../src/broker/broker.ts';
import type {
  Admission,
  Authenticator,
  Authoriser,
  BrokerClient,
  InboundPublish,
  MessageTap,
  SessionStore,
  TopicProtocol,
} from '../../src/broker/ports.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Connection, ConnectionSink, Network } from '../../src/platform/net.ts';
import { type MqttVersion, PacketCarry } from '../../src/protocol/mqtt/frame.ts';
import {
  type ConnectPacket,
  type ControlPacket,
  decodePacket,
  encodePacket,
  type SubscribePacket,
} from '../../src/protocol/mqtt/packet.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

/** The client's end of a connection in memory. It takes bytes only while `taking`. */
export class Wire implements Connection {
  readonly remote: string;
  readonly peer = undefined;
  /** What the client speaks: a CONNECT that it sends says so. */
  version: MqttVersion = 4;
  readonly received: (ControlPacket & { raw: string })[] = [];
  bytes = 0;
  paused = false;
  ended = false;
  closed = false;
  taking = true;
  sink: ConnectionSink | undefined;
  #pending: Buffer[] = [];
  readonly #carry = new PacketCarry();

  constructor(remote: string) {
    this.remote = remote;
  }

  get bufferedBytes(): number {
    return this.#pending.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  write(chunk: Uint8Array): boolean {
    if (this.ended || this.closed) return false;
    if (this.taking) {
      this.#take(Buffer.from(chunk));
      return true;
    }
    // Not copied, as a socket would not: the broker must leave these bytes alone.
    this.#pending.push(chunk as Buffer);
    return false;
  }

  take(): void {
    this.taking = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const chunk of pending) this.#take(chunk);
    this.sink?.onDrain();
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    for (let at = 0; at < chunk.length; ) {
      at = this.#carry.fill(chunk, { at, end: chunk.length, packetBytesMax: 10_000_000 }) as number;
      if (!this.#carry.isWhole) continue;
      const packet = this.#carry.take();
      const decoded = decodePacket(packet, this.version);
      if (!decoded.ok) throw new Error(`${decoded.detail}: ${packet.toString('hex')}`);
      this.received.push({ ...decoded.packet, raw: packet.toString('hex') });
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.ended = true;
    this.#closeSoon();
  }

  destroy(): void {
    this.ended = true;
    this.#closeSoon();
  }

  #closeSoon(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.sink?.onClose());
  }

  /** Sends packets in one read, out of a buffer that is spoilt afterwards: what is kept must have been copied. */
  send(...packets: (ControlPacket | string | Buffer)[]): void {
    const chunk = Buffer.concat(
      packets.map((packet) => {
        if (isConnect(packet)) this.version = packet.protocolVersion ?? 4;
        return bytesOf(packet, this.version);
      }),
    );
    this.sink?.onData(chunk, chunk.length);
    chunk.fill(0xee);
  }

  /** What came since the last look, shortly: `puback 1`, `publish topic payload q1 id`. */
  seen(): string[] {
    return this.received.splice(0).map(shown);
  }
}

function isConnect(packet: ControlPacket | string | Buffer): packet is ConnectPacket {
  return typeof packet === 'object' && !Buffer.isBuffer(packet) && packet.cmd === 'connect';
}

export function bytesOf(packet: ControlPacket | string | Buffer, version: MqttVersion = 4): Buffer {
  if (typeof packet === 'string') return Buffer.from(packet.replaceAll(' ', ''), 'hex');
  return Buffer.isBuffer(packet) ? packet : encodePacket(packet, version);
}

function shown(packet: ControlPacket): string {
  switch (packet.cmd) {
    case 'publish':
      return `publish ${packet.topic} ${packet.payload} q${packet.qos}${packet.retain ? ' retained' : ''}${packet.dup ? ' dup' : ''}${packet.qos > 0 ? ` #${packet.messageId}` : ''}`;
    case 'connack':
      return `connack ${packet.returnCode ?? hex(packet.reasonCode)}${packet.sessionPresent ? ' present' : ''}`;
    case 'suback':
      return `suback ${packet.messageId} ${packet.granted.join(',')}`;
    case 'unsuback':
      return `unsuback ${packet.messageId}${packet.granted === undefined ? '' : ` ${packet.granted.join(',')}`}`;
    case 'disconnect':
    case 'auth':
      return `${packet.cmd} ${hex(packet.reasonCode)}`;
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return `${packet.cmd} ${packet.messageId}${(packet.reasonCode ?? 0) === 0 ? '' : ` ${hex(packet.reasonCode)}`}`;
    default:
      return packet.messageId === undefined ? packet.cmd : `${packet.cmd} ${packet.messageId}`;
  }
}

/** Reason codes as the specification writes them: 0x97. */
function hex(reason = 0): string {
  return reason === 0 ? '0' : `0x${reason.toString(16).padStart(2, '0')}`;
}

type PublishPacket = Extract<ControlPacket, { cmd: 'publish' }>;
type DisconnectPacket = Extract<ControlPacket, { cmd: 'disconnect' }>;

export interface ConnectOptions {
  readonly clean?: boolean;
  readonly keepalive?: number;
  readonly username?: string;
  readonly will?: {
    topic: string;
    payload: string;
    qos?: 0 | 1 | 2;
    retain?: boolean;
    properties?: NonNullable<NonNullable<ConnectPacket['will']>['properties']>;
  };
  /** 5 speaks MQTT 5: `clean` is clean start then. */
  readonly version?: 4 | 5;
  /** Of MQTT 5; they make `version` 5. */
  readonly properties?: ConnectPacket['properties'];
}

export const connect = (clientId: string, options: ConnectOptions = {}): ConnectPacket => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: options.version ?? (options.properties === undefined ? 4 : 5),
  ...(options.properties === undefined ? {} : { properties: options.properties }),
  clientId,
  clean: options.clean ?? true,
  keepalive: options.keepalive ?? 0,
  ...(options.username === undefined ? {} : { username: options.username }),
  ...(options.will === undefined ? {} : { will: willOf(options.will) }),
});

const willOf = ({ payload, ...will }: NonNullable<ConnectOptions['will']>): NonNullable<ConnectPacket['will']> => ({
  ...will,
  payload: Buffer.from(payload),
});

export interface PublishOptions {
  readonly qos?: 0 | 1 | 2;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: PublishPacket['properties'];
}

export const publish = (topic: string, payload: string | Buffer, options: PublishOptions = {}): ControlPacket => ({
  cmd: 'publish',
  topic,
  payload,
  qos: options.qos ?? 0,
  retain: options.retain ?? false,
  dup: options.dup ?? false,
  ...(options.id === undefined ? {} : { messageId: options.id }),
  ...(options.properties === undefined ? {} : { properties: options.properties }),
});

export const subscribe = (messageId: number, ...filters: [string, 0 | 1 | 2][]): ControlPacket => ({
  cmd: 'subscribe',
  messageId,
  subscriptions: filters.map(([topic, qos]) => ({ topic, qos })),
});

/** MQTT 5: filters with options, and a subscription identifier when there is one. */
export const subscribe5 = (
  messageId: number,
  subscriptions: SubscribePacket['subscriptions'],
  subscriptionIdentifier?: number,
): ControlPacket => ({
  cmd: 'subscribe',
  messageId,
  subscriptions,
  ...(subscriptionIdentifier === undefined ? {} : { properties: { subscriptionIdentifier } }),
});

export const unsubscribe = (messageId: number, ...unsubscriptions: string[]): ControlPacket => ({
  cmd: 'unsubscribe',
  messageId,
  unsubscriptions,
});

export const ack = (
  cmd: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  messageId: number,
  reasonCode?: number,
): ControlPacket => ({ cmd, messageId, ...(reasonCode === undefined ? {} : { reasonCode }) });

export const disconnect = (reasonCode = 0, properties: DisconnectPacket['properties'] = {}): ControlPacket => ({
  cmd: 'disconnect',
  reasonCode,
  properties,
});

/** Simulated time for time-outs, the real loop for turns. */
export class TurnClock extends SimClock implements Clock {
  override soon(callback: () => void): void {
    setImmediate(callback);
  }
}

/** A topic service over `$svc/…` whose promises the test settles. */
export class StubService implements TopicProtocol {
  readonly calls: string[] = [];
  readonly publishes: { client: BrokerClient; publish: InboundPublish; resolve(): void; reject(error: Error): void }[] =
    [];
  readonly clients = new Map<string, BrokerClient>();
  granted: 0 | 1 | undefined = 1;

  ownsTopic(topic: string): boolean {
    return topic.startsWith('$svc/');
  }
  ownsFilter(filter: string): boolean {
    return filter.startsWith('$svc/');
  }
  publish(client: BrokerClient, publish: InboundPublish): Promise<void> {
    return new Promise((resolve, reject) => {
      this.publishes.push({ client, publish, resolve, reject });
    });
  }
  subscribe(client: BrokerClient, filter: string): 0 | 1 | undefined {
    this.calls.push(`subscribe ${client.clientId} ${filter}`);
    return this.granted;
  }
  unsubscribe(client: BrokerClient, filter: string): void {
    this.calls.push(`unsubscribe ${client.clientId} ${filter}`);
  }
  connected(client: BrokerClient, filters: readonly string[]): void {
    this.calls.push(`connected ${client.clientId} [${filters.join(' ')}]`);
    this.clients.set(client.clientId, client);
  }
  disconnected(client: BrokerClient): void {
    this.calls.push(`disconnected ${client.clientId}`);
  }
}

export interface HarnessOptions {
  /** Bounds and policies. */
  readonly limits?: BrokerOptions;
  readonly service?: TopicProtocol;
  readonly authenticate?: Authenticator['authenticate'];
  readonly authoriser?: Authoriser;
  /** Enhanced authentication. */
  readonly exchange?: NonNullable<Authenticator['exchange']>;
  readonly sessionStore?: SessionStore;
  readonly tap?: MessageTap;
  /** One that somebody else has, too. */
  readonly clock?: TurnClock;
}

export const everybody: Authoriser = { mayPublish: () => true, maySubscribe: () => true };

export function admit(name: string, expiresAtMs?: number): Admission {
  return { admitted: true, principal: { name, identity: undefined }, expiresAtMs };
}

export class Harness {
  readonly clock: TurnClock;
  readonly metrics = createMetrics();
  readonly lines: string[] = [];
  readonly broker: Broker;
  #accept: ((connection: Connection) => ConnectionSink) | undefined;
  #wires = 0;

  constructor(t: Test, options: HarnessOptions = {}) {
    this.clock = options.clock ?? new TurnClock();
    const network: Network = {
      listen: async (_endpoint, accept) => {
        this.#accept = accept;
        return { address: { path: 'memory' }, close: async () => undefined };
      },
      dial: () => {
        throw new Error('nobody dials');
      },
    };
    this.broker = new Broker(
      {
        network,
        clock: this.clock,
        log: createLog({ clock: this.clock, level: 'debug', write: (line) => this.lines.push(line) }),
        metrics: this.metrics,
        authenticator: {
          authenticate: options.authenticate ?? (async ({ username }) => admit(username ?? 'anonymous')),
          ...(options.exchange === undefined ? {} : { exchange: options.exchange }),
        },
        authoriser: options.authoriser ?? everybody,
        ...(options.service === undefined ? {} : { service: options.service }),
        ...(options.sessionStore === undefined ? {} : { sessionStore: options.sessionStore }),
        ...(options.tap === undefined ? {} : { tap: options.tap }),
      },
      options.limits,
    );
    t.teardown(() => this.broker.close());
  }

  async start(): Promise<this> {
    await this.broker.start();
    await this.broker.listen('memory', { kind: 'unix', path: 'memory', mode: 0 });
    return this;
  }

  wire(): Wire {
    const wire = new Wire(`memory:${++this.#wires}`);
    wire.sink = this.#accept?.(wire);
    return wire;
  }

  /** A client that is connected, its CONNACK taken. */
  async client(clientId: string, options?: ConnectOptions): Promise<Wire> {
    const wire = this.wire();
    wire.send(connect(clientId, options));
    await settle();
    // With a session store the CONNACK waits for a commit.
    if (wire.received.length === 0) await settle();
    wire.seen();
    return wire;
  }

  count(name: string, reason?: string): number {
    const found = this.metrics.snapshot().find((sample) => sample.name === name && sample.labels['reason'] === reason);
    return found?.value ?? 0;
  }

  ended(reason: string): number {
    return this.count('weir_broker_disconnects_total', reason);
  }
}
