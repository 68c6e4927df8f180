// A directory tree being made: new files, directories and links below a root that did not exist before.
//
// Owns the calls, not the rules: paths are relative and were judged before (artifacts/entry-rules.ts). Nothing is
// ever written over or through: files are created exclusively, and links come when all files are there. Modes are set
// by name, whatever the umask.
//
// sync() puts everything on stable storage: files first, then directories from the leaves to the root. A few at a
// time: the kernel joins them into common commits, which on a slow card is the difference between minutes and seconds.

import { chmod, link, lstat, mkdir, open, realpath, symlink } from 'node:fs/promises';
import { join } from 'node:path';

export interface NewFile {
  readonly path: string;
  readonly mode: number;
  readonly content: AsyncIterable<Uint8Array>;
}

export interface NodeFacts {
  readonly type: 'file' | 'directory' | 'symbolic link' | 'other';
  readonly bytes: number;
  readonly mode: number;
  readonly modifiedMs: number;
}

export interface Tree {
  makeDirectory(path: string): Promise<void>;
  writeFile(file: NewFile): Promise<void>;
  /** A file from elsewhere on the same file system, under a second name. */
  adoptFile(file: { readonly path: string; readonly from: string; readonly mode: number }): Promise<void>;
  hardLink(path: string, existing: string): Promise<void>;
  symbolicLink(path: string, target: string): Promise<void>;
  /** Where a symbolic link leads: relative to the root; undefined when that is outside, or nowhere. */
  leadsTo(path: string): Promise<string | undefined>;
  sync(): Promise<void>;
}

export interface Trees {
  /** Makes the root, which must not exist. */
  create(operation: string, root: string): Promise<Tree>;
  /** Of a node itself, links not followed; undefined when there is none. */
  nodeFacts(operation: string, path: string): Promise<NodeFacts | undefined>;
}

const directoryMode = 0o755;
const permissionBits = 0o7777;
const syncsAtOnce = 4;

export function systemTrees(): Trees {
  return {
    async create(_operation, root) {
      await makeDirectory(root);
      return new NewTree(root);
    },
    async nodeFacts(_operation, path) {
      try {
        const found = await lstat(path);
        return {
          type: typeOf(found),
          bytes: found.size,
          mode: found.mode & permissionBits,
          modifiedMs: Math.floor(found.mtimeMs),
        };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
  };
}

class NewTree implements Tree {
  readonly #root: string;
  readonly #files: string[] = [];
  /** Parents before children. */
  readonly #directories: string[];

  constructor(root: string) {
    this.#root = root;
    this.#directories = [root];
  }

  async makeDirectory(path: string): Promise<void> {
    const whole = join(this.#root, path);
    await makeDirectory(whole);
    this.#directories.push(whole);
  }

  async writeFile({ path, mode, content }: NewFile): Promise<void> {
    const whole = join(this.#root, path);
    const file = await open(whole, 'wx', mode);
    try {
      for await (const piece of content) await file.writeFile(piece);
      await file.chmod(mode);
    } finally {
      await file.close();
    }
    this.#files.push(whole);
  }

  async adoptFile({ path, from, mode }: Parameters<Tree['adoptFile']>[0]): Promise<void> {
    const whole = join(this.#root, path);
    await link(from, whole);
    await chmod(whole, mode);
    this.#files.push(whole);
  }

  hardLink(path: string, existing: string): Promise<void> {
    return link(join(this.#root, existing), join(this.#root, path));
  }

  symbolicLink(path: string, target: string): Promise<void> {
    return symlink(target, join(this.#root, path));
  }

  async leadsTo(path: string): Promise<string | undefined> {
    const root = await realpath(this.#root);
    const end = await realpath(join(this.#root, path)).catch(() => undefined);
    if (end === root) return '';
    return end?.startsWith(`${root}/`) === true ? end.slice(root.length + 1) : undefined;
  }

  async sync(): Promise<void> {
    const files = this.#files[Symbol.iterator]();
    await Promise.all(Array.from({ length: syncsAtOnce }, () => syncEach(files)));
    for (const directory of this.#directories.toReversed()) await syncOne(directory);
  }
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: directoryMode });
  const directory = await open(path, 'r');
  try {
    await directory.chmod(directoryMode);
  } finally {
    await directory.close();
  }
}

async function syncEach(paths: Iterable<string>): Promise<void> {
  for (const path of paths) await syncOne(path);
}

async function syncOne(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function typeOf(found: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }): NodeFacts['type'] {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  return found.isSymbolicLink() ? 'symbolic link' : 'other';
}

function isMissing(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  );
}
