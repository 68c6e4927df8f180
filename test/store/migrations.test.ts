// Files of every schema before the present one, made with the SQL of those versions, opened by this one: documents and
// MQTT state are there afterwards, and an older program refuses what it was given. What becomes of the messages that
// such files held is move-outbox.test.ts.

import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { systemLogFiles } from '../../src/platform/log-files.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type SqliteDatabase, systemSqlite } from '../../src/platform/sqlite.ts';
import { Engine } from '../../src/store/engine.ts';
import { schemaVersion } from '../../src/store/migrations.ts';
import { stampOf } from '../../src/store/stamp.ts';
import { Store } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { type OldSchema, storeSchemas } from '../support/store-schemas.ts';

/** A session with a last will, a message in a queue and a retained one, as those versions wrote them; with their sums. */
const session = [
  '010f0570616e656c0d676174657761792f70616e656c000000000018f540000080aa6db7794207676174657761790570616e656c0500000000000014400000000000004e40000477696c6c00676f6e65',
  1679729915,
] as const;
const queued = ['000b616c61726d732f646f6f72006f70656e', 1342579550] as const;
const retained = ['000a73746174652f646f6f720073687574', -1149484184] as const;
const twin = { desired: { properties: { speed: 4 }, version: 7 }, reported: { properties: { speed: 3 }, version: 9 } };
const lastGood = '{"modules":{}}';
const epoch = '0123456789abcdef';

const oldSchemas = Object.keys(storeSchemas).map(Number) as OldSchema[];
const hasMqtt = (version: OldSchema): boolean => version >= 2;

function writeOldFile(directory: string, version: OldSchema): void {
  mkdirSync(directory, { recursive: true });
  const file = new BetterSqlite(join(directory, 'weir.db'));
  file.pragma('journal_mode = WAL');
  file.exec(storeSchemas[version]);
  file.prepare("INSERT INTO meta VALUES ('epoch', ?)").run(epoch);
  file.prepare('INSERT INTO twin VALUES (?, ?)').run('gateway/pump', JSON.stringify({ twin }));
  file.prepare('INSERT INTO state VALUES (?, ?)').run('agent:last-good', lastGood);
  if (hasMqtt(version)) {
    const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
    file.prepare('INSERT INTO mqtt_session VALUES (3, ?, ?)').run(session[1], bytes(session[0]));
    file.prepare('INSERT INTO mqtt_subscription VALUES (3, ?, 21, 7)').run('alarms/#');
    const addMessage = file.prepare('INSERT INTO mqtt_message VALUES (?, 0, ?, ?)');
    addMessage.run(1, queued[1], bytes(queued[0]));
    addMessage.run(2, retained[1], bytes(retained[0]));
    file.prepare('INSERT INTO mqtt_delivery VALUES (3, 1, 1, 1, 12, 4, ?)').run(Buffer.from([7]));
    file.prepare('INSERT INTO mqtt_receiving VALUES (3, 44)').run();
    file.prepare('INSERT INTO mqtt_retained VALUES (?, 2, 5)').run('state/door');
  }
  file.close();
}

async function openStore(directory: string): Promise<Store> {
  const clock = new SimClock();
  const { log } = keptLog(clock);
  const startThread = (): InlineThread => new InlineThread({ sqlite: systemSqlite(), entropy: seededEntropy(1) });
  const store = new Store(
    { clock, log, metrics: createMetrics(), startThread },
    { path: join(directory, 'weir.db'), quarantine: join(directory, 'quarantine'), quotaBytes: 67_108_864 },
  );
  await store.start();
  return store;
}

/** Everything of a file of `version` is there, in the shape of today, and stays so. */
async function checkMigrated(t: Test, directory: string, version: OldSchema): Promise<void> {
  for (const life of ['first', 'second']) {
    const store = await openStore(directory);
    t.same(await store.twins(), [{ key: 'gateway/pump', twin }], `twin, ${life} life`);
    t.equal(await store.state('agent:last-good'), lastGood);
    const { sessions, retained: topics, damaged } = await store.sessions.load();
    t.equal(damaged, 0);
    if (hasMqtt(version)) {
      t.match(sessions, [
        {
          clientId: 'panel',
          principal: { name: 'gateway/panel', identity: { deviceId: 'gateway', moduleId: 'panel' } },
          expirySeconds: 86_400,
          will: { qos: 1, retain: true, delaySeconds: 5, expirySeconds: 60 },
          subscriptions: [{ filter: 'alarms/#', qos: 1, noLocal: true, retainHandling: 1, subscriptionId: 7 }],
          deliveries: [{ ordinal: 1, packetId: 12, awaiting: 4, message: { qos: 1, subscriptionIds: [7] } }],
          receiving: [44],
        },
      ]);
      t.equal(sessions[0]?.deliveries[0]?.message.canonical.toString('hex'), queued[0]);
      t.match(topics, [{ topic: 'state/door', message: { qos: 1, retain: true } }]);
      t.equal(topics[0]?.message.canonical.toString('hex'), retained[0]);
    } else t.same([sessions, topics], [[], []]);
    t.match(await store.facts(), { schemaVersion, quarantined: [] });
    await store.close();
  }
  t.same(shapeOf(join(directory, 'weir.db')), await freshShape(t));
}

