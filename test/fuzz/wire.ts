// One end of a connection in memory, as the network's other side: hostile, or a witness that keeps the protocol.
//
// Whatever the broker writes is held against MQTT: each packet is whole and valid in the version of the CONNECT,
// fits the client's maximum packet size, uses topic aliases that the client allowed and was told, no packet id that
// is still in use, and no more of them at once than the client takes. Bytes given to a stalled client stay as they are.

import { strict as assert } from 'node:assert';
import type { Connection, ConnectionSink } from '../../src/platform/net.ts';
import { AckView, encodeAck } from '../../src/protocol/mqtt/ack.ts';
import {
  lengthFieldBytes,
  lengthFieldValue,
  type MqttVersion,
  PacketCarry,
  packetType,
  typeShift,
} from '../../src/protocol/mqtt/frame.ts';
import {
  type ConnectPacket,
  type ControlPacket,
  decodePacket,
  peekProtocolLevel,
} from '../../src/protocol/mqtt/packet.ts';
import { isFailure } from '../../src/protocol/mqtt/reason-codes.ts';

const connectBytesMax = 70_000;
const packetBytesMax = 1_000_000;
/** inflightOutboundMax of a siege. */
export const inflightMax = 8;

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
  #pending: { readonly given: Buffer; readonly copy: Buffer }[] = [];
  #pendingBytes = 0;
  #waiting: Buffer[] = [];
  readonly #carry = new PacketCarry();
  #first: Buffer = Buffer.alloc(0);
  #connect: ConnectPacket | undefined;
  readonly #aliases = new Set<number>();
  /** What the client said, packet by packet. */
  readonly #said = new PacketCarry();
  /** It acknowledged what it did not get: packet ids tell nothing from then on. */
  #lied = false;
  /** Packet ids the broker uses, and the acknowledgement each waits for. */
  readonly #open = new Map<number, number>();

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
    for (const { given, copy } of pending) assert.ok(given.equals(copy), 'what was given to a socket is left alone');
    this.sink?.onDrain();
  }

  /** Acknowledges, as the specification asks, what came and is not acknowledged. */
  answer(): void {
    for (const [packetId, type] of [...this.#open]) this.send(encodeAck(type, packetId));
  }

  /** The peer is gone. */
  lose(): void {
    this.#close(new Error('reset'));
  }

  write(chunk: Uint8Array): boolean {
    assert.ok(!this.#ended, 'nothing is written behind the end');
    if (this.closed) return false;
    const given = chunk as Buffer;
    const copy = Buffer.from(given);
    this.#read(copy);
    if (this.#taking) return true;
    this.#pending.push({ given, copy });
    this.#pendingBytes += given.length;
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
      this.#acknowledgements(chunk);
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
    if (packet.cmd === 'publish' && packet.qos > 0) this.#opened(packet.messageId ?? 0, packet.qos);
    this.received.push(packet);
  }

  #opened(packetId: number, qos: number): void {
    assert.ok(this.#lied || !this.#open.has(packetId), `packet id ${packetId} is still in use`);
    this.#open.set(packetId, qos === 1 ? packetType.puback : packetType.pubrec);
    const most = this.#connect?.properties?.receiveMaximum ?? inflightMax;
    assert.ok(this.#lied || this.#open.size <= Math.min(most, inflightMax), `${this.#open.size} packet ids at once`);
  }

  /** What the client says of packets it got; as long as what it says is framed. */
  #acknowledgements(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const next = this.#said.fill(chunk, { at, end: chunk.length, packetBytesMax });
      if (typeof next === 'string') return;
      at = next;
      if (!this.#said.isWhole) continue;
      const bytes = this.#said.take();
      const ack = new AckView();
      const range = { at: 0, bodyAt: 1 + lengthFieldBytes(bytes, 1, bytes.length), end: bytes.length };
      const type = (bytes[0] as number) >> typeShift;
      if (type < packetType.puback || type > packetType.pubcomp) continue;
      const version = (this.#connect?.protocolVersion ?? 4) as MqttVersion;
      if (ack.read(bytes, range, version) !== undefined || this.#open.get(ack.packetId) !== type) {
        this.#lied = true;
        continue;
      }
      if (type === packetType.pubrec && !isFailure(ack.reason)) this.#open.set(ack.packetId, packetType.pubcomp);
      else this.#open.delete(ack.packetId);
    }
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
