// The file under the store: how it is opened, when it is trusted, and what an error of SQLite means for it.
//
// Owns the pragmas, the check at the start and the classes of faults. Does not decide what follows a fault; that
// is engine.ts.
//
// The pragmas, and why: WAL with synchronous=FULL gives one fsync a commit and loses no commit in a power cut;
// the checkpoint every 1000 pages and the size limit bound the log to about 4 and 8 MB; locking_mode=EXCLUSIVE
// keeps a second weir out of the same directory and needs no shared-memory file; no mmap, because a read error
// of a worn card would then be a SIGBUS instead of an error.
//
// A log that is found when a file is opened is written over itself and synced before anything is built on it. After a
// sync that failed Linux takes the pages for clean: they can be read, a later sync of them succeeds, and they were
// never written. SQLite takes such a commit for a good one, and a power cut then ends the log there, with every later
// commit behind the hole. Nobody knows whether the last sync of an earlier life failed, so every log is written anew;
// while that fails, the file is not open. The same holds for the name of a new log: SQLite syncs the directory once and
// does not look whether that succeeded, and without a name on the disk the log is not there at all. Pages of the
// database itself need none of it: a checkpoint whose sync failed is repeated wholly, and the log has them until one
// succeeded.
//
// The check is bounded: files up to storeCheckBytesMax are checked page by page (quick_check); of larger ones
// only the schema and the first rows are read. Damage deeper inside shows itself at the first read of that page
// and is handled the same way then.

import { storeCheckBytesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Sqlite, SqliteDatabase } from '../platform/sqlite.ts';
import { DamagedFile, StoreError } from './errors.ts';
import { migrate } from './migrations.ts';

/** SQLite's name for a database without a file. */
export const inMemory = ':memory:';

const pragmas = [
  'page_size = 4096',
  'locking_mode = EXCLUSIVE',
  'busy_timeout = 5000',
  'journal_mode = WAL',
  'synchronous = FULL',
  'wal_autocheckpoint = 1000',
  'journal_size_limit = 8388608',
  'temp_store = MEMORY',
  'cache_size = -2000',
  'mmap_size = 0',
  'foreign_keys = OFF',
];

/** Besides the two plain ones: what flipped bits in a schema, a key or a sum look like when they pass SQLite's own checks. */
const damageCodes = [
  'SQLITE_CORRUPT',
  'SQLITE_NOTADB',
  'SQLITE_CONSTRAINT',
  'SQLITE_MISMATCH',
  'SQLITE_ERROR',
  'SQLITE_SCHEMA',
  'SQLITE_FORMAT',
];

const readFailures = ['SQLITE_IOERR_READ', 'SQLITE_IOERR_SHORT_READ', 'SQLITE_IOERR_CORRUPTFS', 'SQLITE_IOERR_DATA'];

/** What an error says about the file. `bug` is everything that is not the disk's or the file's doing. */
export type Fault = 'damaged' | 'io' | 'full' | 'locked' | 'unreachable' | 'bug';

export function faultOf(thrown: unknown): Fault {
  const code = errorCode(thrown);
  if (code.startsWith('SQLITE_FULL') || code === 'ENOSPC' || code === 'EDQUOT') return 'full';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return 'locked';
  if (code.startsWith('SQLITE_IOERR') || code === 'EIO') return 'io';
  if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY') || /^E[A-Z]+$/.test(code)) {
    return 'unreachable';
  }
  return damageCodes.some((known) => code.startsWith(known)) ? 'damaged' : 'bug';
}

/** The storage did not give what it was asked for: unlike a failed write, that may be damage. */
export function isReadFailure(thrown: unknown): boolean {
  const code = errorCode(thrown);
  if (readFailures.some((known) => code.startsWith(known))) return true;
  return code === 'EIO' && (thrown as { readonly syscall?: unknown }).syscall === 'read';
}

/** Opens, checks and migrates. Throws what SQLite throws, or STORE_SCHEMA_NEWER; the file is then closed. */
export function openFile(sqlite: Sqlite, file: string): SqliteDatabase {
  const database = sqlite.open(file);
  try {
    for (const pragma of pragmas) database.pragma(pragma);
    // With the lock held: it may be the log of a weir that runs.
    if (file !== inMemory) sqlite.secureLog(file);
    check(database, { whole: sqlite.fileBytes(file) <= storeCheckBytesMax });
    migrate(database, file);
    return database;
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}

/** Closing a damaged database may fail; the handle is gone either way. */
export function closeQuietly(database: SqliteDatabase): void {
  try {
    database.close();
  } catch {
    return;
  }
}

/** The error to hand to callers for a fault that is not damage. */
export function faultError(fault: 'full' | 'io' | 'locked' | 'unreachable', file: string, cause: unknown): StoreError {
  const fields = { file, sqlite: errorCode(cause) };
  const why = errorMessage(cause);
  switch (fault) {
    case 'full':
      return new StoreError({
        code: 'STORE_DISK_FULL',
        message: `No space left for ${file} (${why}). Nothing was acknowledged; free some space and it goes on by itself.`,
        retryable: true,
        fields,
        cause,
      });
    case 'locked':
      return new StoreError({
        code: 'STORE_LOCKED',
        message: `${file} is in use by another process. Stop the other weir, or give this one a --data-dir of its own.`,
        retryable: true,
        fields,
        cause,
      });
    case 'io':
    case 'unreachable':
      return new StoreError({
        code: 'STORE_UNAVAILABLE',
        message: `${file} cannot be used (${why}). Check that the directory exists, is writable and its disk is healthy.`,
        retryable: true,
        fields,
        cause,
      });
  }
}

function check(database: SqliteDatabase, { whole }: { readonly whole: boolean }): void {
  const verdict = whole ? database.pragma('quick_check(1)') : 'ok';
  // Reads the schema and one row a table, which a file of any size answers at once.
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  for (const { name } of tables) database.prepare(`SELECT * FROM "${String(name)}" LIMIT 1`).get();
  if (verdict !== 'ok') throw new DamagedFile(String(verdict));
}