/** Tables and columns, and the number twice. */
function shapeOf(path: string): unknown {
  const file = new BetterSqlite(path, { readonly: true });
  const tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").pluck().all();
  const columns = tables.map((table) => file.pragma(`table_xinfo(${String(table)})`));
  const noted = file.prepare("SELECT value FROM meta WHERE key = 'schema'").pluck().get();
  const shape = { tables, columns, noted, version: file.pragma('user_version', { simple: true }) };
  file.close();
  return shape;
}

async function freshShape(t: Test): Promise<unknown> {
  const directory = join(t.testdirName, 'fresh');
  await (await openStore(directory)).close();
  return shapeOf(join(directory, 'weir.db'));
}

t.test('what a file of any older schema kept is there, and the file is as a new one would be', async (t: Test) => {
  t.same(oldSchemas.at(-1), schemaVersion - 1, 'every older schema has a file in this test');
  for (const version of oldSchemas)
    t.test(`schema ${version}`, async (t: Test) => {
      const directory = join(t.testdir(), 'old');
      writeOldFile(directory, version);
      await checkMigrated(t, directory, version);
    });
});

t.test('killed in any transaction of the migration, the next start completes it', async (t: Test) => {
  for (const version of oldSchemas) {
    const top = t.testdir();
    let kills = 0;
    for (let left = 0; ; left++) {
      const directory = join(top, `${version}-${left}`);
      writeOldFile(directory, version);
      if (!isKilled(directory, left)) break;
      kills++;
      await t.test(`schema ${version}, killed after ${left} transactions`, (t) => checkMigrated(t, directory, version));
    }
    t.ok(kills >= 1, `schema ${version}: ${kills} kills`);
  }
});

/** Opens the file with a process that ends inside the transaction after `left` whole ones. False: it has no more. */
function isKilled(directory: string, left: number): boolean {
  const system = systemSqlite();
  let whole = 0;
  const open = (path: string): SqliteDatabase => {
    const database = system.open(path);
    const transaction = <T>(work: () => T): T => {
      const result = database.transaction(() => {
        const done = work();
        if (whole >= left) throw new Error('the process is gone');
        return done;
      });
      whole++;
      return result;
    };
    return { ...database, transaction };
  };
  const engine = new Engine(
    {
      sqlite: { ...system, open },
      files: systemLogFiles(),
      fileSystem: { space: () => undefined },
      entropy: seededEntropy(1),
      onRenewed: () => undefined,
    },
    {
      path: join(directory, 'weir.db'),
      outbox: join(directory, 'outbox'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes: 67_108_864,
      reserveBytes: 0,
      stamp: stampOf(new SimClock()),
    },
  );
  try {
    engine.open();
  } catch (error) {
    if (!(error as Error).message.includes('the process is gone')) throw error;
    return true;
  }
  engine.close();
  return false;
}

t.test('a file of a newer weir is refused for good, however it was left, and nothing of it is touched', async (t) => {
  const directory = join(t.testdir(), 'newer');
  await (await openStore(directory)).close();
  const path = join(directory, 'weir.db');
  const newer = new BetterSqlite(path);
  newer.exec(`
    CREATE TABLE invention (key TEXT PRIMARY KEY, meaning BLOB) STRICT;
    INSERT INTO invention VALUES ('what', x'00ff');
    UPDATE meta SET value = '${schemaVersion + 1}' WHERE key = 'schema';
    PRAGMA user_version = ${schemaVersion + 1};
  `);
  // As a killed process leaves it: with a log beside it.
  const killed = join(directory, 'killed');
  mkdirSync(killed);
  for (const suffix of ['', '-wal']) copyFileSync(path + suffix, join(killed, `weir.db${suffix}`));
  newer.close();
  const rowsOf = (file: string): unknown => {
    const database = new BetterSqlite(file, { readonly: true });
    const rows = ['invention', 'meta'].map((table) => database.prepare(`SELECT * FROM ${table}`).all());
    database.close();
    return [rows, shapeOf(file)];
  };
  const bytes = readFileSync(path);
  const rows = rowsOf(path);
  for (const place of [directory, killed]) {
    for (const life of ['first', 'second'])
      await t.rejects(
        openStore(place),
        { code: 'STORE_SCHEMA_NEWER', retryable: false, message: /written by a newer weir: install that version/ },
        life,
      );
    t.same(rowsOf(join(place, 'weir.db')), rows);
  }
  t.ok(readFileSync(path).equals(bytes), 'not a byte');
});
