// Medians, ratios and verdicts over made-up runs.

import t from 'tap';
import { type BenchCase, cases, chooseCases, type Goal } from './cases.ts';
import { caseFigures, figure, median, ratio, type Sample } from './figures.ts';
import { nearLimit, rateText, reportText, table } from './report.ts';

function benchCase(goal: Goal, load: BenchCase['load'] = {}): BenchCase {
  return { name: 'x', set: 'targets', title: 'X', load, goal };
}

function sample(contender: string, round: number, result: Record<string, unknown>): Sample {
  return { case: 'x', contender, round, result };
}

function cpuAndRate(contender: string, round: number, [cpu, rate]: readonly [number, number]): Sample {
  return sample(contender, round, { brokerCpuUsPerMessage: cpu, receivedPerSecond: rate });
}

t.test('a figure is found by its path, and only when it is a number', async (t) => {
  const result = { latencyUs: { p99: 5 }, text: '7', infinite: Infinity };
  t.equal(figure(result, 'latencyUs.p99'), 5);
  t.equal(figure(result, 'latencyUs.p50'), undefined);
  t.equal(figure(result, 'nothing.p50'), undefined);
  t.equal(figure(result, 'text'), undefined);
  t.equal(figure(result, 'infinite'), undefined);
});

t.test('the median ignores what is missing and means the two in the middle', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, undefined, 1]), 2.5);
  t.equal(median([]), undefined);
  t.equal(median([undefined]), undefined);
});

t.test('a ratio is taken within a round, and its median told', async (t) => {
  // The second round ran on a machine half as fast: the ratio of the medians would be 3.
  const samples = [
    cpuAndRate('mosquitto', 1, [10, 1]),
    cpuAndRate('weir', 1, [5, 1]),
    cpuAndRate('weir', 2, [10, 1]),
    cpuAndRate('mosquitto', 2, [20, 1]),
    cpuAndRate('mosquitto', 3, [30, 1]),
    cpuAndRate('weir', 3, [5, 1]),
  ];
  const value = (result: Readonly<Record<string, unknown>>): number | undefined =>
    figure(result, 'brokerCpuUsPerMessage');
  t.equal(ratio(samples, { over: 'mosquitto', under: 'weir', value }), 2);
  t.equal(ratio(samples.slice(0, 1), { over: 'mosquitto', under: 'weir', value }), undefined);
});

t.test('efficiency asks for the CPU ratio and for eight tenths of it in throughput', async (t) => {
  const goal = { kind: 'efficiency', ratioMin: 10 } as const;
  const verdict = (weir: readonly [number, number]): string =>
    caseFigures(benchCase(goal), [cpuAndRate('mosquitto', 1, [10, 100]), cpuAndRate('weir', 1, weir)]).verdict;
  t.equal(verdict([1, 800]), 'met');
  t.equal(verdict([1.01, 800]), 'missed');
  t.equal(verdict([1, 799]), 'missed');
  t.equal(caseFigures(benchCase(goal), [cpuAndRate('weir', 1, [1, 1])]).verdict, 'told', 'without mosquitto');
});

t.test('latency, rate, held rate and memory have verdicts of their own', async (t) => {
  const judge = (goal: Goal, weir: Record<string, unknown>, mosquitto: Record<string, unknown>): string =>
    caseFigures(benchCase(goal), [sample('weir', 1, weir), sample('mosquitto', 1, mosquitto)]).verdict;
  const light = { kind: 'latency', p99MsMax: 1, efficiencyMin: 0.8 } as const;
  t.equal(judge(light, { brokerCpuUsPerMessage: 10, latencyUs: { p99: 1000 } }, { brokerCpuUsPerMessage: 8 }), 'met');
  t.equal(
    judge(light, { brokerCpuUsPerMessage: 10, latencyUs: { p99: 1001 } }, { brokerCpuUsPerMessage: 8 }),
    'missed',
  );
  t.equal(judge(light, { brokerCpuUsPerMessage: 10, latencyUs: { p99: 900 } }, { brokerCpuUsPerMessage: 7 }), 'missed');
  const rate = { kind: 'rate', ratioMin: 0.9 } as const;
  t.equal(judge(rate, { connectsPerSecond: 9 }, { connectsPerSecond: 10 }), 'met');
  t.equal(judge(rate, { connectsPerSecond: 8 }, { connectsPerSecond: 10 }), 'missed');
  const held = { kind: 'held', perSecondMin: 100 } as const;
  t.equal(judge(held, { heldPerSecond: 100 }, {}), 'met');
  t.equal(judge(held, { heldPerSecond: 80 }, {}), 'missed');
  const memory = { kind: 'memory', kilobytesMax: 8 } as const;
  t.equal(judge(memory, { bytesPerConnection: 8192 }, {}), 'met');
  t.equal(judge(memory, { bytesPerConnection: 8193 }, {}), 'missed');
});

