// The data path under drawn trouble: thousands of short lives, each a function of its seed.
//
// SIM_SEEDS=n plays as many, SIM_FIRST=n from that one on. What fails is told with the command that repeats it.

import t, { type Test } from 'tap';
import { Databases } from './databases.ts';
import { keptSeeds, openSeeds } from './seeds.ts';
import { type Outcome, simulate } from './simulation.ts';

const seeds = Number(process.env['SIM_SEEDS'] ?? 1000);
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
    t.ok(sum(({ lives }) => lives) > seeds * 1.5, 'devices die and come back');
  },
);

t.test('the same seed gives the same run', async (t: Test) => {
  const lines = async (): Promise<readonly string[]> => {
    const story: string[] = [];
    await simulate(5, new Databases(), (line) => void story.push(line));
    return story;
  };
  t.same(await lines(), await lines());
});
