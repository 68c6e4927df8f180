// The router's language and table by themselves, in this process: nanoseconds of one message.
//
// A batch is timed at a time; of sixty and more the lower tenth is told: what it takes when nobody takes the processor away,
// which on a busy machine most batches are not spared.

import { createMetrics } from '../../../src/platform/metrics.ts';
import type { RouterStore } from '../../../src/router/index.ts';
import { Router } from '../../../src/router/index.ts';
import { readRoutes } from '../../../src/router/route-set.ts';
import { RouteTable } from '../../../src/router/route-table.ts';
import { keptLog } from '../../support/quiet-log.ts';
import { SimClock } from '../../support/sim-clock.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { reading } from './cases.ts';

const batches = 60;

export function tableOf(texts: readonly string[]): RouteTable {
  const specs = texts.map((text, at) => ({ name: `r${at}`, text }));
  const { routes, problems } = readRoutes(specs, { timeToLiveSecs: 0 });
  const [problem] = problems;
  if (problem !== undefined) throw new TypeError(problem.message);
  return new RouteTable(routes);
}

/** Nanoseconds that finding the targets of one message takes. */
export function dispatchNs(texts: readonly string[], milliseconds: number): number {
  const table = tableOf(texts);
  return undisturbedNs(milliseconds, () => table.targetsOf(reading).length);
}

/** Nanoseconds of one message through accept(), with a store that takes it at once. */
export async function acceptNs(texts: readonly string[], milliseconds: number): Promise<number> {
  const store: RouterStore = {
    epoch: 'bench',
    append: async () => 'stored',
    read: async () => [],
    confirm: async () => undefined,
    onAppended: () => () => undefined,
    lanes: async () => [],
  };
  const clock = new SimClock();
  const router = new Router(
    { store, clock, log: keptLog(clock).log, metrics: createMetrics(), entropy: seededEntropy(1) },
    { timeToLiveSecs: 0 },
  );
  router.setRoutes(
    texts.map((text, at) => ({ name: `r${at}`, text })),
    { timeToLiveSecs: 0 },
  );
  const together = 64;
  const once = async (): Promise<void> => {
    await Promise.all(Array.from({ length: together }, () => router.accept(reading)));
  };
  const endMs = performance.now() + milliseconds;
  const each: number[] = [];
  while (performance.now() < endMs || each.length < batches) {
    const startNs = process.hrtime.bigint();
    await once();
    each.push(Number(process.hrtime.bigint() - startNs) / together);
  }
  return lowerTenth(each);
}

function undisturbedNs(milliseconds: number, work: () => number): number {
  let size = 1;
  for (;;) {
    const startNs = process.hrtime.bigint();
    for (let at = 0; at < size; at++) work();
    if (Number(process.hrtime.bigint() - startNs) > (milliseconds * 1e6) / batches) break;
    size *= 2;
  }
  const each: number[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const startNs = process.hrtime.bigint();
    for (let at = 0; at < size; at++) work();
    each.push(Number(process.hrtime.bigint() - startNs) / size);
  }
  return lowerTenth(each);
}

function lowerTenth(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 10)] as number;
}
