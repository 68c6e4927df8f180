// What `make sim SEED=n` and `make sim-long SEEDS=n` play: one run with its story, or many from SEED on without.
// `run.ts digests SEED,SEED,…` prints what each of them comes to, a line each.

import { Databases } from './databases.ts';
import { Digest } from './digest.ts';
import { simulate } from './simulation.ts';

const databases = new Databases();
const [first = '1', count] = process.argv.slice(2);
const mode = first === 'digests' ? 'digests' : count === undefined ? 'one' : 'many';

async function one(seed: number): Promise<boolean> {
  try {
    const digest = new Digest();
    const outcome = await simulate(seed, databases, { write: (line) => void process.stdout.write(line), digest });
    console.log(JSON.stringify({ ...outcome, digest: digest.end() }));
    return true;
  } catch (error) {
    console.log(error);
    return false;
  }
}

async function many(from: number, seeds: number): Promise<boolean> {
  let failed = 0;
  const startedMs = Date.now();
  let [messages, lives, simulatedMs] = [0, 0, 0];
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      const outcome = await simulate(seed, databases);
      messages += outcome.acknowledged;
      lives += outcome.lives;
      simulatedMs += outcome.simulatedMs;
    } catch (error) {
      failed++;
      console.log(
        `seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 4).join('\n  ') : String(error)}`,
      );
    }
  }
  const hours = Math.round(simulatedMs / 3_600_000);
  console.log(
    `${seeds} seeds from ${from}: ${failed} failed; ${messages} messages acknowledged in ${lives} lives and ${hours} simulated hours, in ${Date.now() - startedMs} ms`,
  );
  return failed === 0;
}

async function digests(seeds: readonly number[]): Promise<boolean> {
  for (const seed of seeds) {
    const digest = new Digest();
    const end = await simulate(seed, databases, { digest }).then(
      ({ acknowledged }) => `${acknowledged} acknowledged`,
      (error: unknown) => String(error),
    );
    console.log(`${seed} ${digest.end()} ${end}`);
  }
  return true;
}

const modes = {
  one: () => one(Number(first)),
  many: () => many(Number(first), Number(count)),
  digests: () => digests((count ?? '').split(',').map(Number)),
};

void modes[mode]().then((ok) => {
  process.exitCode = ok ? 0 : 1;
});
