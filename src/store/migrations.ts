// The schema of the store's file, as numbered steps from nothing to today.
//
// Owns every CREATE and ALTER. `PRAGMA user_version` is the number of the last step done; each step runs in the
// transaction that also sets it, so a power cut leaves a whole version. Steps that were released never change:
// a new need is a new step. A file with a higher number was written by a newer weir and is refused untouched,
// because this program cannot know what its rows mean.
//
//   meta      one row a fact about the file: `epoch`, born with it; `schema`, the number again, because a flipped
//             bit in the first one must not look like the future
//   queue     what is known of a queue: the next offset (never reused, also when the queue is empty), and the
//             sums that would otherwise need a walk over the whole outbox
//   dropped   what left a queue without being delivered, by reason: durable, because it is a loss
//   outbox    the messages. key = queue id × 2^43 + offset: one integer key keeps a queue together and in order,
//             and a rowid table keeps records up to a page in the leaf, which a WITHOUT ROWID table does not
//   position  highest sequence of each sender's stream: the idempotence of the hop before us
//   twin, state   small JSON documents
//   mqtt_session, mqtt_subscription   who may come back to the broker, and what they asked for
//   mqtt_message     a message's bytes once, however many sessions and retained topics have it
//   mqtt_delivery    its place in each session's queue; small rows, so that a queue's steps touch few pages
//   mqtt_receiving   inbound QoS 2 packet ids between PUBLISH and PUBREL
//   mqtt_retained    topic and message

import type { SqliteDatabase } from '../platform/sqlite.ts';
import { DamagedFile, StoreError } from './errors.ts';

const steps: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    offset_next INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE dropped (
    queue_id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (queue_id, reason)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE outbox (
    key INTEGER PRIMARY KEY,
    expires_ms INTEGER,
    checksum INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT;
  CREATE TABLE position (
    stream TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    touched INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
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
];

export const schemaVersion = steps.length;

/** Brings the file to `schemaVersion`. Throws STORE_SCHEMA_NEWER, and then has changed nothing. */
export function migrate(database: SqliteDatabase, file: string): void {
  const found = Number(database.pragma('user_version'));
  if (found > schemaVersion) {
    const noted = notedVersion(database);
    if (noted !== undefined && noted <= schemaVersion)
      throw new DamagedFile(`its schema is ${found} in one place and ${noted} in the other`);
    throw new StoreError({
      code: 'STORE_SCHEMA_NEWER',
      message: `${file} has schema ${found}; this weir knows up to ${schemaVersion}. It was written by a newer weir: install that version again, or move the file away to start with an empty store.`,
      fields: { file, found, known: schemaVersion },
    });
  }
  for (let version = found; version < schemaVersion; version++) {
    database.transaction(() => {
      database.exec(steps[version] as string);
      database.exec(`PRAGMA user_version = ${version + 1}`);
      noteVersion(database, version + 1);
    });
  }
  if (notedVersion(database) !== schemaVersion) database.transaction(() => noteVersion(database, schemaVersion));
}

function noteVersion(database: SqliteDatabase, version: number): void {
  database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('schema', ?)").run(String(version));
}

/** Undefined in files of a weir that did not note it. */
function notedVersion(database: SqliteDatabase): number | undefined {
  const row = database.prepare("SELECT value FROM meta WHERE key = 'schema'").get();
  return row === undefined ? undefined : Number(row['value']);
}
