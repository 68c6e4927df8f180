// From whatever lies at the path of the database to one that works: the file, a fresh one, or a copy in memory.
//
//   sound                    the file itself
//   damaged                  a fresh file with everything that can be read of it (renewal.ts)
//   read errors              once more, because one bad read of a card must not cost a file; then like damaged
//   takes no writes, full    a copy in memory, so that the gateway starts with what it knew; nothing is committed
//   neither                  StoreError: locked, or nothing is there and nothing can be put there
//
// Owns the order of these attempts. What is built on the database counts as part of opening it: sums that do not
// fit their rows are damage too.

import { storeQuarantineFilesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Sqlite, SqliteDatabase } from '../platform/sqlite.ts';
import { closeQuietly, type Fault, faultError, faultOf, isReadFailure, openFile } from './database-file.ts';
import { DamagedFile } from './errors.ts';
import {
  copyInMemory,
  createFile,
  finishRenewal,
  isEmpty,
  isLogDamaged,
  type RenewalSpec,
  type Renewed,
  renewFile,
} from './renewal.ts';

export interface OpeningSpec extends RenewalSpec {
  /** A damaged file's MQTT state is wanted as well: nobody has it in memory. */
  readonly sessions: boolean;
}

export interface OpenedDatabase<T> {
  readonly built: T;
  readonly renewed: Renewed | undefined;
  /** Why nothing can be committed; undefined when it can. */
  readonly readOnly: string | undefined;
}

/** What is made of the database that was opened; closes it when that fails. */
export type Build<T> = (database: SqliteDatabase) => T;

export function openDatabase<T>(sqlite: Sqlite, spec: OpeningSpec, build: Build<T>): OpenedDatabase<T> {
  try {
    return openAsItIs(sqlite, spec, build);
  } catch (first) {
    if (faultOf(first) !== 'io') return openAfter(first, { sqlite, spec, build });
    try {
      return openAsItIs(sqlite, spec, build);
    } catch (second) {
      const badReads = isReadFailure(second);
      return openAfter(badReads ? new DamagedFile(errorMessage(second)) : second, { sqlite, spec, build });
    }
  }
}

/** The file itself and nothing else: what shows that a file system takes writes again. Throws what SQLite throws. */
export function openAsItIs<T>(sqlite: Sqlite, spec: OpeningSpec, build: Build<T>): OpenedDatabase<T> {
  const renewed = finishRenewal(sqlite, spec);
  createFile(sqlite, spec);
  if (sqlite.kindOf(spec.path) === 'absent') throw new DamagedFile('it has gone, and its log is there');
  if (sqlite.kindOf(spec.path) === 'other') throw new DamagedFile('something that is no file has its name');
  if (isEmpty(sqlite, spec.path)) throw new DamagedFile('it is empty');
  if (isLogDamaged(sqlite, spec.path)) throw new DamagedFile('its log is damaged in the middle');
  const database = openFile(sqlite, spec.path);
  return { built: buildOn(database, build), renewed, readOnly: undefined };
}

/** A fresh file in the place of a damaged one, and nothing else. Throws what SQLite throws. */
export function openRenewed<T>(
  sqlite: Sqlite,
  { spec, cause }: { readonly spec: OpeningSpec; readonly cause: unknown },
  build: Build<T>,
): OpenedDatabase<T> {
  const reason = `${errorCode(cause)}: ${errorMessage(cause)}`;
  const renewed = makeRoomFor(sqlite, spec, () => renewFile(sqlite, spec, { reason, sessions: spec.sessions }));
  return { built: buildOn(openFile(sqlite, spec.path), build), renewed, readOnly: undefined };
}

/** Of a file that turned out to be damaged after it had been opened; nobody has it open any more. */
export function renewDatabase<T>(
  sqlite: Sqlite,
  { spec, cause }: { readonly spec: OpeningSpec; readonly cause: unknown },
  build: Build<T>,
): OpenedDatabase<T> {
  return renew(cause, { sqlite, spec, build });
}

interface Attempt<T> {
  readonly sqlite: Sqlite;
  readonly spec: OpeningSpec;
  readonly build: Build<T>;
}

function openAfter<T>(error: unknown, attempt: Attempt<T>): OpenedDatabase<T> {
  const fault = faultOf(error);
  switch (fault) {
    case 'bug':
      throw error;
    case 'locked':
      throw faultError(fault, attempt.spec.path, error);
    case 'full':
    case 'io':
    case 'unreachable':
      return openCopy(error, attempt);
    case 'damaged':
      return renew(error, attempt);
  }
}

function renew<T>(cause: unknown, attempt: Attempt<T>): OpenedDatabase<T> {
  const { sqlite, spec, build } = attempt;
  try {
    return openRenewed(sqlite, { spec, cause }, build);
  } catch (failure) {
    const fault = faultOf(failure);
    if (fault === 'bug') throw failure;
    if (fault === 'locked') throw faultError(fault, spec.path, failure);
    return openCopy(failure, attempt);
  }
}

/** Beside the damaged file stands the fresh one for a while. What earlier damage left goes first, if it must. */
function makeRoomFor<T>(sqlite: Sqlite, { path, quarantine }: OpeningSpec, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const older = sqlite.asides(path, quarantine);
    if (faultOf(error) !== 'full' || older.length === 0 || older.length > storeQuarantineFilesMax) throw error;
    for (const file of older) sqlite.remove(file);
    return work();
  }
}

function openCopy<T>(error: unknown, { sqlite, spec, build }: Attempt<T>): OpenedDatabase<T> {
  const known = faultOf(error);
  const fault: Fault = known === 'damaged' || known === 'bug' ? 'io' : known;
  const refusal = faultError(fault, spec.path, error);
  let copy: SqliteDatabase | undefined;
  try {
    copy = copyInMemory(sqlite, spec.path, { evenOfNothing: fault === 'full' });
  } catch (failure) {
    if (faultOf(failure) === 'bug') throw failure;
  }
  if (copy === undefined) throw refusal;
  return { built: buildOn(copy, build), renewed: undefined, readOnly: errorMessage(error) };
}

function buildOn<T>(database: SqliteDatabase, build: Build<T>): T {
  try {
    return build(database);
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}
