// Batch buffers between turns: a connection holds one only while it has something to send.
//
// One stack per size, powers of two; last in, first out, so that few buffers serve all and stay in the processor's
// cache. What would exceed the bound is left to the garbage collector.

import { Buffer } from 'node:buffer';
import { brokerPoolBytesMax } from '../limits.ts';

const batchBytesMin = 4096;
const sizeBitsMin = 12;
const bitsOfInteger = 32;

export class BufferPool {
  readonly #free: Buffer[][] = [];
  #bytes = 0;

  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    const kind = kindOf(bytes);
    const free = this.#free[kind]?.pop();
    if (free === undefined) return Buffer.allocUnsafeSlow(batchBytesMin << kind);
    this.#bytes -= free.length;
    return free;
  }

  /** The buffer, which take() gave, may be handed to anybody from now on. */
  give(buffer: Buffer): void {
    if (this.#bytes + buffer.length > brokerPoolBytesMax) return;
    const kind = kindOf(buffer.length);
    let free = this.#free[kind];
    if (free === undefined) {
      free = [];
      this.#free[kind] = free;
    }
    free.push(buffer);
    this.#bytes += buffer.length;
  }
}

/** How often batchBytesMin is doubled to hold `bytes`. */
function kindOf(bytes: number): number {
  return bytes <= batchBytesMin ? 0 : bitsOfInteger - Math.clz32(bytes - 1) - sizeBitsMin;
}
