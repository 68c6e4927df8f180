// `make bench-store`: the store beside SQLite alone and mosquitto; a table on standard output, all of it as JSON.
//
//   node bench-store.mjs [--rounds N] [--cases A,B] [--seconds S] [--backlog N] [--json FILE] [--profile DIR]
//
// Exit codes: 0 every goal met, 1 failed, 2 wrong usage, 3 a goal missed. docs/bench.md tells the method.

import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseSets, type StoreCaseSet, storeRows } from './cases.ts';
import { bundleChildren } from './child.ts';
import { rowFigures, rowsText } from './figures.ts';
import { StoreRuns } from './runs.ts';

const exitUsage = 2;
const exitMissed = 3;
const tmpfsType = 0x01021994;

interface Choice {
  readonly sets: readonly StoreCaseSet[];
  readonly rounds: number;
  readonly seconds: number;
  readonly backlog: number;
  readonly jsonFile: string;
  readonly profiles: string | undefined;
}

function choose(): Choice {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      cases: { type: 'string', default: '' },
      seconds: { type: 'string', default: '3' },
      backlog: { type: 'string', default: '5000000' },
      json: { type: 'string', default: 'out/bench/store.json' },
      profile: { type: 'string' },
    },
  });
  const [rounds, seconds, backlog] = [Number(values.rounds), Number(values.seconds), Number(values.backlog)];
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new TypeError(`ROUNDS is a whole number from 1, not ${values.rounds}`);
  if (!(seconds > 0)) throw new TypeError(`SECONDS is a number above 0, not ${values.seconds}`);
  if (!Number.isInteger(backlog) || backlog < 1)
    throw new TypeError(`BACKLOG is a whole number from 1, not ${values.backlog}`);
  const sets = chooseSets(values.cases);
  const isSmoke = sets.every((set) => set === 'smoke');
  return { sets, rounds: isSmoke ? 1 : rounds, seconds, backlog, jsonFile: values.json, profiles: values.profile };
}

/** Where files are on a disk: a temporary directory in memory would make everything fast and nothing durable. */
function diskDirectory(): string {
  if (statfsSync(tmpdir()).type === tmpfsType) process.env['TMPDIR'] = '/var/tmp';
  return mkdtempSync(join(tmpdir(), 'weir-bench-store-'));
}

async function measure(choice: Choice, directory: string): Promise<boolean> {
  const startedAt = new Date();
  const say = (text: string): void =>
    void process.stdout.write(`${((Date.now() - startedAt.getTime()) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
  const loadBefore = loadavg()[0] ?? 0;
  const parts = join(directory, 'parts');
  await bundleChildren(parts);
  const children = { directory: parts, profiles: choice.profiles };
  const { seconds, backlog } = choice;
  const runs = new StoreRuns({ children, directory, seconds, backlog, say });
  for (let round = 1; round <= choice.rounds; round++) for (const set of choice.sets) await runs.run(set, round);
  const rows = storeRows.filter(({ set }) => choice.sets.includes(set)).map((row) => rowFigures(row, runs.samples));
  const load = { before: loadBefore, after: loadavg()[0] ?? 0 };
  process.stdout.write(`\n${rowsText(rows)}\n\n`);
  if (runs.isOwnDisk === false)
    process.stdout.write('Bytes on the device are those of all who wrote: no file system could be mounted.\n');
  process.stdout.write(
    `Load of the machine (${cpus().length} processors) at the beginning and the end: ${load.before.toFixed(1)}, ${load.after.toFixed(1)}.\n`,
  );
  const judged = rows.filter(({ verdict }) => verdict !== 'told');
  const met = judged.filter(({ verdict }) => verdict === 'met');
  process.stdout.write(`${met.length} of ${judged.length} goals met.\n`);
  const machine = { processors: cpus().length, model: cpus()[0]?.model, kernel: release() };
  const facts = { startedAt: startedAt.toISOString(), machine, load, isOwnDisk: runs.isOwnDisk, ...choice };
  mkdirSync(dirname(choice.jsonFile), { recursive: true });
  writeFileSync(choice.jsonFile, `${JSON.stringify({ ...facts, rows, samples: runs.samples }, null, 1)}\n`);
  process.stdout.write(`All of it: ${choice.jsonFile}\n`);
  return met.length === judged.length;
}

async function main(): Promise<void> {
  let choice: Choice;
  try {
    choice = choose();
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = exitUsage;
    return;
  }
  const directory = diskDirectory();
  try {
    process.exitCode = (await measure(choice, directory)) ? 0 : exitMissed;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
void main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
