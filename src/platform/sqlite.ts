// SQLite as a parameter: one file, opened by one owner, used synchronously.
//
// Owns better-sqlite3 (its only door), how a database file is opened, and how one that cannot be trusted is set
// aside. Knows no table: schema, pragmas and what counts as damage are the caller's business.
//
// Every call blocks until the disk has answered, so on a gateway this runs on the store thread only.
// A failing statement throws an error whose `code` is SQLite's extended result code, such as
// `SQLITE_CORRUPT_INDEX` or `SQLITE_FULL`.
//
// Setting aside moves the write-ahead log first and the database after it: a log that stayed behind alone
// would be replayed into the fresh file of the same name.

import * as fs from 'node:fs';
import * as path from 'node:path';
import BetterSqlite from 'better-sqlite3';
import { nativeAddon } from './native.ts';

export type SqliteValue = null | number | bigint | string | Uint8Array;
export type SqliteRow = Readonly<Record<string, SqliteValue>>;

export interface SqliteStatement {
  /** Number of rows changed. */
  run(...values: readonly SqliteValue[]): number;
  get(...values: readonly SqliteValue[]): SqliteRow | undefined;
  all(...values: readonly SqliteValue[]): readonly SqliteRow[];
  /** Rows one by one. The database takes no write until the iteration has ended. Blobs are copies. */
  iterate(...values: readonly SqliteValue[]): IterableIterator<SqliteRow>;
}

export interface SqliteDatabase {
  /** SQLite's own version, `3.53.2`. */
  readonly version: string;
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  /** The first column of the first row a pragma answers, as `journal_mode=WAL`. */
  pragma(text: string): SqliteValue | undefined;
  /** BEGIN IMMEDIATE, `work`, COMMIT; ROLLBACK when either throws. */
  transaction<T>(work: () => T): T;
  close(): void;
}

export interface Sqlite {
  /** Opens or creates the file; its directory is made (0700) when missing. Throws EROFS, EACCES for what takes no writes. */
  open(file: string): SqliteDatabase;
  /** Bytes of the database and its write-ahead log. */
  fileBytes(file: string): number;
  /** Moves the file with its log to `<directory>/<name>-<n>` and answers that path. Of older ones only `keep` - 1 stay. */
  setAside(file: string, directory: string, keep: number): string;
  /** What setAside left in `directory` for files of this name, oldest first. */
  asides(file: string, directory: string): readonly string[];
  /** What has the name: `other` is a directory, a socket, whatever is no file. */
  kindOf(file: string): 'absent' | 'file' | 'other';
  /** The bytes as they lie there, for reading, without SQLite. Throws ENOENT, EIO and the like. */
  raw(file: string): RawFile;
  /** Writes the bytes of an open file's log over themselves, syncs them, and the names of both. */
  secureLog(file: string): void;
  /** Renames a closed file without a log, durably. */
  rename(from: string, to: string): void;
  /** Removes the file with its log; silent when there is none. */
  remove(file: string): void;
}

export interface RawFile {
  readonly bytes: number;
  /** Fewer bytes at the end of the file. Throws EIO for what the storage does not give. */
  read(offset: number, bytes: number): Buffer;
  close(): void;
}

/** A database that lives as long as its handle and touches no disk. */
export const inMemory = ':memory:';

const privateDirectoryMode = 0o700;
/** Read and written at once. */
const rewriteBytes = 65_536;
const companions = ['-journal', '-wal', '-shm', ''];

