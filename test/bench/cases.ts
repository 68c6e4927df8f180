// What is measured, in which order, and what is asked of weir.
//
//   targets   the twelve rows that decide, closed loop and open loop, and the rate of handshakes
//   latency   a light everyday load, told as p50 and p99; a storm of handshakes
//   ladder    a fixed rate, raised until p99 leaves 10 ms: how much a broker holds
//   sessions  queues of clients that are away, filled and drained
//   retained  retained messages stored, looked up, and taken all at once
//   mqtt5     three of the targets over MQTT 5 (aedes has none)
//   matrix    fan-in, fan-out and pairs at QoS 0, 1, 2 with 16 B, 128 B, 1 KiB; one round
//   idle      memory of connections that do nothing, plain and TLS, on fresh brokers, at the end
//   smoke     four short runs: whether the bench itself works
//
// A goal is a figure of weir, or its ratio to mosquitto in the same round; docs/bench.md says where they come from.

export type CaseSet =
  | 'targets'
  | 'latency'
  | 'ladder'
  | 'sessions'
  | 'retained'
  | 'mqtt5'
  | 'matrix'
  | 'idle'
  | 'smoke';

export type Goal =
  /** mosquitto's CPU per message over weir's; throughput, weir's over mosquitto's, at least 0.8 of the same number. */
  | { readonly kind: 'efficiency'; readonly ratioMin: number }
  /** weir's rate over mosquitto's. */
  | { readonly kind: 'rate'; readonly ratioMin: number }
  | { readonly kind: 'latency'; readonly p99MsMax: number; readonly efficiencyMin: number }
  | { readonly kind: 'held'; readonly perSecondMin: number }
  | { readonly kind: 'memory'; readonly kilobytesMax: number }
  /** Nothing but that no message is lost or doubled. */
  | { readonly kind: 'whole' };

export interface BenchCase {
  readonly name: string;
  readonly set: CaseSet;
  readonly title: string;
  /** Options of mqtt-load. A drain follows its queue by itself. */
  readonly load: Readonly<Record<string, string | number>>;
  readonly goal: Goal;
  /** Rates of a ladder, per second. */
  readonly steps?: readonly number[];
  /** Measured once, whatever the number of rounds. */
  readonly once?: boolean;
  /** The broker's main thread and the generator stay on processors of their own (course.ts). */
  readonly apart?: boolean;
}

const connections = 50;
const kibibyte = 1024;
const whole: Goal = { kind: 'whole' };

const fanIn = { mode: 'pubsub', topology: 'fanin', publishers: connections };
const fanOut = { mode: 'pubsub', topology: 'fanout', subscribers: connections };
const pairs = { mode: 'pubsub', topology: 'pairs', publishers: connections };

function efficiency(ratioMin: number): Goal {
  return { kind: 'efficiency', ratioMin };
}

function target(name: string, title: string, detail: Pick<BenchCase, 'load' | 'goal'>): BenchCase {
  return { name, title, set: 'targets', ...detail };
}

const targets: readonly BenchCase[] = [
  target('fanin-128', 'fan-in 50→1, QoS 0, 128 B, window 100', {
    load: { ...fanIn, bytes: 128, window: 100 },
    goal: efficiency(50),
  }),
  target('fanin-1k', 'fan-in 50→1, QoS 0, 1 KiB, window 100', {
    load: { ...fanIn, bytes: kibibyte, window: 100 },
    goal: efficiency(15),
  }),
  target('fanin-single', 'fan-in 50→1, QoS 0, 16 B, one at a time', {
    load: { ...fanIn, bytes: 16, window: 1 },
    goal: efficiency(1.8),
  }),
  target('fanout-64', 'fan-out 1→50, QoS 0, 64 B, window 100', {
    load: { ...fanOut, bytes: 64, window: 100 },
    goal: efficiency(40),
  }),
  target('fanout-single', 'fan-out 1→50, QoS 0, 64 B, one at a time', {
    load: { ...fanOut, bytes: 64, window: 1 },
    goal: efficiency(1.15),
  }),
  target('pairs-16', 'pairs 50→50, QoS 0, 64 B, window 16', {
    load: { ...pairs, bytes: 64, window: 16 },
    goal: efficiency(10),
  }),
  target('pairs-single', 'pairs 50→50, QoS 0, 64 B, one at a time', {
    load: { ...pairs, bytes: 64, window: 1 },
    goal: efficiency(1.15),
  }),
  target('pairs-q1', 'pairs, QoS 1, 64 B, window 100', {
    load: { ...pairs, bytes: 64, window: 100, qos: 1 },
    goal: efficiency(35),
  }),
  target('pairs-q1-single', 'pairs, QoS 1, 64 B, one at a time', {
    load: { ...pairs, bytes: 64, window: 1, qos: 1 },
    goal: efficiency(1.1),
  }),
  target('pairs-q2', 'pairs, QoS 2, 64 B, window 20', {
    load: { ...pairs, bytes: 64, window: 20, qos: 2 },
    goal: efficiency(15),
  }),
  target('open-20k', 'open loop, 500 connections, 20,000/s QoS 0', {
    load: { ...pairs, publishers: 250, bytes: 64, rate: 20_000 },
    goal: efficiency(0.9),
  }),
  // From one address, as clients behind one gateway come: finding a free port is part of the client's work then.
  target('connect', 'handshakes', { load: { mode: 'connect' }, goal: { kind: 'rate', ratioMin: 0.9 } }),
];

/** From many addresses a client costs least: what the broker can do at most. */
const storm: readonly BenchCase[] = [
  {
    name: 'connect-storm',
    set: 'latency',
    title: 'handshakes from 32 addresses',
    load: { mode: 'connect', sources: 32 },
    goal: whole,
  },
];

