// From single runs to what is told: medians, ratios within a round, verdicts. Pure.
//
// A ratio is taken within one round, where both brokers met the same machine minutes apart at most, and the median
// of the rounds' ratios is told; the ratio of two medians would mix rounds.

import type { BenchCase, Goal } from './cases.ts';

/** One JSON line of mqtt-load. */
export type Result = Readonly<Record<string, unknown>>;

export interface Sample {
  readonly case: string;
  readonly contender: string;
  readonly round: number;
  readonly result: Result;
}

export interface ContenderFigures {
  readonly contender: string;
  /** Broker's CPU per message delivered (or per handshake), microseconds. */
  readonly cpuUs: number | undefined;
  readonly perSecond: number | undefined;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly kilobytes: number | undefined;
  /** Messages lost and doubled, all rounds together; QoS 0 may lose. */
  readonly lost: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly generatorCpu: number | undefined;
}

export interface CaseFigures {
  readonly name: string;
  readonly title: string;
  readonly contenders: readonly ContenderFigures[];
  /** mosquitto's CPU per message over weir's; above 1 weir needs less. */
  readonly efficiency: number | undefined;
  /** weir's rate over mosquitto's. */
  readonly rate: number | undefined;
  /** weir's p99 over mosquitto's; told for a latency goal only. */
  readonly p99: number | undefined;
  readonly goal: string;
  readonly verdict: 'met' | 'missed' | 'told';
  readonly why: string;
}

export const ours = 'weir';
export const theirs = 'mosquitto';
/** weir with its sessions on disk. */
export const durable = 'weir on disk';
export const limit = 'sink';

/** Throughput has to reach this part of what is asked of efficiency. */
const throughputPart = 0.8;

/** The number at `path` (`latencyUs.p99`), or undefined. */
export function figure(result: Result, path: string): number | undefined {
  let value: unknown = result;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const upper = known[known.length >> 1];
  if (upper === undefined || known.length % 2 === 1) return upper;
  return (upper + (known[(known.length >> 1) - 1] ?? upper)) / 2;
}

/** CPU per what is delivered; a drained queue counts with its queueing. */
export function cpuUs(result: Result): number | undefined {
  return (
    figure(result, 'brokerCpuUsPerMessage') ?? figure(result, 'brokerCpuUsPerConnect') ?? figure(result, 'storeCpuUs')
  );
}

export function perSecond(result: Result): number | undefined {
  for (const name of [
    'receivedPerSecond',
    'connectsPerSecond',
    'storedPerSecond',
    'drainedPerSecond',
    'heldPerSecond',
  ]) {
    const value = figure(result, name);
    if (value !== undefined) return value;
  }
  return undefined;
}

function milliseconds(microseconds: number | undefined): number | undefined {
  return microseconds === undefined ? undefined : microseconds / 1000;
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce((total: number, value) => total + (value ?? 0), 0);
}

function figuresOf(contender: string, results: readonly Result[]): ContenderFigures {
  const all = (path: string): (number | undefined)[] => results.map((result) => figure(result, path));
  const bytes = median(all('bytesPerConnection'));
  return {
    contender,
    cpuUs: median(results.map(cpuUs)),
    perSecond: median(results.map(perSecond)),
    p50Ms: milliseconds(median(all('latencyUs.p50'))),
    p99Ms: milliseconds(median(all('latencyUs.p99'))),
    kilobytes: bytes === undefined ? undefined : bytes / 1024,
    lost: sum(all('lost')),
    duplicates: sum(all('duplicates')),
    reordered: sum(all('reordered')),
    generatorCpu: median(all('generatorCpu')),
  };
}

/** The median of `value` of `over` divided by `value` of `under`, round by round. */
export function ratio(
  samples: readonly Sample[],
  {
    over,
    under,
    value,
  }: { readonly over: string; readonly under: string; readonly value: (result: Result) => number | undefined },
): number | undefined {
  const ratios = samples
    .filter(({ contender }) => contender === over)
    .map(({ round, result }) => {
      const other = samples.find((sample) => sample.contender === under && sample.round === round);
      const [top, bottom] = [value(result), other === undefined ? undefined : value(other.result)];
      return top === undefined || bottom === undefined || bottom === 0 ? undefined : top / bottom;
    });
  return median(ratios);
}

interface Judged {
  readonly verdict: CaseFigures['verdict'];
  readonly why: string;
}

