// A Connection directly over Node's stream handle: the fast way for plain TCP and unix sockets (handle-access.ts).
//
// One object a connection, no closures: the functions below are shared by all and find their connection by the
// handle. A write that the kernel takes at once uses one request object again and again; only one that has to wait
// gets its own.
//
// Invariants
//   After pause() nothing reaches the sink until resume(). Reading stops lazily: most pauses end before the next
//   byte comes (a client being authenticated), and stopping and starting costs two system calls. What was read
//   meanwhile is kept, one read at most, and given first.
//   onClose comes once, last, and never from within a call of the owner.
//   After the peer's end what is queued is sent, then the handle is closed: there are no half-open connections.

import { getSystemErrorName } from 'node:util';
import { WeirError } from '../../model/errors.ts';
import type { Connection, ConnectionSink, PeerCredentials } from '../net.ts';
import {
  type HandleAccess,
  peerNameOf,
  type ShutdownRequest,
  type StreamHandle,
  type WriteRequest,
} from './handle-access.ts';

/** libuv's UV_EOF. */
const endOfFile = -4095;

export interface HandleShare {
  readonly access: HandleAccess;
  readonly readBuffer: Buffer;
  /** Used by every write that ends within its call. */
  spare: WriteRequest;
}

/** What all connections of a network share. */
export function handleShare(access: HandleAccess, readBuffer: Buffer): HandleShare {
  return { access, readBuffer, spare: new access.WriteWrap() };
}

const silent: ConnectionSink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

export class HandleConnection implements Connection {
  readonly peer: PeerCredentials | undefined;
  readonly #handle: StreamHandle;
  readonly #share: HandleShare;
  #sink: ConnectionSink = silent;
  #pending = 0;
  #paused = false;
  #reading = false;
  /** The peer sent its end. */
  #peerEnded = false;
  /** end() was called. */
  #ending = false;
  #closed = false;
  #wantsDrain = false;
  /** Read while paused. */
  #kept: Buffer | undefined;
  #failure: Error | undefined;
  #remote: string | undefined;

  /** Without `remote` the kernel is asked when somebody wants to know. */
  constructor(
    handle: StreamHandle,
    share: HandleShare,
    facts: { readonly remote: string | undefined; readonly peer: PeerCredentials | undefined },
  ) {
    this.#handle = handle;
    this.#share = share;
    this.#remote = facts.remote;
    this.peer = facts.peer;
    handle.weirOwner = this;
    handle.onread = onRead;
    handle.useUserBuffer(share.readBuffer);
  }

  /** Remembered from the first look on: a peer that is gone has no name. */
  get remote(): string {
    this.#remote ??= peerNameOf(this.#handle);
    return this.#remote;
  }

  /** Reading begins. */
  start(sink: ConnectionSink): void {
    this.#sink = sink;
    if (!this.#closed) this.#read();
  }

  get bufferedBytes(): number {
    return this.#pending;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed || this.#ending) return false;
    const { access } = this.#share;
    const request = this.#share.spare;
    const status = this.#handle.writeBuffer(request, chunk);
    if (status !== 0) {
      this.#fail('write', status);
      return false;
    }
    if (access.state[access.lastWriteAsyncAt] === 0) return this.#pending === 0;
    this.#share.spare = new access.WriteWrap();
    request.weirOwner = this;
    request.weirBytes = chunk.length;
    request.oncomplete = onWritten;
    request.buffer = chunk;
    this.#pending += chunk.length;
    this.#wantsDrain = true;
    return false;
  }

  pause(): void {
    this.#paused = true;
    this.#stop();
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
    // Two system calls and a turn of the loop less than a shutdown.
    if (peerIsDone && this.#pending === 0) {
      this.destroy();
      return;
    }
    if (this.#peerEnded) {
      this.#closeWhenSent();
      return;
    }
    const request = new this.#share.access.ShutdownWrap();
    request.weirOwner = this;
    request.oncomplete = onShutdown;
    const status = this.#handle.shutdown(request);
    if (status < 0) this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kept = undefined;
    this.#pending = 0;
    this.#handle.close();
    // Cheaper than a callback of the handle, whose descriptor is closed already.
    process.nextTick(tellClosed, this);
  }

  /** So many bytes stand in the shared buffer; or it is a negative error. */
  received(): void {
    const { access } = this.#share;
    const bytes = access.state[access.readBytesAt] as number;
    if (this.#closed || bytes === 0) return;
    if (bytes < 0) {
      if (bytes === endOfFile) this.#endOfFile();
      else this.#fail('read', bytes);
      return;
    }
    if (!this.#paused && this.#kept === undefined) {
      this.#sink.onData(this.#share.readBuffer, bytes);
      return;
    }
    this.#stop();
    const piece = this.#share.readBuffer.subarray(0, bytes);
    this.#kept = this.#kept === undefined ? Buffer.from(piece) : Buffer.concat([this.#kept, piece]);
  }

  written(bytes: number, status: number): void {
    if (this.#closed) return;
    this.#pending -= bytes;
    if (status < 0) {
      this.#fail('write', status);
    } else if (this.#pending === 0 && this.#wantsDrain) {
      this.#wantsDrain = false;
      if (this.#peerEnded) this.destroy();
      else if (!this.#ending) this.#sink.onDrain();
    }
  }

  kept(): void {
    const kept = this.#kept;
    if (kept === undefined || this.#paused || this.#closed) return;
    this.#kept = undefined;
    this.#sink.onData(kept, kept.length);
    if (this.#closed || this.#paused) return;
    if (this.#peerEnded) this.#closeWhenSent();
    else this.#read();
  }

  shutDown(status: number): void {
    if (status < 0) this.destroy();
  }

  tellClosed(): void {
    const sink = this.#sink;
    this.#sink = silent;
    sink.onClose(this.#failure);
  }

  #read(): void {
    if (this.#reading || this.#closed || this.#peerEnded) return;
    this.#reading = true;
    const status = this.#handle.readStart();
    if (status < 0) this.#fail('read', status);
  }

  #stop(): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.#handle.readStop();
  }

  #endOfFile(): void {
    this.#peerEnded = true;
    this.#stop();
    if (this.#kept === undefined) this.#closeWhenSent();
  }

  #closeWhenSent(): void {
    if (this.#pending === 0) this.destroy();
  }

  #fail(call: string, status: number): void {
    const code = getSystemErrorName(status);
    this.#failure ??= new WeirError({
      code: 'PLATFORM_CONNECTION_LOST',
      message: `${call} ${code}`,
      fields: { errno: code },
      retryable: true,
    });
    this.destroy();
  }
}

// Called by Node with the handle or the request as `this`: one function for all connections.

function onRead(this: StreamHandle): void {
  (this.weirOwner as HandleConnection).received();
}

function onWritten(this: WriteRequest, status: number): void {
  (this.weirOwner as HandleConnection).written(this.weirBytes ?? 0, status);
}

function onShutdown(this: ShutdownRequest, status: number): void {
  (this.weirOwner as HandleConnection).shutDown(status);
}

function tellClosed(connection: HandleConnection): void {
  connection.tellClosed();
}

function giveKept(connection: HandleConnection): void {
  connection.kept();
}
