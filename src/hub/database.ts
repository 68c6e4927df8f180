// The hub's one database file, hub.db: its schema, its version, and what it takes to trust it.
//
// Owns all DDL. Rows are read and written by registry, twins, event-log, positions; each owns its tables.
//
//   identity  devices (module = '') and modules, with their keys; `parent` is the gateway a leaf device stands behind
//   twin      one row an identity, born and gone with it (triggers)
//   event     the D2C log; `offset` is never reused (AUTOINCREMENT)
//   log_state one row: how much the log holds and what retention has dropped
//   position  highest sequence seen per stream of a device; goes with the device
//   cloud_message  what waits to be taken by a device; goes with the device
//   feedback  what became of those whose sender asked
//
// synchronous = FULL with WAL: a committed transaction survives a power cut; that is what a PUBACK promises (G1).
// locking_mode = EXCLUSIVE: a second hub on the same file is refused instead of corrupting the picture.
// A log that is found is written over itself and synced before anything is built on it: the last sync of the life before
// may have failed, then Linux shows pages that are on no disk, and a power cut would end the log there, with every later
// commit behind the hole. The log's name is synced as well: SQLite does so once, and does not look whether it succeeded.
//
// Migrations are numbered from 1 by their place in the list and never change once released. A file of a newer
// schema, of another program, or damaged, is refused with its path and the mend: the hub's log is the only copy
// of acknowledged data, so it is never set aside silently.

import { errorCode, errorMessage } from '../model/errors.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { Sqlite, SqliteDatabase, SqliteStatement, SqliteValue } from '../platform/sqlite.ts';
import { HubError } from './errors.ts';

/** 'wHub' in the file header, so that another SQLite file is recognised as not ours. */
const applicationId = 0x77487562;

/** How long another process may take to let go of the file; a killed one has let go already. */
const busyWaitMs = 1000;

