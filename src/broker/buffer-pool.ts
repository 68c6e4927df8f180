// Batch buffers between turns: a connection holds one only while it has something to send.
//
// Last in, first out, so that few buffers serve all and stay in the processor's cache. What would exceed the
// bound is left to the garbage collector.

import { Buffer } from 'node:buffer';
import { brokerPoolBytesMax } from '../limits.ts';

const batchBytesMin = 4096;

export class BufferPool {
  readonly #free: Buffer[] = [];
  #bytes = 0;

  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    const last = this.#free.at(-1);
    if (last !== undefined && last.length >= bytes) {
      this.#free.pop();
      this.#bytes -= last.length;
      return last;
    }
    let size = batchBytesMin;
    while (size < bytes) size *= 2;
    return Buffer.allocUnsafeSlow(size);
  }

  /** The buffer may be handed to anybody from now on. */
  give(buffer: Buffer): void {
    if (this.#bytes + buffer.length > brokerPoolBytesMax) return;
    this.#free.push(buffer);
    this.#bytes += buffer.length;
  }
}
