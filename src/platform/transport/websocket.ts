// MQTT over WebSocket: a Connection made of another one, whatever that is (TCP, TLS, unix, behind a proxy).
//
//   upgrading ──101──► open ──Close either way, broken rule──► closing ──► closed with the stream
//       ├ HTTP, where the port speaks it too ──► handed: the connection is the answerer's
//       └ anything else: a small HTTP answer, closed
//
// Written by hand on RFC 6455 instead of with the package ws: a server that takes binary frames as a stream needs
// neither messages nor extensions nor Node's streams, and unmasks in the read buffer. ws gathers each message, and
// its receiver, sender and emitter cost a connection several kilobytes.
//
// Invariants
//   The sink exists only when the upgrade succeeded: whoever is refused never reaches the broker.
//   After pause() nothing reaches the sink until resume(); what a read still holds is kept, one read at most.
//   A pong is left out while the peer does not take what it was sent: pings cannot fill memory.

import { webSocketCloseMsMax, webSocketHeaderBytesMax, webSocketUpgradeMsMax } from '../../limits.ts';
import type { Connection, ConnectionSink, PeerCertificate, PeerCredentials } from '../net.ts';
import type { Entry } from './entry.ts';
import {
  answerToClose,
  closeCode,
  closeFrame,
  FrameReader,
  type FrameSink,
  frameHeader,
  opcode,
} from './websocket-frame.ts';
import { answerUpgrade, asksForWebSocket, refused } from './websocket-upgrade.ts';

const headEnd = Buffer.from('\r\n\r\n');
/** Below it header and payload are one write: a copy is cheaper than a system call. */
const joinedBytesMax = 16_384;

export interface WebSocketDoors {
  readonly accept: (connection: Connection) => ConnectionSink;
  readonly http: { take(connection: Connection): ConnectionSink } | undefined;
}

export class WebSocketConnection implements Connection, ConnectionSink, FrameSink {
  readonly remote: string;
  readonly peer: PeerCredentials | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly #stream: Connection;
  readonly #doors: WebSocketDoors;
  readonly #frames = new FrameReader(this);
  #state: 'upgrading' | 'open' | 'handed' | 'closing' = 'upgrading';
  #sink: ConnectionSink | undefined;
  #head: Buffer | undefined;
  #paused = false;
  /** Input that waits for resume(). */
  #held: Buffer | undefined;
  #upgraded: (() => void) | undefined;
  #lastTimer: NodeJS.Timeout | undefined;

  constructor(stream: Connection, doors: WebSocketDoors, entry: Entry) {
    this.remote = stream.remote;
    this.peer = stream.peer;
    this.certificate = stream.certificate;
    this.#stream = stream;
    this.#doors = doors;
    this.#upgraded = entry.begin(webSocketUpgradeMsMax, () => stream.destroy());
  }

  // ── towards the owner ──

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open') return false;
    const header = frameHeader(opcode.binary, chunk.length);
    if (chunk.length <= joinedBytesMax) return this.#stream.write(Buffer.concat([header, chunk]));
    this.#stream.write(header);
    return this.#stream.write(chunk);
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held === undefined) this.#stream.resume();
    else process.nextTick(() => this.#giveHeld());
  }

  end(): void {
    this.#close(closeCode.normal, '');
  }

  destroy(): void {
    this.#state = 'closing';
    this.#stream.destroy();
  }

  // ── from the stream ──

  onData(chunk: Buffer, length: number): void {
    if (this.#state === 'upgrading') this.#upgrade(chunk, length);
    else if (this.#state === 'open') this.#read(chunk, 0, length);
    else if (this.#state === 'handed') this.#sink?.onData(chunk, length);
  }

  onDrain(): void {
    if (this.#state === 'open' || this.#state === 'handed') this.#sink?.onDrain();
  }

  onClose(error?: Error): void {
    clearTimeout(this.#lastTimer);
    this.#upgraded?.();
    this.#state = 'closing';
    this.#held = undefined;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onClose(error);
  }

  // ── from the frames ──

  data(chunk: Buffer, from: number, to: number): boolean {
    this.#sink?.onData(from === 0 ? chunk : chunk.subarray(from, to), to - from);
    return !this.#paused && this.#state === 'open';
  }

  control(code: number, payload: Buffer): boolean {
    if (code === opcode.close) {
      this.#close(answerToClose(payload), '');
    } else if (code === opcode.ping && this.#stream.bufferedBytes === 0) {
      this.#stream.write(Buffer.concat([frameHeader(opcode.pong, payload.length), payload]));
    }
    return this.#state === 'open';
  }

  broken(code: number, detail: string): void {
    this.#close(code, detail);
  }

  #upgrade(chunk: Buffer, length: number): void {
    const piece = chunk.subarray(0, length);
    const head = this.#head === undefined ? piece : Buffer.concat([this.#head, piece]);
    const end = head.indexOf(headEnd);
    if (end < 0 && head.length <= webSocketHeaderBytesMax) {
      this.#head = Buffer.from(head);
      return;
    }
    this.#head = undefined;
    this.#upgraded?.();
    this.#upgraded = undefined;
    const isWhole = end >= 0 && end <= webSocketHeaderBytesMax;
    if (isWhole && this.#doors.http !== undefined && !asksForWebSocket(head.toString('latin1', 0, end))) {
      this.#state = 'handed';
      this.#sink = this.#doors.http.take(this.#stream);
      this.#sink.onData(head, head.length);
      return;
    }
    const answer = isWhole
      ? answerUpgrade(head.toString('latin1', 0, end))
      : refused('431 Request Header Fields Too Large', 'The request is too large.');
    this.#stream.write(Buffer.from(answer.text, 'latin1'));
    if (!answer.upgraded) {
      this.#endStream();
      return;
    }
    this.#state = 'open';
    this.#sink = this.#doors.accept(this);
    const from = end + headEnd.length;
    if (from < head.length) this.#read(head, from, head.length);
  }

  #read(chunk: Buffer, from: number, to: number): void {
    const at = this.#paused ? from : this.#frames.feed(chunk, from, to);
    if (at === to || this.#state !== 'open') return;
    const rest = chunk.subarray(at, to);
    this.#held = this.#held === undefined ? Buffer.from(rest) : Buffer.concat([this.#held, rest]);
  }

  #giveHeld(): void {
    const held = this.#held;
    if (held === undefined || this.#paused || this.#state !== 'open') return;
    this.#held = undefined;
    this.#read(held, 0, held.length);
    if (!this.#paused && this.#state === 'open') this.#stream.resume();
  }

  /** Our Close frame, then the end of the stream. */
  #close(code: number, reason: string): void {
    if (this.#state === 'closing') return;
    if (this.#state === 'open') this.#stream.write(closeFrame(code, reason));
    this.#endStream();
  }

  /** What still comes is read into nothing; a peer that does not close is cut off. */
  #endStream(): void {
    this.#state = 'closing';
    this.#held = undefined;
    this.#stream.resume();
    this.#stream.end();
    this.#lastTimer = setTimeout(() => this.#stream.destroy(), webSocketCloseMsMax);
    this.#lastTimer.unref();
  }
}
