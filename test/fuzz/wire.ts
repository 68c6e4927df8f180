// One end of a connection in memory, as the network's other side: hostile, or a witness that keeps the protocol.
//
// Whatever the broker writes is held against MQTT: each packet is whole and valid in the version of the CONNECT,
// fits the client's maximum packet size, and uses topic aliases that the client allowed and was told.

import { strict as assert } from 'node:assert';
import type { Connection, ConnectionSink } from '../../src/platform/net.ts';
import { lengthFieldBytes, lengthFieldValue, type MqttVersion, PacketCarry } from '../../src/protocol/mqtt/frame.ts';
import {
  type ConnectPacket,
  type ControlPacket,
  decodePacket,
  peekProtocolLevel,
} from '../../src/protocol/mqtt/packet.ts';

const connectBytesMax = 70_000;
const packetBytesMax = 1_000_000;

export class FuzzWire implements Connection {
  readonly remote: string;
  readonly peer = undefined;
  readonly received: ControlPacket[] = [];
  sink: ConnectionSink | undefined;
  closed = false;
  /** The broker ended it. */
  #ended = false;
  #taking = true;
  #paused = false;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #waiting: Buffer[] = [];
  readonly #carry = new PacketCarry();
  #first: Buffer = Buffer.alloc(0);
  #connect: ConnectPacket | undefined;
  #aliases = new Set<number>();

  constructor(remote: string) {
    this.remote = remote;
  }

  get bufferedBytes(): number {
    return this.#pendingBytes;
  }

  /** What the peer of the broker sends: it arrives when the broker reads. */
  send(bytes: Buffer): void {
    if (this.closed) return;
    if (this.#first.length < connectBytesMax) this.#first = Buffer.concat([this.#first, bytes]);
    this.#waiting.push(bytes);
    this.#deliver();
  }

  stall(): void {
    this.#taking = false;
  }

  take(): void {
    this.#taking = true;
    if (this.closed || this.#pending.length === 0) return;
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const chunk of pending) this.#read(chunk);
    this.sink?.onDrain();
  }

  /** The peer is gone. */
  lose(): void {
    this.#close(new Error('reset'));
  }

  write(chunk: Uint8Array): boolean {
    assert.ok(!this.#ended, 'nothing is written behind the end');
    if (this.closed) return false;
    const bytes = chunk as Buffer;
    if (this.#taking) {
      this.#read(bytes);
      return true;
    }
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    queueMicrotask(() => this.#deliver());
  }

  end(): void {
    this.#ended = true;
    this.#close();
  }

  destroy(): void {
    this.#ended = true;
    this.#close();
  }

  #close(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.sink?.onClose(error));
  }

  #deliver(): void {
    while (!this.#paused && !this.closed) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) return;
      const read = Buffer.from(chunk);
      this.sink?.onData(read, read.length);
      // The broker had it only for the call: what it keeps it must have copied.
      read.fill(0xee);
    }
  }

  #read(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const next = this.#carry.fill(chunk, { at, end: chunk.length, packetBytesMax });
      assert.ok(typeof next === 'number', `what the broker writes is framed: ${next}`);
      at = next;
      if (this.#carry.isWhole) this.#packet(this.#carry.take());
    }
  }

  #packet(bytes: Buffer): void {
    this.#connect ??= this.#firstPacket();
    const level =
      this.#connect?.protocolVersion ??
      peekProtocolLevel(this.#first, 1 + lengthFieldBytes(this.#first, 1, this.#first.length))?.level;
    const decoded = [level === 5 ? 5 : 4, level === 5 ? 4 : 5].map((version) =>
      decodePacket(bytes, version as MqttVersion),
    );
    const known = this.#connect === undefined ? (decoded.find((each) => each.ok) ?? decoded[0]) : decoded[0];
    assert.ok(
      known?.ok,
      `the broker writes valid packets: ${known?.ok === false ? known.detail : ''} ${bytes.toString('hex')}`,
    );
    const { maximumPacketSize, topicAliasMaximum = 0 } = this.#connect?.properties ?? {};
    assert.ok(
      bytes.length <= (maximumPacketSize ?? packetBytesMax),
      `no packet over the maximum: ${bytes.toString('hex')}`,
    );
    const { packet } = known;
    if (packet.cmd === 'publish' && level === 5) {
      const { topicAlias } = packet.properties ?? {};
      if (topicAlias !== undefined) {
        assert.ok(topicAlias <= topicAliasMaximum, 'no alias over the maximum');
        assert.ok(packet.topic !== '' || this.#aliases.has(topicAlias), 'an alias is told before it is used');
        this.#aliases.add(topicAlias);
      } else {
        assert.ok(packet.topic !== '', 'a topic or an alias');
      }
    }
    this.received.push(packet);
  }

  #firstPacket(): ConnectPacket | undefined {
    const field = lengthFieldBytes(this.#first, 1, this.#first.length);
    if (field < 1) return undefined;
    const bytes = this.#first.subarray(0, 1 + field + lengthFieldValue(this.#first, 1, field));
    const level = peekProtocolLevel(bytes, 1 + field)?.level;
    const decoded = decodePacket(bytes, level === 5 ? 5 : 4);
    return decoded.ok && decoded.packet.cmd === 'connect' ? decoded.packet : undefined;
  }
}
