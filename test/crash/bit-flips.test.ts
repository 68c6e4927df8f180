// Bits flip in the files of the data directory: the Store starts, hands out nothing that is not what was stored, keeps
// what lay elsewhere, and what it lost it has counted. BIT_SEEDS=1,2,… chooses the seeds.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { bundleStoreProgram, StoreHost, type StoreProgram, startStore } from './store-program.ts';
import { documentKeys, type Found, type Inventory, Ledger, parseMarks } from './workload.ts';

const seeds = (process.env['BIT_SEEDS'] ?? Array.from({ length: 100 }, (_, index) => index + 1).join())
  .split(',')
  .map(Number);
const testMs = 1_200_000;
const messages = 200;
/** One commit holds so many, so that one flip costs few. */
const windowMax = 3;
const flipsMax = 3;
const liveOn = 10;
/** A frame of the log, in every lane it goes to; counted twice, since the frame before may have to go with it. */
const lostPerFlipMax = windowMax * 2 * 2;
const callsBeforeKill = 400;

t.setTimeout(testMs);
const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weir-flips-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const bundled = bundleStoreProgram(home);

interface Original {
  readonly directory: string;
  readonly truth: Inventory;
  /** Every number that a document ever had. */
  readonly saved: ReadonlySet<number>;
}

/** A directory with messages and documents, left in order or by a kill. */
async function makeOriginal(
  program: StoreProgram,
  host: StoreHost,
  { name, isKilled }: { readonly name: string; readonly isKilled: boolean },
): Promise<Original> {
  const directory = join(home, name);
  const file = (of: string): string => join(home, `${name}-${of}`);
  mkdirSync(directory);
  setRules(file('rules'), isKilled ? [`any kill-after * ${callsBeforeKill}`] : []);
  const plan = { seed: 7, life: 1, first: 1, last: messages, size: 'small', windowMax, drain: 0.3 } as const;
  const env = faultDiskEnv({ root: directory, rules: file('rules') });
  await startStore(program, { directory, marks: file('marks'), plan, env }).result();
  const ledger = new Ledger();
  const marks = parseMarks(readFileSync(file('marks'), 'utf8'));
  for (const mark of marks) ledger.take(mark);
  // Looked at in a copy: what was left by the kill stays as it is.
  cpSync(directory, file('copy'), { recursive: true });
  const found = (await host.live({ directory: file('copy'), size: 'small' })).marks[0];
  if (found?.[0] !== 'found') throw new TypeError('the original does not open');
  const faults = ledger.judge(found[1]);
  if (faults.length > 0) throw new TypeError(faults.join('\n'));
  const saved = new Set(marks.flatMap((mark) => (mark[0] === 'save' ? [mark[2]] : [])));
  return { directory, truth: found[1], saved };
}

/** Of the file's part that holds something. */
function flip(path: string, draw: () => number): string {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 1 && bytes[end - 1] === 0) end--;
  const flips = Array.from({ length: 1 + Math.floor(draw() * flipsMax) }, () => {
    const at = Math.floor(draw() * end);
    const bit = Math.floor(draw() * 8);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
    return `${at}.${bit}`;
  });
  writeFileSync(path, bytes);
  return flips.join(' ');
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('-shm'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1))
    .filter((name) => readFileSync(join(directory, name)).length > 0)
    .sort();
}

interface Loss {
  readonly faults: string[];
  readonly missing: number;
}

/** What the lanes hold was stored so, and is in its order; how much of the truth is not there. */
function compare(truth: Inventory, found: Inventory): Loss {
  const faults: string[] = [];
  let missing = 0;
  for (const [lane, entries] of found.lanes.entries()) {
    const known = new Map((truth.lanes[lane] ?? []).map((one) => [one.n, one]));
    let before: Found | undefined;
    for (const one of entries) {
      const what = `lane ${lane}: message ${one.n}`;
      const original = known.get(one.n);
      if (!one.whole) faults.push(`${what} is not what was stored`);
      // A confirmation that was lost brings back what had arrived: the receiver knows it.
      if (one.n > messages) faults.push(`${what} was not there`);
      if (original !== undefined && found.epoch === truth.epoch && original.hop !== one.hop)
        faults.push(`${what} was ${original.hop}, is ${one.hop}`);
      if (before !== undefined && (before.n >= one.n || before.offset >= one.offset))
        faults.push(`${what} comes after ${before.n}`);
      before = one;
      known.delete(one.n);
    }
    missing += known.size;
  }
  return { faults, missing };
}

