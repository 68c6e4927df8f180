// Small JSON documents by key: twins, and the state that parts of the runtime must find again after a restart.
//
// Owns the rows of `twin` and `state`. Knows nothing of what the texts mean. Runs on the store thread, inside
// transactions that engine.ts opens. Bounded by number here and by size where the text is made (store.ts).

import { Buffer } from 'node:buffer';
import { storeDocumentsMax } from '../limits.ts';
import type { SqliteDatabase, SqliteStatement } from '../platform/sqlite.ts';
import { checksum } from './checksum.ts';
import type { DocumentRow, DocumentTable as TableName } from './thread-protocol.ts';

/** Over table, key and text: a document that comes up in another place than its own is not believed either. */
export function documentChecksum(table: TableName, key: string, document: string): number {
  return checksum(Buffer.from(`${table}\0${key}\0${document}`, 'utf8'));
}

export class DocumentTable {
  readonly #all: SqliteStatement;
  readonly #get: SqliteStatement;
  readonly #count: SqliteStatement;
  readonly #save: SqliteStatement;
  readonly #delete: SqliteStatement;

  constructor(database: SqliteDatabase, table: TableName) {
    this.#all = database.prepare(`SELECT key, document FROM ${table} ORDER BY key`);
    this.#get = database.prepare(`SELECT document FROM ${table} WHERE key = ?`);
    this.#count = database.prepare(`SELECT count(*) AS documents FROM ${table} WHERE key <> ?`);
    this.#save = database.prepare(
      `INSERT INTO ${table} (key, document) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET document = excluded.document`,
    );
    this.#delete = database.prepare(`DELETE FROM ${table} WHERE key = ?`);
  }

  all(): readonly DocumentRow[] {
    return this.#all.all().map((row) => ({ key: String(row['key']), document: String(row['document']) }));
  }

  get(key: string): string | undefined {
    const row = this.#get.get(key);
    return row === undefined ? undefined : String(row['document']);
  }

  /** False when there are too many documents already. */
  save(key: string, document: string): boolean {
    if (Number(this.#count.get(key)?.['documents'] ?? 0) >= storeDocumentsMax) return false;
    this.#save.run(key, document);
    return true;
  }

  delete(key: string): void {
    this.#delete.run(key);
  }
}
