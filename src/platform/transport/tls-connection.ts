// A Connection directly over Node's native TLS stream (tls-handle.ts), from the first byte of the handshake on.
//
//   waiting for the first bytes ──► shaking hands ──(onhandshakedone, admitted)──► open ──► ended or failed
//        └─(error, end, destroy())────────┴──────────► stream closed ──► OpenSSL's state freed ◄──┘
//
// The first bytes are read from the stream below and handed over. TLSWrap makes its input buffer as large as what
// comes first, and reads into it ever after: libuv would have it make one of 64 KiB. And who says nothing costs no TLS.
//
// One object a connection, no closures, as in handle-connection.ts, from which it differs in what TLS asks for:
//   a write is never done when the call returns, and only one may be under way: others wait and go together.
//   The end is said with close_notify before the stream below is shut down, also in answer to the peer's.
//   A client may begin handshakes anew (TLS 1.2) or change keys (1.3); each costs the server more than the client,
//   so their number is limited, with node:tls's numbers.
//
// Invariants
//   The sink is asked for once, when the handshake is done and the client is admitted; onClose then comes once, last.
//   OpenSSL's state is freed only after the stream below is closed, never from within one of its own calls.
//   The stream below holds this object, and this object the TLS stream, which nothing else keeps alive.

import { getSystemErrorName } from 'node:util';
import { WeirError } from '../../model/errors.ts';
import type { Connection, ConnectionSink, PeerCertificate, TlsContext } from '../net.ts';
import type { ShutdownRequest, StreamHandle, WriteRequest } from './handle-access.ts';
import type { HandleShare } from './handle-connection.ts';
import type { TlsHandle } from './tls-handle.ts';

/** libuv's UV_EOF. */
const endOfFile = -4095;
/** StreamBase::Shutdown: done at once. */
const doneAtOnce = 1;
/** So much may wait before write() asks for patience: a TLS record. */
const waitingBytesMax = 16_384;
/** node:tls, CLIENT_RENEG_LIMIT and CLIENT_RENEG_WINDOW. */
const handshakesMax = 3;
const handshakeWindowMs = 600_000;

/** What a connection needs until its handshake is done. */
export interface TlsEntrance {
  readonly tls: TlsContext;
  /** The connection is up and the client admitted. */
  readonly accept: (connection: Connection) => ConnectionSink;
  /** It did not come so far. Not called after accept. */
  readonly closed: () => void;
}

const silent: ConnectionSink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

export class TlsConnection implements Connection {
  readonly remote: string;
  readonly peer = undefined;
  certificate: PeerCertificate | undefined;
  /** Undefined until the first bytes came. */
  #handle: TlsHandle | undefined;
  readonly #below: StreamHandle;
  readonly #share: HandleShare;
  #entrance: TlsEntrance | undefined;
  #sink: ConnectionSink = silent;
  /** Behind the write that is under way. */
  #waiting: Uint8Array[] | undefined;
  #pending = 0;
  #writing = false;
  #paused = false;
  #reading = false;
  /** The peer sent its end. */
  #peerEnded = false;
  /** end() was called. */
  #ending = false;
  /** close_notify is on its way; nothing may be written behind it. */
  #shut = false;
  #closed = false;
  #wantsDrain = false;
  #handshakes = 0;
  #lastHandshakeMs = 0;
  /** Read while paused. */
  #kept: Buffer | undefined;
  #failure: Error | undefined;

  constructor(below: StreamHandle, share: HandleShare, facts: { readonly remote: string }) {
    this.remote = facts.remote;
    this.#below = below;
    this.#share = share;
    below.weirOwner = this;
  }

