// What can still be read of a damaged file becomes rows of a fresh one.
//
// Owns which rows are believed, and the count of those that are not. A row with a checksum is believed when it fits;
// one without when each of its values is one that the program writes. Messages that wait for the hub are not here:
// they have a log of their own (outbox/).
//
//   1  the schema on page 1 names the tree of each table         damaged: its rows are looked for in step 3
//   2  each tree is walked                                       a damaged inner page: what hung below it likewise
//   3  pages that no tree leads to, and that are not free, give rows to the tables that step 1 or 2 found incomplete
//   4  what belongs to nothing goes: a delivery without its session or its message, a message without use
//
// Invariant: a row of a whole page is kept exactly when it was a row; nothing is kept twice. Step 3 may bring back
// a row that was deleted shortly before the damage, where also the list of free pages is unreadable: an old message
// delivered again is the lesser loss.

import type { SqliteDatabase, SqliteStatement, SqliteValue } from '../../platform/sqlite.ts';
import { checksum } from '../checksum.ts';
import { documentChecksum, documentTables } from '../document-table.ts';
import { readFacts, readOptions } from '../mqtt-record.ts';
import type { DocumentTable } from '../thread-protocol.ts';
import type { PageFile } from './page-file.ts';
import { type FoundRow, type Losses, TreeWalk } from './tree.ts';

export interface Rescued {
  /** Rows that are in the fresh file now, by table. */
  readonly kept: Readonly<Record<string, number>>;
  /** Rows that are there and cannot be believed, or that nothing leads to any more. */
  readonly lost: number;
  /** Pages that cannot be read: nobody knows what they held. */
  readonly pages: number;
}

interface Table {
  readonly name: string;
  /** In the order of a row. */
  readonly columns: readonly string[];
  /** Values to insert; undefined for a row that is not believed. */
  readonly read: (row: FoundRow) => readonly SqliteValue[] | undefined;
}

const twinBeginning = '{"twin":';
const packetIdMax = 65_535;
/** Rows of one transaction: bounds the log of the fresh file. */
const batchRows = 4096;

export interface RescueOptions {
  /** Also what the broker keeps. */
  readonly sessions: boolean;
  /** Also the name of the file's life: for a copy that stands in for the file itself. */
  readonly epoch?: boolean;
}

/** Reads `source` into `fresh`, which has the present schema and no rows. */
export function rescue(source: PageFile, fresh: SqliteDatabase, { sessions, epoch }: RescueOptions): Rescued {
  const wanted = [
    ...documentTables.map(documentTable),
    ...(sessions ? mqttTables : []),
    ...(epoch === true ? [epochTable] : []),
  ];
  const rescuer = new Rescuer(fresh, wanted);
  const walk = new TreeWalk(source);
  const losses: Losses = { lost: 0, pages: 0 };
  const roots = rootsOf(walk, losses);
  const incomplete: Table[] = [];
  for (const table of wanted) {
    const root = roots.get(table.name);
    const own: Losses = { lost: 0, pages: 0 };
    if (root !== undefined) walk.rows(root, own, (row) => rescuer.take(table, row));
    if (root === undefined || own.pages > 0) incomplete.push(table);
    losses.lost += own.lost;
    losses.pages += own.pages;
  }
  if (incomplete.length > 0) walk.strays((row) => rescuer.takeStray(incomplete, row));
  rescuer.finish();
  const orphans = sessions ? dropOrphans(fresh) : 0;
  const kept = Object.fromEntries(wanted.map(({ name }) => [name, countOf(fresh, name)]));
  return { kept, lost: losses.lost + rescuer.lost + orphans, pages: losses.pages };
}

/** Puts rows into their tables, some thousand at a time. */
class Rescuer {
  readonly #fresh: SqliteDatabase;
  readonly #inserts = new Map<Table, SqliteStatement>();
  readonly #waiting: { readonly insert: SqliteStatement; readonly values: readonly SqliteValue[] }[] = [];
  lost = 0;

  constructor(fresh: SqliteDatabase, tables: readonly Table[]) {
    this.#fresh = fresh;
    for (const table of tables) {
      const { name, columns } = table;
      const marks = columns.map(() => '?').join(', ');
      const insert = `INSERT OR IGNORE INTO ${name} (${columns.join(', ')}) VALUES (${marks})`;
      this.#inserts.set(table, fresh.prepare(insert));
    }
  }

  take(table: Table, row: FoundRow): void {
    const values = table.read(row);
    if (values === undefined) this.lost++;
    else this.#put(table, values);
  }

  /** A page without a tree says not whose rows it has. Only what certainly is one of theirs is taken. */
  takeStray(tables: readonly Table[], row: FoundRow): void {
    for (const table of tables) {
      const values = table.read(row);
      if (values !== undefined) {
        this.#put(table, values);
        return;
      }
    }
  }

  finish(): void {
    this.#fresh.transaction(() => {
      for (const { insert, values } of this.#waiting) insert.run(...values);
    });
    this.#waiting.length = 0;
  }

  #put(table: Table, values: readonly SqliteValue[]): void {
    this.#waiting.push({ insert: this.#inserts.get(table) as SqliteStatement, values });
    if (this.#waiting.length >= batchRows) this.finish();
  }
}

