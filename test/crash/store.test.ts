// The Store killed with SIGKILL, life after life over the same directory, and each time looked at as it was left.
//
//   open ─► tell what is there ─► append, drain, save ─► ✗ ─► open …
//
// Most lives end at a chosen system call: before it, after half of the bytes of a write, or after it; the calls of the
// opening count as well. The others end at a moment. CRASH_SEEDS=1,2,… chooses the seeds, a chain of lives each.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { until } from '../support/world/program.ts';
import type { Plan } from './store-life.ts';
import { bundleStoreProgram, type StoreProgram, startStore } from './store-program.ts';
import { Ledger, parseMarks } from './workload.ts';

const seeds = (process.env['CRASH_SEEDS'] ?? Array.from({ length: 8 }, (_, index) => index + 1).join())
  .split(',')
  .map(Number);
const lives = 25;
/** Chains at a time. */
const jobs = 2;
const testMs = 600_000;
const lifeMs = 300_000;
const changes = 'create,write,sync,truncate,rename,unlink,mkdir';
/** System calls that change something in a long life; the first of them are those of the opening. */
const callsMax = 100;
const openingCalls = 20;

t.jobs = jobs;
t.setTimeout(testMs * seeds.length);
// Memory stands in for the disk: a killed process leaves the same there, and a round is quicker.
const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weir-crash-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const bundled = bundleStoreProgram(home);

/** How a life ends, told in one line. */
interface End {
  readonly told: string;
  readonly rules: readonly string[];
  /** SIGKILL from outside after so many marks and milliseconds. */
  readonly after?: { readonly marks: number; readonly ms: number };
}

function drawEnd(draw: () => number): End {
  if (draw() < 0.2) {
    const after = { marks: Math.floor(draw() * 120), ms: draw() * 8 };
    return { told: `killed ${after.ms.toFixed(1)} ms after mark ${after.marks}`, rules: [], after };
  }
  const where = ['before', 'half', 'after'][Math.floor(draw() * 3)] ?? 'before';
  const call = 1 + Math.floor(draw() * (draw() < 0.4 ? openingCalls : callsMax));
  const rule = `${changes} kill-${where} * ${call}`;
  return { told: rule, rules: [rule] };
}

class Chain {
  readonly ledger = new Ledger();
  readonly ends: string[] = [];
  readonly #program: StoreProgram;
  readonly #directory: string;
  readonly #draw: () => number;
  readonly #size: 'small' | 'large';
  readonly #seed: number;
  kills = 0;

  constructor(program: StoreProgram, seed: number) {
    this.#program = program;
    this.#seed = seed;
    this.#draw = seededEntropy(seed).fraction;
    this.#directory = join(home, `seed-${seed}`);
    // One chain in four has messages large enough to fill and release whole files.
    this.#size = seed % 4 === 0 ? 'large' : 'small';
    mkdirSync(this.#directory);
  }

  async live(life: number, end: End | undefined): Promise<void> {
    const rules = join(this.#directory, 'rules');
    const marks = join(this.#directory, `marks-${life}`);
    const data = join(this.#directory, 'data');
    setRules(rules, end?.rules ?? []);
    const plan: Plan = {
      seed: this.#seed * lives + life,
      life,
      first: this.ledger.last + 1,
      last: this.ledger.last + (this.#size === 'large' ? 30 : 120),
      size: this.#size,
      windowMax: 1 + Math.floor(this.#draw() ** 2 * 60),
      drain: this.#draw(),
    };
    const env = end?.rules.length === 0 ? {} : faultDiskEnv({ root: data, rules });
    const program = startStore(this.#program, { directory: data, marks, plan, env });
    const { after } = end ?? {};
    if (after !== undefined) {
      const count = (): number => (existsSync(marks) ? parseMarks(readFileSync(marks, 'utf8')).length : 0);
      await until('marks', lifeMs, () => (count() > after.marks || !program.running ? true : undefined));
      await new Promise((resolve) => setTimeout(resolve, after.ms));
      await program.end('SIGKILL');
    }
    const { code, stderr } = await program.result();
    if (code === null) this.kills += 1;
    this.ends.push(`${end?.told ?? 'to its end'}: ${code === null ? 'killed' : `ended with ${code}`}`);
    if (code !== null && code !== 0) this.ledger.faults.push(`life ${life} ended with ${code}: ${stderr}`);
    for (const mark of parseMarks(existsSync(marks) ? readFileSync(marks, 'utf8') : '')) this.ledger.take(mark);
    rmSync(marks, { force: true });
  }

  async run(): Promise<void> {
    for (let life = 0; life < lives && this.ledger.faults.length === 0; life++)
      await this.live(life, drawEnd(this.#draw));
    // Twice in order: the first tells what the last kill left, the second what an orderly end leaves.
    if (this.ledger.faults.length === 0) await this.live(lives, undefined);
    if (this.ledger.faults.length === 0) await this.live(lives + 1, undefined);
  }
}

for (const seed of seeds) {
  t.test(
    `the store keeps what it acknowledged, killed at any call, seed ${seed}`,
    { timeout: testMs },
    async (t: Test) => {
      const chain = new Chain(await bundled, seed);
      await chain.run();
      const { ledger, ends, kills } = chain;
      if (ledger.faults.length > 0) t.comment(`CRASH_SEEDS=${seed}\n${ends.join('\n')}`);
      t.same(ledger.faults.slice(0, 20), []);
      t.ok(kills > lives / 2, `${kills} lives of ${lives} ended by SIGKILL`);
      t.ok(ledger.acknowledged > lives, `${ledger.acknowledged} messages acknowledged`);
    },
  );
}
