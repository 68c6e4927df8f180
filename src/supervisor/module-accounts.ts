// Users of their own for process modules: a number for each name, the same one for as long as it is remembered.
//
//   <dataDirectory>/.accounts.json   {"sensor":64000,"meter":64001}
//
// The numbers are of no user in /etc/passwd. A number stays with its name when the module is removed, because the
// private directory that belongs to it stays; it is given to another name only when all numbers are taken, and then
// that directory is removed first.
//
// Invariant: a number is on the disk before anybody runs under it.

import { moduleAccountsMax } from '../limits.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import { moduleFileName, moduleOfFileName } from '../model/module-file-name.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';

export interface ModuleAccountsOptions {
  readonly dataDirectory: string;
  readonly firstUid: number;
}

/** Modules pass through to what is theirs. */
const directoryMode = 0o711;

export class ModuleAccounts {
  readonly #ports: { readonly disk: Disk; readonly log: Log };
  readonly #options: ModuleAccountsOptions;
  #numbers: Map<string, number> | undefined;

  constructor(ports: { readonly disk: Disk; readonly log: Log }, options: ModuleAccountsOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** The number for `name`, user and group alike. `needed`: names that keep theirs whatever happens. One call at a time. */
  async numberOf(name: string, needed: ReadonlySet<string>): Promise<number> {
    this.#numbers ??= await this.#read();
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const numbers = new Map(this.#numbers);
    const number = this.#free(numbers) ?? (await this.#takeFrom(numbers, needed));
    numbers.set(name, number);
    const { disk } = this.#ports;
    await disk.makeDirectory('accounts:directory', this.#options.dataDirectory, directoryMode);
    await disk.writeFileAtomic('accounts:write', this.#file, { data: JSON.stringify(Object.fromEntries(numbers)) });
    this.#numbers = numbers;
    return number;
  }

  #free(numbers: ReadonlyMap<string, number>): number | undefined {
    if (numbers.size >= moduleAccountsMax) return undefined;
    const taken = new Set(numbers.values());
    let number = this.#options.firstUid;
    while (taken.has(number)) number += 1;
    return number;
  }

  /** From the one that was first given a number, of those that are not deployed. There is one: modules are fewer than numbers. */
  async #takeFrom(numbers: Map<string, number>, needed: ReadonlySet<string>): Promise<number> {
    for (const [name, number] of numbers) {
      if (needed.has(name)) continue;
      this.#ports.log.warn('data of a module that was removed is erased: all user numbers are taken', { module: name });
      await this.#ports.disk.remove('accounts:erase', `${this.#options.dataDirectory}/${moduleFileName(name)}`);
      numbers.delete(name);
      return number;
    }
    throw new RangeError(`there are more modules than ${moduleAccountsMax} user numbers`);
  }

  /** A file that is damaged is no reason to start nothing: the numbers are found in who owns the directories. */
  async #read(): Promise<Map<string, number>> {
    const { disk, log } = this.#ports;
    const text = await disk.readTextIfPresent('accounts:read', this.#file);
    const parsed = text === undefined ? undefined : parseJson(text);
    if (parsed?.ok === true && isJsonObject(parsed.value)) {
      const entries = Object.entries(parsed.value).filter(
        (entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && Number(entry[1]) > 0,
      );
      return new Map(entries);
    }
    if (text !== undefined)
      log.warn('user numbers of modules cannot be read; they are found again', { path: this.#file });
    return await this.#ownersOfData();
  }

  async #ownersOfData(): Promise<Map<string, number>> {
    const { disk } = this.#ports;
    const { dataDirectory } = this.#options;
    const found = new Map<string, number>();
    for (const fileName of await disk.list('accounts:list', dataDirectory)) {
      const name = moduleOfFileName(fileName);
      const facts = await disk.facts('accounts:facts', `${dataDirectory}/${fileName}/data`);
      if (name !== undefined && facts !== undefined && facts.uid > 0) found.set(name, facts.uid);
    }
    return found;
  }

  get #file(): string {
    return `${this.#options.dataDirectory}/.accounts.json`;
  }
}
