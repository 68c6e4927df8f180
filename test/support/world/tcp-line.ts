// A line that can be cut: a TCP forwarder between the gateway and the hub.
//
// cut() drops every connection and refuses new ones, as a pulled cable plus a closed port; mend() forwards again.
// The listening port stays the same for the line's whole life, so both ends may come and go behind it.

import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpLine {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #whole = true;
  #target = 0;
  #port = 0;

  /** Resolves with the port the line listens on, on 127.0.0.1. */
  async open(): Promise<number> {
    const server = createServer((near) => this.#join(near));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new TypeError('the line has no port');
    this.#port = address.port;
    return address.port;
  }

  /** Where it listens once it is open, on 127.0.0.1. */
  get port(): number {
    return this.#port;
  }

  /** The port behind the line, on 127.0.0.1. */
  pointAt(port: number): void {
    this.#target = port;
  }

  cut(): void {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#whole = true;
  }

  async close(): Promise<void> {
    this.cut();
    const server = this.#server;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  #join(near: Socket): void {
    if (!this.#whole || this.#target === 0) {
      near.destroy();
      return;
    }
    const far = connect({ host: '127.0.0.1', port: this.#target });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
