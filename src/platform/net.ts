// Byte streams as a parameter: TCP, TLS and unix sockets, served and dialled, behind one small shape.
//
// A Connection hands its bytes to a sink in a buffer that is BORROWED: it is valid only until `onData` returns
// and is reused for the next read of any connection. This is what lets the broker parse in place without an
// allocation per read. Whoever keeps bytes copies them.
//
// Plain sockets read into one shared buffer through net.Socket's `onread`; TLS decrypts into buffers of its own.

import { closeSync, constants, existsSync, openSync, unlinkSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net';
import { basename, dirname } from 'node:path';
import { errorCode, WeirError } from '../model/errors.ts';

/**
 * Keys and certificates ready for use; opaque, so that no private key travels with it as text. It wraps sockets
 * itself, so that a process without TLS never loads it: that would cost it two megabytes.
 */
export interface TlsContext {
  /** The server's side of TLS over an accepted connection. */
  accept(socket: Socket): Socket;
  /** Dials; emits `secureConnect` when the stream is up. An empty server name sends none. */
  connect(endpoint: { readonly host: string; readonly port: number; readonly serverName: string }): Socket;
}

export type ListenEndpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsContext }
  | { readonly kind: 'unix'; readonly path: string; readonly mode: number };

export type DialEndpoint =
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls?: { readonly context: TlsContext; readonly serverName: string };
    }
  | { readonly kind: 'unix'; readonly path: string };

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Connection {
  /** For logs: `127.0.0.1:40312` or `unix:/run/weir/mqtt.sock`. */
  readonly remote: string;
  /** Who is at the other end of a unix socket (SO_PEERCRED), when the platform can tell. */
  readonly peer: PeerCredentials | undefined;
  /** Bytes accepted by write() and not yet taken by the kernel. */
  readonly bufferedBytes: number;
  /** Queues `chunk`; it must not be changed afterwards until `onDrain` or close. False when the caller should wait for onDrain. */
  write(chunk: Uint8Array): boolean;
  /** Stops reading until resume(): back-pressure on the peer. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes now and forgets what is queued. */
  destroy(): void;
}

export interface ConnectionSink {
  /** Bytes `chunk[0..length)`, borrowed until this call returns. */
  onData(chunk: Buffer, length: number): void;
  onDrain(): void;
  /** Called once, last. `error` is absent after an orderly end. */
  onClose(error?: Error): void;
  /** Dialled connections only: the stream (and its TLS) is up. */
  onOpen?(): void;
}

export interface Listener {
  /** The port really bound (for port 0), or the socket's path. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string };
  /** Stops accepting. Connections already open stay their owner's business. */
  close(): Promise<void>;
}

export interface Network {
  listen(endpoint: ListenEndpoint, accept: (connection: Connection) => ConnectionSink): Promise<Listener>;
  dial(endpoint: DialEndpoint, sink: ConnectionSink): Connection;
}

export interface NetworkOptions {
  /** Reads the peer's credentials of an accepted unix socket by file descriptor. */
  readonly peerCredentials?: ((fd: number) => PeerCredentials) | undefined;
}

const readBufferBytes = 65_536;
const listenBacklog = 4096;
/** sun_path holds 108 bytes with the final zero. */
const unixPathBytesMax = 107;

export function systemNetwork(options: NetworkOptions = {}): Network {
  const readBuffer = Buffer.allocUnsafeSlow(readBufferBytes);
  return {
    listen: (endpoint, accept) => listen(endpoint, { accept, readBuffer, options }),
    dial: (endpoint, sink) => dial(endpoint, { sink, readBuffer }),
  };
}

interface Accepting {
  readonly accept: (connection: Connection) => ConnectionSink;
  readonly readBuffer: Buffer;
  readonly options: NetworkOptions;
}

async function listen(endpoint: ListenEndpoint, accepting: Accepting): Promise<Listener> {
  const plain = endpoint.kind === 'unix' || endpoint.tls === undefined;
  // pauseOnConnect leaves the handle unread, so that a socket with our own read buffer can take it over.
  const server = createServer({ pauseOnConnect: plain, noDelay: true }, (accepted) => {
    if (endpoint.kind === 'tcp' && endpoint.tls !== undefined) {
      const secure = endpoint.tls.accept(accepted);
      attachStream(secure, accepting.accept, `${accepted.remoteAddress ?? '?'}:${accepted.remotePort ?? 0}`);
      return;
    }
    adoptPlain(accepted, endpoint, accepting);
  });
  if (endpoint.kind === 'unix') removeStaleSocket(endpoint.path);
  await bind(server, endpoint);
  if (endpoint.kind === 'unix') await chmod(endpoint.path, endpoint.mode);
  const bound = server.address();
  return {
    address:
      typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : { path: String(bound) },
    close() {
      // Its callback waits for the accepted sockets too, and those whose handle was taken over never report an end.
      server.close();
      return Promise.resolve();
    },
  };
}

function removeStaleSocket(path: string): void {
  if (existsSync(path)) unlinkSync(path);
}

