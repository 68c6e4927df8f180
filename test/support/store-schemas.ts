// The schemas that the store's file had before the present one, as those versions made it: never to be changed with the
// program.
//
// 1 and 2 have the outbox in them (test/store/move-outbox.test.ts); 2 brought the sessions of MQTT clients; 3 has
// documents without a checksum.

const documents = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE twin (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE state (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

const outbox = `
  CREATE TABLE queue (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, offset_next INTEGER NOT NULL,
    messages INTEGER NOT NULL, bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE dropped (
    queue_id INTEGER NOT NULL, reason TEXT NOT NULL, messages INTEGER NOT NULL, PRIMARY KEY (queue_id, reason)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE outbox (
    key INTEGER PRIMARY KEY, expires_ms INTEGER, checksum INTEGER NOT NULL, record BLOB NOT NULL
  ) STRICT;
  CREATE TABLE position (
    stream TEXT PRIMARY KEY, sequence INTEGER NOT NULL, touched INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

const mqtt = `
  CREATE TABLE mqtt_session (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
  CREATE TABLE mqtt_subscription (
    session INTEGER NOT NULL, filter TEXT NOT NULL, options INTEGER NOT NULL, subscription_id INTEGER NOT NULL,
    PRIMARY KEY (session, filter)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_message (
    id INTEGER PRIMARY KEY, expires_ms REAL NOT NULL, checksum INTEGER NOT NULL, canonical BLOB NOT NULL
  ) STRICT;
  CREATE TABLE mqtt_delivery (
    session INTEGER NOT NULL, ordinal INTEGER NOT NULL, message INTEGER NOT NULL, facts INTEGER NOT NULL,
    packet_id INTEGER NOT NULL, awaiting INTEGER NOT NULL, subscription_ids BLOB, PRIMARY KEY (session, ordinal)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_receiving (
    session INTEGER NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (session, packet_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mqtt_retained (
    topic TEXT PRIMARY KEY, message INTEGER NOT NULL, facts INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** A whole file of each version. */
export const storeSchemas = {
  1: `${documents}${outbox} PRAGMA user_version = 1;`,
  2: `${documents}${outbox}${mqtt} PRAGMA user_version = 2;`,
  3: `${documents}${mqtt} INSERT INTO meta VALUES ('schema', '3'); PRAGMA user_version = 3;`,
} as const;

export type OldSchema = keyof typeof storeSchemas;
