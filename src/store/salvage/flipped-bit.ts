// One flipped bit in a frame of SQLite's log, found from the frame's own checksum.
//
// A frame that does not fit is either what a power cut left of a write or what the storage made of it later; the first
// was never acknowledged, the second was. The sum is made of additions alone (fileformat2 §4.2), so the change that a
// bit makes to it depends on the place of the bit and on nothing else:
//
//   s1 += word 0 + s2,  s2 += word 1 + s1   for each pair of words: a change d of a word is (d, d) or (0, d) in the sum,
//                                           and each pair behind it makes (d1 + d2, d1 + 2 × d2) of that
//
// Every bit is tried against the difference of the two sums. A torn write fits one of them by chance once in 2^48. For
// the high bits of a word many places change the sum alike: then it is known that a bit flipped, and not which.

import type { Buffer } from 'node:buffer';

export interface Sum {
  readonly first: number;
  readonly second: number;
}

/** Where in the frame. */
export interface Bit {
  readonly at: number;
  readonly mask: number;
}

export interface FrameSums {
  /** Over the frame as it is. */
  readonly computed: Sum;
  /** What the frame carries, and where. */
  readonly carried: Sum;
  readonly carriedAt: number;
  readonly bigEndian: boolean;
}

/** Parts of a frame that the sum is over, in their order: from and to, in bytes. */
export type SummedParts = readonly (readonly [number, number])[];

const pairBytes = 8;
const wordBytes = 4;
const wordBits = 32;
const byteBits = 8;

/** Each bit whose flip explains why the sums differ: none for a torn frame, several where they cannot be told apart. */
export function flippedBits(frame: Buffer, parts: SummedParts, sums: FrameSums): readonly Bit[] {
  const { computed, carried, carriedAt, bigEndian } = sums;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const wanted = [(carried.first - computed.first) | 0, (carried.second - computed.second) | 0] as const;
  const found: Bit[] = [...bitOfSum(carried, computed, carriedAt)];
  let even: readonly [number, number] = [1, 1];
  let odd: readonly [number, number] = [0, 1];
  for (const [from, to] of [...parts].reverse()) {
    for (let at = to - pairBytes; at >= from; at -= pairBytes) {
      for (const [wordAt, effect] of [[at, even] as const, [at + wordBytes, odd] as const]) {
        const bits = fittingBits(view.getUint32(wordAt, !bigEndian), effect, wanted);
        for (const bit of bits) found.push(placeOf(wordAt, bit, bigEndian));
      }
      even = behindAnotherPair(even);
      odd = behindAnotherPair(odd);
    }
  }
  return found;
}

function behindAnotherPair([first, second]: readonly [number, number]): readonly [number, number] {
  const next = (first + second) | 0;
  return [next, (second + next) | 0];
}

/** Bits of a word that, put back, change the sum as wanted. */
function fittingBits(word: number, effect: readonly [number, number], wanted: readonly [number, number]): number[] {
  const fitting: number[] = [];
  for (let bit = 0; bit < wordBits; bit++) {
    const value = 1 << bit;
    const change = (word & value) === 0 ? value : -value;
    if (Math.imul(effect[0], change) === wanted[0] && Math.imul(effect[1], change) === wanted[1]) fitting.push(bit);
  }
  return fitting;
}

function placeOf(wordAt: number, bit: number, bigEndian: boolean): Bit {
  const byte = Math.floor(bit / byteBits);
  return { at: wordAt + (bigEndian ? wordBytes - 1 - byte : byte), mask: 1 << (bit % byteBits) };
}

/** The flip may be in the sum itself, which is written big-endian. */
function bitOfSum(carried: Sum, computed: Sum, carriedAt: number): readonly Bit[] {
  const first = (carried.first ^ computed.first) >>> 0;
  const second = (carried.second ^ computed.second) >>> 0;
  if (first !== 0 && second === 0 && isOneBit(first)) return [placeOf(carriedAt, bitNumber(first), true)];
  if (first === 0 && second !== 0 && isOneBit(second)) return [placeOf(carriedAt + wordBytes, bitNumber(second), true)];
  return [];
}

function isOneBit(value: number): boolean {
  return (value & (value - 1)) === 0;
}

function bitNumber(value: number): number {
  return wordBits - 1 - Math.clz32(value);
}
