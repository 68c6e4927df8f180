// The library that stands between a program and its disk (native/fault-disk), as tests use it.
//
//   const program = new Program(command, faultDiskEnv({ root, rules }))
//   setRules(rules, ['sync EIO *.db-wal 3'])      from now on, also while it runs
//   setRules(rules, [])                           the disk is well again

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const sourceDirectory = join(process.cwd(), 'native/fault-disk');
const outDirectory = join(process.cwd(), 'out/test');

export interface FaultDisk {
  /** The directory that is watched: absolute, without symbolic links. */
  readonly root: string;
  /** Gets a recording of what changes below `root`. */
  readonly log?: string;
  /** What the program writes to this file is part of the recording. */
  readonly marks?: string;
  /** Says which calls go wrong. */
  readonly rules?: string;
}

/** Environment for a program whose disk is watched. The programs it starts itself are not. */
export function faultDiskEnv({ root, log, marks, rules }: FaultDisk): Record<string, string> {
  return {
    LD_PRELOAD: faultDiskLibrary(),
    FAULT_DISK_ROOT: root,
    ...(log === undefined ? {} : { FAULT_DISK_LOG: log }),
    ...(marks === undefined ? {} : { FAULT_DISK_MARKS: marks }),
    ...(rules === undefined ? {} : { FAULT_DISK_RULES: rules }),
  };
}

/** `CALLS ACTION GLOB [FIRST [COUNT]]` a line, as native/fault-disk/rules.c has them. They hold from the next call on, counted anew. */
export function setRules(file: string, rules: readonly string[]): void {
  writeFileSync(`${file}.fresh`, `${rules.join('\n')}\n`);
  renameSync(`${file}.fresh`, file);
}

/** Path of the library; compiles it when its sources changed. */
export function faultDiskLibrary(): string {
  const sources = readdirSync(sourceDirectory)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const hash = createHash('sha256');
  for (const name of sources) hash.update(readFileSync(join(sourceDirectory, name)));
  const library = join(outDirectory, `fault-disk-${hash.digest('hex').slice(0, 16)}.so`);
  if (existsSync(library)) return library;
  mkdirSync(outDirectory, { recursive: true });
  // Under a name of its own first: test files run side by side.
  const fresh = `${library}.${process.pid}`;
  const cFiles = sources.filter((name) => name.endsWith('.c')).map((name) => join(sourceDirectory, name));
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  execFileSync('gcc', [...flags, ...cFiles, '-o', fresh, '-ldl', '-lpthread'], { stdio: 'inherit' });
  renameSync(fresh, library);
  return library;
}
