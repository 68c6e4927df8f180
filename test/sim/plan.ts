// What a seed stands for: how the device is set up, who sends, and what can befall it.
//
// Each run leaves most kinds of trouble out, so that those it has meet often. Three families: storms (most seeds);
// calm runs, in which nothing fails and the order of priorities is judged; and a month without the hub.

import { storeQuotaBytesMin } from '../../src/limits.ts';
import type { RouteSpec } from '../../src/router/index.ts';
import type { Dice } from './dice.ts';
import type { LifeOptions } from './life.ts';
import type { SenderOptions } from './sender.ts';

export type Family = 'storm' | 'calm' | 'month';

export const troubles = [
  'power',
  'kill',
  'restart',
  'thread',
  'disk-error',
  'disk-full',
  'disk-readonly',
  'disk-stall',
  'line-cut',
  'line-down',
  'line-flap',
  'line-silent',
  'hub-part',
  'hub-mute',
  'hub-slow',
  'hub-refuse',
  'clock',
  'module-away',
  'module-fail',
  'routes',
] as const;
export type Trouble = (typeof troubles)[number];

export interface Plan {
  readonly family: Family;
  readonly steps: number;
  readonly stepMsMax: number;
  readonly troubles: readonly Trouble[];
  /** Of all steps, how many bring trouble. */
  readonly troublePart: number;
  readonly life: LifeOptions;
  readonly senders: readonly Omit<SenderOptions, 'deviceId'>[];
  readonly burstMax: number;
  readonly hasTtl: boolean;
  readonly tellsSpace: boolean;
  /** Whether the hub takes frames, and which it refuses (hub.ts); undefined: it knows none. */
  readonly frames: { readonly refusesEach: number | undefined } | undefined;
}

export const inputs = ['a/inputs/in', 'b/inputs/in'] as const;
const monthEvery = 1000;
const calmEvery = 8;
const laterEvery = 3;
const framesFor = 8;
const largeQuota = 64 * 1024 * 1024;
const kib = 1024;

export function drawPlan(seed: number, dice: Dice): Plan {
  const family: Family = seed % monthEvery === 0 ? 'month' : seed % calmEvery === 0 ? 'calm' : 'storm';
  const storms = family === 'storm';
  const chosen = storms ? troubles.filter(() => dice.chance(0.25)) : [];
  const scarce = storms && dice.chance(0.2);
  const hasTtl = storms && dice.chance(0.3);
  const liveFirst = storms && dice.chance(0.25);
  const senders = drawSenders(dice, scarce);
  return {
    family,
    steps: family === 'storm' ? 12 + dice.below(24) : 10,
    stepMsMax: dice.pick([200, 2000, 2000, 20_000]),
    troubles: chosen.length > 0 || !storms ? chosen : [dice.pick(troubles)],
    troublePart: 0.2 + dice.fraction() * 0.5,
    burstMax: scarce ? 12 : dice.pick([3, 10, 10, 60]),
    hasTtl,
    tellsSpace: dice.chance(0.5),
    senders,
    // Not drawn, as `later` below: eight seeds with, eight without, so that they meet calm runs and months as well.
    frames:
      Math.floor(seed / framesFor) % 2 === 0 ? { refusesEach: seed % 4 === 3 ? 1 + (seed % 9) : undefined } : undefined,
    life: {
      quotaBytes: scarce ? storeQuotaBytesMin : largeQuota,
      segmentBytes: dice.pick([4, 16, 64, 256]) * kib,
      drain: liveFirst ? { liveFirst: { backlogPerSecond: dice.chance(0.5) ? 20 + dice.below(80) : undefined } } : {},
      routes: drawRoutes(dice, hasTtl),
      timeToLiveSecs: hasTtl ? 7200 : 0,
      watches: !liveFirst && !scarce && !hasTtl,
      commitWorkMsMax: dice.pick([2, 20, 100]),
      // Not drawn, so that the runs of the other seeds stay what they are.
      later: seed % laterEvery === 2 ? { syncMsMax: 1 + (seed % 60), commitMessages: 1 + (seed % 8) } : undefined,
    },
  };
}

function drawSenders(dice: Dice, scarce: boolean): Omit<SenderOptions, 'deviceId'>[] {
  return Array.from({ length: 2 + dice.below(3) }, (_, index) => ({
    module: `s${index}`,
    output: 'out',
    counts: index % 2 === 0,
    bodyBytesMax: scarce ? 60 * kib : dice.pick([200, 200, 2000]),
    underWayMax: dice.pick([1, 10, 50]),
    urgentPart: dice.pick([0, 0, 0.1]),
  }));
}

/** Every source upstream, some twice, some to inputs as well; now and then one that is not routed at all. */
export function drawRoutes(dice: Dice, hasTtl: boolean): RouteSpec[] {
  const routes: RouteSpec[] = [];
  const add = (source: string, sink: string): void => {
    routes.push({
      name: `r${routes.length}`,
      text: `FROM ${source} INTO ${sink}`,
      ...(dice.chance(0.6) ? { priority: dice.below(10) } : {}),
      ...(hasTtl && dice.chance(0.5) ? { timeToLiveSecs: dice.pick([2, 30, 600]) } : {}),
    });
  };
  for (let index = 0; index < 4; index++) {
    if (dice.chance(0.9)) add(`/messages/modules/s${index}/*`, '$upstream');
    if (dice.chance(0.25)) add(`/messages/modules/s${index}/outputs/out`, `BrokeredEndpoint("/modules/a/inputs/in")`);
  }
  if (dice.chance(0.3)) add('/messages/*', `BrokeredEndpoint("/modules/b/inputs/in")`);
  if (dice.chance(0.3)) add('/messages/*', '$upstream');
  if (routes.length === 0) add('/messages/*', '$upstream');
  return routes;
}
