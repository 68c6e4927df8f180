// What is rescued from a damaged file, against what was in it.
//
// The yardstick is independent of SQLite's own opinion of the file: rows of the whole file, and for each the pages
// it lies on. A row none of whose pages was touched must be there; a row that is there must have been one.

import { copyFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemSqlite } from '../../../src/platform/sqlite.ts';
import { closeQuietly, openFile } from '../../../src/store/database-file.ts';
import { PageFile, pageBytes, rescue } from '../../../src/store/salvage/index.ts';
import { TreeWalk } from '../../../src/store/salvage/tree.ts';
import { fill, flipBits, rescuedTables, textOfRow, truth, wipePage } from '../../support/damaged-file.ts';

const sqlite = systemSqlite();
const seeds = 100;

/** Which pages each row needs, from the whole file: its own page, its overflow pages, and those of the rows it is nothing without. */
function pagesByRow(file: string): ReadonlyMap<string, ReadonlySet<number>> {
  const own = new Map<string, Set<number>>();
  const raw = sqlite.raw(file);
  const pages = new PageFile(raw, undefined);
  let treePage = 1;
  let overflow: number[] = [];
  const watched = Object.create(pages, {
    pageCount: { value: pages.pageCount },
    isStale: { value: () => false },
    page: {
      value: (number: number) => {
        const page = pages.page(number);
        // An overflow page begins with the number of the next one, whose first byte is 0 in a file of this size.
        if (page?.[0] === 0) overflow.push(number);
        else treePage = number;
        return page;
      },
    },
  }) as PageFile;
  const walk = new TreeWalk(watched);
  const roots = new Map<string, number>();
  walk.rows(1, { lost: 0, pages: 0 }, ({ values }) => roots.set(String(values[1]), Number(values[3])));
  for (const table of rescuedTables) {
    walk.rows(Number(roots.get(table)), { lost: 0, pages: 0 }, ({ rowid, values }) => {
      own.set(
        textOfRow(table, rowid === undefined ? values : [rowid, ...values.slice(1)]),
        new Set([treePage, ...overflow]),
      );
      overflow = [];
    });
  }
  raw.close();
  return withPartners(own);
}

function withPartners(own: ReadonlyMap<string, Set<number>>): ReadonlyMap<string, ReadonlySet<number>> {
  const byKey = new Map<string, Set<number>>();
  for (const [text, pages] of own) byKey.set(text.split('|').slice(0, 2).join('|'), pages);
  const all = new Map([...own].map(([text, pages]) => [text, new Set(pages)]));
  const textOf = new Map([...own.keys()].map((text) => [text.split('|').slice(0, 2).join('|'), text]));
  const join = (text: string, other: string): void => {
    for (const page of byKey.get(other) ?? []) all.get(text)?.add(page);
  };
  for (const text of own.keys()) {
    const [table, first, second, third] = text.split('|');
    const message = table === 'mqtt_delivery' ? third : table === 'mqtt_retained' ? second : undefined;
    const session = table === 'mqtt_retained' || table === 'mqtt_message' ? undefined : first;
    if (table?.startsWith('mqtt_') === true && session !== undefined) join(text, `mqtt_session|${session}`);
    if (message === undefined) continue;
    join(text, `mqtt_message|${message}`);
    // And the message has no other use than this one.
    const body = textOf.get(`mqtt_message|${message}`);
    for (const page of all.get(text) ?? []) if (body !== undefined) all.get(body)?.add(page);
  }
  return all;
}

function rescueFile(file: string): { readonly rows: ReadonlySet<string>; readonly result: ReturnType<typeof rescue> } {
  const fresh = openFile(sqlite, ':memory:');
  const raw = sqlite.raw(file);
  const log = sqlite.kindOf(`${file}-wal`) === 'file' ? sqlite.raw(`${file}-wal`) : undefined;
  const result = rescue(new PageFile(raw, log), fresh, { sessions: true });
  raw.close();
  log?.close();
  const rows = truth(fresh);
  closeQuietly(fresh);
  return { rows, result };
}

const size = { sessions: 60, messages: 900 };
const checked = /^(mqtt_message|mqtt_session)\|/;

/** What the row's checksum vouches for: its last column, and not the id or the expiry in front of it. */
function checkedOf(text: string): string {
  return [text.slice(0, text.indexOf('|')), text.slice(text.lastIndexOf('|') + 1)].join('|');
}

t.test('everything of a whole file is rescued', async (t: Test) => {
  const file = join(t.testdir(), 'weir.db');
  const database = openFile(sqlite, file);
  fill(database, size);
  const expected = truth(database);
  database.close();
  const { rows, result } = rescueFile(file);
  t.same([...rows].sort(), [...expected].sort());
  t.equal(result.lost, 0);
  t.equal(result.pages, 0);
  t.equal(
    Object.values(result.kept).reduce((sum, n) => sum + n, 0),
    expected.size,
  );
});

t.test('everything of a file and its log is rescued, as of the last commit', async (t: Test) => {
  const directory = t.testdir({ copy: {} });
  const file = join(directory, 'weir.db');
  const database = openFile(sqlite, file);
  fill(database, { sessions: 20, messages: 100 });
  database.pragma('wal_checkpoint(TRUNCATE)');
  fill(database, { sessions: 10, messages: 60, from: 100 });
  database.exec('BEGIN');
  database.prepare('DELETE FROM mqtt_session').run();
  const copy = join(directory, 'copy', 'weir.db');
  for (const suffix of ['', '-wal']) copyFileSync(file + suffix, copy + suffix);
  database.exec('ROLLBACK');
  const expected = truth(database);
  database.close();
  t.same([...rescueFile(copy).rows].sort(), [...expected].sort());
});