/** Losses whose lane is not known stand in the log alone. */
function toldLost(log: string): number {
  return [...log.matchAll(/ (?:lost|messagesLost)=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
}

function judge(
  { truth, saved }: Original,
  { found, file, log }: { readonly found: Inventory; readonly file: string; readonly log: string },
): readonly string[] {
  const { faults, missing } = compare(truth, found);
  // SQLite takes a damaged frame of its log for the end of it.
  const isLog = file.endsWith('-wal');
  for (const key of documentKeys) {
    const value = found.documents[key] ?? 0;
    if (value !== 0 && !saved.has(value)) faults.push(`document ${key} is ${value}, which it never was`);
    if (value !== truth.documents[key] && log === '' && !isLog)
      faults.push(`document ${key} is another, and nobody says so`);
  }
  // Messages lie in a log of their own: no other file costs one, and a flip in it no more than what it hit.
  if (existsOutbox(file) === undefined) {
    if (missing > 0 && log === '' && !isLog) faults.push(`${missing} messages are missing, and nobody says so`);
    return faults;
  }
  const counted = found.dropped - truth.dropped + toldLost(log);
  if (missing > 0 && !existsOutbox(file)) faults.push(`${missing} messages are missing, which lay elsewhere`);
  // The last commit of all, damaged, is one that was never finished, as far as anybody can tell.
  if (missing > counted + windowMax * 2) faults.push(`${missing} messages are missing, ${counted} are counted`);
  if (missing > flipsMax * lostPerFlipMax) faults.push(`${missing} messages are missing after a few flips`);
  return faults;
}

let hasOutbox = false;
/** Whether the file is part of the outbox; undefined where messages are kept in the database. */
function existsOutbox(file: string): boolean | undefined {
  return hasOutbox ? file.startsWith('outbox/') : undefined;
}

t.test('bits flip in any file of the data directory', { timeout: testMs }, async (t: Test) => {
  const program = await bundled;
  const host = new StoreHost(program);
  t.teardown(() => host.close());
  const originals = [
    await makeOriginal(program, host, { name: 'closed', isKilled: false }),
    await makeOriginal(program, host, { name: 'killed', isKilled: true }),
  ];
  hasOutbox = originals.some(({ directory }) => existsSync(join(directory, 'outbox')));
  t.comment(originals.map(({ directory }) => filesIn(directory).join(' ')).join(' | '));
  for (const seed of seeds) {
    const draw = seededEntropy(seed).fraction;
    const original = originals[seed % originals.length]!;
    const directory = join(home, `seed-${seed}`);
    cpSync(original.directory, directory, { recursive: true });
    const files = filesIn(directory);
    const file = files[Math.floor(seed / originals.length) % files.length] ?? '';
    const flips = flip(join(directory, file), draw);
    const plan = {
      seed,
      life: 9,
      first: messages + 1,
      last: messages + liveOn,
      size: 'small',
      windowMax,
      drain: 0,
    } as const;
    const first = await host.live({ directory, size: 'small', plan });
    const found = first.marks[0]?.[0] === 'found' ? first.marks[0][1] : undefined;
    const faults = found === undefined ? ['it does not open'] : [...judge(original, { found, file, log: first.log })];
    if (first.marks.at(-1)?.[0] !== 'closed') faults.push('it did not come to its end');
    const second = await host.live({ directory, size: 'small' });
    const after = second.marks[0]?.[0] === 'found' ? second.marks[0][1] : undefined;
    if (after === undefined) faults.push('it does not open a second time');
    else if (found !== undefined) faults.push(...gone(found, after));
    if (faults.length > 0) t.comment(`BIT_SEEDS=${seed}: ${file} at ${flips}\n${first.log}${second.log}`);
    t.same(faults.slice(0, 5), [], `seed ${seed}, ${file}`);
    rmSync(directory, { recursive: true });
  }
});

/** What was found the first time and what was stored then is there the second time. */
function gone(found: Inventory, after: Inventory): readonly string[] {
  const faults: string[] = [];
  for (const [lane, entries] of after.lanes.entries()) {
    const there = new Set(entries.map(({ n }) => n));
    for (const { n } of found.lanes[lane] ?? []) if (!there.has(n)) faults.push(`lane ${lane}: ${n} went afterwards`);
  }
  const stored = new Set(after.lanes.flat().map(({ n }) => n));
  for (let n = messages + 1; n <= messages + liveOn; n++)
    if (!stored.has(n)) faults.push(`${n} was stored and is gone`);
  return faults;
}