const latency: readonly BenchCase[] = [
  {
    name: 'light-q1',
    set: 'latency',
    title: 'open loop 5,000/s QoS 1, 50 pairs, 64 B',
    load: { ...pairs, bytes: 64, qos: 1, rate: 5000 },
    goal: { kind: 'latency', p99MsMax: 1, efficiencyMin: 0.8 },
    apart: true,
  },
];

const ladder: readonly BenchCase[] = [
  {
    name: 'ladder-q1',
    set: 'ladder',
    title: 'rate held, QoS 1, 50 pairs, 64 B',
    load: { ...pairs, bytes: 64, qos: 1 },
    steps: [20_000, 40_000, 60_000, 80_000, 100_000, 125_000, 150_000, 200_000],
    goal: { kind: 'held', perSecondMin: 100_000 },
    once: true,
  },
  {
    name: 'ladder-q0',
    set: 'ladder',
    title: 'rate held, QoS 0, fan-in 50→1, 64 B',
    load: { ...fanIn, bytes: 64 },
    steps: [40_000, 80_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000],
    goal: { kind: 'held', perSecondMin: 200_000 },
    once: true,
  },
];

/** Sessions of one case stay, so each case has topics of its own. */
const away = { publishers: 20, subscribers: 20, count: 40_000, bytes: 64, window: 100 };
const sessions: readonly BenchCase[] = [
  {
    name: 'sessions-q1',
    set: 'sessions',
    title: '40,000 messages QoS 1 queued for 20 sessions, then drained',
    load: { mode: 'queue', ...away, qos: 1, prefix: 'load/one', 'client-id': 'one' },
    goal: whole,
  },
  {
    name: 'sessions-q2',
    set: 'sessions',
    title: '40,000 messages QoS 2 queued for 20 sessions, then drained',
    load: { mode: 'queue', ...away, qos: 2, prefix: 'load/two', 'client-id': 'two' },
    goal: whole,
    once: true,
  },
];

const retained: readonly BenchCase[] = [
  {
    name: 'retained',
    set: 'retained',
    title: '20,000 retained stored, looked up, taken all at once',
    load: { mode: 'retain', count: 20_000, bytes: 64, prefix: 'load/kept' },
    goal: whole,
  },
];

const mqtt5: readonly BenchCase[] = ['fanin-128', 'fanout-single', 'pairs-q1'].map((name) => {
  const known = targets.find((each) => each.name === name);
  if (known === undefined) throw new TypeError(`no case ${name}`);
  return {
    ...known,
    set: 'mqtt5',
    name: `${name}-v5`,
    title: `${known.title}, v5`,
    load: { ...known.load, version: 5 },
  };
});

const shapes = { fanin: fanIn, fanout: fanOut, pairs };
/** mosquitto 2.0 loses QoS 2 messages beyond this. */
const windowOf = [100, 100, 20] as const;
const matrix: readonly BenchCase[] = Object.entries(shapes).flatMap(([shape, load]) =>
  ([0, 1, 2] as const).flatMap((qos) =>
    [16, 128, kibibyte].map((bytes): BenchCase => {
      const window = windowOf[qos];
      return {
        name: `${shape}-q${qos}-${bytes}`,
        set: 'matrix',
        title: `${shape}, QoS ${qos}, ${bytes} B, window ${window}`,
        load: { ...load, qos, bytes, window },
        goal: whole,
        once: true,
      };
    }),
  ),
);

const idle: readonly BenchCase[] = [
  {
    name: 'idle-plain',
    set: 'idle',
    title: 'idle connections',
    load: { mode: 'idle', count: 20_000, sources: 8, hold: 2 },
    goal: { kind: 'memory', kilobytesMax: 8 },
    once: true,
  },
  {
    name: 'idle-tls',
    set: 'idle',
    title: 'idle connections, TLS',
    load: { mode: 'idle', count: 20_000, sources: 8, hold: 2, tls: 1 },
    goal: { kind: 'memory', kilobytesMax: 40 },
    once: true,
  },
];

const smoke: readonly BenchCase[] = [
  { ...pick(targets, 'fanin-128'), name: 'smoke-fanin' },
  { ...pick(targets, 'pairs-q1'), name: 'smoke-q1' },
  { ...pick(targets, 'pairs-q2'), name: 'smoke-q2' },
  { ...pick(targets, 'connect'), name: 'smoke-connect' },
].map((each): BenchCase => ({ ...each, set: 'smoke', goal: whole }));

function pick(from: readonly BenchCase[], name: string): BenchCase {
  const found = from.find((each) => each.name === name);
  if (found === undefined) throw new TypeError(`there is no case ${name}`);
  return found;
}

export const cases: readonly BenchCase[] = [
  ...targets,
  ...latency,
  ...storm,
  ...mqtt5,
  ...ladder,
  ...retained,
  ...sessions,
  ...matrix,
  ...idle,
  ...smoke,
];

/** `wanted`: names of cases or of sets, by commas; empty: everything but smoke. Throws TypeError for an unknown name. */
export function chooseCases(wanted: string): readonly BenchCase[] {
  const names = wanted.split(',').filter((name) => name !== '');
  if (names.length === 0) return cases.filter(({ set }) => set !== 'smoke');
  for (const name of names)
    if (!cases.some((each) => each.name === name || each.set === name))
      throw new TypeError(`there is no case or set of cases called ${name}; see test/bench/cases.ts`);
  return cases.filter(({ name, set }) => names.includes(name) || names.includes(set));
}
