// What the store's bench measures, what is asked of it, and which runs each row is taken from.
//
//   accept    messages taken with durable acknowledgement: the store alone and through the broker, beside SQLite and mosquitto
//   drain     a backlog on its way to the hub, beside live messages on the same way and mosquitto's bridge
//   flash     bytes written to the block device for each byte of payload
//   latency   others' QoS 0 traffic while the store commits, and while its disk stalls
//   backlog   memory and start with five million messages
//   smoke     short runs of accept and flash: whether the bench itself works; asks for nothing

export type StoreCaseSet = 'accept' | 'drain' | 'flash' | 'latency' | 'backlog' | 'smoke';
export const storeCaseSets: readonly StoreCaseSet[] = ['accept', 'drain', 'flash', 'latency', 'backlog', 'smoke'];

export const storeContenders = {
  store: 'store',
  sqlite: 'SQLite alone',
  gateway: 'weir run',
  eachChange: 'mosquitto, each change saved',
  eachSecond: 'mosquitto, each second saved',
  bridge: 'mosquitto bridge',
  device: 'devices at the hub',
} as const;

export type StoreGoal =
  /** The value over the one beside it, within a round; median of the rounds. */
  | { readonly kind: 'ratio'; readonly min: number }
  /** The median of the rounds, or with `least` the smallest of them. */
  | { readonly kind: 'most'; readonly max: number; readonly of: 'median' | 'least' }
  /** As `most`, relative to the one beside it: at most `factor` times that and `plus` more. */
  | { readonly kind: 'near'; readonly factor: number; readonly plus: number };

/** One line of the report. */
export interface StoreRow {
  readonly set: StoreCaseSet;
  readonly title: string;
  readonly unit: '/s' | 'ms' | '×' | 'MB';
  /** Where the value is: a case's runs, one contender's, a path into its result. */
  readonly value: ValuePlace;
  readonly beside?: ValuePlace;
  readonly goal?: StoreGoal;
}

export interface ValuePlace {
  readonly case: string;
  readonly contender: string;
  readonly path: string;
}

const { store, sqlite, gateway, eachChange, eachSecond, bridge, device } = storeContenders;
const amplificationMax = 3;
const ingestPart = 0.7;
const peerFactor = 5;
const drainPart = 0.8;
const startMsMax = 1000;
const grownMbMax = 20;

function place(name: string, contender: string, path = 'perSecond'): ValuePlace {
  return { case: name, contender, path };
}

const accept: readonly StoreRow[] = [
  {
    set: 'accept',
    title: 'direct, durable, beside SQLite alone',
    unit: '/s',
    value: place('direct', store),
    beside: place('direct', sqlite),
    goal: { kind: 'ratio', min: ingestPart },
  },
  {
    set: 'accept',
    title: 'direct, beside mosquitto, each change saved',
    unit: '/s',
    value: place('direct', store),
    beside: place('qos1', eachChange),
    goal: { kind: 'ratio', min: peerFactor },
  },
  {
    set: 'accept',
    title: 'QoS 1 clients, beside mosquitto, each change saved',
    unit: '/s',
    value: place('qos1', gateway),
    beside: place('qos1', eachChange),
    goal: { kind: 'ratio', min: peerFactor },
  },
  {
    set: 'accept',
    title: 'QoS 1 clients, beside mosquitto, each second saved',
    unit: '/s',
    value: place('qos1', gateway),
    beside: place('qos1', eachSecond),
  },
  { set: 'accept', title: 'QoS 1 clients, time to PUBACK, p99', unit: 'ms', value: place('qos1', gateway, 'p99Ms') },
];

const drain: readonly StoreRow[] = [
  {
    set: 'drain',
    title: 'backlog to the hub, beside live messages through the gateway',
    unit: '/s',
    value: place('drain', gateway),
    beside: place('live', gateway),
    goal: { kind: 'ratio', min: drainPart },
  },
  {
    set: 'drain',
    title: 'backlog to the hub, beside live messages of devices at the hub',
    unit: '/s',
    value: place('drain', gateway),
    beside: place('live', device),
    goal: { kind: 'ratio', min: drainPart },
  },
  {
    set: 'drain',
    title: 'backlog to the hub, beside a mosquitto bridge',
    unit: '/s',
    value: place('drain', gateway),
    beside: place('drain', bridge),
  },
];

