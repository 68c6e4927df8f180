// The plant's RTU slave: frames with CRC over a real pseudo terminal.
//
// The native program pty-pair makes the terminal and is the other end of the cable: its stdin and stdout are the
// line. vanish() kills it, which hangs the terminal up like a pulled USB adapter; comeBack() makes a new one
// under the same path.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../../../src/platform/clock.ts';
import { sendInPieces } from './pieces.ts';
import type { Slave } from './slave.ts';

export interface RtuPlantOptions {
  readonly clock: Clock;
  /** Path of the serial port to make. */
  readonly path: string;
  /** The program pty-pair, or its C source (compiled beside `path`). */
  readonly ptyPair: string;
}

export class RtuPlant {
  readonly slave: Slave;
  readonly #options: RtuPlantOptions;
  #child: ChildProcess | undefined;
  #bytes = Buffer.alloc(0);

  constructor(slave: Slave, options: RtuPlantOptions) {
    this.slave = slave;
    this.#options = options;
  }

  get path(): string {
    return this.#options.path;
  }

  async comeBack(): Promise<void> {
    if (this.#child !== undefined) return;
    const child = spawn(program(this.#options), [this.#options.path], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    this.#bytes = Buffer.alloc(0);
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`pty-pair ended with ${String(code)}`)));
      child.stderr.once('data', () => resolve());
    });
  }

  async vanish(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGTERM');
    });
  }

  #receive(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const length = requestBytes(this.#bytes);
      if (length === undefined || this.#bytes.length < length) return;
      const frame = this.#bytes.subarray(0, length);
      this.#bytes = this.#bytes.subarray(length);
      // A wrong CRC means the line is out of step: forget what is there, as a slave does at the next silence.
      if (frame.readUInt16LE(length - 2) === crc(frame.subarray(0, -2)))
        this.#answer(Buffer.from(frame.subarray(0, -2)));
      else this.#bytes = Buffer.alloc(0);
    }
  }

  #answer(request: Buffer): void {
    const answer = this.slave.answer(request);
    if (answer === undefined) return;
    const { delayMs, splitBytes, noise } = this.slave.faults;
    const tail = Buffer.alloc(2);
    tail.writeUInt16LE(crc(answer.body) ^ (answer.isCrcBad ? 1 : 0));
    const bytes = Buffer.concat([noise, answer.body, tail]);
    sendInPieces(this.#options.clock, { bytes, delayMs, splitBytes }, (piece) => {
      this.#child?.stdin?.write(piece);
    });
  }
}

function program({ ptyPair, path }: RtuPlantOptions): string {
  if (!ptyPair.endsWith('.c')) return ptyPair;
  const built = join(dirname(path), 'pty-pair');
  if (!existsSync(built)) execFileSync('cc', ['-O2', '-o', built, ptyPair]);
  return built;
}

function requestBytes(bytes: Buffer): number | undefined {
  const code = bytes[1];
  if (code === undefined) return undefined;
  if (code !== 15 && code !== 16) return 8;
  const count = bytes[6];
  return count === undefined ? undefined : 9 + count;
}

/** Bit by bit from the specification (serial line 1.02, 6.2.2); deliberately not the product's. */
function crc(bytes: Uint8Array): number {
  let value = 0xffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      const isOdd = (value & 1) === 1;
      value >>>= 1;
      if (isOdd) value ^= 0xa001;
    }
  }
  return value;
}
