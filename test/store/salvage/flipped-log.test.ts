// A flipped bit in the write-ahead log is told from what a power cut leaves of the last commit.

import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type RawFile, systemSqlite } from '../../../src/platform/sqlite.ts';
import { openFile } from '../../../src/store/database-file.ts';
import { PageFile, rescue } from '../../../src/store/salvage/index.ts';
import { fill, truth } from '../../support/damaged-file.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const sqlite = systemSqlite();
const logHeaderBytes = 32;
const frameHeaderBytes = 24;
const frameBytes = frameHeaderBytes + 4096;
const sectorBytes = 512;
const salts = { from: 8, to: 16 };

function inMemoryFile(bytes: Buffer): RawFile {
  return {
    bytes: bytes.byteLength,
    read: (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
    close: () => undefined,
  };
}

/** A log with some dozen commits, as a power cut would have left it, with the rows it stands for. */
function recorded(directory: string) {
  const file = join(directory, 'live.db');
  const database = openFile(sqlite, file);
  fill(database, { sessions: 8, messages: 30 });
  for (const suffix of ['', '-wal']) copyFileSync(file + suffix, join(directory, `copy${suffix}`));
  const rows = truth(database);
  database.close();
  const log = readFileSync(join(directory, 'copy-wal'));
  const frames = Math.floor((log.byteLength - logHeaderBytes) / frameBytes);
  const ends = Array.from({ length: frames }, (_, index) => log.readUInt32BE(frameAt(index) + 4) > 0);
  return { database: readFileSync(join(directory, 'copy')), log, rows, frames, ends };
}

function frameAt(index: number): number {
  return logHeaderBytes + index * frameBytes;
}

function pagesOf(database: Buffer, log: Buffer): PageFile {
  return new PageFile(inMemoryFile(database), inMemoryFile(log));
}

function rowsOf(pages: PageFile): ReadonlySet<string> {
  const fresh = openFile(sqlite, ':memory:');
  rescue(pages, fresh, { sessions: true });
  const rows = truth(fresh);
  fresh.close();
  return rows;
}

t.test('any one bit that flips in a frame is found, also in the last commit', async (t: Test) => {
  const { database, log, rows, frames } = recorded(t.testdir());
  const dice = seededEntropy(1);
  t.equal(pagesOf(database, log).logDamaged, false, 'a whole log is whole');
  const places = Array.from({ length: frames }, (_, index) => [
    frameAt(index) + Math.floor(dice.fraction() * frameHeaderBytes),
    frameAt(index) + salts.from + Math.floor(dice.fraction() * (salts.to - salts.from)),
    frameAt(index) + Math.floor(dice.fraction() * frameBytes),
    frameAt(index) + Math.floor(dice.fraction() * frameBytes),
  ]).flat();
  const overlooked: string[] = [];
  let restored = 0;
  for (const [index, place] of places.entries()) {
    const bit = Math.floor(dice.fraction() * 8);
    const damaged = Buffer.from(log);
    damaged[place] = (damaged[place] as number) ^ (1 << bit);
    const pages = pagesOf(database, damaged);
    if (!pages.logDamaged) overlooked.push(`bit ${bit} of byte ${place}`);
    if (index % 10 === 0 && [...rows].every((row) => rowsOf(pages).has(row))) restored += 10;
  }
  t.same(overlooked, []);
  t.ok(restored > places.length * 0.5, `in ${restored} of ${places.length} nothing is lost`);
});

t.test('what a power cut leaves of the last commit is no damage, and nothing of it counts', async (t: Test) => {
  const { database, log, frames, ends } = recorded(t.testdir());
  const before = ends.lastIndexOf(true, frames - 2) + 1;
  const last = frames - before;
  const dice = seededEntropy(2);
  t.ok(last >= 1 && ends[frames - 1] === true);
  for (let round = 0; round < 200; round++) {
    const torn = Buffer.from(log);
    let holes = 0;
    for (let at = frameAt(before); at < log.byteLength; at += sectorBytes) {
      if (dice.fraction() < 0.5) continue;
      torn.fill(0, at, Math.min(at + sectorBytes, log.byteLength));
      holes++;
    }
    if (holes === 0) continue;
    t.equal(pagesOf(database, torn).logDamaged, false, `round ${round}`);
  }
});

t.test('a log with a flipped bit in its last commit gives all rows to the fresh file', async (t: Test) => {
  const { database, log, rows, frames } = recorded(t.testdir());
  const damaged = Buffer.from(log);
  const place = frameAt(frames - 1) + frameHeaderBytes + 4000;
  damaged[place] = (damaged[place] as number) ^ 1;
  const pages = pagesOf(database, damaged);
  t.equal(pages.logDamaged, true);
  const kept = rowsOf(pages);
  t.same(
    [...rows].filter((row) => !kept.has(row)),
    [],
  );
});