export interface FlashCase {
  readonly name: string;
  readonly set: 'flash' | 'smoke';
  readonly title: string;
  /** Messages a second; 0: as fast as it goes. */
  readonly rate: number;
  readonly seconds: number;
  readonly drain: 'no' | 'meanwhile' | 'backlog';
  readonly count?: number;
}

const drains = { no: 'filling', meanwhile: 'filling and draining' } as const;
const rates = [
  { rate: 100, seconds: 30 },
  { rate: 1000, seconds: 10 },
  { rate: 0, seconds: 5 },
] as const;

export const flashCases: readonly FlashCase[] = [
  ...rates.flatMap(({ rate, seconds }) =>
    (['no', 'meanwhile'] as const).map(
      (how): FlashCase => ({
        name: `flash-${rate}-${how}`,
        set: 'flash',
        title: `${drains[how]}, ${rate === 0 ? 'full rate' : `${rate}/s`}`,
        rate,
        seconds,
        drain: how,
      }),
    ),
  ),
  {
    name: 'flash-backlog',
    set: 'flash',
    title: 'draining a backlog',
    rate: 0,
    seconds: 0,
    drain: 'backlog',
    count: 500_000,
  },
  {
    name: 'smoke-flash',
    set: 'smoke',
    title: 'filling and draining, 1000/s',
    rate: 1000,
    seconds: 1,
    drain: 'meanwhile',
  },
];

const flash: readonly StoreRow[] = flashCases.map(({ name, set, title }) => ({
  set,
  title: `written for each byte, ${title}`,
  unit: '×',
  value: place(name, store, 'toDevice'),
  ...(set === 'smoke' ? {} : { goal: { kind: 'most', max: amplificationMax, of: 'least' } as const }),
}));

const latency: readonly StoreRow[] = [
  { set: 'latency', title: 'twin requests, idle store, p99', unit: 'ms', value: place('quiet', gateway, 'p99Ms') },
  {
    set: 'latency',
    title: 'twin requests, 1000/s committed, p99, beside idle',
    unit: 'ms',
    value: place('loaded', gateway, 'p99Ms'),
    beside: place('quiet', gateway, 'p99Ms'),
    goal: { kind: 'near', factor: 2, plus: 5 },
  },
  {
    set: 'latency',
    title: 'twin requests, each sync 500 ms, p99, beside a sound disk',
    unit: 'ms',
    value: place('stalled', gateway, 'p99Ms'),
    beside: place('loaded', gateway, 'p99Ms'),
    goal: { kind: 'near', factor: 2, plus: 5 },
  },
];

const backlog: readonly StoreRow[] = [
  {
    set: 'backlog',
    title: 'memory grown while it was filled',
    unit: 'MB',
    value: place('fill', store, 'grownMb'),
    goal: { kind: 'most', max: grownMbMax, of: 'median' },
  },
  {
    set: 'backlog',
    title: 'memory more than with an empty store, opened',
    unit: 'MB',
    value: place('open', store, 'moreMb'),
    goal: { kind: 'most', max: grownMbMax, of: 'median' },
  },
  {
    set: 'backlog',
    title: 'the store opens',
    unit: 'ms',
    value: place('open', store, 'startedMs'),
    goal: { kind: 'most', max: startMsMax, of: 'median' },
  },
  { set: 'backlog', title: 'weir run is ready', unit: 'ms', value: place('start', gateway, 'startedMs') },
];

const smoke: readonly StoreRow[] = [
  {
    set: 'smoke',
    title: 'direct, durable, beside SQLite alone',
    unit: '/s',
    value: place('smoke-direct', store),
    beside: place('smoke-direct', sqlite),
  },
];

export const storeRows: readonly StoreRow[] = [...accept, ...drain, ...flash, ...latency, ...backlog, ...smoke];

/** `wanted`: sets by commas; empty: everything but smoke. Throws TypeError for an unknown name. */
export function chooseSets(wanted: string): readonly StoreCaseSet[] {
  const names = wanted.split(',').filter((name) => name !== '');
  if (names.length === 0) return storeCaseSets.filter((name) => name !== 'smoke');
  for (const name of names)
    if (!storeCaseSets.some((known) => known === name))
      throw new TypeError(`there is no set of cases called ${name}; there are ${storeCaseSets.join(', ')}`);
  return storeCaseSets.filter((name) => names.includes(name));
}