t.test('a lost message at QoS 1 or a doubled one misses every goal', async (t) => {
  const fast = { brokerCpuUsPerMessage: 1, receivedPerSecond: 1e6 };
  const verdict = (qos: number, fault: Record<string, number>): string =>
    caseFigures(benchCase({ kind: 'efficiency', ratioMin: 1 }, { qos }), [
      sample('mosquitto', 1, { brokerCpuUsPerMessage: 10, receivedPerSecond: 10 }),
      sample('weir', 1, { ...fast, ...fault }),
    ]).verdict;
  t.equal(verdict(1, { lost: 0 }), 'met');
  t.equal(verdict(1, { lost: 1 }), 'missed');
  t.equal(verdict(0, { lost: 1 }), 'met', 'QoS 0 promises nothing');
  t.equal(verdict(0, { duplicates: 1 }), 'missed');
  t.equal(verdict(0, { reordered: 1 }), 'missed');
});

t.test('a broker that comes near a busy generator is named', async (t) => {
  const busy = (contender: string, receivedPerSecond: number, generatorCpu: number): Sample =>
    sample(contender, 1, { receivedPerSecond, generatorCpu });
  const figures = caseFigures(benchCase({ kind: 'whole' }), [
    busy('sink', 1000, 0.9),
    busy('weir', 501, 0.7),
    busy('mosquitto', 500, 0.9),
    busy('aedes', 900, 0.6),
  ]);
  const near = nearLimit([figures]);
  t.equal(near.length, 1);
  t.match(near[0], /weir/);
});

t.test('cases are chosen by name and by set; a name that nobody has is an error', async (t) => {
  t.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'names are unique');
  t.equal(chooseCases('').length, cases.filter(({ set }) => set !== 'smoke').length);
  t.strictSame(
    chooseCases('idle,connect').map(({ name }) => name),
    ['connect', 'idle-plain', 'idle-tls'],
  );
  t.throws(() => chooseCases('targets,fast'), /fast/);
});

t.test('the matrix has every shape, quality and size', async (t) => {
  t.equal(cases.filter(({ set }) => set === 'matrix').length, 27);
  t.equal(cases.filter(({ set, goal }) => set === 'targets' && goal.kind !== 'whole').length, 12);
});

t.test('the table lines up, and rates are short', async (t) => {
  t.equal(
    table([
      ['a', 'bb', 'c'],
      ['ccc', 'd', 'e'],
    ]),
    'a    bb  c\nccc   d  e',
  );
  t.strictSame([950, 9500, 95_000, 9_500_000].map(rateText), ['0.9 k', '9.5 k', '95 k', '9.5 M']);
  const figures = caseFigures(benchCase({ kind: 'efficiency', ratioMin: 50 }), [
    cpuAndRate('mosquitto', 1, [10, 100_000]),
    cpuAndRate('weir', 1, [0.1, 9_000_000]),
  ]);
  const text = reportText([figures], ['mosquitto', 'weir']);
  t.match(text, /X +100 k, 10 µs +9\.0 M, 0\.1 µs +×100 +×90 +×50 +met/);
});