  /** The client's first bytes are awaited. */
  start(entrance: TlsEntrance): void {
    const below = this.#below;
    this.#entrance = entrance;
    below.onread = onFirstRead;
    below.useUserBuffer(this.#share.readBuffer);
    if (below.readStart() < 0) this.destroy();
  }

  get bufferedBytes(): number {
    return this.#pending;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed || this.#ending || this.#shut) return false;
    if (chunk.length === 0) return !this.#wantsDrain;
    this.#pending += chunk.length;
    if (this.#writing) {
      this.#waiting ??= [];
      this.#waiting.push(chunk);
    } else {
      this.#send(chunk);
    }
    if (this.#pending >= waitingBytesMax) this.#wantsDrain = true;
    return !this.#wantsDrain;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#kept !== undefined) process.nextTick(giveKept, this);
    else this.#read();
  }

  end(peerIsDone = false): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    if (peerIsDone) this.#peerEnded = true;
    if (!this.#writing) this.#shutdown();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kept = undefined;
    this.#waiting = undefined;
    this.#pending = 0;
    this.#below.close(onBelowClosed);
  }

  /** The handshake begins with what the stream below gave. */
  firstReceived(): void {
    const { access, readBuffer } = this.#share;
    const bytes = access.state[access.readBytesAt] as number;
    const entrance = this.#entrance;
    if (this.#closed || bytes === 0) return;
    if (bytes < 0 || entrance?.tls.acceptHandle === undefined) {
      this.destroy();
      return;
    }
    // What is deciphered goes into the shared buffer, too.
    const first = Buffer.from(readBuffer.subarray(0, bytes));
    this.#below.readStop();
    const handle = entrance.tls.acceptHandle(this.#below);
    this.#handle = handle;
    handle.weirOwner = this;
    handle.onread = onRead;
    handle.onhandshakestart = onHandshakeStart;
    handle.onhandshakedone = onHandshakeDone;
    handle.onerror = onError;
    handle.useUserBuffer(readBuffer);
    this.#read();
    handle.receive(first);
  }

  /** So many bytes stand in the shared buffer; or it is a negative error. */
  received(): void {
    const { access, readBuffer } = this.#share;
    const bytes = access.state[access.readBytesAt] as number;
    if (this.#closed || bytes === 0) return;
    if (bytes < 0) {
      if (bytes === endOfFile) this.#endOfFile();
      else this.#fail(`read ${getSystemErrorName(bytes)}`, getSystemErrorName(bytes));
      return;
    }
    if (!this.#paused && this.#kept === undefined) {
      this.#sink.onData(readBuffer, bytes);
      return;
    }
    // What OpenSSL has already taken in comes all the same.
    this.#stop();
    const piece = readBuffer.subarray(0, bytes);
    this.#kept = this.#kept === undefined ? Buffer.from(piece) : Buffer.concat([this.#kept, piece]);
  }

  handshakeStarted(nowMs: number): void {
    const isFirst = this.#lastHandshakeMs === 0;
    this.#handshakes = isFirst || nowMs - this.#lastHandshakeMs >= handshakeWindowMs ? 1 : this.#handshakes + 1;
    this.#lastHandshakeMs = nowMs;
    if (this.#handshakes > handshakesMax + 1) this.#fail('too many TLS handshakes', 'ERR_TLS_SESSION_ATTACK');
  }

  handshakeDone(): void {
    const entrance = this.#entrance;
    const handle = this.#handle;
    if (entrance === undefined || handle === undefined || this.#closed) return;
    if (entrance.tls.admits?.(handle) !== true) {
      this.destroy();
      return;
    }
    this.#entrance = undefined;
    this.certificate = entrance.tls.certificateOfHandle?.(handle);
    this.#sink = entrance.accept(this);
  }

  failed(error: Error & { readonly code?: string }): void {
    this.#fail(`TLS ${error.message}`, error.code);
  }

  written(status: number): void {
    if (this.#closed) return;
    this.#writing = false;
    if (status < 0) {
      this.#fail(`write ${getSystemErrorName(status)}`, getSystemErrorName(status));
      return;
    }
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      this.#send(waiting.length === 1 ? (waiting[0] as Uint8Array) : Buffer.concat(waiting));
      return;
    }
    if (this.#ending || this.#peerEnded) {
      if (this.#kept === undefined || this.#ending) this.#shutdown();
    } else if (this.#wantsDrain) {
      this.#wantsDrain = false;
      this.#sink.onDrain();
    }
  }

  taken(bytes: number): void {
    if (!this.#closed) this.#pending -= bytes;
  }

  kept(): void {
    const kept = this.#kept;
    if (kept === undefined || this.#paused || this.#closed) return;
    this.#kept = undefined;
    this.#sink.onData(kept, kept.length);
    if (this.#closed || this.#paused) return;
    if (!this.#peerEnded) this.#read();
    else if (!this.#writing) this.#shutdown();
  }

  shutDown(status: number): void {
    if (status < 0 || this.#peerEnded) this.destroy();
  }

  belowClosed(): void {
    this.#handle?.destroySSL();
    const entrance = this.#entrance;
    const sink = this.#sink;
    this.#entrance = undefined;
    this.#sink = silent;
    if (entrance !== undefined) entrance.closed();
    else sink.onClose(this.#failure);
  }

  #send(chunk: Uint8Array): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    const request = new this.#share.access.WriteWrap();
    request.weirOwner = this;
    request.weirBytes = chunk.length;
    request.oncomplete = onWritten;
    request.buffer = chunk;
    this.#writing = true;
    const status = handle.writeBuffer(request, chunk);
    if (status !== 0) this.#fail(`write ${getSystemErrorName(status)}`, getSystemErrorName(status));
  }

  /** Says close_notify and ends the stream below; it is closed when the peer has ended as well. */
  #shutdown(): void {
    const handle = this.#handle;
    if (this.#closed || handle === undefined) return;
    if (this.#shut) {
      if (this.#peerEnded) this.destroy();
      return;
    }
    this.#shut = true;
    const request = new this.#share.access.ShutdownWrap();
    request.weirOwner = this;
    request.oncomplete = onShutdown;
    const status = handle.shutdown(request);
    if (status < 0) this.destroy();
    else if (status === doneAtOnce) this.shutDown(0);
  }

  #read(): void {
    const handle = this.#handle;
    if (handle === undefined || this.#reading || this.#closed || this.#peerEnded) return;
    this.#reading = true;
    const status = handle.readStart();
    if (status < 0) this.#fail(`read ${getSystemErrorName(status)}`, getSystemErrorName(status));
  }

  #stop(): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.#handle?.readStop();
  }

  #endOfFile(): void {
    this.#peerEnded = true;
    this.#stop();
    if (this.#entrance !== undefined) this.destroy();
    else if (this.#kept === undefined && !this.#writing) this.#shutdown();
  }

  #fail(message: string, code: string | undefined): void {
    this.#failure ??= new WeirError({
      code: 'PLATFORM_CONNECTION_LOST',
      message,
      fields: { errno: code ?? 'unknown' },
      retryable: true,
    });
    this.destroy();
  }
}

// Called by Node with the handle or the request as `this`: one function for all connections.

function onFirstRead(this: StreamHandle): void {
  (this.weirOwner as TlsConnection).firstReceived();
}

function onRead(this: StreamHandle): void {
  (this.weirOwner as TlsConnection).received();
}

function onHandshakeStart(this: TlsHandle, nowMs: number): void {
  (this.weirOwner as TlsConnection).handshakeStarted(nowMs);
}

function onHandshakeDone(this: TlsHandle): void {
  (this.weirOwner as TlsConnection).handshakeDone();
}

function onError(this: TlsHandle, error: Error & { readonly code?: string }): void {
  (this.weirOwner as TlsConnection).failed(error);
}

function onWritten(this: WriteRequest, status: number): void {
  const owner = this.weirOwner as TlsConnection;
  owner.taken(this.weirBytes ?? 0);
  owner.written(status);
}

function onShutdown(this: ShutdownRequest, status: number): void {
  (this.weirOwner as TlsConnection).shutDown(status);
}

function onBelowClosed(this: StreamHandle): void {
  (this.weirOwner as TlsConnection).belowClosed();
}

function giveKept(connection: TlsConnection): void {
  connection.kept();
}
