// A disk of a test's own that fills up or takes no writes, as the one below a data directory may.
//
// A small ext4 in a file, loop-mounted; where that is not permitted a small tmpfs; and where nothing may be mounted,
// an ordinary directory under the rules of fault-disk. `kind` says which it became.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { faultDiskEnv, setRules } from './fault-disk.ts';

const bytesPerMiB = 1_048_576;
const changes = 'write,create,truncate,rename,mkdir,link';

export interface SickDisk {
  readonly kind: string;
  /** For the program that works on it. */
  readonly env: Readonly<Record<string, string>>;
  /** No room from now on, but for `leftBytes`. */
  fill(leftBytes: number): void;
  free(): void;
  /** While no file on it is open for writing. */
  readOnly(): void;
  writable(): void;
  /** Ends it. Nothing may use it any more. */
  remove(): void;
}

/** In place of `directory`, which is made. `scratch` is outside of it. */
export function sickDisk(directory: string, { scratch, mebibytes }: { scratch: string; mebibytes: number }): SickDisk {
  mkdirSync(directory, { recursive: true });
  if (mountLoop(directory, join(scratch, 'disk.img'), mebibytes))
    return new MountedDisk('loop-mounted ext4', directory);
  if (attempt('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=700`, 'weir-test', directory))
    return new MountedDisk('tmpfs', directory);
  return new RuledDisk(directory, join(scratch, 'disk.rules'));
}

function mountLoop(directory: string, image: string, mebibytes: number): boolean {
  execFileSync('truncate', ['-s', `${mebibytes}M`, image]);
  return attempt('mkfs.ext4', '-q', '-m', '0', image) && attempt('mount', '-o', 'loop', image, directory);
}

function attempt(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

class MountedDisk implements SickDisk {
  readonly kind: string;
  readonly env = {};
  readonly #directory: string;
  readonly #ballast: string;

  constructor(kind: string, directory: string) {
    this.kind = kind;
    this.#directory = directory;
    this.#ballast = join(directory, 'ballast');
  }

  fill(leftBytes: number): void {
    const { bavail, bsize } = statfsSync(this.#directory);
    let bytes = Math.max(0, bavail * bsize - leftBytes);
    // What the file system needs for itself is not in its figure: a little less, until it fits.
    for (;;) {
      try {
        writeFileSync(this.#ballast, Buffer.alloc(bytes, 1), { flush: true });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC' || bytes === 0) throw error;
        bytes = Math.floor(bytes * 0.98);
      }
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  readOnly(): void {
    execFileSync('mount', ['-o', 'remount,ro', this.#directory]);
  }

  writable(): void {
    execFileSync('mount', ['-o', 'remount,rw', this.#directory]);
  }

  remove(): void {
    // Lazily: a process that was killed a moment ago may still hold a file.
    execFileSync('umount', ['-l', this.#directory]);
  }
}

class RuledDisk implements SickDisk {
  readonly kind = 'a directory under rules, since nothing may be mounted here';
  readonly env: Readonly<Record<string, string>>;
  readonly #rules: string;

  constructor(root: string, rules: string) {
    this.#rules = rules;
    this.env = faultDiskEnv({ root, rules });
  }

  fill(leftBytes: number): void {
    const roomForCalls = Math.max(1, Math.floor(leftBytes / bytesPerMiB));
    setRules(this.#rules, [`${changes} ENOSPC * ${roomForCalls}`]);
  }

  free(): void {
    setRules(this.#rules, []);
  }

  readOnly(): void {
    setRules(this.#rules, [`${changes},unlink,rmdir EROFS *`]);
  }

  writable(): void {
    setRules(this.#rules, []);
  }

  remove(): void {
    setRules(this.#rules, []);
  }
}
