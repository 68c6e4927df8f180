// A cursor over the bytes of a frame's index.
//
// Nothing here trusts the bytes: a checksum has passed them, but a reader that runs over the end of its memory
// would be a bug worse than the damage. It throws UnreadableFrame, which callers treat as damage.

import type { Buffer } from 'node:buffer';

const varintMore = 0x80;
const varintMask = 0x7f;
const varintBytesMax = 8;
const varintBase = 128;

export class UnreadableFrame extends Error {
  override readonly name = 'UnreadableFrame';
}

export class ByteSource {
  readonly bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(bytes: Buffer, range: { readonly start: number; readonly end: number }) {
    this.bytes = bytes;
    this.at = range.start;
    this.end = range.end;
  }

  byte(): number {
    if (this.at >= this.end) endsEarly();
    return this.bytes[this.at++] as number;
  }

  int32(): number {
    const at = this.#skip(4);
    const { bytes } = this;
    return (
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    );
  }

  float64(): number {
    return this.bytes.readDoubleLE(this.#skip(8));
  }

  varint(): number {
    const first = this.byte();
    if (first < varintMore) return first;
    let value = first & varintMask;
    let scale = varintBase;
    for (let index = 1; index < varintBytesMax; index++) {
      const byte = this.byte();
      value += (byte & varintMask) * scale;
      if (byte < varintMore) return value;
      scale *= varintBase;
    }
    throw new UnreadableFrame('a number runs over eight bytes');
  }

  text(): string {
    const length = this.varint();
    const start = this.#skip(length);
    return this.bytes.toString('utf8', start, start + length);
  }

  #skip(count: number): number {
    const start = this.at;
    if (start + count > this.end) endsEarly();
    this.at = start + count;
    return start;
  }
}

function endsEarly(): never {
  throw new UnreadableFrame('the index ends too early');
}