/** `sqlite_schema`: type, name, table, root page, text. */
function rootsOf(walk: TreeWalk, losses: Losses): ReadonlyMap<string, number> {
  const roots = new Map<string, number>();
  walk.rows(1, losses, ({ values: [type, name, , root] }) => {
    if (type === 'table' && typeof name === 'string' && typeof root === 'number' && root > 1) roots.set(name, root);
  });
  return roots;
}

function documentTable(name: DocumentTable): Table {
  return {
    name,
    columns: ['key', 'document', 'checksum'],
    read: ({ rowid, values }) => {
      const [key, document, sum] = values;
      if (rowid !== undefined || values.length < 2 || values.length > 3) return undefined;
      if (typeof key !== 'string' || typeof document !== 'string') return undefined;
      const own = documentChecksum(name, key, document);
      // Written by a weir whose documents had none: the text alone says whose it is.
      const isOurs = sum === undefined ? document.startsWith(twinBeginning) === (name === 'twin') : sum === own;
      return isOurs ? [key, document, own] : undefined;
    },
  };
}

const epochTable: Table = {
  name: 'meta',
  columns: ['key', 'value'],
  read: ({ rowid, values }) =>
    rowid === undefined && values.length === 2 && values[0] === 'epoch' && typeof values[1] === 'string'
      ? values
      : undefined,
};

const mqttTables: readonly Table[] = [
  {
    name: 'mqtt_message',
    columns: ['id', 'expires_ms', 'checksum', 'canonical'],
    read: ({ rowid, values: [, expiresMs, sum, canonical, ...more] }) =>
      rowid !== undefined && typeof expiresMs === 'number' && isWhole(sum, canonical) && more.length === 0
        ? [rowid, expiresMs, sum as number, canonical as Uint8Array]
        : undefined,
  },
  {
    name: 'mqtt_session',
    columns: ['id', 'checksum', 'record'],
    read: ({ rowid, values: [, sum, record, ...more] }) =>
      rowid !== undefined && isWhole(sum, record) && more.length === 0
        ? [rowid, sum as number, record as Uint8Array]
        : undefined,
  },
  {
    name: 'mqtt_subscription',
    columns: ['session', 'filter', 'options', 'subscription_id'],
    read: ({ rowid, values }) => {
      const [session, filter, options, id] = values;
      return rowid === undefined &&
        values.length === 4 &&
        typeof filter === 'string' &&
        areCounts([session, options, id]) &&
        isOptions(filter, Number(options))
        ? values
        : undefined;
    },
  },
  {
    name: 'mqtt_receiving',
    columns: ['session', 'packet_id'],
    read: ({ rowid, values }) =>
      rowid === undefined && values.length === 2 && areCounts(values) && isPacketId(values[1]) ? values : undefined,
  },
  {
    name: 'mqtt_delivery',
    columns: ['session', 'ordinal', 'message', 'facts', 'packet_id', 'awaiting', 'subscription_ids'],
    read: ({ rowid, values }) => {
      const ids = values[6];
      return rowid === undefined &&
        values.length === 7 &&
        areCounts(values.slice(0, 6)) &&
        (ids === null || ids instanceof Uint8Array) &&
        isFacts(values[3]) &&
        Number(values[4]) <= packetIdMax
        ? values
        : undefined;
    },
  },
  {
    name: 'mqtt_retained',
    columns: ['topic', 'message', 'facts'],
    read: ({ rowid, values }) =>
      rowid === undefined &&
      values.length === 3 &&
      typeof values[0] === 'string' &&
      areCounts(values.slice(1)) &&
      isFacts(values[2])
        ? values
        : undefined,
  },
];

function isWhole(sum: SqliteValue | undefined, bytes: SqliteValue | undefined): boolean {
  return typeof sum === 'number' && bytes instanceof Uint8Array && checksum(bytes) === sum;
}

function areCounts(values: readonly (SqliteValue | undefined)[]): boolean {
  return values.every((value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0);
}

function isPacketId(value: SqliteValue | undefined): boolean {
  return typeof value === 'number' && value >= 1 && value <= packetIdMax;
}

function isFacts(value: SqliteValue | undefined): boolean {
  const factsMax = 0x07;
  return fits(() => readFacts(Number(value))) && Number(value) <= factsMax;
}

function isOptions(filter: string, options: number): boolean {
  const optionsMax = 0xff;
  return fits(() => readOptions(filter, options, 0)) && options <= optionsMax;
}

function fits(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

/** Rows whose other half is lost. Answers how many of them somebody would have missed. */
function dropOrphans(fresh: SqliteDatabase): number {
  const noSession = 'session NOT IN (SELECT id FROM mqtt_session)';
  const noMessage = 'message NOT IN (SELECT id FROM mqtt_message)';
  const used = 'SELECT message FROM mqtt_delivery UNION SELECT message FROM mqtt_retained';
  return fresh.transaction(() =>
    [
      `DELETE FROM mqtt_subscription WHERE ${noSession}`,
      `DELETE FROM mqtt_receiving WHERE ${noSession}`,
      `DELETE FROM mqtt_delivery WHERE ${noSession} OR ${noMessage}`,
      `DELETE FROM mqtt_retained WHERE ${noMessage}`,
      `DELETE FROM mqtt_message WHERE id NOT IN (${used})`,
    ]
      .map((sql) => fresh.prepare(sql).run())
      .reduce((sum, rows) => sum + rows, 0),
  );
}

function countOf(fresh: SqliteDatabase, table: string): number {
  return Number(fresh.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
}
