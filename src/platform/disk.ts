// The file system as a parameter. Every call names its operation, so that a test can fail exactly that one.
//
// Invariant: writeFileAtomic leaves either the old or the new content, whatever happens: temp file, write,
// fsync, rename, fsync of the directory.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface FileFacts {
  readonly bytes: number;
  readonly mode: number;
  readonly uid: number;
  readonly modifiedMs: number;
  readonly isDirectory: boolean;
  /** Tells a file from another one that took its name. */
  readonly inode: number;
}

export interface FileContent {
  readonly data: string | Uint8Array;
  /** 0600 when absent. */
  readonly mode?: number;
}

export interface Disk {
  readFile(operation: string, path: string): Promise<Buffer>;
  /** Undefined when there is no such file. */
  readTextIfPresent(operation: string, path: string): Promise<string | undefined>;
  writeFileAtomic(operation: string, path: string, content: FileContent): Promise<void>;
  /** Creates the directory and its parents. An existing one gets `mode`, when given. */
  makeDirectory(operation: string, path: string, mode?: number): Promise<void>;
  /** Names inside a directory; empty when there is none. */
  list(operation: string, path: string): Promise<readonly string[]>;
  facts(operation: string, path: string): Promise<FileFacts | undefined>;
  rename(operation: string, from: string, to: string): Promise<void>;
  /** Removes a file or a tree; silent when it is gone already. */
  remove(operation: string, path: string): Promise<void>;
  /** Bytes from `offset`, at most `bytesMax`; fewer at the end of the file. */
  readSlice(
    operation: string,
    path: string,
    range: { readonly offset: number; readonly bytesMax: number },
  ): Promise<Buffer>;
  isExecutable(operation: string, path: string): Promise<boolean>;
  /** The same place without symbolic links. */
  realPath(operation: string, path: string): Promise<string>;
  freeBytes(operation: string, path: string): Promise<number>;
  /** A directory of somebody else's, made when it is missing: nobody but its owner may enter it. */
  makeDirectoryFor(
    operation: string,
    path: string,
    owner: { readonly uid: number; readonly gid: number },
  ): Promise<void>;
  /** Takes all rights from group and others; silent when there is nothing there. Not for symbolic links. */
  makePrivate(operation: string, path: string): Promise<void>;
  /**
   * What a tree takes on the disk, hard links counted once, symbolic links not followed; 0 when there is none. Looks
   * at `entriesMax` entries and tells whether those were all.
   */
  treeBytes(
    operation: string,
    path: string,
    entriesMax: number,
  ): Promise<{ readonly bytes: number; readonly complete: boolean }>;
}

const privateFileMode = 0o600;
const privateDirectoryMode = 0o700;
const modeBits = 0o7777;
const othersBits = 0o077;
const tempNameBytes = 6;
/** Unit of st_blocks, whatever the file system. */
const statBlockBytes = 512;

export function systemDisk(): Disk {
  return {
    readFile: (_operation, path) => readFile(path),
    async readTextIfPresent(_operation, path) {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    writeFileAtomic: (_operation, path, content) => writeFileAtomic(path, content),
    async makeDirectory(_operation, path, mode) {
      await mkdir(path, { recursive: true, ...(mode === undefined ? {} : { mode }) });
      // Only where it differs: a file system that takes no writes is no reason to refuse what is right already.
      if (mode !== undefined && ((await stat(path)).mode & modeBits) !== mode) await chmod(path, mode);
    },
    async list(_operation, path) {
      try {
        return await readdir(path);
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    async facts(_operation, path) {
      try {
        const found = await stat(path);
        return {
          bytes: found.size,
          mode: found.mode & modeBits,
          uid: found.uid,
          modifiedMs: found.mtimeMs,
          isDirectory: found.isDirectory(),
          inode: found.ino,
        };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    rename: (_operation, from, to) => rename(from, to),
    remove: (_operation, path) => rm(path, { recursive: true, force: true }),
    async readSlice(_operation, path, { offset, bytesMax }) {
      const file = await open(path, 'r');
      try {
        const buffer = Buffer.allocUnsafe(bytesMax);
        const { bytesRead } = await file.read(buffer, 0, bytesMax, offset);
        return buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
    async isExecutable(_operation, path) {
      try {
        await access(path, constants.X_OK);
        return (await stat(path)).isFile();
      } catch {
        return false;
      }
    },
    realPath: (_operation, path) => realpath(path),
    freeBytes: (_operation, path) => freeBytes(path),
    makeDirectoryFor: (_operation, path, owner) => makeDirectoryFor(path, owner),
    makePrivate: (_operation, path) => makePrivate(path),
    treeBytes: (_operation, path, entriesMax) => treeBytes(path, entriesMax),
  };
}

async function writeFileAtomic(path: string, { data, mode = privateFileMode }: FileContent): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${randomBytes(tempNameBytes).toString('hex')}.tmp`);
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, 'wx', mode);
    await file.writeFile(data);
    await file.sync();
    await file.close();
    file = undefined;
    await rename(temporary, path);
  } catch (error) {
    await file?.close();
    await rm(temporary, { force: true });
    throw error;
  }
  const parent = await open(directory, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

/** From now on this process makes files that are nobody else's, unless a mode is set on them afterwards. */
export function keepNewFilesPrivate(): void {
  process.umask(othersBits);
}

async function freeBytes(path: string): Promise<number> {
  const found = await statfs(path);
  return found.bavail * found.bsize;
}

async function makePrivate(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (!found.isSymbolicLink() && (found.mode & othersBits) !== 0)
      await chmod(path, found.mode & modeBits & ~othersBits);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function makeDirectoryFor(path: string, { uid, gid }: { readonly uid: number; readonly gid: number }) {
  await mkdir(path, { recursive: true, mode: privateDirectoryMode });
  // Through a handle, and never through a link: whoever owns the directory above may put one here.
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const found = await directory.stat();
    if (found.uid !== uid || found.gid !== gid) await directory.chown(uid, gid);
    if ((found.mode & modeBits) !== privateDirectoryMode) await directory.chmod(privateDirectoryMode);
  } finally {
    await directory.close();
  }
}

async function treeBytes(path: string, entriesMax: number): Promise<{ bytes: number; complete: boolean }> {
  const linked = new Set<number>();
  const waiting = [path];
  let bytes = 0;
  let entries = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    // Names come and go while we look: what is gone takes nothing.
    const directory = await opendir(next).catch(() => undefined);
    if (directory === undefined) continue;
    for await (const entry of directory) {
      if (++entries > entriesMax) return { bytes, complete: false };
      const found = await lstat(join(next, entry.name)).catch(() => undefined);
      if (found === undefined) continue;
      if (entry.isDirectory()) waiting.push(join(next, entry.name));
      if (found.nlink > 1 && !found.isDirectory()) {
        if (linked.has(found.ino)) continue;
        linked.add(found.ino);
      }
      bytes += found.blocks * statBlockBytes;
    }
  }
  return { bytes, complete: true };
}

function isMissing(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  );
}
