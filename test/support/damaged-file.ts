// A database file with known rows, and ways to damage it.
//
// `fill` puts rows of every table the program has into a file, in many commits, so that trees have inner pages and
// a log has many frames. `truth` is what is there, as texts that compare; `pagesOf` says which pages a row lies on.

import { Buffer } from 'node:buffer';
import { readFileSync, writeFileSync } from 'node:fs';
import type { SqliteDatabase } from '../../src/platform/sqlite.ts';
import { checksum } from '../../src/store/checksum.ts';
import { documentChecksum } from '../../src/store/document-table.ts';
import { pageBytes } from '../../src/store/salvage/index.ts';
import { seededEntropy } from './sim-entropy.ts';

export const rescuedTables = [
  'twin',
  'state',
  'mqtt_message',
  'mqtt_session',
  'mqtt_subscription',
  'mqtt_receiving',
  'mqtt_delivery',
  'mqtt_retained',
] as const;

export interface FillOptions {
  readonly sessions: number;
  readonly messages: number;
  /** From which number on: a second filling goes on where the first ended. */
  readonly from?: number;
}

/** Rows that fit each other: every delivery has its session and its message, every message has a use. */
export function fill(database: SqliteDatabase, { sessions, messages, from = 0 }: FillOptions): void {
  const run = (sql: string, ...values: readonly (string | number | Buffer | null)[]): void => {
    database.prepare(sql).run(...values);
  };
  for (let n = from; n < from + sessions; n++) {
    const record = Buffer.from(`session ${n} `.repeat(3 + (n % 5)));
    database.transaction(() => {
      run('INSERT INTO mqtt_session VALUES (?, ?, ?)', n + 1, checksum(record), record);
      for (let filter = 0; filter < 3; filter++)
        run('INSERT INTO mqtt_subscription VALUES (?, ?, ?, ?)', n + 1, `site/${n}/line/${filter}/#`, 1, 0);
      run('INSERT INTO mqtt_receiving VALUES (?, ?)', n + 1, 1 + (n % 60_000));
      const twin = JSON.stringify({
        twin: { desired: { properties: { n }, version: n }, reported: { properties: {}, version: 0 } },
      });
      run(
        'INSERT INTO twin VALUES (?, ?, ?)',
        `gw/module-${n}`,
        twin,
        documentChecksum('twin', `gw/module-${n}`, twin),
      );
    });
  }
  for (let n = from; n < from + messages; n++) {
    // Every fiftieth is larger than a page, so that it has overflow pages.
    const canonical = Buffer.from(`message ${n} `.repeat(n % 50 === 0 ? 900 : 10 + (n % 7)));
    database.transaction(() => {
      run('INSERT INTO mqtt_message VALUES (?, ?, ?, ?)', n + 1, 0, checksum(canonical), canonical);
      if (n % 3 === 0) run('INSERT INTO mqtt_retained VALUES (?, ?, ?)', `retained/topic/${n}`, n + 1, 5);
      else {
        const session = 1 + from + (n % sessions);
        run('INSERT INTO mqtt_delivery VALUES (?, ?, ?, ?, ?, ?, ?)', session, n + 1, n + 1, 1, 0, 0, null);
      }
    });
  }
  database.transaction(() => {
    for (const key of ['agent:last-good', 'agent:last-good-routing', 'agent:module-generations']) {
      const document = JSON.stringify({ key, from });
      run('INSERT OR REPLACE INTO state VALUES (?, ?, ?)', key, document, documentChecksum('state', key, document));
    }
  });
}

/** All rows of the tables that are rescued, as texts. */
export function truth(database: SqliteDatabase): ReadonlySet<string> {
  const rows = new Set<string>();
  for (const table of rescuedTables) {
    for (const row of database.prepare(`SELECT * FROM ${table}`).iterate())
      rows.add(textOfRow(table, Object.values(row)));
  }
  return rows;
}

export function textOfRow(table: string, values: readonly unknown[]): string {
  const texts = values.map((value) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value),
  );
  return [table, ...texts].join('|');
}

/** Flips `count` bits, drawn by `seed`. Answers where. */
export function flipBits(
  file: string,
  { seed, count }: { readonly seed: number; readonly count: number },
): readonly number[] {
  const dice = seededEntropy(seed);
  const bytes = readFileSync(file);
  const places = Array.from({ length: count }, () => Math.floor(dice.fraction() * bytes.length));
  for (const at of places) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(dice.fraction() * 8));
  writeFileSync(file, bytes);
  return places;
}

/** A page of zeros or of noise where one was: a sector that a card has given up. The first, too. Answers its number. */
export function wipePage(file: string, seed: number): number {
  const dice = seededEntropy(seed);
  const bytes = readFileSync(file);
  const page = seed % 5 === 0 ? 1 : 1 + Math.floor((dice.fraction() * bytes.length) / pageBytes);
  const fresh = seed % 8 === 0 ? dice.bytes(pageBytes) : Buffer.alloc(pageBytes);
  bytes.set(fresh, (page - 1) * pageBytes);
  writeFileSync(file, bytes);
  return page;
}
