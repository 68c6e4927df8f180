// Connections that come to us: from accept to a Connection with its sink, through the layers of the endpoint.
//
//   plain, no proxy ──► HandleConnection, or net.Socket where handles are not as known
//   proxy ──► net.Socket ─ PROXY header ─┬─► plain
//   TLS ────► net.Socket ────────────────┴─► TLSSocket ─ handshake ─►
//   TLS, no proxy ──► TlsConnection, or TLSSocket where handles are not as known
//   and each with WebSocket around it
//
// Each step that a client could drag out (header, handshake, upgrade) has a time-out and counts in one Entry per
// listener. The owner's accept() is called only for connections that came through.

import { chmod } from 'node:fs/promises';
import { type BlockList, createServer, type Server, type Socket } from 'node:net';
import { proxyHeaderMsMax, tlsHandshakeMsMax } from '../../limits.ts';
import { errorCode, WeirError } from '../../model/errors.ts';
import type {
  Connection,
  ConnectionSink,
  EntryRefusal,
  ListenEndpoint,
  Listener,
  PeerCredentials,
  TlsContext,
} from '../net.ts';
import { Entry } from './entry.ts';
import { type HandleAccess, peerNameOf, type StreamHandle, serverHandle } from './handle-access.ts';
import { HandleConnection, type HandleShare, handleShare } from './handle-connection.ts';
import { isTrustedProxy, loopbackProxies, readProxied } from './proxied-socket.ts';
import { acceptSocket, attachEvents, SocketConnection, socketOver, socketReadingInto } from './socket-connection.ts';
import { TlsConnection } from './tls-connection.ts';
import { freeUnixPath } from './unix-path.ts';

type Accept = (connection: Connection) => ConnectionSink;

export interface Listening {
  readonly accept: Accept;
  readonly refused?: ((refusal: EntryRefusal) => void) | undefined;
  readonly readBuffer: Buffer;
  /** Undefined: public interfaces only. */
  readonly handles: HandleAccess | undefined;
  readonly peerCredentials: ((fd: number) => PeerCredentials) | undefined;
}

const listenBacklog = 4096;
const closedEarly: ConnectionSink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

export async function listen(endpoint: ListenEndpoint, listening: Listening): Promise<Listener> {
  const entry = new Entry();
  const accept = await throughWebSocket(endpoint, { accept: listening.accept, entry });
  const hall = new Hall(endpoint, { ...listening, accept }, entry);
  const server = createServer({ pauseOnConnect: hall.adopts, noDelay: true }, (socket) => hall.enter(socket));
  if (endpoint.kind === 'unix') await freeUnixPath(endpoint.path);
  await bind(server, endpoint);
  hall.takeOver(server);
  if (endpoint.kind === 'unix') await chmod(endpoint.path, endpoint.mode);
  const bound = server.address();
  return {
    address:
      typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : { path: String(bound) },
    close() {
      // Its callback waits for the accepted sockets too, and those whose handle was taken over never report an end.
      server.close();
      entry.close();
      return Promise.resolve();
    },
  };
}

/** Loaded when there is such a listener: it brings node:crypto with it. */
async function throughWebSocket(
  endpoint: ListenEndpoint,
  { accept, entry }: { readonly accept: Accept; readonly entry: Entry },
): Promise<Accept> {
  if (endpoint.websocket !== true) return accept;
  const { WebSocketConnection } = await import('./websocket.ts');
  const { http } = endpoint;
  return (connection) => new WebSocketConnection(connection, { accept, http }, entry);
}

/** The way of one listener's connections. */
class Hall {
  /** Whether accepted handles are used without the socket that net.Server puts around them. */
  readonly adopts: boolean;
  readonly #endpoint: ListenEndpoint;
  readonly #listening: Listening;
  readonly #entry: Entry;
  readonly #proxies: BlockList | undefined;
  readonly #handleShare: HandleShare | undefined;

  constructor(endpoint: ListenEndpoint, listening: Listening, entry: Entry) {
    const { proxyProtocol } = endpoint;
    this.#endpoint = endpoint;
    this.#listening = listening;
    this.#entry = entry;
    this.#proxies = proxyProtocol === true ? loopbackProxies() : proxyProtocol === false ? undefined : proxyProtocol;
    this.adopts = this.#proxies === undefined && !(endpoint.kind === 'tcp' && endpoint.tls !== undefined);
    this.#handleShare =
      this.#proxies === undefined && listening.handles !== undefined
        ? handleShare(listening.handles, listening.readBuffer)
        : undefined;
  }