function bind(server: Server, endpoint: ListenEndpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(endpoint, cause)));
    const done = (): void => {
      server.removeAllListeners('error');
      // A failing accept (out of file descriptors) costs that connection, not the listener.
      server.on('error', () => undefined);
      resolve();
    };
    if (endpoint.kind === 'unix') server.listen({ path: endpoint.path, backlog: listenBacklog }, done);
    else server.listen({ host: endpoint.host, port: endpoint.port, backlog: listenBacklog }, done);
  });
}

function listenError(endpoint: ListenEndpoint, cause: Error): WeirError {
  const where = endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
  return new WeirError({
    code: 'PLATFORM_LISTEN_FAILED',
    message: `Cannot listen on ${where}: ${cause.message}. Is another program using it, or is the directory missing or not writable?`,
    fields: { endpoint: where, errno: errorCode(cause) },
    cause,
  });
}

/** Node keeps the accepted handle in a field its types do not show; `handle` is a documented-in-source constructor option of net.Socket. */
interface SocketWithHandle {
  readonly _handle: { readonly fd?: number } | null;
}

function adoptPlain(accepted: Socket, endpoint: ListenEndpoint, { accept, readBuffer, options }: Accepting): void {
  const remote =
    endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `${accepted.remoteAddress ?? '?'}:${accepted.remotePort ?? 0}`;
  const handle = (accepted as unknown as SocketWithHandle)._handle;
  if (handle === null) return;
  const peer =
    endpoint.kind === 'unix' && handle.fd !== undefined && handle.fd >= 0
      ? options.peerCredentials?.(handle.fd)
      : undefined;
  const relay: { sink: ConnectionSink | undefined } = { sink: undefined };
  const socket = new Socket({
    handle,
    allowHalfOpen: false,
    onread: {
      buffer: readBuffer,
      callback: (length: number, chunk: Uint8Array) => {
        relay.sink?.onData(chunk as Buffer, length);
        return true;
      },
    },
  } as unknown as SocketConstructorOpts);
  if (endpoint.kind === 'tcp') socket.setNoDelay(true);
  const connection = new StreamConnection(socket, { remote, peer });
  relay.sink = accept(connection);
  attachEvents(socket, relay.sink);
  socket.resume();
}

function attachStream(socket: Socket, accept: (connection: Connection) => ConnectionSink, remote: string): void {
  const sink = accept(new StreamConnection(socket, { remote, peer: undefined }));
  socket.on('data', (chunk: Buffer) => sink.onData(chunk, chunk.length));
  attachEvents(socket, sink);
}

function attachEvents(socket: Socket, sink: ConnectionSink): void {
  let failure: Error | undefined;
  socket.on('drain', () => sink.onDrain());
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => sink.onClose(failure));
}

function dial(
  endpoint: DialEndpoint,
  { sink, readBuffer }: { readonly sink: ConnectionSink; readonly readBuffer: Buffer },
): Connection {
  const remote = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `${endpoint.host}:${endpoint.port}`;
  if (endpoint.kind === 'tcp' && endpoint.tls !== undefined) {
    const { context, serverName } = endpoint.tls;
    const socket = context.connect({
      host: endpoint.host,
      port: endpoint.port,
      serverName: isIpAddress(serverName) ? '' : serverName,
    });
    socket.setNoDelay(true);
    socket.once('secureConnect', () => sink.onOpen?.());
    socket.on('data', (chunk: Buffer) => sink.onData(chunk, chunk.length));
    attachEvents(socket, sink);
    return new StreamConnection(socket, { remote, peer: undefined });
  }
  const socket = new Socket({
    onread: {
      buffer: readBuffer,
      callback: (length: number, chunk: Uint8Array) => {
        sink.onData(chunk as Buffer, length);
        return true;
      },
    },
  } as unknown as SocketConstructorOpts);
  attachEvents(socket, sink);
  socket.once('connect', () => sink.onOpen?.());
  if (endpoint.kind === 'unix') connectUnix(socket, endpoint.path);
  else socket.connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
  return new StreamConnection(socket, { remote, peer: undefined });
}

/** A path too long for sockaddr_un is reached through the directory's descriptor, whose own path is short. */
function connectUnix(socket: Socket, path: string): void {
  if (Buffer.byteLength(path) <= unixPathBytesMax) {
    socket.connect({ path });
    return;
  }
  try {
    const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    socket.once('close', () => closeSync(directory));
    socket.connect({ path: `/proc/self/fd/${directory}/${basename(path)}` });
  } catch (error) {
    socket.destroy(error instanceof Error ? error : undefined);
  }
}

function isIpAddress(name: string): boolean {
  return /^[\d.]+$/.test(name) || name.includes(':');
}

class StreamConnection implements Connection {
  readonly remote: string;
  readonly peer: PeerCredentials | undefined;
  readonly #socket: Socket;

  constructor(
    socket: Socket,
    { remote, peer }: { readonly remote: string; readonly peer: PeerCredentials | undefined },
  ) {
    this.#socket = socket;
    this.remote = remote;
    this.peer = peer;
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
