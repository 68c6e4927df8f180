// A fresh file takes the place of a damaged one, with everything that can still be read of it.
//
//   weir.db (damaged) ──rescue──► weir.db.salvage ──closed, synced──► weir.db.fresh
//   weir.db, weir.db-wal ──► quarantine/weir.db-<n>, then weir.db.fresh ──► weir.db
//
// It may be killed anywhere: a `.salvage` that is found was not finished, and the damaged file is still in its place;
// a `.fresh` that is found is whole, and what lies in its place may go to quarantine. Which file is where says
// everything, so nothing has to be remembered; what was rescued stands in the fresh file's `meta` until it is told.

import { Buffer } from 'node:buffer';
import { storeQuarantineFilesMax } from '../limits.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { RawFile, Sqlite, SqliteDatabase } from '../platform/sqlite.ts';
import { closeQuietly, inMemory, openFile } from './database-file.ts';
import { PageFile, type Rescued, rescue } from './salvage/index.ts';

export interface RenewalSpec {
  readonly path: string;
  /** Directory to which damaged files are moved. */
  readonly quarantine: string;
}

export interface Renewal {
  /** Why the file is not believed. */
  readonly reason: string;
  /** Also what the broker keeps: not while it runs, because then its own memory is newer. */
  readonly sessions: boolean;
}

export interface Renewed {
  /** Where the damaged file lies now. */
  readonly path: string;
  readonly reason: string;
  readonly salvaged: Rescued;
}

const noteKey = 'salvage';
const nothing: Rescued = { kept: {}, lost: 0, pages: 0 };

/** Throws what SQLite and the file system throw; then the damaged file is where it was. */
export function renewFile(sqlite: Sqlite, spec: RenewalSpec, { reason, sessions }: Renewal): Renewed {
  const building = `${spec.path}.salvage`;
  sqlite.remove(building);
  const database = openFile(sqlite, building);
  try {
    const salvaged = withPages(sqlite, spec.path, (pages) => rescue(pages, database, { sessions })) ?? nothing;
    const note = JSON.stringify({ reason, salvaged });
    database.transaction(() => {
      database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run(noteKey, note);
    });
    closeWhole(database);
  } catch (error) {
    closeQuietly(database);
    sqlite.remove(building);
    throw error;
  }
  sqlite.rename(building, `${spec.path}.fresh`);
  return finishRenewal(sqlite, spec) as Renewed;
}

/** Puts a fresh file that is whole into its place. Undefined when there is none: the ordinary case. */
export function finishRenewal(sqlite: Sqlite, { path, quarantine }: RenewalSpec): Renewed | undefined {
  const fresh = `${path}.fresh`;
  if (sqlite.kindOf(fresh) === 'absent') return undefined;
  const moved = sqlite.setAside(path, quarantine, storeQuarantineFilesMax);
  sqlite.rename(fresh, path);
  return { path: moved, ...takeNote(sqlite, path) };
}

/** Where there is no file, an empty one: whole, or not there at all. */
export function createFile(sqlite: Sqlite, { path }: RenewalSpec): void {
  if (sqlite.kindOf(path) !== 'absent' || sqlite.kindOf(`${path}-wal`) !== 'absent') return;
  const building = `${path}.salvage`;
  sqlite.remove(building);
  closeWhole(openFile(sqlite, building));
  sqlite.rename(building, path);
}

/** Without a log, and on the disk. */
function closeWhole(database: SqliteDatabase): void {
  try {
    database.pragma('wal_checkpoint(TRUNCATE)');
    database.close();
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}

/**
 * The file as it is now, in memory: for a file system that takes no writes. Undefined when it cannot be read at all;
 * `evenOfNothing`: an empty one where there is no file.
 */
export function copyInMemory(
  sqlite: Sqlite,
  path: string,
  { evenOfNothing }: { readonly evenOfNothing: boolean },
): SqliteDatabase | undefined {
  const database = openFile(sqlite, inMemory);
  if (evenOfNothing && sqlite.kindOf(path) === 'absent') return database;
  const copied = withPages(sqlite, path, (pages) => rescue(pages, database, { sessions: true, epoch: true }));
  if (copied === undefined) database.close();
  return copied === undefined ? undefined : database;
}

/** A log with a flipped bit in its middle: SQLite would end it there without a word, and every later commit with it. */
export function isLogDamaged(sqlite: Sqlite, path: string): boolean {
  if (sqlite.kindOf(`${path}-wal`) !== 'file') return false;
  return withPages(sqlite, path, ({ logDamaged }) => logDamaged) ?? false;
}

/** A file that was cut off at nothing. SQLite would take it for a new one, and its log for somebody else's. */
export function isEmpty(sqlite: Sqlite, path: string): boolean {
  if (sqlite.kindOf(path) !== 'file') return false;
  const file = sqlite.raw(path);
  file.close();
  return file.bytes === 0;
}

function withPages<T>(sqlite: Sqlite, path: string, work: (pages: PageFile) => T): T | undefined {
  const open: RawFile[] = [];
  const raw = (name: string): RawFile | undefined => {
    if (sqlite.kindOf(name) !== 'file') return undefined;
    const file = sqlite.raw(name);
    open.push(file);
    return file;
  };
  try {
    const log = raw(`${path}-wal`);
    const database = raw(path) ?? (log === undefined ? undefined : emptyFile);
    return database === undefined ? undefined : work(new PageFile(database, log));
  } finally {
    for (const file of open) file.close();
  }
}

const emptyFile: RawFile = { bytes: 0, read: () => Buffer.alloc(0), close: () => undefined };

function takeNote(sqlite: Sqlite, path: string): Omit<Renewed, 'path'> {
  const database = openFile(sqlite, path);
  try {
    const row = database.prepare('SELECT value FROM meta WHERE key = ?').get(noteKey);
    const parsed = parseJson(String(row?.['value'] ?? ''));
    database.transaction(() => database.prepare('DELETE FROM meta WHERE key = ?').run(noteKey));
    if (!parsed.ok || !isJsonObject(parsed.value)) return { reason: 'it was damaged', salvaged: nothing };
    return { reason: String(parsed.value['reason']), salvaged: readRescued(parsed.value['salvaged']) };
  } finally {
    closeQuietly(database);
  }
}

function readRescued(value: unknown): Rescued {
  if (typeof value !== 'object' || value === null) return nothing;
  const { kept, lost, pages } = value as Partial<Rescued>;
  return { kept: kept ?? {}, lost: lost ?? 0, pages: pages ?? 0 };
}
