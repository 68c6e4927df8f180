// The memory of a simulated slave, with values that move.
//
//   input 0–1    u32  reads      one more with every read that covers it
//   input 2–3    u32  seconds    since the plant started
//   input 4–5    f32  speed      1500 ± 250, one turn a minute
//   input 6      i16  temperature × 10, 20 to 80 °C
//   holding 0–1  f32  setpoint   40, writable
//   holding 10   u16  mode       writable; bit 7 is `alarm`
//   holding 20–27 string  name   PLANT-01
//   coil 0       bool run        writable
//   discrete 0   bool overheated temperature above 70 °C
//
// Anything else answers exception 2 (illegal address), as a real device does.

import type { Clock } from '../../../src/platform/clock.ts';

export type TableName = 'coil' | 'discrete' | 'input' | 'holding';

interface TableMemory {
  readonly length: number;
  read(offset: number): number;
  write?(offset: number, word: number): void;
}

const turnMs = 60_000;
const wordMask = 0xffff;
const wordBits = 16;
const inputLength = 7;
const holdingLength = 28;
const nameOffset = 20;

export class Registers {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #holding = new Uint16Array(holdingLength);
  readonly #coils = new Uint8Array(8);
  reads = 0;

  constructor(clock: Clock, name: string) {
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#setFloat(0, 40);
    Buffer.from(name.padEnd((holdingLength - nameOffset) * 2, '\0')).forEach((byte, index) => {
      const at = nameOffset + (index >> 1);
      this.#holding[at] = ((this.#holding[at] ?? 0) << 8) | byte;
    });
  }

  get setpoint(): number {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint16(0, this.#holding[0] ?? 0);
    view.setUint16(2, this.#holding[1] ?? 0);
    return view.getFloat32(0);
  }

  get mode(): number {
    return this.#holding[10] ?? 0;
  }

  get temperature(): number {
    return 50 + 30 * Math.sin(this.#phase());
  }

  /** Undefined when an address does not exist. */
  read(table: TableName, offset: number, count: number): readonly number[] | undefined {
    const memory = this.#table(table);
    if (offset + count > memory.length) return undefined;
    if (table === 'input' && offset <= 1) this.reads += 1;
    return Array.from({ length: count }, (_, index) => memory.read(offset + index));
  }

  write(table: TableName, offset: number, words: readonly number[]): boolean {
    const memory = this.#table(table);
    const { write } = memory;
    if (write === undefined || offset + words.length > memory.length) return false;
    for (const [index, word] of words.entries()) write(offset + index, word);
    return true;
  }

  #table(table: TableName): TableMemory {
    switch (table) {
      case 'coil':
        return {
          length: this.#coils.length,
          read: (offset) => this.#coils[offset] ?? 0,
          write: (offset, word) => {
            this.#coils[offset] = word;
          },
        };
      case 'discrete':
        return { length: 8, read: (offset) => (offset === 0 && this.temperature > 70 ? 1 : 0) };
      case 'holding':
        return {
          length: holdingLength,
          read: (offset) => this.#holding[offset] ?? 0,
          write: (offset, word) => {
            this.#holding[offset] = word;
          },
        };
      case 'input':
        return { length: inputLength, read: (offset) => this.#input(offset) };
    }
  }

  #input(offset: number): number {
    const seconds = Math.floor((this.#clock.monotonicMs() - this.#startMs) / 1000);
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, Math.round((1500 + 250 * Math.sin(this.#phase())) * 10) / 10);
    const words = [this.reads >>> wordBits, this.reads & wordMask, seconds >>> wordBits, seconds & wordMask];
    words.push(view.getUint16(0), view.getUint16(2), Math.round(this.temperature * 10) & wordMask);
    return words[offset] ?? 0;
  }

  #phase(): number {
    return (2 * Math.PI * (this.#clock.monotonicMs() - this.#startMs)) / turnMs;
  }

  #setFloat(offset: number, value: number): void {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value);
    this.#holding[offset] = view.getUint16(0);
    this.#holding[offset + 1] = view.getUint16(2);
  }
}
