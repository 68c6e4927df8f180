// The reserve: space of the file system that messages never take, for configuration, logs and updates.
//
// Owns how much that is and how often the file system is asked. What follows from too little is engine.ts's: the
// quota becomes what the outbox has on disk less what is missing, so the same rules drop the same messages as with a
// full quota, before any write meets a full disk.
//
//   asked   once a second, after every lookBytes handed to the disk, and with every commit while space is low
//
// By default a tenth of the file system, within storeReserveBytesMin and …Max; a small file system gives at most a
// quarter, so that something is left for messages.

import { storeReserveBytesMax, storeReserveBytesMin } from '../limits.ts';
import type { FileSystem } from '../platform/file-system.ts';
import type { SpaceFacts } from './thread-protocol.ts';

const lookEveryMs = 1000;
const lookBytes = 4_194_304;
const usualPart = 1 / 10;
const largestPart = 1 / 4;

export interface ReserveOptions {
  /** On the file system meant. */
  readonly directory: string;
  /** Undefined: by the size of the file system. */
  readonly bytes: number | undefined;
}

export class Reserve {
  readonly #fileSystem: FileSystem;
  readonly #options: ReserveOptions;
  #lookedMs: number | undefined;
  #written = 0;
  #freeBytes: number | undefined;
  #reserveBytes = 0;

  constructor(fileSystem: FileSystem, options: ReserveOptions) {
    this.#fileSystem = fileSystem;
    this.#options = options;
    this.#reserveBytes = options.bytes ?? 0;
  }

  /** So many bytes more were written. */
  wrote(bytes: number): void {
    this.#written += bytes;
  }

  /** Brings the figures up to date when it is time; `monotonicMs` is now. */
  look(monotonicMs: number): void {
    const due = this.#lookedMs === undefined || Math.abs(monotonicMs - this.#lookedMs) >= lookEveryMs;
    if (!due && this.#written < lookBytes && this.missingBytes === 0) return;
    this.#lookedMs = monotonicMs;
    this.#written = 0;
    const space = this.#fileSystem.space(this.#options.directory);
    this.#freeBytes = space?.freeBytes;
    if (space !== undefined) this.#reserveBytes = this.#options.bytes ?? defaultReserve(space.totalBytes);
  }

  /** Free bytes that are not there; 0 when the reserve is whole. */
  get missingBytes(): number {
    return this.#freeBytes === undefined ? 0 : Math.max(0, this.#reserveBytes - this.#freeBytes);
  }

  get facts(): SpaceFacts {
    return { freeBytes: this.#freeBytes, reserveBytes: this.#reserveBytes, low: this.missingBytes > 0 };
  }
}

function defaultReserve(totalBytes: number): number {
  const usual = Math.min(storeReserveBytesMax, Math.max(storeReserveBytesMin, totalBytes * usualPart));
  return Math.floor(Math.min(usual, totalBytes * largestPart));
}
