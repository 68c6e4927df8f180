// A Connection over net.Socket or TLSSocket: what Node offers publicly, for TLS, for what was dialled, and for
// plain streams where handle-access.ts finds nothing it knows.

import { Socket, type SocketConstructorOpts } from 'node:net';
import type { Connection, ConnectionSink, PeerCertificate, PeerCredentials } from '../net.ts';

export interface SocketFacts {
  readonly remote: string;
  readonly peer?: PeerCredentials | undefined;
  readonly certificate?: PeerCertificate | undefined;
}

export class SocketConnection implements Connection {
  readonly remote: string;
  readonly peer: PeerCredentials | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly #socket: Socket;

  constructor(socket: Socket, { remote, peer, certificate }: SocketFacts) {
    this.#socket = socket;
    this.remote = remote;
    this.peer = peer;
    this.certificate = certificate;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded) return false;
    return this.#socket.write(chunk);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Reads a stream that has its own buffers into the sink that `accept` gives. */
export function acceptSocket(
  socket: Socket,
  accept: (connection: Connection) => ConnectionSink,
  facts: SocketFacts,
): void {
  const sink = accept(new SocketConnection(socket, facts));
  socket.on('data', (chunk: Buffer) => sink.onData(chunk, chunk.length));
  attachEvents(socket, sink);
}

/** What net.Server makes of an accepted handle. */
export function socketOver(handle: unknown): Socket {
  return new Socket({
    handle,
    allowHalfOpen: false,
    readable: true,
    writable: true,
  } as unknown as SocketConstructorOpts);
}

/** A socket that reads into `readBuffer`; `handle` is one that was accepted, else it is to be dialled. */
export function socketReadingInto(
  readBuffer: Buffer,
  onData: (chunk: Buffer, length: number) => void,
  handle?: unknown,
): Socket {
  // `handle` is a constructor option that Node's types do not show.
  return new Socket({
    ...(handle === undefined ? {} : { handle }),
    allowHalfOpen: false,
    onread: {
      buffer: readBuffer,
      callback: (length: number, chunk: Uint8Array) => {
        onData(chunk as Buffer, length);
        return true;
      },
    },
  } as unknown as SocketConstructorOpts);
}

export function attachEvents(socket: Socket, sink: ConnectionSink): void {
  let failure: Error | undefined;
  socket.on('drain', () => sink.onDrain());
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => sink.onClose(failure));
}
