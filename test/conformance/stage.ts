// Where the cases are played: a real broker, and clients that are nothing but bytes, over a network in memory with
// a clock that moves when told, or over TCP on the loopback interface with the clock of the machine.

import { Buffer } from 'node:buffer';
import { Broker, type BrokerPorts, type BrokerOptions as Settings } from '../../src/broker/broker.ts';
import type { Admission, Authenticator, Authoriser, SessionStore, TopicProtocol } from '../../src/broker/ports.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type Connection, type ConnectionSink, type Network, systemNetwork } from '../../src/platform/net.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { type Frame, type Link, MemoryLink, TcpLink, WebSocketLink } from './links.ts';
import type { Octets } from './packets.ts';
import type { Stage } from './script.ts';

/** What a case wants of the broker beside its defaults: everybody may do everything, and needs no password. */
export interface BrokerOptions {
  readonly settings?: Settings;
  readonly authenticate?: Authenticator['authenticate'];
  readonly exchange?: NonNullable<Authenticator['exchange']>;
  readonly mayPublish?: (topic: string) => boolean;
  readonly maySubscribe?: (filter: string) => boolean;
  readonly service?: TopicProtocol;
}

export const admitted = (name = 'somebody'): Admission => ({
  admitted: true,
  principal: { name, identity: undefined },
  expiresAtMs: undefined,
});

function ports(options: BrokerOptions, clock: Clock, network: Network): BrokerPorts {
  const { authenticate, exchange, mayPublish, maySubscribe, service } = options;
  const authoriser: Authoriser = {
    mayPublish: (_principal, topic) => mayPublish?.(topic) ?? true,
    maySubscribe: (_principal, filter) => maySubscribe?.(filter) ?? true,
  };
  return {
    network,
    clock,
    log: createLog({ clock, level: 'error', write: () => undefined }),
    metrics: createMetrics(),
    authenticator: {
      authenticate: authenticate ?? (async ({ username }) => admitted(username)),
      ...(exchange === undefined ? {} : { exchange }),
    },
    authoriser,
    ...(service === undefined ? {} : { service }),
  };
}

function octetsToBytes(octets: Octets, bindings: Stage['bindings']): Buffer {
  return Buffer.from(
    octets.map((octet) => {
      if (typeof octet === 'number') return octet;
      if (octet === 'ok') return 0;
      const bound = bindings.get(octet.name);
      if (bound === undefined) throw new Error(`nothing has bound the packet identifier ${octet.name} yet`);
      return bound[octet.half];
    }),
  );
}

/** What both stages have in common. */
abstract class LinkStage<L extends Link> implements Stage {
  readonly bindings = new Map<string, readonly [number, number]>();
  readonly links: { readonly name: string; readonly link: L }[] = [];
  abstract readonly broker: Broker;

  protected abstract connect(subprotocols: string): L;
  /** Waits until `condition`, or until nothing more can happen. */
  protected abstract until(condition: () => boolean): Promise<void>;
  protected abstract transmit(link: L, bytes: Buffer): Promise<void>;
  abstract quiet(): Promise<void>;
  abstract drop(name: string): Promise<void>;
  abstract advance(ms: number): Promise<void>;

  frame(_name: string, _frame: Frame): void {
    throw new Error('there are no frames without a WebSocket');
  }

  subprotocol(_name: string): string | undefined {
    return undefined;
  }

  open(name: string, subprotocols = 'mqtt'): void {
    this.links.unshift({ name, link: this.connect(subprotocols) });
  }

  protected link(name: string): L {
    const found = this.links.find((entry) => entry.name === name);
    if (found === undefined) throw new Error(`${name} has no connection yet`);
    return found.link;
  }

  async send(name: string, octets: Octets, chunkBytes = Number.POSITIVE_INFINITY): Promise<void> {
    const bytes = octetsToBytes(octets, this.bindings);
    const link = this.link(name);
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      await this.transmit(link, bytes.subarray(at, Math.min(bytes.length, at + chunkBytes)));
    }
  }

  async next(name: string): Promise<Buffer | undefined> {
    const link = this.link(name);
    await this.until(() => link.packets.length > 0 || link.isClosed);
    return link.packets.shift();
  }

  async all(name: string): Promise<readonly Buffer[]> {
    await this.quiet();
    return this.link(name).packets.splice(0);
  }

  async closed(name: string): Promise<boolean> {
    const link = this.link(name);
    await this.until(() => link.isClosed);
    link.closureExpected = true;
    return link.isClosed;
  }

  /** What the case has left unsaid. */
  async leftOver(): Promise<string | undefined> {
    await this.quiet();
    for (const { name, link } of this.links) {
      const [first] = link.packets;
      if (first !== undefined) return `${name} got ${first.toString('hex')} in addition`;
      if (link.rest > 0) return `${name} got part of a packet`;
      if (link.fault !== undefined) return `${name}: ${link.fault}`;
      if (link.isClosed && !link.closureExpected) return `the connection of ${name} was closed`;
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const { link } of this.links) link.drop();
    await this.broker.close();
  }
}

/** Simulated time for time-outs, the real loop for turns. */
class TurnClock extends SimClock {
  override soon(callback: () => void): void {
    setImmediate(callback);
  }
}

