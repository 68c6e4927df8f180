// A client that does what it is told, also what no client should do: a socket, packets of mqtt-packet, and bytes.

import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import * as mqtt from 'mqtt-packet';

export interface RawOptions {
  readonly port: number;
  readonly version?: 4 | 5;
  /** TLS, without looking at the certificate. */
  readonly tls?: boolean;
  readonly localAddress?: string;
}

export type Connack = mqtt.IConnackPacket;
type Command = mqtt.Packet['cmd'];

interface Waiting {
  readonly cmd: Command;
  readonly resolve: (packet: mqtt.Packet) => void;
  readonly reject: (error: Error) => void;
}

export class RawClient {
  readonly socket: Socket;
  readonly version: 4 | 5;
  /** The connection is over, whoever ended it. */
  readonly closed: Promise<void>;
  /** The DISCONNECT that came, if one came. */
  disconnect: mqtt.IDisconnectPacket | undefined;
  onPublish: (packet: mqtt.IPublishPacket) => void = () => undefined;
  onPacket: (packet: mqtt.Packet) => void = () => undefined;
  isClosed = false;
  #waiting: Waiting[] = [];

  private constructor(socket: Socket, version: 4 | 5) {
    this.socket = socket;
    this.version = version;
    const parser = mqtt.parser({ protocolVersion: version });
    parser.on('packet', (packet) => this.#take(packet));
    parser.on('error', (error) => socket.destroy(error));
    socket.on('data', (bytes) => parser.parse(bytes));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.isClosed = true;
        for (const { cmd, reject } of this.#waiting.splice(0)) reject(new TypeError(`closed before ${cmd}`));
        resolve();
      }),
    );
  }

  /** Resolves when the stream is up; nothing was said yet. */
  static async open({ port, version = 5, tls = false, localAddress }: RawOptions): Promise<RawClient> {
    const host = '127.0.0.1';
    const to: NetConnectOpts = { port, host, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) };
    const socket = tls ? connectTls({ port, host, rejectUnauthorized: false }) : connect(to);
    await new Promise<void>((resolve, reject) => {
      socket.once(tls ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket, version);
  }

  /** Opened, and in its session. */
  static async connected(options: RawOptions, packet: Partial<mqtt.IConnectPacket> = {}): Promise<RawClient> {
    const client = await RawClient.open(options);
    await client.connect(packet);
    return client;
  }

  connect(packet: Partial<mqtt.IConnectPacket> = {}): Promise<Connack> {
    const { version: protocolVersion } = this;
    const clientId = packet.clientId ?? '';
    return this.ask({ cmd: 'connect', protocolVersion, clean: true, keepalive: 0, ...packet, clientId }, 'connack');
  }

  bytes(packet: mqtt.Packet): Buffer {
    return mqtt.generate(packet, { protocolVersion: this.version });
  }

  send(packet: mqtt.Packet): void {
    this.socket.write(this.bytes(packet));
  }

  /** Resolves when the kernel has the bytes. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) =>
      this.socket.write(bytes, (error) => (error == null ? resolve() : reject(error))),
    );
  }

  /** The next packet of that kind that comes from now on. Rejects when the connection ends first. */
  next<T extends mqtt.Packet>(cmd: T['cmd']): Promise<T> {
    if (this.isClosed) return Promise.reject(new TypeError(`closed before ${cmd}`));
    return new Promise((resolve, reject) =>
      this.#waiting.push({ cmd, resolve: resolve as (packet: mqtt.Packet) => void, reject }),
    );
  }

  ask<T extends mqtt.Packet>(packet: mqtt.Packet, answer: T['cmd']): Promise<T> {
    const answered = this.next<T>(answer);
    this.send(packet);
    return answered;
  }

  /** Everything sent so far was read and dealt with. */
  async round(): Promise<void> {
    await this.ask({ cmd: 'pingreq' }, 'pingresp');
  }

  /** The reason codes of the SUBACK. */
  async subscribe(filters: readonly string[], qos: 0 | 1 | 2 = 0, messageId = 1): Promise<readonly number[]> {
    const subscriptions = filters.map((topic) => ({ topic, qos }));
    const suback = await this.ask<mqtt.ISubackPacket>({ cmd: 'subscribe', messageId, subscriptions }, 'suback');
    return suback.granted as readonly number[];
  }

  /** The reason code of the PUBACK; for QoS 1. */
  async publish(topic: string, payload: string | Buffer, more: Partial<mqtt.IPublishPacket> = {}): Promise<number> {
    const packet = {
      cmd: 'publish',
      topic,
      payload,
      qos: 1,
      dup: false,
      retain: false,
      messageId: 1,
      ...more,
    } as const;
    const puback = await this.ask<mqtt.IPubackPacket>(packet, 'puback');
    return puback.reasonCode ?? 0;
  }

  /** Takes leave. */
  async leave(): Promise<void> {
    this.send({ cmd: 'disconnect' });
    this.socket.end();
    await this.closed;
  }

  /** Goes without a word. */
  async drop(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  #take(packet: mqtt.Packet): void {
    if (packet.cmd === 'publish') this.onPublish(packet);
    if (packet.cmd === 'disconnect') this.disconnect = packet;
    this.onPacket(packet);
    const at = this.#waiting.findIndex(({ cmd }) => cmd === packet.cmd);
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.resolve(packet);
  }
}
