// Buffers that are used again: batches between turns, for a connection holds one only while it has something to
// send, and the blocks of queues.
//
// One stack per size, powers of two; last in, first out, so that few buffers serve all and stay in the processor's
// cache. What would exceed the bound is left to the garbage collector, and so is what nobody wanted for a while:
// the bound is what a busy second takes, and an idle broker keeps nothing.

import { Buffer } from 'node:buffer';
import { brokerPoolBytesMax } from '../limits.ts';

const batchBytesMin = 4096;

export interface PoolOptions {
  /** Of the smallest buffers: a power of two. */
  readonly bytesMin: number;
  /** Of all that are kept. */
  readonly bytesMax: number;
}

interface Stack {
  readonly free: Buffer[];
  /** Fewest there were since the last trim(): so many nobody wanted. */
  unused: number;
}

export class BufferPool {
  readonly #stacks: Stack[] = [];
  readonly #bytesMin: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor({ bytesMin, bytesMax }: PoolOptions = { bytesMin: batchBytesMin, bytesMax: brokerPoolBytesMax }) {
    this.#bytesMin = bytesMin;
    this.#bytesMax = bytesMax;
  }

  /** Of the buffers that are free. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    const kind = this.#kindOf(bytes);
    const stack = this.#stacks[kind];
    const free = stack?.free.pop();
    if (stack === undefined || free === undefined) return Buffer.allocUnsafeSlow(this.#bytesMin << kind);
    if (stack.free.length < stack.unused) stack.unused = stack.free.length;
    this.#bytes -= free.length;
    return free;
  }

  /** The buffer, which take() gave, may be handed to anybody from now on. */
  give(buffer: Buffer): void {
    if (this.#bytes + buffer.length > this.#bytesMax) return;
    const kind = this.#kindOf(buffer.length);
    while (this.#stacks.length <= kind) this.#stacks.push({ free: [], unused: 0 });
    this.#stacks[kind]?.free.push(buffer);
    this.#bytes += buffer.length;
  }

  /** Lets go what nobody wanted since the last call. About to be called every second. */
  trim(): void {
    for (const [kind, stack] of this.#stacks.entries()) {
      // The oldest lie at the bottom.
      stack.free.splice(0, stack.unused);
      this.#bytes -= stack.unused * (this.#bytesMin << kind);
      stack.unused = stack.free.length;
    }
  }

  /** How often the smallest size is doubled to hold `bytes`. */
  #kindOf(bytes: number): number {
    const bytesMin = this.#bytesMin;
    return bytes <= bytesMin ? 0 : Math.clz32(bytesMin - 1) - Math.clz32(bytes - 1);
  }
}
