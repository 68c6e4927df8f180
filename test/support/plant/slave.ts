// A simulated slave: requests in, answers out, and knobs for everything that goes wrong on a real line.
//
// Speaks in bodies (unit, function, data) without any framing; tcp.ts and rtu.ts put CRC or MBAP around them.
// Its own code from the specification (application protocol 1.1b3), not the product's codec: an error the two
// shared would not be found.

import type { Registers, TableName } from './registers.ts';

export interface Faults {
  /** Waits so long before every answer. */
  delayMs: number;
  /** Does not answer the next n requests. */
  drop: number;
  /** Answers nothing at all: switched off, but the line is there. */
  isSilent: boolean;
  /** Spoils the CRC of the next n answers (over TCP: closes the connection instead). */
  badCrc: number;
  /** Answers the next n requests as another unit. */
  wrongUnit: number;
  /** Answers the next n requests with an exception of this code. */
  exceptions: number;
  exceptionCode: number;
  /** Sends every answer in pieces of this many bytes, a few milliseconds apart; 0: whole. */
  splitBytes: number;
  /** Sends these bytes before every answer. */
  noise: Uint8Array;
}

export interface Answer {
  readonly body: Buffer;
  readonly isCrcBad: boolean;
}

const tableByFunction: Readonly<Record<number, TableName>> = {
  1: 'coil',
  2: 'discrete',
  3: 'holding',
  4: 'input',
  5: 'coil',
  6: 'holding',
  15: 'coil',
  16: 'holding',
};
const illegalFunction = 1;
const illegalAddress = 2;
const illegalValue = 3;
const coilOn = 0xff00;

export class Slave {
  readonly units: readonly number[];
  readonly registers: Registers;
  readonly faults: Faults = {
    delayMs: 0,
    drop: 0,
    isSilent: false,
    badCrc: 0,
    wrongUnit: 0,
    exceptions: 0,
    exceptionCode: 4,
    splitBytes: 0,
    noise: new Uint8Array(),
  };
  /** Requests for this slave, answered or not. */
  requests = 0;

  constructor(units: readonly number[], registers: Registers) {
    this.units = units;
    this.registers = registers;
  }

  /** Undefined when nobody answers. */
  answer(request: Buffer): Answer | undefined {
    const { faults } = this;
    const [unit = 0, code = 0] = request;
    if (!this.units.includes(unit)) return undefined;
    this.requests += 1;
    if (faults.isSilent || take(faults, 'drop')) return undefined;
    const body = take(faults, 'exceptions') ? exception(unit, code, faults.exceptionCode) : this.#serve(request);
    if (take(faults, 'wrongUnit')) body[0] = unit + 1;
    return { body, isCrcBad: take(faults, 'badCrc') };
  }

  #serve(request: Buffer): Buffer {
    const [unit = 0, code = 0] = request;
    const table = tableByFunction[code];
    if (table === undefined) return exception(unit, code, illegalFunction);
    const offset = request.readUInt16BE(2);
    if (code <= 4) return this.#read(request, table);
    const words = writtenWords(request);
    if (words === undefined) return exception(unit, code, illegalValue);
    if (!this.registers.write(table, offset, words)) return exception(unit, code, illegalAddress);
    return Buffer.from(request.subarray(0, 6));
  }

  #read(request: Buffer, table: TableName): Buffer {
    const [unit = 0, code = 0] = request;
    const count = request.readUInt16BE(4);
    if (count < 1 || count > (code <= 2 ? 2000 : 125)) return exception(unit, code, illegalValue);
    const words = this.registers.read(table, request.readUInt16BE(2), count);
    if (words === undefined) return exception(unit, code, illegalAddress);
    const data =
      code <= 2 ? packBits(words) : Buffer.concat(words.map((word) => Buffer.from([word >> 8, word & 0xff])));
    return Buffer.concat([Buffer.from([unit, code, data.length]), data]);
  }
}

function take(faults: Faults, knob: 'drop' | 'badCrc' | 'wrongUnit' | 'exceptions'): boolean {
  if (faults[knob] <= 0) return false;
  faults[knob] -= 1;
  return true;
}

function exception(unit: number, code: number, reason: number): Buffer {
  return Buffer.from([unit, code | 0x80, reason]);
}

function writtenWords(request: Buffer): readonly number[] | undefined {
  const code = request[1];
  const value = request.readUInt16BE(4);
  if (code === 5) return value === coilOn || value === 0 ? [value === 0 ? 0 : 1] : undefined;
  if (code === 6) return [value];
  if (request.length < 7 + (request[6] ?? 0)) return undefined;
  if (code === 15) return Array.from({ length: value }, (_, bit) => ((request[7 + (bit >> 3)] ?? 0) >> (bit & 7)) & 1);
  return Array.from({ length: value }, (_, index) => request.readUInt16BE(7 + index * 2));
}

function packBits(bits: readonly number[]): Buffer {
  const bytes = Buffer.alloc(Math.ceil(bits.length / 8));
  bits.forEach((bit, index) => {
    bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (bit << (index & 7));
  });
  return bytes;
}