export function systemSqlite(): Sqlite {
  return {
    open(file) {
      if (file !== inMemory) {
        fs.mkdirSync(path.dirname(file), { recursive: true, mode: privateDirectoryMode });
        // SQLite opens what is not writable for reading, fails over its log, and keeps a lock of its own process.
        if (fs.existsSync(file)) fs.accessSync(file, fs.constants.W_OK);
      }
      return openDatabase(file);
    },
    fileBytes: (file) => sizeOf(file) + sizeOf(`${file}-wal`),
    setAside,
    asides,
    kindOf(file) {
      const found = fs.statSync(file, { throwIfNoEntry: false });
      return found === undefined ? 'absent' : found.isFile() ? 'file' : 'other';
    },
    raw: openRaw,
    secureLog(file) {
      rewrite(`${file}-wal`);
      syncDirectory(path.dirname(file));
    },
    rename(from, to) {
      fs.renameSync(from, to);
      syncDirectory(path.dirname(to));
    },
    remove(file) {
      for (const suffix of companions) fs.rmSync(file + suffix, { force: true });
    },
  };
}

function openRaw(file: string): RawFile {
  const handle = fs.openSync(file, 'r');
  return {
    bytes: fs.fstatSync(handle).size,
    read(offset, bytes) {
      const buffer = Buffer.alloc(bytes);
      return buffer.subarray(0, fs.readSync(handle, buffer, 0, bytes, offset));
    },
    close: () => fs.closeSync(handle),
  };
}

function rewrite(file: string): void {
  if (sizeOf(file) === 0) return;
  const handle = fs.openSync(file, 'r+');
  try {
    const piece = Buffer.alloc(rewriteBytes);
    for (let offset = 0; ; ) {
      const bytes = fs.readSync(handle, piece, 0, rewriteBytes, offset);
      if (bytes === 0) break;
      for (let done = 0; done < bytes; ) done += fs.writeSync(handle, piece, done, bytes - done, offset + done);
      offset += bytes;
    }
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

function openDatabase(file: string): SqliteDatabase {
  // The published types know only a path here; the addon object is documented in better-sqlite3's own source.
  const nativeBinding = nativeAddon('better_sqlite3') as string;
  const database = new BetterSqlite(file, { nativeBinding });
  const prepare = (sql: string): SqliteStatement => {
    const statement = database.prepare<unknown[], SqliteRow>(sql);
    return {
      run: (...values) => statement.run(...values).changes,
      get: (...values) => statement.get(...values),
      all: (...values) => statement.all(...values),
      iterate: (...values) => statement.iterate(...values),
    };
  };
  return {
    version: String(database.prepare('SELECT sqlite_version()').pluck().get()),
    exec: (sql) => void database.exec(sql),
    prepare,
    pragma: (text) => database.pragma(text, { simple: true }) as SqliteValue | undefined,
    transaction(work) {
      database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        database.exec('COMMIT');
        return result;
      } catch (error) {
        // Some failures (a full disk, an I/O error) have rolled back already.
        if (database.inTransaction) database.exec('ROLLBACK');
        throw error;
      }
    },
    close: () => void database.close(),
  };
}

function sizeOf(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function setAside(file: string, directory: string, keep: number): string {
  fs.mkdirSync(directory, { recursive: true, mode: privateDirectoryMode });
  const older = asides(file, directory);
  const target = `${path.join(directory, path.basename(file))}-${numberOf(older.at(-1)) + 1}`;
  for (const suffix of companions) {
    if (fs.existsSync(file + suffix)) fs.renameSync(file + suffix, target + suffix);
  }
  syncDirectory(directory);
  syncDirectory(path.dirname(file));
  for (const stale of older.slice(0, Math.max(0, older.length - keep + 1))) {
    for (const suffix of companions) fs.rmSync(stale + suffix, { force: true, recursive: true });
  }
  return target;
}

function asides(file: string, directory: string): readonly string[] {
  if (!fs.existsSync(directory)) return [];
  const prefix = `${path.basename(file)}-`;
  return fs
    .readdirSync(directory)
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => path.join(directory, name))
    .sort((a, b) => numberOf(a) - numberOf(b));
}

function numberOf(aside: string | undefined): number {
  return aside === undefined ? 0 : Number(aside.slice(aside.lastIndexOf('-') + 1));
}
