// The client's end of a connection, for each way to connect: what arrives is cut into packets, what is sent is bytes.
// The WebSocket (RFC 6455) is spoken by hand, as the packets are.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { connect as dial, type Socket } from 'node:net';
import type { Connection, ConnectionSink } from '../../src/platform/net.ts';
import { packetType, u16, u32 } from './packets.ts';
import { firstPacket } from './received.ts';

/** The client's end of a connection: what arrived, cut into packets. */
export abstract class Link {
  readonly packets: Buffer[] = [];
  /** The broker closed it. */
  isClosed = false;
  /** The case knows, or did it. */
  closureExpected = false;
  accepted = false;
  /** Pings of the stage under way. */
  barriers = 0;
  /** What the broker did wrong below the packets. */
  fault: string | undefined;
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

  /** Bytes that are no whole packet. */
  get rest(): number {
    return this.#stream.length;
  }
}

export class MemoryLink extends Link implements Connection {
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

  /** What the client sends; the buffer is spoilt afterwards, as by the next read. */
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

export class TcpLink extends Link {
  protected readonly socket: Socket;

  constructor(port: number) {
    super();
    this.socket = dial({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (chunk: Buffer) => this.received(chunk));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  protected received(chunk: Buffer): void {
    this.arrived(chunk);
  }

  override write(bytes: Buffer): void {
    if (!this.isClosed) this.socket.write(bytes);
  }

  drop(): void {
    this.closureExpected = true;
    this.socket.destroy();
  }
}

export interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly bytes: Uint8Array;
}

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const headEnd = '\r\n\r\n';
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const shortLengthMax = 126;
const mediumLengthMax = 65_536;
const mask = Uint8Array.of(0x12, 0x34, 0x56, 0x78);

/** A masked frame (RFC 6455 §5.2); the mask need not be random to be right. */
function frameBytes({ opcode, isFinal, bytes }: Frame): Buffer {
  const length =
    bytes.length < shortLengthMax
      ? [bytes.length]
      : bytes.length < mediumLengthMax
        ? [126, ...u16(bytes.length)]
        : [127, ...u32(0), ...u32(bytes.length)];
  length[0] = (length[0] as number) | 0x80;
  const masked = bytes.map((byte, at) => byte ^ (mask[at % mask.length] as number));
  return Buffer.concat([Uint8Array.of((isFinal ? 0x80 : 0) | opcode, ...length), mask, masked]);
}

/** MQTT in the binary frames of a WebSocket. */
export class WebSocketLink extends TcpLink {
  /** What the server selected; undefined before it answered. */
  subprotocol: string | undefined;
  #input: Buffer = Buffer.alloc(0);
  readonly #key = Buffer.from('sixteen bytes !!').toString('base64');

  constructor(port: number, subprotocols: string) {
    super(port);
    const head = [
      'GET /mqtt HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${this.#key}`,
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Protocol: ${subprotocols}`,
    ];
    this.socket.write(head.join('\r\n') + headEnd);
  }

  /** Each call is a frame of its own. */
  override write(bytes: Buffer): void {
    this.frame({ opcode: opcodes.binary, isFinal: true, bytes });
  }

  frame(frame: Frame): void {
    super.write(frameBytes(frame));
  }

  protected override received(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    if (this.subprotocol === undefined && !this.#upgraded()) return;
    while (this.#takeFrame());
  }

  #upgraded(): boolean {
    const end = this.#input.indexOf(headEnd);
    if (end < 0) return false;
    const [status = '', ...lines] = this.#input.subarray(0, end).toString('latin1').split('\r\n');
    this.#input = this.#input.subarray(end + headEnd.length);
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const accept = createHash('sha1')
      .update(this.#key + acceptSuffix)
      .digest('base64');
    if (!status.startsWith('HTTP/1.1 101')) this.fault = `the upgrade was answered by ${status}`;
    else if (headers.get('sec-websocket-accept') !== accept) this.fault = 'Sec-WebSocket-Accept is wrong';
    this.subprotocol = headers.get('sec-websocket-protocol') ?? '';
    return true;
  }

  #takeFrame(): boolean {
    if (this.#input.length < 2) return false;
    const [first, second] = [this.#input[0] as number, this.#input[1] as number];
    const short = second & 0x7f;
    const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (this.#input.length < headBytes) return false;
    const length =
      short === 126 ? this.#input.readUInt16BE(2) : short === 127 ? Number(this.#input.readBigUInt64BE(2)) : short;
    if (this.#input.length < headBytes + length) return false;
    if ((second & 0x80) !== 0) this.fault = 'a frame of the server is masked';
    const body = this.#input.subarray(headBytes, headBytes + length);
    this.#input = this.#input.subarray(headBytes + length);
    this.#take(first & 0x0f, body);
    return true;
  }

  #take(opcode: number, body: Buffer): void {
    if (opcode === opcodes.binary || opcode === opcodes.continuation) this.arrived(body);
    else if (opcode === opcodes.close) this.frame({ opcode: opcodes.close, isFinal: true, bytes: body });
    else if (opcode === opcodes.ping) this.frame({ opcode: opcodes.pong, isFinal: true, bytes: body });
    else if (opcode === opcodes.text) this.fault = 'the server sends packets in text frames';
    else assert.equal(opcode, opcodes.pong);
  }
}
