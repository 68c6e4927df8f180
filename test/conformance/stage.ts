// Where the cases are played: a real broker, and clients that are nothing but bytes, over a network in memory with
// a clock that moves when told, or over TCP on the loopback interface with the clock of the machine.

import { Buffer } from 'node:buffer';
import { connect as dial, type Socket } from 'node:net';
import { Broker, type BrokerPorts } from '../../src/broker/broker.ts';
import type { BrokerLimits } from '../../src/broker/broker-limits.ts';
import type { Admission, Authenticator, Authoriser, TopicProtocol } from '../../src/broker/ports.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type Connection, type ConnectionSink, type Network, systemNetwork } from '../../src/platform/net.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { type Octets, packetType } from './packets.ts';
import { firstPacket } from './received.ts';
import type { Stage } from './script.ts';

/** What a case wants of the broker beside its defaults: everybody may do everything, and needs no password. */
export interface BrokerOptions {
  readonly limits?: Partial<BrokerLimits>;
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

/** The client's end of a connection: what arrived, cut into packets. */
abstract class Link {
  readonly packets: Buffer[] = [];
  /** The broker closed it. */
  isClosed = false;
  /** The case knows, or did it. */
  closureExpected = false;
  accepted = false;
  /** Pings of the stage under way. */
  barriers = 0;
  #stream: Buffer = Buffer.alloc(0);

  abstract write(bytes: Buffer): void;
  abstract drop(): void;

  arrived(chunk: Buffer): void {
    this.#stream = Buffer.concat([this.#stream, chunk]);
    for (;;) {
      const packet = firstPacket(this.#stream);
      if (packet === undefined) return;
      this.#stream = this.#stream.subarray(packet.length);
      const type = (packet[0] as number) >> 4;
      if (type === packetType.connack && packet[3] === 0) this.accepted = true;
      if (type === packetType.pingresp && this.barriers > 0) this.barriers--;
      else this.packets.push(Buffer.from(packet));
    }
  }

  get rest(): number {
    return this.#stream.length;
  }
}

class MemoryLink extends Link implements Connection {
  readonly remote: string;
  readonly peer = undefined;
  readonly bufferedBytes = 0;
  sink: ConnectionSink | undefined;
  #gone = false;

  constructor(remote: string) {
    super();
    this.remote = remote;
  }

  override write(chunk: Uint8Array): boolean {
    if (this.#gone) return false;
    this.arrived(Buffer.from(chunk));
    return true;
  }

  /** What the client sends; the buffer is spoilt afterwards, as the next read would. */
  deliver(bytes: Buffer): void {
    if (this.isClosed) return;
    const chunk = Buffer.from(bytes);
    this.sink?.onData(chunk, chunk.length);
    chunk.fill(0xee);
  }

  pause(): void {}
  resume(): void {}

  end(): void {
    this.#close();
  }

  destroy(): void {
    this.#close();
  }

  drop(): void {
    this.closureExpected = true;
    this.#close();
  }

  #close(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.isClosed = true;
    queueMicrotask(() => this.sink?.onClose());
  }
}

class TcpLink extends Link {
  readonly #socket: Socket;

  constructor(port: number) {
    super();
    this.#socket = dial({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.arrived(chunk));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.isClosed = true;
    });
  }

  override write(bytes: Buffer): void {
    if (!this.isClosed) this.#socket.write(bytes);
  }

  drop(): void {
    this.closureExpected = true;
    this.#socket.destroy();
  }
}

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

  protected abstract connect(): L;
  /** Waits until `condition`, or until nothing more can happen. */
  protected abstract until(condition: () => boolean): Promise<void>;
  protected abstract transmit(link: L, bytes: Buffer): Promise<void>;
  abstract quiet(): Promise<void>;
  abstract drop(name: string): Promise<void>;
  abstract advance(ms: number): Promise<void>;

  open(name: string): void {
    this.links.unshift({ name, link: this.connect() });
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

class MemoryStage extends LinkStage<MemoryLink> {
  readonly broker: Broker;
  readonly #clock = new TurnClock();
  #accept: ((connection: Connection) => ConnectionSink) | undefined;

  constructor(options: BrokerOptions) {
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
    this.broker = new Broker(ports(options, this.#clock, network), options.limits);
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

const deadlineMs = 5000;

class TcpStage extends LinkStage<TcpLink> {
  readonly broker: Broker;
  #port = 0;
  #last: TcpLink | undefined;

  constructor(options: BrokerOptions) {
    super();
    this.broker = new Broker(ports(options, systemClock(), systemNetwork()), options.limits);
  }

  async start(): Promise<this> {
    await this.broker.start();
    const { address } = await this.broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
    if ('port' in address) this.#port = address.port;
    return this;
  }

  protected connect(): TcpLink {
    return new TcpLink(this.#port);
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

export type StageKind = 'memory' | 'tcp';

export type OpenStage = MemoryStage | TcpStage;

export function openStage(kind: StageKind, options: BrokerOptions): Promise<OpenStage> {
  return kind === 'memory' ? new MemoryStage(options).start() : new TcpStage(options).start();
}
