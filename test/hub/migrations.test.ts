// Files of every schema before the present one, made with the SQL of those versions: never to be changed with the
// program. Opened by this one, all that was in them is there and goes on; an older program refuses a newer file.

import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { hubSchemaVersion, openHubDatabase } from '../../src/hub/database.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { appendAll, hubState, sample } from '../support/hub-state.ts';

const born = `
  CREATE TABLE identity (
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
  END;
`;
const leafDevices = `
  ALTER TABLE identity ADD COLUMN authentication TEXT NOT NULL DEFAULT 'sas';
  ALTER TABLE identity ADD COLUMN primary_thumbprint TEXT;
  ALTER TABLE identity ADD COLUMN secondary_thumbprint TEXT;
  ALTER TABLE identity ADD COLUMN parent TEXT;
  CREATE INDEX identity_by_parent ON identity (parent) WHERE parent IS NOT NULL;
  CREATE TRIGGER parent_gone AFTER DELETE ON identity WHEN old.module = '' BEGIN
    UPDATE identity SET parent = NULL WHERE parent = old.device;
  END;
`;
const cloudMessages = `
  CREATE TABLE cloud_message (
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
  END;
`;
/** What each version added to the one before. */
const additions = [born, leafDevices, cloudMessages];
const hubApplicationId = 0x77487562;

const createdMs = Date.UTC(2026, 0, 1);
const key = Buffer.alloc(32, 7).toString('base64');
const leavesSince = 2;
const cloudMessagesSince = 3;

function writeOldFile(directory: string, version: number): void {
  mkdirSync(directory, { recursive: true });
  const file = new BetterSqlite(join(directory, 'hub.db'));
  file.pragma('journal_mode = WAL');
  for (const sql of additions.slice(0, version)) file.exec(sql);
  file.exec(`
    PRAGMA application_id = ${hubApplicationId};
    PRAGMA user_version = ${version};
    INSERT INTO identity (device, module, generation, etag, enabled, status_reason, primary_key, secondary_key, edge, managed_by, created_ms)
    VALUES ('gw', '', 'g1', 'e1', 1, NULL, '${key}', '${key}', 1, NULL, ${createdMs}),
           ('gw', 'm', 'g2', 'e2', 0, 'on leave', '${key}', '${key}', 0, 'iotEdge', ${createdMs});
    UPDATE twin SET version = 5, desired = '{"speed":4}', desired_version = 4, desired_ms = ${createdMs + 1000},
      reported = '{"speed":3}', reported_version = 9, tags = '{"site":"weir"}' WHERE module = 'm';
    INSERT INTO event ("offset", device, module, output, enqueued_ms, system, properties, body, bytes)
    VALUES (8, 'gw', 'm', 'out', ${createdMs}, '{"contentType":"text/plain"}', '{"kind":"old"}', 'kept', 100);
    UPDATE log_state SET bytes = 100, events = 1, dropped_bytes_limit = 5, dropped_age_limit = 2, repeated = 3;
    INSERT INTO position VALUES ('gw', 's', 77, ${createdMs});
  `);
  if (version >= leavesSince)
    file.exec(`
      INSERT INTO identity VALUES ('leaf', '', 'g3', 'e3', 1, NULL, '', '', 0, NULL, ${createdMs}, 'selfSigned', 'AA', 'BB', 'gw');
    `);
  if (version >= cloudMessagesSince)
    file.exec(`
      INSERT INTO cloud_message (device, enqueued_ms, expires_ms, deliveries, ack, message_id, system, properties, body)
      VALUES ('gw', ${createdMs}, ${createdMs + 3_600_000}, 2, 'full', 'order-1', '{}', '{"iothub-ack":"full"}', 'open the gate');
      INSERT INTO feedback (device, generation, message_id, status, at_ms) VALUES ('gw', 'g1', 'order-0', 'Success', ${createdMs});
    `);
  file.close();
}

/** All that a file of `version` had is there, and works. */
function checkMigrated(t: Test, directory: string, version: number): void {
  const hub = hubState(directory);
  const { registry, twins, eventLog, positions, database } = hub;
  const module = { deviceId: 'gw', moduleId: 'm' };
  t.match(registry.get({ deviceId: 'gw' }), {
    generationId: 'g1',
    etag: 'e1',
    authentication: 'sas',
    keys: { primaryKey: key, secondaryKey: key },
    edge: true,
    parent: undefined,
    createdMs,
  });
  t.match(registry.get(module), { enabled: false, statusReason: 'on leave', managedBy: 'iotEdge' });
  t.match(twins.read(module), {
    twin: {
      desired: { properties: { speed: 4 }, version: 4 },
      reported: { properties: { speed: 3 }, version: 9 },
    },
    tags: { site: 'weir' },
    version: 5,
    desiredUpdatedMs: createdMs + 1000,
    metadata: { desired: {}, reported: {} },
  });
  const { events } = eventLog.read({ afterOffset: 0 });
  t.match(events, [{ offset: 8, sender: module, output: 'out', properties: { kind: 'old' } }]);
  t.equal(events[0]?.body.toString(), 'kept');
  const before = { events: 1, bytes: 100, firstOffset: 8, nextOffset: 9, repeated: 3 };
  t.match(eventLog.facts(), { ...before, dropped: { bytes_limit: 5, age_limit: 2 } });
  t.equal(positions.last('gw', 's'), 77);
  if (version >= leavesSince)
    t.match(registry.get({ deviceId: 'leaf' }), {
      authentication: 'selfSigned',
      thumbprints: { primary: 'AA', secondary: 'BB' },
      parent: 'gw',
    });
  if (version >= cloudMessagesSince) {
    t.match(database.all('SELECT message_id, deliveries, ack FROM cloud_message'), [
      { message_id: 'order-1', deliveries: 2, ack: 'full' },
    ]);
    t.match(database.all('SELECT message_id, status FROM feedback'), [{ message_id: 'order-0', status: 'Success' }]);
  }
  const repeated = sample('again', { hop: { stream: 's', sequence: 77 } });
  t.equal(appendAll(hub, [repeated, { ...repeated, hop: { stream: 's', sequence: 78 } }]), 1, 'positions go on');
  t.equal(eventLog.facts().nextOffset, 10);
  registry.createDevice('new', { parent: 'gw' });
  t.match(twins.patch({ deviceId: 'new' }, { desired: { a: 1 } }), { version: 2 }, 'a twin is born with its identity');
  registry.delete({ deviceId: 'gw' });
  t.equal(registry.get({ deviceId: 'new' }).parent, undefined, 'and what belongs to a device goes with it');
  t.equal(positions.last('gw', 's'), 0);
  t.same(database.all('SELECT * FROM cloud_message'), []);
  database.close();
}

