// Small JSON documents by key: twins, and the state that parts of the runtime must find again after a restart.
//
// Owns the rows of `twin` and `state`. Knows nothing of what the texts mean. Runs on the store thread, inside
// transactions that engine.ts opens. Bounded by number here and by size where the text is made (store.ts).
//
// A row whose checksum does not fit is damage of the file like any other: whoever comes upon it gets DamagedFile, the
// file is renewed without that row, and its owner finds the document missing: a twin is fetched anew, a state document
// comes from its second home (state-file.ts).

import { Buffer } from 'node:buffer';
import { storeDocumentsMax } from '../limits.ts';
import type { SqliteDatabase, SqliteRow, SqliteStatement } from '../platform/sqlite.ts';
import { checksum } from './checksum.ts';
import { DamagedFile } from './errors.ts';
import type { DocumentRow, DocumentTable as TableName } from './thread-protocol.ts';

/** Over table, key and text: a document that comes up in another place than its own is not believed either. */
export function documentChecksum(table: TableName, key: string, document: string): number {
  return checksum(Buffer.from(`${table}\0${key}\0${document}`, 'utf8'));
}

export const documentTables: readonly TableName[] = ['twin', 'state'];

/** Gives every row its checksum, in a file of a weir that wrote none. */
export function sumDocuments(database: SqliteDatabase): void {
  for (const table of documentTables) {
    const save = database.prepare(`UPDATE ${table} SET checksum = ? WHERE key = ?`);
    for (const row of database.prepare(`SELECT key, document FROM ${table}`).all()) {
      const key = String(row['key']);
      save.run(documentChecksum(table, key, String(row['document'])), key);
    }
  }
}

export class DocumentTable {
  readonly #table: TableName;
  readonly #all: SqliteStatement;
  readonly #get: SqliteStatement;
  readonly #count: SqliteStatement;
  readonly #save: SqliteStatement;
  readonly #delete: SqliteStatement;

  constructor(database: SqliteDatabase, table: TableName) {
    this.#table = table;
    this.#all = database.prepare(`SELECT key, document, checksum FROM ${table} ORDER BY key`);
    this.#get = database.prepare(`SELECT key, document, checksum FROM ${table} WHERE key = ?`);
    this.#count = database.prepare(`SELECT count(*) AS documents FROM ${table} WHERE key <> ?`);
    this.#save = database.prepare(`INSERT OR REPLACE INTO ${table} (key, document, checksum) VALUES (?, ?, ?)`);
    this.#delete = database.prepare(`DELETE FROM ${table} WHERE key = ?`);
  }

  /** Throws DamagedFile when a row is not what was written. */
  check(): void {
    for (const row of this.#all.iterate()) this.#believed(row);
  }

  /** Throws DamagedFile. */
  all(): readonly DocumentRow[] {
    return this.#all.all().map((row) => this.#believed(row));
  }

  /** Throws DamagedFile. */
  get(key: string): string | undefined {
    const row = this.#get.get(key);
    return row === undefined ? undefined : this.#believed(row).document;
  }

  /** False when there are too many documents already. */
  save(key: string, document: string): boolean {
    if (Number(this.#count.get(key)?.['documents'] ?? 0) >= storeDocumentsMax) return false;
    this.#save.run(key, document, documentChecksum(this.#table, key, document));
    return true;
  }

  delete(key: string): void {
    this.#delete.run(key);
  }

  #believed(row: SqliteRow): DocumentRow {
    const [key, document] = [String(row['key']), String(row['document'])];
    if (row['checksum'] === documentChecksum(this.#table, key, document)) return { key, document };
    throw new DamagedFile(`a document of ${this.#table} is not what was written`);
  }
}
