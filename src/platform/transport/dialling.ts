// Connections that we open: TCP, TLS and unix sockets.

import { closeSync, constants, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { unixPathBytesMax } from '../../limits.ts';
import type { Connection, ConnectionSink, DialEndpoint } from '../net.ts';
import { attachEvents, SocketConnection, socketReadingInto } from './socket-connection.ts';

export function dial(
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
    return new SocketConnection(socket, { remote });
  }
  const socket = socketReadingInto(readBuffer, (chunk, length) => sink.onData(chunk, length));
  attachEvents(socket, sink);
  socket.once('connect', () => sink.onOpen?.());
  if (endpoint.kind === 'unix') connectUnix(socket, endpoint.path);
  else socket.connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
  return new SocketConnection(socket, { remote });
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