function judge(met: boolean, why: string): Judged {
  return { verdict: met ? 'met' : 'missed', why };
}

function shown(value: number | undefined): string {
  if (value === undefined) return '?';
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

type Ratios = Pick<CaseFigures, 'efficiency' | 'rate' | 'p99'>;

function judgeGoal(goal: Goal, weir: ContenderFigures, { efficiency, rate, p99 }: Ratios): Judged {
  const missing = { verdict: 'told', why: 'not measured' } as const;
  switch (goal.kind) {
    case 'efficiency': {
      if (efficiency === undefined || rate === undefined) return missing;
      const rateMin = goal.ratioMin * throughputPart;
      return judge(
        efficiency >= goal.ratioMin && rate >= rateMin,
        `CPU ×${shown(efficiency)} of ${goal.ratioMin}, rate ×${shown(rate)} of ${shown(rateMin)}`,
      );
    }
    case 'rate':
      return rate === undefined ? missing : judge(rate >= goal.ratioMin, `rate ×${shown(rate)} of ${goal.ratioMin}`);
    case 'latency':
      if (weir.p99Ms === undefined || efficiency === undefined) return missing;
      return judge(
        (weir.p99Ms <= goal.p99MsMax || (p99 !== undefined && p99 <= 1)) && efficiency >= goal.efficiencyMin,
        `p99 ${shown(weir.p99Ms)} of ${goal.p99MsMax} ms, ×${shown(p99)} of mosquitto's, CPU ×${shown(efficiency)} of ${goal.efficiencyMin}`,
      );
    case 'held':
      if (weir.perSecond === undefined) return missing;
      return judge(weir.perSecond >= goal.perSecondMin, `${weir.perSecond / 1000} k/s of ${goal.perSecondMin / 1000}`);
    case 'memory':
      if (weir.kilobytes === undefined) return missing;
      return judge(weir.kilobytes <= goal.kilobytesMax, `${shown(weir.kilobytes)} of ${goal.kilobytesMax} KB`);
    case 'whole':
      return { verdict: 'told', why: '' };
  }
}

function goalText(goal: Goal): string {
  switch (goal.kind) {
    case 'efficiency':
      return `×${goal.ratioMin}`;
    case 'rate':
      return `rate ×${goal.ratioMin}`;
    case 'latency':
      return `p99 ≤ ${goal.p99MsMax} ms or mosquitto's`;
    case 'held':
      return `≥ ${goal.perSecondMin / 1000} k/s`;
    case 'memory':
      return `≤ ${goal.kilobytesMax} KB`;
    case 'whole':
      return '';
  }
}

/** What a broker promised to keep and did not: a loss at QoS 1 and 2, a double at QoS 2. */
function broken(benchCase: BenchCase, weir: ContenderFigures): string {
  const qos = Number(benchCase.load['qos'] ?? 0);
  if (qos > 0 && weir.lost > 0) return `${weir.lost} lost`;
  if (weir.duplicates > 0) return `${weir.duplicates} doubled`;
  if (weir.reordered > 0) return `${weir.reordered} out of order`;
  return '';
}

export function caseFigures(benchCase: BenchCase, samples: readonly Sample[]): CaseFigures {
  const own = samples.filter((sample) => sample.case === benchCase.name);
  const contenders = [...new Set(own.map(({ contender }) => contender))].map((contender) =>
    figuresOf(
      contender,
      own.filter((sample) => sample.contender === contender).map(({ result }) => result),
    ),
  );
  const efficiency = ratio(own, { over: theirs, under: ours, value: cpuUs });
  const rate = ratio(own, { over: ours, under: theirs, value: perSecond });
  const p99 = ratio(own, { over: ours, under: theirs, value: (result) => figure(result, 'latencyUs.p99') });
  const weir = contenders.find(({ contender }) => contender === ours);
  const fault = weir === undefined ? '' : broken(benchCase, weir);
  const judged: Judged =
    weir === undefined
      ? { verdict: 'told', why: 'weir was not measured' }
      : fault === ''
        ? judgeGoal(benchCase.goal, weir, { efficiency, rate, p99 })
        : { verdict: 'missed', why: fault };
  return {
    name: benchCase.name,
    title: benchCase.title,
    contenders,
    efficiency,
    rate,
    p99,
    goal: goalText(benchCase.goal),
    ...judged,
  };
}

export const number = shown;
