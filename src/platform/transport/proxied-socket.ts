// The step between accept and stream on a listener behind a proxy: reads the PROXY header, leaves the rest.
//
// Only whom we trust may say who somebody else is; anybody else is closed without an answer, as the specification
// asks. What follows the header stays in the socket, for TLS or for the plain stream.

import { BlockList, type Socket } from 'node:net';
import { proxyHeaderBytesMax } from '../../limits.ts';
import { readProxyHeader } from './proxy-header.ts';

/** This machine. */
export function loopbackProxies(): BlockList {
  return proxyList(['127.0.0.0/8', '::1']);
}

/** Addresses and networks in CIDR notation; throws over anything else. */
export function proxyList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const [address = '', prefix] = text.split('/');
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** Who connects through a unix socket is on this machine: the file's mode decides. */
export function isTrustedProxy(socket: Socket, trusted: BlockList): boolean {
  const { remoteAddress, remoteFamily } = socket;
  if (remoteAddress === undefined) return true;
  const mapped = /^::ffff:([\d.]+)$/.exec(remoteAddress)?.[1];
  if (mapped !== undefined) return trusted.check(mapped);
  return trusted.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4');
}

export interface ProxiedSteps {
  /** Once, with the client's address where the proxy tells it. */
  readonly done: (source: string | undefined) => void;
  /** Instead: what is wrong with the header. The socket is destroyed. */
  readonly bad: (detail: string) => void;
}

/** Reads the header and nothing behind it. */
export function readProxied(socket: Socket, { done, bad }: ProxiedSteps): void {
  let head: Buffer = Buffer.alloc(0);
  let wanted = 1;
  const onReadable = (): void => {
    for (;;) {
      const piece = socket.read(wanted - head.length) as Buffer | null;
      if (piece === null) return;
      head = head.length === 0 ? piece : Buffer.concat([head, piece]);
      const header = readProxyHeader(head, proxyHeaderBytesMax);
      if (header.kind === 'bad') {
        socket.off('readable', onReadable);
        socket.destroy();
        bad(header.detail);
        return;
      }
      if (header.kind === 'whole') {
        socket.off('readable', onReadable);
        socket.off('end', onEnd);
        done(header.source);
        return;
      }
      wanted = header.bytes;
    }
  };
  const onEnd = (): void => {
    socket.destroy();
  };
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
}
