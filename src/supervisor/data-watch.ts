// Whether a module's private directory stays within its limit.
//
// Looks now and then, because a file system without quotas does not tell: between two looks a module may write more
// than it may keep. Who is over the limit is told once for each life of the module, and is ended for it. It is then
// started again as after any failure, later each time: a module that clears up when it starts heals itself, and one
// that does not can write for a look's time in each pause of the back-off only.

import { moduleDataEntriesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';

export interface DataWatchOptions {
  readonly path: string;
  readonly bytesMax: number;
  readonly intervalMs: number;
  /** Told once, with a text for people. */
  readonly over: (text: string) => void;
}

export class DataWatch {
  readonly #ports: { readonly clock: Clock; readonly disk: Disk; readonly log: Log };
  readonly #options: DataWatchOptions;
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(ports: { readonly clock: Clock; readonly disk: Disk; readonly log: Log }, options: DataWatchOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#ports.clock.setTimer(this.#options.intervalMs, () => {
      this.#looking = this.#look();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { path, bytesMax, over } = this.#options;
    try {
      const { bytes, complete } = await this.#ports.disk.treeBytes('module:data', path, moduleDataEntriesMax);
      if (this.#closed) return;
      if (!complete) return over(`its directory ${path} holds more than ${moduleDataEntriesMax} files`);
      if (bytes > bytesMax) return over(`its directory ${path} holds ${bytes} bytes, and ${bytesMax} are its limit`);
    } catch (error) {
      this.#ports.log.warn('size of a module directory cannot be told', { path, error: errorMessage(error) });
    }
    if (!this.#closed) this.start();
  }
}
