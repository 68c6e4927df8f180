// An MQTT 3.1.1 client that keeps its session state as the specification asks (§4.1, §4.3, §4.4), for tests that
// take its broker away: what it sent and has no answer for it sends again, in order, with DUP and the old packet id.
//
// Written on mqtt-packet and a plain socket, so that nothing of the broker's own code judges the broker. `acknowledged`
// and `received` are what the test compares; `faults` is what the broker did against the specification.

import { connect, type Socket } from 'node:net';
import * as mqtt from 'mqtt-packet';

interface Sent {
  readonly packetId: number;
  readonly topic: string;
  readonly text: string;
  readonly qos: 1 | 2;
  readonly retain: boolean;
  /** PUBREC came: PUBREL is what is sent again. */
  released: boolean;
}

export interface Received {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
}

export class SessionClient {
  readonly #clientId: string;
  readonly #inflight = new Map<number, Sent>();
  /** Packet ids of QoS 2 messages it has taken and not been released from. */
  readonly #taken = new Set<number>();
  #socket: Socket | undefined;
  #packetId = 0;
  #subscribed: (() => void) | undefined;
  #connected: ((present: boolean) => void) | undefined;
  readonly received: Received[] = [];
  readonly acknowledged: string[] = [];
  readonly faults: string[] = [];
  /** Called whenever a place in the window becomes free. */
  onRoom: () => void = () => undefined;

  constructor(clientId: string) {
    this.#clientId = clientId;
  }

  get inflight(): number {
    return this.#inflight.size;
  }

  get connected(): boolean {
    return this.#socket !== undefined && this.#connected === undefined;
  }

  /** Resolves with the CONNACK's session present, or undefined when the broker went away first. */
  connect(port: number, options: { readonly clean?: boolean } = {}): Promise<boolean | undefined> {
    this.drop();
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    const parser = mqtt.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => {
      if (this.#socket === socket) this.#take(packet);
    });
    return new Promise((resolve) => {
      this.#connected = resolve;
      const gone = (): void => {
        if (this.#socket === socket) this.#socket = undefined;
        resolve(undefined);
      };
      socket.on('data', (bytes: Buffer) => void parser.parse(bytes));
      socket.on('error', gone);
      socket.on('close', gone);
      const clean = options.clean === true;
      this.#write({ cmd: 'connect', clientId: this.#clientId, clean, protocolVersion: 4, keepalive: 0 });
    });
  }

  /** Tears the connection without a DISCONNECT. */
  drop(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    return new Promise((resolve) => {
      this.#subscribed = resolve;
      this.#write({ cmd: 'subscribe', messageId: this.#nextId(), subscriptions: [{ topic: filter, qos }] });
    });
  }

  publish(topic: string, text: string, options: { readonly qos: 1 | 2; readonly retain?: boolean }): void {
    const { qos, retain = false } = options;
    const sent: Sent = { packetId: this.#nextId(), topic, text, qos, retain, released: false };
    this.#inflight.set(sent.packetId, sent);
    this.#send(sent, false);
  }

  /** QoS 0. */
  publishUnsafe(topic: string, text: string): void {
    this.#write({ cmd: 'publish', topic, payload: text, qos: 0, retain: false, dup: false });
  }

  #nextId(): number {
    do this.#packetId = (this.#packetId % 65_535) + 1;
    while (this.#inflight.has(this.#packetId));
    return this.#packetId;
  }

  #send({ packetId, topic, text, qos, retain, released }: Sent, dup: boolean): void {
    if (released) this.#write({ cmd: 'pubrel', messageId: packetId });
    else this.#write({ cmd: 'publish', topic, payload: text, qos, retain, dup, messageId: packetId });
  }

  #write(packet: mqtt.Packet): void {
    this.#socket?.write(mqtt.generate(packet));
  }

  #take(packet: mqtt.Packet): void {
    switch (packet.cmd) {
      case 'connack': {
        const present = packet.sessionPresent;
        if (packet.returnCode !== 0) this.faults.push(`CONNACK ${packet.returnCode}`);
        // The broker that has forgotten the session has forgotten what it had taken, too.
        if (!present) this.#taken.clear();
        const resolve = this.#connected;
        this.#connected = undefined;
        for (const sent of this.#inflight.values()) this.#send(sent, true);
        resolve?.(present);
        return;
      }
      case 'suback':
        if (packet.granted.some((code) => (typeof code === 'number' ? code : 0) >= 0x80))
          this.faults.push('SUBACK 0x80');
        this.#subscribed?.();
        return;
      case 'publish':
        this.#takePublish(packet);
        return;
      case 'puback':
        this.#finish(packet.messageId, 1);
        return;
      case 'pubrec': {
        const sent = this.#inflight.get(packet.messageId ?? 0);
        if (sent?.qos === 2 && !sent.released) {
          sent.released = true;
          this.acknowledged.push(sent.text);
        }
        this.#write({ cmd: 'pubrel', messageId: packet.messageId ?? 0 });
        return;
      }
      case 'pubcomp':
        this.#finish(packet.messageId, 2);
        return;
      case 'pubrel':
        this.#taken.delete(packet.messageId ?? 0);
        this.#write({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
        return;
      default:
        this.faults.push(`unexpected ${packet.cmd}`);
    }
  }

  #finish(packetId: number | undefined, qos: 1 | 2): void {
    const sent = this.#inflight.get(packetId ?? 0);
    if (sent?.qos !== qos) return;
    this.#inflight.delete(sent.packetId);
    if (qos === 1) this.acknowledged.push(sent.text);
    this.onRoom();
  }

  #takePublish(packet: mqtt.IPublishPacket): void {
    const { topic, qos, dup } = packet;
    const packetId = packet.messageId ?? 0;
    const message = { topic, text: packet.payload.toString(), qos };
    if (qos === 1) {
      this.received.push(message);
      this.#write({ cmd: 'puback', messageId: packetId });
    } else if (qos === 2) {
      if (!this.#taken.has(packetId)) {
        this.#taken.add(packetId);
        this.received.push(message);
      } else if (!dup) this.faults.push(`packet id ${packetId} used again before its PUBREL`);
      this.#write({ cmd: 'pubrec', messageId: packetId });
    } else this.received.push(message);
  }
}
