// Byte streams as a parameter: TCP, TLS, WebSocket and unix sockets, served and dialled, behind one small shape.
//
// A Connection hands its bytes to a sink in a buffer that is BORROWED: it is valid only until `onData` returns
// and is reused for the next read of any connection. This is what lets the broker parse in place without an
// allocation per read. Whoever keeps bytes copies them.
//
//   kernel ─► handle, or net.Socket ─► [PROXY header] ─► [TLS] ─► [WebSocket] ─► sink
//
// This file is the contract; transport/ is how. Whatever lies between, order, back-pressure and the end mean the
// same on every transport; one test suite runs over all of them.

import type { BlockList, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { dial } from './transport/dialling.ts';
import { handleAccess, type StreamHandle } from './transport/handle-access.ts';
import { listen } from './transport/listening.ts';
import { proxyList } from './transport/proxied-socket.ts';
import type { TlsHandle } from './transport/tls-handle.ts';

/**
 * Keys and certificates ready for use; opaque, so that no private key travels with it as text. It wraps sockets
 * itself, so that a process without TLS never loads it: that would cost it two megabytes.
 */
export interface TlsContext {
  /** The server's side of TLS over an accepted connection; emits `secure` when the stream is up. */
  accept(socket: Socket): TLSSocket;
  /** Dials; emits `secureConnect` when the stream is up. An empty server name sends none. */
  connect(endpoint: { readonly host: string; readonly port: number; readonly serverName: string }): Socket;
  /** What is known of the client at the other end once its TLS is up. */
  certificateOf(socket: TLSSocket): PeerCertificate | undefined;
  /** The server's side over Node's own stream, in place of accept(). Absent where that is not as known. */
  acceptHandle?(stream: StreamHandle): TlsHandle;
  /** Whether the client may stay, once its TLS is up; only after acceptHandle(), for accept() sees to it. */
  admits?(handle: TlsHandle): boolean;
  /** As certificateOf(), after acceptHandle(). */
  certificateOfHandle?(handle: TlsHandle): PeerCertificate | undefined;
}

/** A client certificate, as shown in the TLS handshake. Absent: none was asked for, or none was shown. */
export interface PeerCertificate {
  /** Common name of the subject; empty when it has none. */
  readonly commonName: string;
  /** SHA-256 of the DER form, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** SHA-1 of the DER form, 40 lower-case hexadecimal digits: IoT Hub's thumbprint. */
  readonly thumbprint: string;
  /** Whether the context's authorities vouch for it. */
  readonly authorised: boolean;
  /** SHA-256 of the root that vouches for it; undefined: none does, or it is not known. */
  readonly rootFingerprint?: string | undefined;
  /** OpenSSL's reason when they do not, such as `CERT_HAS_EXPIRED`; else undefined. */
  readonly problem: string | undefined;
  /** Its life, milliseconds since 1970 UTC. */
  readonly validFromMs: number;
  readonly validToMs: number;
}

/** What stands around the stream of a listener. */
export interface ListenLayers {
  /** MQTT in binary WebSocket frames (RFC 6455), on any path. */
  readonly websocket?: boolean;
  /** With `websocket`: HTTP on the same port. It takes over connections whose first request asks for no WebSocket. */
  readonly http?: { take(connection: Connection): ConnectionSink };
  /**
   * Each connection begins with a PROXY protocol header, version 2, and the client's address comes from there.
   * `true` takes it from loopback only; a BlockList names who else is a proxy. Others are closed.
   */
  readonly proxyProtocol?: boolean | BlockList;
}

export type ListenEndpoint =
  | (ListenLayers & { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsContext })
  | (ListenLayers & { readonly kind: 'unix'; readonly path: string; readonly mode: number });

export type DialEndpoint =
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls?: { readonly context: TlsContext; readonly serverName: string };
    }
  | { readonly kind: 'unix'; readonly path: string };

export interface PeerCredentials {
  /** 0: it is in a pid namespace that we do not see. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** When that process started, clock ticks since boot: tells it from a later one of the same pid. */
  readonly startTicks?: number | undefined;
}

export interface Connection {
  /** For logs: `127.0.0.1:40312` or `unix:/run/weir/mqtt.sock`. */
  readonly remote: string;
  /** Who is at the other end of a unix socket (SO_PEERCRED), when the platform can tell. */
  readonly peer: PeerCredentials | undefined;
  /** The client's certificate on a TLS listener that asks for one. */
  readonly certificate?: PeerCertificate | undefined;
  /** Bytes accepted by write() and not yet taken by the kernel. */
  readonly bufferedBytes: number;
  /** Queues `chunk`; it must not be changed afterwards until `onDrain` or close. False when the caller should wait for onDrain. */
  write(chunk: Uint8Array): boolean;
  /** Stops reading until resume(): back-pressure on the peer. */
  pause(): void;
  resume(): void;
  /**
   * Sends what is queued, then closes. `peerIsDone`: the peer said that it sends nothing more, so that its end need
   * not be waited for where nothing can be lost by that.
   */
  end(peerIsDone?: boolean): void;
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

/** A connection that was closed before it became one: who it was, as far as known, and why. */
export interface EntryRefusal {
  readonly remote: string;
  readonly reason: 'proxy-not-trusted' | 'proxy-header-bad' | 'proxy-header-late';
  readonly detail?: string | undefined;
}

export interface Network {
  /** `refused` is told of each connection whose PROXY header did not let it in. */
  listen(
    endpoint: ListenEndpoint,
    accept: (connection: Connection) => ConnectionSink,
    refused?: (refusal: EntryRefusal) => void,
  ): Promise<Listener>;
  dial(endpoint: DialEndpoint, sink: ConnectionSink): Connection;
}

export interface NetworkOptions {
  /** False: public interfaces of Node only, also where the private ones are as this program knows them. */
  readonly fastPath?: boolean;
  /** Reads the peer's credentials of an accepted unix socket by file descriptor. */
  readonly peerCredentials?: ((fd: number) => PeerCredentials) | undefined;
}

/** The proxies of ListenLayers from addresses and networks (`10.0.0.0/8`, `fd00::/8`); throws over anything else. */
export function trustedProxies(networks: readonly string[]): BlockList {
  return proxyList(networks);
}

const readBufferBytes = 65_536;

export function systemNetwork(options: NetworkOptions = {}): Network {
  const readBuffer = Buffer.allocUnsafeSlow(readBufferBytes);
  const handles = options.fastPath === false ? undefined : handleAccess();
  return {
    listen: (endpoint, accept, refused) =>
      listen(endpoint, { accept, refused, readBuffer, handles, peerCredentials: options.peerCredentials }),
    dial: (endpoint, sink) => dial(endpoint, { sink, readBuffer }),
  };
}