const turnsToSettle = 8;

/** A store whose commits take their time: acknowledgements must wait for it, and keep their order. */
function slowStore(): SessionStore {
  const nothing = (): void => undefined;
  return {
    load: async () => ({ sessions: [], retained: [], damaged: 0 }),
    onLost: nothing,
    full: false,
    putSession: nothing,
    deleteSession: nothing,
    putSubscription: nothing,
    deleteSubscription: nothing,
    putMessage: nothing,
    sentMessage: nothing,
    deleteMessage: nothing,
    putReceiving: nothing,
    deleteReceiving: nothing,
    putRetained: nothing,
    deleteRetained: nothing,
    flushed: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
  };
}

class MemoryStage extends LinkStage<MemoryLink> {
  readonly broker: Broker;
  readonly #clock = new TurnClock();
  #accept: ((connection: Connection) => ConnectionSink) | undefined;

  constructor(kind: 'memory' | 'stored', options: BrokerOptions) {
    super();
    const network: Network = {
      listen: async (_endpoint, accept) => {
        this.#accept = accept;
        return { address: { path: 'memory' }, close: async () => undefined };
      },
      dial: () => {
        throw new Error('nobody dials');
      },
    };
    const sessionStore = kind === 'stored' ? { sessionStore: slowStore() } : {};
    this.broker = new Broker({ ...ports(options, this.#clock, network), ...sessionStore }, options.settings);
  }

  async start(): Promise<this> {
    await this.broker.start();
    await this.broker.listen('memory', { kind: 'unix', path: 'memory', mode: 0 });
    return this;
  }

  protected connect(): MemoryLink {
    const link = new MemoryLink(`memory:${this.links.length}`);
    link.sink = this.#accept?.(link);
    return link;
  }

  protected async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < turnsToSettle && !condition(); turn++) await settle();
  }

  protected async transmit(link: MemoryLink, bytes: Buffer): Promise<void> {
    link.deliver(bytes);
    await settle();
  }

  quiet(): Promise<void> {
    return this.until(() => false);
  }

  async drop(name: string): Promise<void> {
    this.link(name).drop();
    await settle();
  }

  advance(ms: number): Promise<void> {
    return this.#clock.advance(ms);
  }
}

const deadlineMs = 60_000;

/** Sockets on the loopback interface: bare, or with a WebSocket on each. */
class SocketStage extends LinkStage<TcpLink> {
  readonly broker: Broker;
  readonly #isWeb: boolean;
  #port = 0;
  #last: TcpLink | undefined;

  constructor(kind: 'tcp' | 'websocket', options: BrokerOptions) {
    super();
    this.#isWeb = kind === 'websocket';
    this.broker = new Broker(ports(options, systemClock(), systemNetwork()), options.settings);
  }

  async start(): Promise<this> {
    await this.broker.start();
    const endpoint = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
    const { address } = await this.broker.listen('socket', this.#isWeb ? { ...endpoint, websocket: true } : endpoint);
    if ('port' in address) this.#port = address.port;
    return this;
  }

  protected connect(subprotocols: string): TcpLink {
    return this.#isWeb ? new WebSocketLink(this.#port, subprotocols) : new TcpLink(this.#port);
  }

  override frame(name: string, frame: Frame): void {
    const link = this.link(name);
    if (link instanceof WebSocketLink) link.frame(frame);
  }

  override subprotocol(name: string): string | undefined {
    const link = this.link(name);
    return link instanceof WebSocketLink ? link.subprotocol : undefined;
  }

  protected async until(condition: () => boolean): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    while (!condition() && performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve));
  }

  protected async transmit(link: TcpLink, bytes: Buffer): Promise<void> {
    // Two connections may be read in any order: what was sent on another one comes first.
    if (this.#last !== undefined && this.#last !== link) await this.#barrier(this.#last);
    this.#last = link;
    link.write(Buffer.from(bytes));
  }

  async #barrier(link: TcpLink): Promise<void> {
    if (!link.accepted || link.isClosed || link.closureExpected) return;
    link.barriers++;
    link.write(Buffer.from([0xc0, 0]));
    await this.until(() => link.barriers === 0 || link.isClosed);
  }

  async quiet(): Promise<void> {
    if (this.#last !== undefined) await this.#barrier(this.#last);
    for (const { link } of this.links) await this.#barrier(link);
  }

  async drop(name: string): Promise<void> {
    await this.quiet();
    const before = this.broker.connectedClients().length;
    this.link(name).drop();
    await this.until(() => this.broker.connectedClients().length < before);
  }

  async advance(): Promise<void> {
    throw new Error('time cannot be moved over TCP');
  }
}

/** `stored` is `memory` with sessions on a store that takes its time. */
export type StageKind = 'memory' | 'stored' | 'tcp' | 'websocket';

export type OpenStage = MemoryStage | SocketStage;

export function openStage(kind: StageKind, options: BrokerOptions): Promise<OpenStage> {
  return kind === 'memory' || kind === 'stored'
    ? new MemoryStage(kind, options).start()
    : new SocketStage(kind, options).start();
}