/** All that SQLite knows of tables, indices and triggers, without the spaces of their texts. */
function shapeOf(path: string): unknown {
  const file = new BetterSqlite(path, { readonly: true });
  const shape = file
    .prepare(
      "SELECT type, name, CASE type WHEN 'table' THEN '' ELSE sql END AS text FROM sqlite_schema ORDER BY type, name",
    )
    .all()
    .map((row) => Object.values(row as Record<string, unknown>).map((value) => String(value).replaceAll(/\s+/g, ' ')));
  const tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").pluck().all();
  const columns = tables.map((table) => file.pragma(`table_xinfo(${String(table)})`));
  const numbers = ['user_version', 'application_id'].map((name) => file.pragma(name, { simple: true }));
  file.close();
  return [shape, columns, numbers];
}

t.test('what a file of any older schema held is there, and the file is as a new one would be', async (t: Test) => {
  t.equal(additions.length, hubSchemaVersion - 1, 'every older schema has a file in this test');
  for (let version = 1; version < hubSchemaVersion; version++) {
    const directory = join(t.testdir(), `schema-${version}`);
    writeOldFile(directory, version);
    openHubDatabase(join(directory, 'hub.db'), systemSqlite()).close();
    const fresh = join(directory, 'fresh.db');
    openHubDatabase(fresh, systemSqlite()).close();
    t.same(shapeOf(join(directory, 'hub.db')), shapeOf(fresh), `schema ${version}`);
    checkMigrated(t, directory, version);
  }
});

t.test(
  'killed at any step of the migration, the file is as it was, and the next start completes it',
  async (t: Test) => {
    const system = systemSqlite();
    for (let version = 1; version < hubSchemaVersion; version++) {
      let kills = 0;
      for (let left = 0; ; left++) {
        const directory = join(t.testdirName, `${version}-${left}`);
        writeOldFile(directory, version);
        const path = join(directory, 'hub.db');
        const before = shapeOf(path);
        let steps = 0;
        const step = <T>(work: () => T): T => {
          if (++steps > left) throw new Error('the process is gone');
          return work();
        };
        const open = (file: string): ReturnType<typeof system.open> => {
          const database = system.open(file);
          const transaction = <T>(work: () => T): T => database.transaction(() => step(() => work()));
          return { ...database, transaction, exec: (sql) => step(() => database.exec(sql)) };
        };
        const dying = { ...system, open };
        try {
          openHubDatabase(path, dying).close();
          break;
        } catch (error) {
          t.match(error, { code: 'HUB_DATABASE_UNUSABLE', message: /the process is gone/ });
        }
        kills++;
        t.same(shapeOf(path), before);
        checkMigrated(t, directory, version);
      }
      t.equal(kills, hubSchemaVersion - version + 1);
    }
  },
);

t.test('a file of a newer weir is refused for good, however it was left, and nothing of it is touched', async (t) => {
  for (const journal of ['wal', 'delete'] as const) {
    const directory = join(t.testdir(), journal);
    mkdirSync(join(directory, 'killed'), { recursive: true });
    const path = join(directory, 'hub.db');
    openHubDatabase(path, systemSqlite()).close();
    const newer = new BetterSqlite(path);
    newer.pragma(`journal_mode = ${journal}`);
    newer.exec(`
      CREATE TABLE invention (what BLOB);
      INSERT INTO invention VALUES (x'00ff');
      PRAGMA user_version = ${hubSchemaVersion + 1};
    `);
    // As a killed process leaves it: with a log beside it.
    const killed = join(directory, 'killed', 'hub.db');
    for (const suffix of journal === 'wal' ? ['', '-wal'] : ['']) copyFileSync(path + suffix, killed + suffix);
    newer.close();
    const [bytes, shape] = [readFileSync(path), shapeOf(path)];
    for (const place of [path, path, killed, killed])
      t.throws(() => openHubDatabase(place, systemSqlite()), {
        code: 'HUB_DATABASE_NEWER',
        retryable: false,
        message: new RegExp(
          `schema ${hubSchemaVersion + 1}, this one knows ${hubSchemaVersion}\\)\\. Run the newer weir`,
        ),
      });
    t.ok(readFileSync(path).equals(bytes), `not a byte (${journal})`);
    t.same(shapeOf(killed), shape);
  }
});