t.test(
  'whatever bits flip, every row of an untouched page is rescued, and nothing that was no row',
  async (t: Test) => {
    const directory = t.testdir();
    const whole = join(directory, 'whole.db');
    const database = openFile(sqlite, whole);
    fill(database, size);
    database.close();
    const needs = pagesByRow(whole);
    const written = new Set([...needs.keys()].map(checkedOf));
    const totals = { kept: 0, lost: 0, pages: 0, missing: 0 };
    for (let seed = 1; seed <= seeds; seed++) {
      const file = join(directory, `r${seed}.db`);
      copyFileSync(whole, file);
      const touched = new Set(
        flipBits(file, { seed, count: 1 + (seed % 12) }).map((at) => Math.floor(at / pageBytes) + 1),
      );
      if (seed % 4 === 0) touched.add(wipePage(file, seed));
      const { rows, result } = rescueFile(file);
      const untouched = [...needs].filter(([, pages]) => ![...pages].some((page) => touched.has(page)));
      const missing = untouched.filter(([text]) => !rows.has(text)).map(([text]) => text.slice(0, 60));
      t.same(missing, [], `seed ${seed}: nothing readable is lost`);
      const invented = [...rows].filter((text) => checked.test(text) && !written.has(checkedOf(text)));
      t.same(invented, [], `seed ${seed}: nothing is invented`);
      t.equal(sum(result.kept), rows.size, `seed ${seed}: what is said to be kept is there`);
      totals.kept += rows.size;
      totals.lost += result.lost;
      totals.pages += result.pages;
      totals.missing += needs.size - rows.size;
    }
    t.ok(totals.lost + totals.pages > seeds, `${JSON.stringify(totals)} over ${seeds} seeds`);
  },
);

t.test('a file that was cut off gives what is in front of the cut', async (t: Test) => {
  const directory = t.testdir();
  const whole = join(directory, 'whole.db');
  const database = openFile(sqlite, whole);
  fill(database, size);
  database.close();
  const needs = pagesByRow(whole);
  const pages = statSync(whole).size / pageBytes;
  for (const share of [0, 0.01, 0.3, 0.5, 0.9, 0.999]) {
    const file = join(directory, `cut-${share}.db`);
    copyFileSync(whole, file);
    const bytes = Math.floor(pages * pageBytes * share);
    truncateSync(file, bytes);
    const wholePages = Math.floor(bytes / pageBytes);
    const expected = [...needs].filter(([, needed]) => [...needed].every((page) => page <= wholePages));
    const { rows } = rescueFile(file);
    t.same(
      expected.filter(([text]) => !rows.has(text)).map(([text]) => text.slice(0, 60)),
      [],
      `${wholePages} of ${pages} pages`,
    );
  }
});

t.test('a bit that flips in the middle of the log costs one page, not every commit behind it', async (t: Test) => {
  const directory = t.testdir({ copy: {} });
  const file = join(directory, 'weir.db');
  const database = openFile(sqlite, file);
  fill(database, { sessions: 20, messages: 40 });
  const copy = join(directory, 'copy', 'weir.db');
  const expected = truth(database);
  let damaged = 0;
  for (let seed = 1; seed <= 40; seed++) {
    for (const suffix of ['', '-wal']) copyFileSync(file + suffix, copy + suffix);
    flipBits(`${copy}-wal`, { seed, count: 1 });
    const [raw, log] = [sqlite.raw(copy), sqlite.raw(`${copy}-wal`)];
    const pages = new PageFile(raw, log);
    if (pages.logDamaged) damaged++;
    raw.close();
    log.close();
    const { rows } = rescueFile(copy);
    const missing = [...expected].filter((text) => !rows.has(text));
    t.ok(missing.length <= 120, `seed ${seed}: ${missing.length} rows of ${expected.size} are missing`);
  }
  t.ok(damaged > 35, `${damaged} of 40 logs are known to be damaged`);
  database.close();
});

t.test('pages that nobody can read cost what is on them', async (t: Test) => {
  const whole = join(t.testdir(), 'weir.db');
  const database = openFile(sqlite, whole);
  fill(database, size);
  database.close();
  const needs = pagesByRow(whole);
  const bad = new Set([3, 17, 40]);
  const raw = sqlite.raw(whole);
  const dying = {
    ...raw,
    read: (offset: number, bytes: number) => {
      if (bad.has(offset / pageBytes + 1)) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
      return raw.read(offset, bytes);
    },
  };
  const fresh = openFile(sqlite, ':memory:');
  const result = rescue(new PageFile(dying, undefined), fresh, { sessions: true });
  const rows = truth(fresh);
  t.ok(result.pages + result.lost >= bad.size);
  t.same(
    [...needs].filter(([text, pages]) => !rows.has(text) && ![...pages].some((page) => bad.has(page))),
    [],
  );
  raw.close();
  closeQuietly(fresh);
});

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, n) => total + n, 0);
}
