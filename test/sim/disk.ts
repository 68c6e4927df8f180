// The simulated device's disk: the files of the outbox on SimFiles, which forget what was not synced, and what can
// befall them.
//
// A cut of power or the death of a process can be armed to happen at the n-th file operation from now: that is how
// it strikes inside a roll-over, a compaction or a recovery.

import type { FileSystem } from '../../src/platform/file-system.ts';
import { SimFiles } from '../support/sim-files.ts';
import type { Dice } from './dice.ts';

/** Thrown out of a file operation in which the device stops. Nothing catches it but the pipe (thread.ts). */
export class Halt extends Error {
  readonly how: 'power' | 'process';

  constructor(how: 'power' | 'process') {
    super(`the ${how} is gone`);
    this.how = how;
  }
}

export interface DiskFault {
  /** Calls that fail; undefined: all. */
  readonly calls: readonly string[] | undefined;
  readonly code: string;
  /** How many calls go by unharmed, and how many then fail. */
  skip: number;
  count: number;
}

export class SimDisk {
  readonly files: SimFiles;
  /** The store thread answers nothing before. */
  stalledUntilMs = 0;
  tellsSpace = true;
  /** Told of each file operation before it happens. */
  onOperation: ((operation: string, call: string) => void) | undefined;
  operations = 0;
  /** Something was refused since this was last set to false. */
  hasRefused = false;
  #fault: DiskFault | undefined;
  #halt: { after: number; readonly how: 'power' | 'process' } | undefined;
  #halted: Halt | undefined;

  constructor(dice: Dice) {
    this.files = new SimFiles({ fraction: () => dice.fraction() });
    this.files.fault = (operation, call) => {
      this.onOperation?.(operation, call);
      return this.#struck(call);
    };
  }

  /** After so many file operations from now. */
  armHalt(after: number, how: 'power' | 'process'): void {
    this.#halt = { after, how };
  }

  fail(fault: DiskFault): void {
    this.#fault = fault;
  }

  heal(): void {
    this.#fault = undefined;
    this.#halt = undefined;
    this.files.readOnly = false;
    this.files.capacityBytes = undefined;
    this.stalledUntilMs = 0;
  }

  get isSick(): boolean {
    return this.#fault !== undefined || this.files.readOnly || this.files.capacityBytes !== undefined;
  }

  halted(how: 'power' | 'process'): void {
    this.#halt = undefined;
    this.#halted = undefined;
    if (how === 'power') this.files.powerCut();
    else this.files.kill();
  }

  get fileSystem(): FileSystem {
    return {
      space: () => {
        const { capacityBytes, usedBytes } = this.files;
        if (!this.tellsSpace || capacityBytes === undefined) return undefined;
        return { freeBytes: Math.max(0, capacityBytes - usedBytes), totalBytes: capacityBytes };
      },
    };
  }

  #struck(call: string): string | undefined {
    this.operations++;
    this.hasRefused ||= this.isSick;
    if (this.#halted !== undefined) throw this.#halted;
    if (this.#halt !== undefined && this.#halt.after-- <= 0) {
      this.#halted = new Halt(this.#halt.how);
      throw this.#halted;
    }
    const fault = this.#fault;
    if (fault === undefined || (fault.calls !== undefined && !fault.calls.includes(call))) return undefined;
    if (fault.skip-- > 0) return undefined;
    if (fault.count-- > 0) return fault.code;
    this.#fault = undefined;
    return undefined;
  }
}
