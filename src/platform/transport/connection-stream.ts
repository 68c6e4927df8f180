// A Connection as a stream of Node's, for those who can only work with one: Node's own HTTP parser.
//
// Pull stays pull: while nobody reads, the connection is paused; a write is done when the connection wants more.
// The borrowed bytes are copied, since a stream keeps what it is given.

import { Duplex } from 'node:stream';
import type { Connection, ConnectionSink } from '../net.ts';

export class ConnectionStream extends Duplex implements ConnectionSink {
  readonly #connection: Connection;
  #drained: (() => void) | undefined;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
  }

  onData(chunk: Buffer, length: number): void {
    if (!this.push(Buffer.from(chunk.subarray(0, length)))) this.#connection.pause();
  }

  onDrain(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  onClose(): void {
    this.destroy();
  }

  override _read(): void {
    this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#connection.write(chunk)) done();
    else this.#drained = done;
  }

  override _final(done: () => void): void {
    this.#connection.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#connection.destroy();
    done(error);
  }
}