  /** Accepts handles before net.Server makes sockets of them, where that is known to work. */
  takeOver(server: Server): void {
    const share = this.#handleShare;
    const handle = share === undefined ? undefined : serverHandle(server);
    if (share === undefined || handle === undefined) return;
    // On Linux what is accepted inherits it: a system call less for each connection.
    if (this.#endpoint.kind === 'tcp') handle.setNoDelay?.(true);
    handle.onconnection = (status, accepted) => {
      // A failing accept (out of file descriptors) costs that connection, not the listener.
      if (status !== 0 || accepted === undefined) return;
      if (this.adopts) this.#enterHandle(accepted, share);
      else this.#secureHandle(accepted, share);
    };
  }

  /** An accepted socket: plain and paused when `adopts`. */
  enter(socket: Socket): void {
    // It may be gone before anybody looks.
    socket.on('error', () => undefined);
    const remote = this.#endpoint.kind === 'unix' ? this.#unixName() : remoteOf(socket);
    const proxies = this.#proxies;
    if (proxies === undefined) {
      this.#wrap(socket, remote);
      return;
    }
    const refuse = (reason: EntryRefusal['reason'], detail?: string): void => {
      socket.destroy();
      this.#listening.refused?.({ remote, reason, detail });
    };
    if (!isTrustedProxy(socket, proxies)) {
      refuse('proxy-not-trusted');
      return;
    }
    const leave = this.#entry.begin(proxyHeaderMsMax, () => refuse('proxy-header-late'));
    if (leave === undefined) return;
    socket.once('close', leave);
    const done = (source: string | undefined): void => {
      socket.off('close', leave);
      leave();
      this.#wrap(socket, source ?? remote);
    };
    readProxied(socket, { done, bad: (detail) => refuse('proxy-header-bad', detail) });
  }

  #enterHandle(handle: StreamHandle, share: HandleShare): void {
    const remote = this.#endpoint.kind === 'unix' ? this.#unixName() : undefined;
    const connection = new HandleConnection(handle, share, { remote, peer: this.#peerOf(handle) });
    connection.start(this.#listening.accept(connection));
  }

  #secureHandle(stream: StreamHandle, share: HandleShare): void {
    // The newest context: it may be a getter.
    const tls = this.#endpoint.kind === 'tcp' ? this.#endpoint.tls : undefined;
    if (tls?.acceptHandle === undefined) {
      this.enter(socketOver(stream));
      return;
    }
    const connection = new TlsConnection(stream, share, { remote: peerNameOf(stream) });
    const leave = this.#entry.begin(tlsHandshakeMsMax, () => connection.destroy());
    if (leave === undefined) return;
    const accept: Accept = (accepted) => {
      leave();
      return this.#listening.accept(accepted);
    };
    connection.start({ tls, accept, closed: leave });
  }

  #wrap(socket: Socket, remote: string): void {
    const { accept } = this.#listening;
    const tls = this.#endpoint.kind === 'tcp' ? this.#endpoint.tls : undefined;
    if (tls !== undefined) this.#secure(socket, { tls, remote });
    else if (this.adopts) this.#adopt(socket, remote);
    else acceptSocket(socket, accept, { remote, peer: this.#peerOf(handleOf(socket)) });
  }

  #secure(socket: Socket, { tls, remote }: { readonly tls: TlsContext; readonly remote: string }): void {
    const secure = tls.accept(socket);
    secure.on('error', () => undefined);
    const leave = this.#entry.begin(tlsHandshakeMsMax, () => {
      secure.destroy();
      socket.destroy();
    });
    if (leave === undefined) return;
    secure.once('close', leave);
    secure.once('secure', () => {
      secure.off('close', leave);
      leave();
      if (secure.destroyed) return;
      acceptSocket(secure, this.#listening.accept, { remote, certificate: tls.certificateOf(secure) });
    });
  }

  /** The public way of reading into our own buffer: a second socket around the accepted, unread handle. */
  #adopt(accepted: Socket, remote: string): void {
    const handle = handleOf(accepted);
    if (handle === undefined) return;
    let sink = closedEarly;
    const socket = socketReadingInto(this.#listening.readBuffer, (chunk, length) => sink.onData(chunk, length), handle);
    if (this.#endpoint.kind === 'tcp') socket.setNoDelay(true);
    const connection = new SocketConnection(socket, { remote, peer: this.#peerOf(handle) });
    sink = this.#listening.accept(connection);
    attachEvents(socket, sink);
    socket.resume();
  }

  #unixName(): string {
    return this.#endpoint.kind === 'unix' ? `unix:${this.#endpoint.path}` : '';
  }

  #peerOf(handle: { readonly fd?: number } | undefined): PeerCredentials | undefined {
    const { peerCredentials } = this.#listening;
    if (this.#endpoint.kind !== 'unix' || peerCredentials === undefined) return undefined;
    return handle?.fd !== undefined && handle.fd >= 0 ? peerCredentials(handle.fd) : undefined;
  }
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

/** Node keeps the accepted handle in a field its types do not show. */
function handleOf(socket: Socket): { readonly fd?: number } | undefined {
  return (socket as unknown as { readonly _handle: { readonly fd?: number } | null })._handle ?? undefined;
}

function remoteOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
}
