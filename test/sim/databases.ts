// The databases of all runs: one of a device, one of a hub, in memory, made once.
//
// In these runs the device's has nothing in it but its schema, because no twins and no sessions take part; that SQLite
// keeps its promise at a power cut is proven elsewhere (test/crash). So every life of every run may be handed the
// same one, with its statements prepared, and a run costs milliseconds. The hub's keeps the positions of streams,
// and forgets those of a run with the run.

import { type HubDatabase, openHubDatabase } from '../../src/hub/database.ts';
import {
  inMemory,
  type Sqlite,
  type SqliteDatabase,
  type SqliteStatement,
  systemSqlite,
} from '../../src/platform/sqlite.ts';
import { Engine } from '../../src/store/engine.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { SimFiles } from '../support/sim-files.ts';

export const deviceFiles = { path: '/data/weir.db', outbox: '/data/outbox', quarantine: '/data/quarantine' } as const;

const pageBytes = 4096;

export class Databases {
  readonly hub: HubDatabase = openHubDatabase(inMemory, systemSqlite());
  /** What a life of the device opens. */
  readonly sqlite: Sqlite;
  #device: SqliteDatabase | undefined;

  constructor() {
    const system = systemSqlite();
    this.sqlite = {
      ...system,
      open: (file) => {
        if (file === inMemory) return system.open(inMemory);
        this.#device ??= withPrepared(system.open(inMemory));
        return this.#device;
      },
      fileBytes: () => 0,
      kindOf: (file) => (this.#device !== undefined && file === deviceFiles.path ? 'file' : 'absent'),
      raw: () => ({ bytes: pageBytes, read: (_offset, bytes) => Buffer.alloc(bytes), close: () => undefined }),
      asides: () => [],
      remove: () => undefined,
    };
    this.#prime();
  }

  /** The first opening makes the schema, the second the file's epoch; no run shall differ by being the first. */
  #prime(): void {
    const entropy = seededEntropy(1);
    const fileSystem = { space: () => undefined };
    const ports = {
      sqlite: this.sqlite,
      files: new SimFiles(entropy),
      fileSystem,
      entropy,
      onRenewed: () => undefined,
    };
    const stamp = { wallMs: 0, monotonicMs: 0, bootId: 'none', trusted: false };
    for (let opening = 0; opening < 2; opening++) {
      const engine = new Engine(ports, { ...deviceFiles, quotaBytes: 2 ** 24, reserveBytes: undefined, stamp });
      engine.open();
      engine.close();
    }
  }
}

/** A handle that is never closed, and prepares each statement once. */
function withPrepared(database: SqliteDatabase): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  const prepare = (sql: string): SqliteStatement => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = database.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  };
  return { ...database, prepare, close: () => undefined };
}
