// The plant's TCP slave: MBAP framing over real sockets, on loopback.
//
// vanish() closes the port and every connection, like a device whose power went; comeBack() listens again on the
// same port.

import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../../src/platform/clock.ts';
import { sendInPieces } from './pieces.ts';
import type { Slave } from './slave.ts';

const headerBytes = 6;

export class TcpPlant {
  readonly slave: Slave;
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port: number;

  constructor(slave: Slave, { clock, port }: { readonly clock: Clock; readonly port: number }) {
    this.slave = slave;
    this.#clock = clock;
    this.#port = port;
  }

  get port(): number {
    return this.#port;
  }

  async comeBack(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
  }

  async vanish(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let bytes = Buffer.alloc(0);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= headerBytes && bytes.length >= headerBytes + bytes.readUInt16BE(4)) {
        const end = headerBytes + bytes.readUInt16BE(4);
        this.#answer(socket, bytes.readUInt16BE(0), Buffer.from(bytes.subarray(headerBytes, end)));
        bytes = bytes.subarray(end);
      }
    });
  }

  #answer(socket: Socket, transaction: number, request: Buffer): void {
    const answer = this.slave.answer(request);
    if (answer === undefined) return;
    if (answer.isCrcBad) {
      socket.destroy();
      return;
    }
    const header = Buffer.alloc(headerBytes);
    header.writeUInt16BE(transaction, 0);
    header.writeUInt16BE(answer.body.length, 4);
    const { delayMs, splitBytes } = this.slave.faults;
    const bytes = Buffer.concat([header, answer.body]);
    sendInPieces(this.#clock, { bytes, delayMs, splitBytes }, (piece) => {
      if (!socket.destroyed) socket.write(piece);
    });
  }
}