const migrations: readonly string[] = [
  `CREATE TABLE identity (
     device TEXT NOT NULL, module TEXT NOT NULL,
     generation TEXT NOT NULL, etag TEXT NOT NULL,
     enabled INTEGER NOT NULL, status_reason TEXT,
     primary_key TEXT NOT NULL, secondary_key TEXT NOT NULL,
     edge INTEGER NOT NULL, managed_by TEXT, created_ms INTEGER NOT NULL,
     PRIMARY KEY (device, module)
   ) WITHOUT ROWID;
   CREATE TABLE twin (
     device TEXT NOT NULL, module TEXT NOT NULL, version INTEGER NOT NULL,
     desired TEXT NOT NULL, desired_version INTEGER NOT NULL, desired_ms INTEGER NOT NULL,
     reported TEXT NOT NULL, reported_version INTEGER NOT NULL, reported_ms INTEGER NOT NULL,
     tags TEXT NOT NULL,
     PRIMARY KEY (device, module)
   ) WITHOUT ROWID;
   CREATE TABLE event (
     "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
     device TEXT NOT NULL, module TEXT, output TEXT, enqueued_ms INTEGER NOT NULL,
     system TEXT NOT NULL, properties TEXT NOT NULL, body BLOB NOT NULL, bytes INTEGER NOT NULL
   );
   CREATE INDEX event_by_time ON event (enqueued_ms);
   CREATE TABLE log_state (
     bytes INTEGER NOT NULL, events INTEGER NOT NULL,
     dropped_bytes_limit INTEGER NOT NULL, dropped_age_limit INTEGER NOT NULL, repeated INTEGER NOT NULL
   );
   INSERT INTO log_state VALUES (0, 0, 0, 0, 0);
   CREATE TABLE position (
     device TEXT NOT NULL, stream TEXT NOT NULL, last INTEGER NOT NULL, used_ms INTEGER NOT NULL,
     PRIMARY KEY (device, stream)
   ) WITHOUT ROWID;
   CREATE TRIGGER identity_born AFTER INSERT ON identity BEGIN
     INSERT INTO twin VALUES (new.device, new.module, 1, '{}', 1, new.created_ms, '{}', 1, new.created_ms, '{}');
   END;
   CREATE TRIGGER identity_gone AFTER DELETE ON identity BEGIN
     DELETE FROM twin WHERE device = old.device AND module = old.module;
   END;
   CREATE TRIGGER device_gone AFTER DELETE ON identity WHEN old.module = '' BEGIN
     DELETE FROM position WHERE device = old.device;
   END;`,
  // Leaf devices: behind which gateway a device stands, and certificates in place of keys.
  `ALTER TABLE identity ADD COLUMN authentication TEXT NOT NULL DEFAULT 'sas';
   ALTER TABLE identity ADD COLUMN primary_thumbprint TEXT;
   ALTER TABLE identity ADD COLUMN secondary_thumbprint TEXT;
   ALTER TABLE identity ADD COLUMN parent TEXT;
   CREATE INDEX identity_by_parent ON identity (parent) WHERE parent IS NOT NULL;
   CREATE TRIGGER parent_gone AFTER DELETE ON identity WHEN old.module = '' BEGIN
     UPDATE identity SET parent = NULL WHERE parent = old.device;
   END;`,
  // Cloud-to-device messages and what became of them.
  `CREATE TABLE cloud_message (
     sequence INTEGER PRIMARY KEY AUTOINCREMENT,
     device TEXT NOT NULL, enqueued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, deliveries INTEGER NOT NULL,
     ack TEXT NOT NULL, message_id TEXT NOT NULL, system TEXT NOT NULL, properties TEXT NOT NULL, body BLOB NOT NULL
   );
   CREATE INDEX cloud_message_by_device ON cloud_message (device, sequence);
   CREATE INDEX cloud_message_by_expiry ON cloud_message (expires_ms);
   CREATE TABLE feedback (
     "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
     device TEXT NOT NULL, generation TEXT NOT NULL, message_id TEXT NOT NULL, status TEXT NOT NULL, at_ms INTEGER NOT NULL
   );
   CREATE TRIGGER cloud_message_gone AFTER DELETE ON identity WHEN old.module = '' BEGIN
     DELETE FROM cloud_message WHERE device = old.device;
   END;`,
  // When each property of a twin was last set (twin-metadata.ts).
  `ALTER TABLE twin ADD COLUMN desired_metadata TEXT NOT NULL DEFAULT '{}';
   ALTER TABLE twin ADD COLUMN reported_metadata TEXT NOT NULL DEFAULT '{}';
   DROP TRIGGER identity_born;
   CREATE TRIGGER identity_born AFTER INSERT ON identity BEGIN
     INSERT INTO twin (device, module, version, desired, desired_version, desired_ms, reported, reported_version, reported_ms, tags)
     VALUES (new.device, new.module, 1, '{}', 1, new.created_ms, '{}', 1, new.created_ms, '{}');
   END;`,
];

/** The schema this program writes. */
export const hubSchemaVersion = migrations.length;

/**
 * hub.db, opened and up to date. Statements are prepared once per text, so texts must be constants.
 * `Row` is the caller's word for the columns it selects; the schema above keeps it.
 */
export class HubDatabase {
  readonly #sqlite: SqliteDatabase;
  readonly #statements = new Map<string, SqliteStatement>();
  #depth = 0;

  constructor(sqlite: SqliteDatabase) {
    this.#sqlite = sqlite;
  }

  /** SQLite's own version. */
  get version(): string {
    return this.#sqlite.version;
  }

  get inTransaction(): boolean {
    return this.#depth > 0;
  }

  run(sql: string, ...values: readonly SqliteValue[]): number {
    return this.#prepared(sql).run(...values);
  }

  get<Row>(sql: string, ...values: readonly SqliteValue[]): Row | undefined {
    return this.#prepared(sql).get(...values) as Row | undefined;
  }

  all<Row>(sql: string, ...values: readonly SqliteValue[]): readonly Row[] {
    return this.#prepared(sql).all(...values) as unknown as readonly Row[];
  }

  iterate<Row>(sql: string, ...values: readonly SqliteValue[]): IterableIterator<Row> {
    return this.#prepared(sql).iterate(...values) as unknown as IterableIterator<Row>;
  }

