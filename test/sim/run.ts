// What `make sim SEED=n` and `make sim-long SEEDS=n` play: one run with its story, or many from SEED on without.

import { Databases } from './databases.ts';
import { simulate } from './simulation.ts';

const databases = new Databases();
const [first = '1', count] = process.argv.slice(2);
const mode = count === undefined ? 'one' : 'many';

async function one(seed: number): Promise<boolean> {
  try {
    const outcome = await simulate(seed, databases, (line) => void process.stdout.write(line));
    console.log(JSON.stringify(outcome));
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

void (mode === 'one' ? one(Number(first)) : many(Number(first), Number(count))).then((ok) => {
  process.exitCode = ok ? 0 : 1;
});
