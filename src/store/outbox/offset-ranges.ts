// Offsets that have left a lane out of turn: expired or damaged ones between others that still wait.
//
// Sorted, disjoint, never adjacent ranges, as a flat list [from, to, from, to …]. Immutable: a commit that fails
// takes the old list back. A lane holds at most outboxRangesMax of them, which bounds its memory; whoever would
// need one more has to wait until the messages before it have been confirmed.

export class OffsetRanges {
  static readonly none = new OffsetRanges([]);
  readonly #flat: readonly number[];
  /** Number of offsets in all ranges. */
  readonly size: number;

  private constructor(flat: readonly number[]) {
    this.#flat = flat;
    let size = 0;
    for (let index = 0; index < flat.length; index += 2)
      size += (flat[index + 1] as number) - (flat[index] as number) + 1;
    this.size = size;
  }

  /** Number of ranges. */
  get count(): number {
    return this.#flat.length / 2;
  }

  *entries(): IterableIterator<readonly [from: number, to: number]> {
    for (let index = 0; index < this.#flat.length; index += 2)
      yield [this.#flat[index] as number, this.#flat[index + 1] as number];
  }

  /** The last offset of the range that holds `offset`, or undefined. */
  endOf(offset: number): number | undefined {
    const index = this.#rangeFrom(offset);
    const from = this.#flat[index];
    return from !== undefined && from <= offset ? this.#flat[index + 1] : undefined;
  }

  /** How many of from … to are in the ranges. */
  countIn(from: number, to: number): number {
    let count = 0;
    for (let index = this.#rangeFrom(from); index < this.#flat.length; index += 2) {
      const start = this.#flat[index] as number;
      if (start > to) break;
      count += Math.min(to, this.#flat[index + 1] as number) - Math.max(from, start) + 1;
    }
    return count;
  }

  with(from: number, to: number): OffsetRanges {
    const flat: number[] = [];
    let [start, end] = [from, to];
    let placed = false;
    for (const [a, b] of this.entries()) {
      if (b < start - 1) flat.push(a, b);
      else if (a > end + 1) {
        if (!placed) flat.push(start, end);
        placed = true;
        flat.push(a, b);
      } else {
        start = Math.min(start, a);
        end = Math.max(end, b);
      }
    }
    if (!placed) flat.push(start, end);
    return new OffsetRanges(flat);
  }

  /** Without everything up to `offset`. */
  after(offset: number): OffsetRanges {
    if ((this.#flat[0] ?? Number.POSITIVE_INFINITY) > offset) return this;
    const flat: number[] = [];
    for (const [a, b] of this.entries()) if (b > offset) flat.push(Math.max(a, offset + 1), b);
    return flat.length === 0 ? OffsetRanges.none : new OffsetRanges(flat);
  }

  /** Index in the flat list of the first range that ends at or after `offset`. */
  #rangeFrom(offset: number): number {
    let [low, high] = [0, this.#flat.length / 2];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#flat[middle * 2 + 1] as number) < offset) low = middle + 1;
      else high = middle;
    }
    return low * 2;
  }
}
