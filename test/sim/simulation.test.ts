// The data path under drawn trouble: thousands of short lives, each a function of its seed.
//
// SIM_SEEDS=n plays as many, SIM_FIRST=n from that one on. What fails is told with the command that repeats it.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import { Databases } from './databases.ts';
import { Digest } from './digest.ts';
import { keptSeeds, openSeeds } from './seeds.ts';
import { type Outcome, simulate } from './simulation.ts';
import type { RunReader } from './world.ts';

/** The first that stands for a month; it has a test of its own. */
const monthSeed = 1000;
const seeds = Number(process.env['SIM_SEEDS'] ?? monthSeed - 1);
const first = Number(process.env['SIM_FIRST'] ?? 1);
const failuresTold = 5;

async function play(t: Test, list: Iterable<number>): Promise<readonly Outcome[]> {
  const databases = new Databases();
  const outcomes: Outcome[] = [];
  let failures = 0;
  const open = new Set(openSeeds.map(({ seed }) => seed));
  for (const seed of list) {
    if (open.has(seed)) continue;
    try {
      outcomes.push(await simulate(seed, databases));
    } catch (error) {
      t.fail(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}; make sim SEED=${seed} tells it`);
      if (++failures >= failuresTold) break;
    }
  }
  return outcomes;
}

function* numbers(from: number, count: number): Generator<number> {
  for (let n = from; n < from + count; n++) yield n;
}

t.test('seeds that found something once', async (t: Test) => {
  await play(
    t,
    keptSeeds.map(({ seed }) => seed),
  );
  t.pass();
});

t.test(
  `nothing acknowledged is lost, nothing arrives twice or out of order, in ${seeds} drawn runs`,
  async (t: Test) => {
    const outcomes = await play(t, numbers(first, seeds));
    const sum = (of: (outcome: Outcome) => number): number =>
      outcomes.reduce((total, outcome) => total + of(outcome), 0);
    t.ok(sum(({ arrived }) => arrived) > seeds * 10, 'messages arrive');
    t.ok(sum(({ judged }) => judged) > seeds, 'the order of priorities is judged');
    t.ok(sum(({ repeated }) => repeated) > 0, 'repetitions are met, and recognised');
    t.ok(sum(({ frames }) => frames) > seeds, 'messages go in frames');
    t.ok(sum(({ framesRefused }) => framesRefused) > 0, 'frames are refused');
    t.ok(sum(({ lives }) => lives) > seeds * 1.5, 'devices die and come back');
  },
);

t.test('thirty days without the hub: all of it arrives', async (t: Test) => {
  const [month] = await play(t, [monthSeed]);
  t.equal(month?.family, 'month');
  t.ok((month?.simulatedMs ?? 0) >= 30 * 86_400_000, 'thirty days passed');
  t.ok((month?.acknowledged ?? 0) > 1000, `${month?.acknowledged} were acknowledged`);
  t.ok((month?.arrived ?? 0) >= (month?.acknowledged ?? 0), `${month?.arrived} arrived, some at several places`);
});

t.test(
  'the same seed gives the same run, whichever came before, in any process, and whoever looks on',
  async (t: Test) => {
    const seeds = [5, 8, 12, 79, 84, 171];
    const databases = new Databases();
    const digestOf = async (seed: number, reader: RunReader = {}): Promise<string> => {
      const digest = new Digest();
      await simulate(seed, databases, { ...reader, digest });
      return `${seed} ${digest.end()}`;
    };
    const here: string[] = [];
    for (const seed of seeds) here.push(await digestOf(seed));
    const again: string[] = [];
    for (const seed of [...seeds].reverse()) again.unshift(await digestOf(seed, { write: () => undefined }));
    t.same(again, here, 'in another order, with somebody who reads the story');
    t.equal(new Set(here.map((line) => line.split(' ')[1])).size, seeds.length, 'and each seed gives a run of its own');
    const program = join(t.testdir(), 'sim.cjs');
    await build({
      entryPoints: [join(process.cwd(), 'test/sim/run.ts')],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      packages: 'external',
      logLevel: 'error',
      define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(process.cwd(), 'src/platform/native.ts')).href) },
    });
    const env = { ...process.env, NODE_PATH: join(process.cwd(), 'node_modules') };
    const elsewhere = seeds.map((seed) => {
      const line = execFileSync(process.execPath, [program, 'digests', String(seed)], { env, encoding: 'utf8' });
      return line.split(' ').slice(0, 2).join(' ');
    });
    t.same(elsewhere, here, 'each first in a process of its own');
  },
);
