// The logs of modules that are gone: kept, because whoever looks for the cause of an end wants exactly those.
//
//   <logs>/<module>.log, .log.1 …    of a module that there is: not ours to touch
//                                    of one that is gone: stays until keepOnly() leaves it out
//
// A module on its way out still writes: one that keepOnly() left out loses its log when it has ended.
// Policy when full: beyond formerModuleLogsMax the one that was written to longest ago goes.

import { formerModuleLogsMax } from '../limits.ts';
import { moduleFileName, moduleOfFileName } from '../model/module-file-name.ts';
import type { Disk } from '../platform/disk.ts';
import { logFile } from './module-paths.ts';

export interface ModuleLogsOptions {
  readonly directory: string;
  /** Is it one of the set, or still on its way out? */
  readonly isThere: (name: string) => boolean;
}

const extension = '.log';

export class ModuleLogs {
  readonly #disk: Disk;
  readonly #options: ModuleLogsOptions;
  /** Modules on their way out whose logs go with them. */
  readonly #going = new Set<string>();

  constructor(disk: Disk, options: ModuleLogsOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  /** `leaving`: modules that are there, and about to be gone. */
  async keepOnly(names: ReadonlySet<string>, leaving: readonly string[]): Promise<void> {
    for (const name of leaving) if (!names.has(name)) this.#going.add(name);
    for (const name of await this.#former()) if (!names.has(name)) await this.#remove(name);
  }

  /** It is wanted again. */
  stays(name: string): void {
    this.#going.delete(name);
  }

  /** Nothing of it runs or writes any more. */
  async left(name: string): Promise<void> {
    if (this.#going.delete(name)) await this.#remove(name);
    const former = await this.#former();
    if (former.length <= formerModuleLogsMax) return;
    const aged = await Promise.all(
      former.map(async (one) => ({
        name: one,
        atMs: (await this.#disk.facts('module:log', this.#path(one)))?.modifiedMs ?? 0,
      })),
    );
    aged.sort((a, b) => b.atMs - a.atMs);
    for (const one of aged.slice(formerModuleLogsMax)) await this.#remove(one.name);
  }

  async #former(): Promise<readonly string[]> {
    const files = await this.#disk.list('module:logs', this.#options.directory);
    return files
      .filter((file) => file.endsWith(extension))
      .flatMap((file) => moduleOfFileName(file.slice(0, -extension.length)) ?? [])
      .filter((name) => !this.#options.isThere(name));
  }

  async #remove(name: string): Promise<void> {
    const path = this.#path(name);
    for (let number = 0; (await this.#disk.facts('module:log', logFile(path, number))) !== undefined; number++)
      await this.#disk.remove('module:log', logFile(path, number));
  }

  #path(name: string): string {
    return `${this.#options.directory}/${moduleFileName(name) ?? '%'}${extension}`;
  }
}