  /** One transaction; inside another one, a part of it. A throw undoes the whole. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#depth += 1;
    try {
      return this.#sqlite.transaction(work);
    } finally {
      this.#depth -= 1;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#sqlite.close();
  }

  #prepared(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * Opens hub.db, brings its schema up to date and returns it ready for use.
 * Throws HUB_DATABASE_DAMAGED, HUB_DATABASE_NEWER, HUB_DATABASE_FOREIGN, HUB_DATABASE_BUSY or HUB_DATABASE_UNUSABLE.
 */
export function openHubDatabase(path: string, sqlite: Pick<Sqlite, 'open' | 'secureLog'>): HubDatabase {
  let database: SqliteDatabase | undefined;
  try {
    database = sqlite.open(path);
    checkOurs(database, path);
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    sqlite.secureLog(path);
    migrate(database);
    return new HubDatabase(database);
  } catch (error) {
    database?.close();
    throw error instanceof HubError ? error : openError(path, error);
  }
}

/** Refuses what is not ours to change. From here on nobody else has the file, unless it is a new one. */
function checkOurs(database: SqliteDatabase, path: string): void {
  database.pragma(`busy_timeout = ${busyWaitMs}`);
  database.pragma('locking_mode = EXCLUSIVE');
  const tables = Number(database.prepare('SELECT count(*) AS count FROM sqlite_master').get()?.['count'] ?? 0);
  if (tables > 0 && database.pragma('application_id') !== applicationId) throw foreign(path);
  const version = Number(database.pragma('user_version'));
  if (version > hubSchemaVersion) throw newer(path, version);
}

function migrate(database: SqliteDatabase): void {
  const version = Number(database.pragma('user_version'));
  database.transaction(() => {
    database.pragma(`application_id = ${applicationId}`);
    for (const migration of migrations.slice(version)) database.exec(migration);
    database.pragma(`user_version = ${hubSchemaVersion}`);
  });
}

function newer(path: string, version: number): HubError {
  return new HubError({
    code: 'HUB_DATABASE_NEWER',
    message: `${path} was written by a newer weir (schema ${version}, this one knows ${hubSchemaVersion}). Run the newer weir, or choose another --data-dir.`,
    status: 500,
    azureCode: 'ServerError',
    fields: { path, schemaVersion: version },
  });
}

function foreign(path: string): HubError {
  return new HubError({
    code: 'HUB_DATABASE_FOREIGN',
    message: `${path} is a SQLite file of another program, not a hub's. Choose another --data-dir.`,
    status: 500,
    azureCode: 'ServerError',
    fields: { path },
  });
}

function openError(path: string, cause: unknown): HubError {
  const reason = errorCode(cause);
  const common = { status: 500, azureCode: 'ServerError', fields: { path, reason }, cause };
  if (reason.startsWith('SQLITE_BUSY') || reason.startsWith('SQLITE_LOCKED')) {
    return new HubError({
      ...common,
      code: 'HUB_DATABASE_BUSY',
      message: `${path} is in use by another weir hub. Stop that one, or choose another --data-dir.`,
    });
  }
  if (reason.startsWith('SQLITE_CORRUPT') || reason.startsWith('SQLITE_NOTADB')) {
    return new HubError({
      ...common,
      code: 'HUB_DATABASE_DAMAGED',
      message: `${path} is damaged (${errorMessage(cause)}). Restore it from a backup, try "sqlite3 ${path} .recover", or move it away to start with an empty hub.`,
    });
  }
  return new HubError({
    ...common,
    code: 'HUB_DATABASE_UNUSABLE',
    message: `${path} cannot be opened: ${errorMessage(cause)}. Check that its directory exists and is writable.`,
  });
}

/** A column of texts by name, our own writing, read back. */
export function textsColumn(json: string): Readonly<Record<string, string>> {
  const parsed = parseJson(json);
  return parsed.ok && isJsonObject(parsed.value) ? (parsed.value as Readonly<Record<string, string>>) : {};
}
