// The schema of the store's file, as numbered steps from nothing to today.
//
// Owns every CREATE and ALTER. `PRAGMA user_version` is the number of the last step done; each step runs in the
// transaction that also sets it, so a power cut leaves a whole version. Steps that were released never change:
// a new need is a new step. A file with a higher number was written by a newer weir and is refused untouched,
// because this program cannot know what its rows mean.
//
// Up to version 2 the outbox was four tables of this file (`queue`, `dropped`, `outbox`, `position`), which step 1
// does not make any more. Step 3 drops them; before it, what is in them moves into the segments of outbox/
// (move-outbox.ts). That begins from nothing each time, so it may be killed at any instant: until the tables are
// gone, they are the truth.
//
//   meta      one row a fact about the file: `epoch`, born with it; `schema`, the number again, because a flipped
//             bit in the first one must look neither like the future nor like the past
//   twin, state   small JSON documents, with a checksum over table, key and text
//   mqtt_session, mqtt_subscription   who may come back to the broker, and what they asked for
//   mqtt_message     a message's bytes once, however many sessions and retained topics have it
//   mqtt_delivery    its place in each session's queue; small rows, so that a queue's steps touch few pages
//   mqtt_receiving   inbound QoS 2 packet ids between PUBLISH and PUBREL
//   mqtt_retained    topic and message

import { errorCode } from '../model/errors.ts';
import type { SqliteDatabase } from '../platform/sqlite.ts';
import { sumDocuments } from './document-table.ts';
import { DamagedFile, StoreError } from './errors.ts';

const steps: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE twin (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE state (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE mqtt_session (
    id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT;
  CREATE TABLE mqtt_subscription (
    session INTEGER NOT NULL,
    filter TEXT NOT NULL,
    options INTEGER NOT NULL,
    subscription_id INTEGER NOT NULL,
    PRIMARY KEY (session, filter)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_message (
    id INTEGER PRIMARY KEY,
    expires_ms REAL NOT NULL,
    checksum INTEGER NOT NULL,
    canonical BLOB NOT NULL
  ) STRICT;
  CREATE TABLE mqtt_delivery (
    session INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    message INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    awaiting INTEGER NOT NULL,
    subscription_ids BLOB,
    PRIMARY KEY (session, ordinal)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_receiving (
    session INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_retained (
    topic TEXT PRIMARY KEY,
    message INTEGER NOT NULL,
    facts INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  DROP TABLE IF EXISTS outbox;
  DROP TABLE IF EXISTS queue;
  DROP TABLE IF EXISTS dropped;
  DROP TABLE IF EXISTS position;
  `,
  `
  ALTER TABLE twin ADD COLUMN checksum INTEGER;
  ALTER TABLE state ADD COLUMN checksum INTEGER;
  `,
];

/** The version from which documents have a checksum. */
const documentsSummed = 4;

/** The last version with an outbox in it. */
const outboxLeaves = 2;
/** What is copied in memory to give pages back: 16 MiB. */
const compactedPagesMax = 4096;

export const schemaVersion = steps.length;

/**
 * Brings the file to `schemaVersion`, but for one that still has an outbox in it: that waits for moveOut(). Throws
 * STORE_SCHEMA_NEWER, and then has changed nothing.
 */
export function migrate(database: SqliteDatabase, file: string): void {
  const found = versionOf(database);
  const noted = found === 0 ? undefined : notedVersion(database);
  if (noted !== undefined && noted !== found && Math.min(noted, found) <= schemaVersion)
    throw new DamagedFile(`its schema is ${found} in one place and ${noted} in the other`);
  if (found > schemaVersion) {
    throw new StoreError({
      code: 'STORE_SCHEMA_NEWER',
      message: `${file} has schema ${found}; this weir knows up to ${schemaVersion}. It was written by a newer weir: install that version again, or move the file away to start with an empty store.`,
      fields: { file, found, known: schemaVersion },
    });
  }
  const hasOutbox = found > 0 && found <= outboxLeaves;
  advance(database, found, hasOutbox ? outboxLeaves : schemaVersion);
}

/** Completes the migration of a file with an outbox in it: `move` takes what is in those tables before they go. */
export function moveOut(database: SqliteDatabase, move: () => void): void {
  if (versionOf(database) !== outboxLeaves) return;
  move();
  advance(database, outboxLeaves, schemaVersion);
  giveBackPages(database);
}

function versionOf(database: SqliteDatabase): number {
  return Number(database.pragma('user_version'));
}

function advance(database: SqliteDatabase, from: number, to: number): void {
  // A file is born in one transaction: half-born it would look like one with an outbox.
  const versions = Array.from({ length: to - from }, (_, index) => from + index);
  const groups = from === 0 ? [versions] : versions.map((version) => [version]);
  for (const group of groups) {
    database.transaction(() => {
      for (const version of group) take(database, version);
    });
  }
  if (notedVersion(database) !== to) database.transaction(() => noteVersion(database, to));
}

function noteVersion(database: SqliteDatabase, version: number): void {
  database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('schema', ?)").run(String(version));
}

/** Undefined in files of a weir that did not note it. */
function notedVersion(database: SqliteDatabase): number | undefined {
  const row = database.prepare("SELECT value FROM meta WHERE key = 'schema'").get();
  return row === undefined ? undefined : Number(row['value']);
}

function take(database: SqliteDatabase, version: number): void {
  database.exec(steps[version] as string);
  if (version + 1 === documentsSummed) sumDocuments(database);
  database.exec(`PRAGMA user_version = ${version + 1}`);
  noteVersion(database, version + 1);
}

/** The pages of dropped tables would stay in the file for ever: nothing that comes needs as many. */
function giveBackPages(database: SqliteDatabase): void {
  const kept = Number(database.pragma('page_count')) - Number(database.pragma('freelist_count'));
  if (kept > compactedPagesMax) return;
  try {
    database.exec('VACUUM');
  } catch (error) {
    // A disk without room for it: the file stays as large as it was, and works.
    if (!errorCode(error).startsWith('SQLITE_FULL')) throw error;
  }
}
