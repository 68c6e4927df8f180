// `make bench-broker`: weir beside mosquitto and aedes in one course; a table on standard output, all of it as JSON.
//
//   node bench.cjs [--rounds N] [--cases A,B] [--seconds S] [--json FILE] [--sources] [--only weir,mosquitto]
//
// Exit codes: 0 measured (whatever the verdicts: a machine that others use decides nothing), 1 failed,
// 2 wrong usage. docs/bench.md tells the method and how to read it.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BenchCase, chooseCases } from './cases.ts';
import { type Contender, contenders, hasBrokerCommand } from './contenders.ts';
import { type Course, CourseRun } from './course.ts';
import { type CaseFigures, caseFigures, figure, median, ours } from './figures.ts';
import { legend, nearLimit, reportText } from './report.ts';

const residentMbMax = 100;
const exitUsage = 2;

interface Choice {
  readonly cases: readonly BenchCase[];
  readonly rounds: number;
  readonly seconds: number;
  readonly jsonFile: string;
  readonly isFromSources: boolean;
  readonly only: readonly string[];
}

function choose(): Choice {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      cases: { type: 'string', default: '' },
      seconds: { type: 'string', default: '2' },
      json: { type: 'string', default: 'out/bench/broker.json' },
      sources: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
    },
  });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new TypeError(`ROUNDS is a whole number from 1, not ${values.rounds}`);
  if (!(seconds > 0)) throw new TypeError(`SECONDS is a number above 0, not ${values.seconds}`);
  const cases = chooseCases(values.cases);
  return {
    cases,
    rounds: cases.every(({ set }) => set === 'smoke') ? 1 : rounds,
    seconds,
    jsonFile: values.json,
    isFromSources: values.sources,
    only: values.only.split(',').filter((name) => name !== ''),
  };
}

/** Processors used by everything but broker and generator while they ran, median of the runs. */
function othersBusy({ samples }: Course): number | undefined {
  return median(
    samples.map(({ result }) => {
      const parts = ['machineBusy', 'brokerCpu', 'generatorCpu'].map((path) => figure(result, path));
      const [all, broker, generator] = parts;
      return all === undefined || broker === undefined || generator === undefined
        ? undefined
        : Math.max(0, all - broker - generator);
    }),
  );
}

function tell(figures: readonly CaseFigures[], course: Course, names: readonly string[]): void {
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  say(`\n${reportText(figures, names)}\n\n${legend()}`);
  const resident = Object.entries(course.residentMb).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
  if (resident.length > 0)
    say(`Most memory during all this, idle connections aside: ${resident.join(', ')} (weir may use ${residentMbMax}).`);
  const near = nearLimit(figures);
  if (near.length > 0)
    say(
      `The generator was near its own limit (the rate is a lower bound, CPU per message stands):\n  ${near.join('\n  ')}`,
    );
  const busy = othersBusy(course);
  if (busy !== undefined) say(`Other processes used ${busy.toFixed(2)} of ${cpus().length} processors meanwhile.`);
  const judged = figures.filter(({ verdict }) => verdict !== 'told');
  const missed = judged.filter(({ verdict }) => verdict === 'missed');
  const residentMissed = (course.residentMb[ours] ?? 0) > residentMbMax ? 1 : 0;
  say(`${judged.length - missed.length} of ${judged.length} goals met${residentMissed > 0 ? '; memory missed' : ''}.`);
}

function machine(): Readonly<Record<string, unknown>> {
  const [cpu] = cpus();
  const memory = /MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return { processors: cpus().length, model: cpu?.model, kernel: release(), memoryKb: Number(memory) };
}

async function measure(choice: Choice, chosen: readonly Contender[]): Promise<void> {
  const startedAt = new Date();
  const say = (text: string): void =>
    void process.stdout.write(`${((Date.now() - startedAt.getTime()) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
  const taking = chosen.filter(({ sets }) => choice.cases.some(({ set }) => sets === undefined || sets.includes(set)));
  for (const { name, version } of taking) say(`${name}: ${version}`);
  const run = new CourseRun(taking, { rounds: choice.rounds, seconds: choice.seconds, warmup: 0.5, say });
  const course = await run.run(choice.cases);
  const figures = choice.cases.map((benchCase) => caseFigures(benchCase, course.samples));
  tell(
    figures,
    course,
    taking.map(({ name }) => name),
  );
  mkdirSync(dirname(choice.jsonFile), { recursive: true });
  const facts = {
    startedAt: startedAt.toISOString(),
    machine: machine(),
    rounds: choice.rounds,
    seconds: choice.seconds,
    brokers: taking.map(({ name, version, command }) => ({ name, version, command })),
    othersBusy: othersBusy(course),
    residentMb: course.residentMb,
    cases: figures,
    samples: course.samples,
  };
  writeFileSync(choice.jsonFile, `${JSON.stringify(facts, null, 1)}\n`);
  process.stdout.write(`All of it: ${choice.jsonFile}\n`);
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
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  try {
    const weir = !choice.isFromSources && hasBrokerCommand() ? 'executable' : 'sources';
    const all = contenders({ directory, weir });
    const chosen = all.filter(({ name }) => choice.only.length === 0 || choice.only.includes(name));
    await measure(choice, chosen);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
void main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
