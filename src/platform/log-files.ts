// Files as a log needs them: synchronous, at explicit positions, each durability step a call of its own.
//
// Disk (disk.ts) serves everybody who replaces whole files and may wait; this port serves the store thread, which
// has nothing else to do than wait, appends to the same file a thousand times a second, and must know exactly
// what is on storage at each instant. Errors are Node's, with their errno name in `code`.
//
// What each call promises, and the simulated files of the tests take away at a power cut otherwise:
//   write          nothing, before syncData of that file; until then any of its 512-byte sectors may be old or new
//   syncData       the file's bytes and length
//   create, rename, remove   nothing, before syncDirectory of their directory
//   makeDirectory  the directory's own name in its parent
// A syncData that failed says nothing about what is on storage, and a second one that succeeds says nothing about
// the first: the kernel has marked the pages clean. The caller has to write elsewhere.

import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writevSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** An open file. */
export type LogFile = number;

/** read: existing, for reading. write: existing, for both. create: new and empty, for both; an existing one is emptied. */
export type LogFileMode = 'read' | 'write' | 'create';

/** `done` is called once, in a later turn of the loop, with the error if there was one. */
export type SyncLater = (operation: string, file: LogFile, done: (error: Error | undefined) => void) => void;

export interface LogFiles {
  /** Names of the files in a directory; empty when there is none. */
  list(operation: string, directory: string): readonly string[];
  /** With its parents, and durable itself; silent when it is there. */
  makeDirectory(operation: string, directory: string): void;
  open(operation: string, path: string, mode: LogFileMode): LogFile;
  close(operation: string, file: LogFile): void;
  size(operation: string, file: LogFile): number;
  /** Bytes read into the start of `into`: less than its length only at the end of the file. */
  read(operation: string, file: LogFile, to: { readonly into: Uint8Array; readonly position: number }): number;
  /** Bytes written: less than given only when the disk is full or broken. Throws when not even one was. */
  write(
    operation: string,
    file: LogFile,
    from: { readonly buffers: readonly Uint8Array[]; readonly position: number },
  ): number;
  truncate(operation: string, file: LogFile, bytes: number): void;
  syncData(operation: string, file: LogFile): void;
  /** The same while the caller does something else; undefined where nothing goes on meanwhile. */
  readonly syncDataLater?: SyncLater | undefined;
  syncDirectory(operation: string, directory: string): void;
  rename(operation: string, from: string, to: string): void;
  /** Silent when it is gone already. */
  remove(operation: string, path: string): void;
}

const privateFileMode = 0o600;
const privateDirectoryMode = 0o700;

const flags: Readonly<Record<LogFileMode, number>> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
};

export function systemLogFiles(): LogFiles {
  return {
    list(_operation, directory) {
      try {
        return readdirSync(directory);
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    makeDirectory(_operation, directory) {
      const created = mkdirSync(directory, { recursive: true, mode: privateDirectoryMode });
      // Also when it was there: an earlier call may have made it and failed to sync.
      for (let path = directory; ; path = dirname(path)) {
        syncDirectory(dirname(path));
        if (created === undefined || path === created || path === dirname(path)) return;
      }
    },
    open: (_operation, path, mode) => openSync(path, flags[mode], privateFileMode),
    close: (_operation, file) => closeSync(file),
    size: (_operation, file) => fstatSync(file).size,
    read: (_operation, file, { into, position }) => readAll(file, into, position),
    write: (_operation, file, { buffers, position }) => writeAll(file, buffers, position),
    truncate: (_operation, file, bytes) => ftruncateSync(file, bytes),
    syncData: (_operation, file) => fdatasyncSync(file),
    syncDataLater: (_operation, file, done) => fdatasync(file, (error) => done(error ?? undefined)),
    syncDirectory: (_operation, directory) => syncDirectory(directory),
    rename: (_operation, from, to) => renameSync(from, to),
    remove: (_operation, path) => rmSync(path, { force: true }),
  };
}

function syncDirectory(directory: string): void {
  const opened = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

function readAll(file: LogFile, into: Uint8Array, position: number): number {
  let done = 0;
  while (done < into.byteLength) {
    const count = readSync(file, into, done, into.byteLength - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** One system call as a rule; more only when the kernel took less, which regular files do near their limits. */
function writeAll(file: LogFile, buffers: readonly Uint8Array[], position: number): number {
  const total = buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0);
  let done = writevSync(file, buffers as Uint8Array[], position);
  while (done < total) {
    const rest = remaining(buffers, done);
    try {
      const count = writevSync(file, rest as Uint8Array[], position + done);
      if (count === 0) break;
      done += count;
    } catch (error) {
      if (done === 0) throw error;
      break;
    }
  }
  return done;
}

function remaining(buffers: readonly Uint8Array[], done: number): readonly Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = done;
  for (const buffer of buffers) {
    if (skip >= buffer.byteLength) skip -= buffer.byteLength;
    else {
      rest.push(buffer.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

function isMissing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
