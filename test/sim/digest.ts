// One number for all that happened in a run: two runs with the same one went the same way, step by step.
//
// Goes into it, in order: each event with its time and its place among those of its instant, how much had been drawn
// by then, each file operation with the bytes it wrote, and what the hub logged. Not the story: whether somebody reads
// it must not matter.

import { createHash, type Hash } from 'node:crypto';

export class Digest {
  readonly #hash: Hash = createHash('sha256');
  /** What is not in the hash yet: few large updates cost less than many small ones. */
  #text: string[] = [];

  event(atMs: number, order: number, draws: number): void {
    this.#add(`e ${atMs} ${order} ${draws}`);
  }

  file(operation: string, call: string): void {
    this.#add(`f ${operation} ${call}`);
  }

  written(bytes: Uint8Array, position: number): void {
    this.#add(`w ${position} ${bytes.byteLength}`);
    this.#flush();
    this.#hash.update(bytes);
  }

  logged(text: string, body: Uint8Array): void {
    this.#add(`l ${text} ${Buffer.from(body).toString('latin1')}`);
  }

  /** Of all so far; nothing can be added afterwards. */
  end(): string {
    this.#flush();
    return this.#hash.digest('hex').slice(0, 32);
  }

  #add(line: string): void {
    this.#text.push(line);
    if (this.#text.length >= 1000) this.#flush();
  }

  #flush(): void {
    this.#hash.update(`${this.#text.join('\n')}\n`);
    this.#text = [];
  }
}
