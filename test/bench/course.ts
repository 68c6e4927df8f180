// One whole measurement: brokers started, every case in every round on every broker, brokers ended.
//
//   for each round: for each case: mosquitto, weir, aedes (another one first in each round)
//
// A light load is measured apart: the broker's main thread on the first processor, the generator on the last. Left to
// the kernel, one of two mostly idle processes wakes the other on its own processor or on a sleeping one, for seconds
// either way, and that alone halves or doubles what a message costs.
//
// The brokers live through all rounds, so that their memory at the end is that of the whole course; idle
// connections are measured on fresh ones, because what a broker has grown to before would hide them.

import { readFileSync } from 'node:fs';
import type { BenchCase, CaseSet } from './cases.ts';
import { type Contender, type RunningBroker, startSink } from './contenders.ts';
import { figure, limit, perSecond, type Result, type Sample } from './figures.ts';
import { keepOn, load, processors, roomForClosed } from './load.ts';
import { rateText } from './report.ts';

export interface CourseOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly say: (text: string) => void;
}

export interface Course {
  readonly samples: readonly Sample[];
  /** Most resident memory of each broker since its start (VmHWM), idle connections aside, MB. */
  readonly residentMb: Readonly<Record<string, number>>;
}

/** A held rate: p99 below this, and nothing missing. */
const heldP99Us = 10_000;
const heldPart = 0.99;
const ladderSeconds = 1.5;
const idleReserve = 500;
const mqtt5 = 5;
const connectWarmups = 4;
const handshakesPerSecondMax = 20_000;
const lightWarmups = 8;

export class CourseRun {
  readonly #contenders: readonly Contender[];
  readonly #options: CourseOptions;
  readonly #samples: Sample[] = [];
  readonly #residentMb: Record<string, number> = {};
  readonly #running = new Map<string, RunningBroker>();

  constructor(contenders: readonly Contender[], options: CourseOptions) {
    this.#contenders = contenders;
    this.#options = options;
  }

  async run(cases: readonly BenchCase[]): Promise<Course> {
    try {
      const lively = cases.filter(({ set }) => set !== 'idle');
      for (const contender of this.#contenders)
        if (lively.some(({ set }) => takesPart(contender, set)))
          this.#running.set(contender.name, await contender.start());
      for (let round = 1; round <= this.#options.rounds; round++) {
        for (const benchCase of lively) if (round === 1 || benchCase.once !== true) await this.#round(benchCase, round);
      }
      await this.#endAll();
      for (const benchCase of cases) if (benchCase.set === 'idle') await this.#idle(benchCase);
    } finally {
      await this.#endAll();
    }
    return { samples: this.#samples, residentMb: this.#residentMb };
  }

  /** A broker that failed a run starts afresh, so that one failure does not become all that follow. */
  async #restart(broker: RunningBroker): Promise<void> {
    const contender = this.#contenders.find(({ name }) => name === broker.name);
    if (contender === undefined) return;
    this.#options.say(
      `${broker.name} ${broker.isAlive ? 'is started afresh' : 'had ended by itself and is started again'}`,
    );
    await broker.end();
    this.#running.set(broker.name, await contender.start());
  }

  async #endAll(): Promise<void> {
    const ended = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(ended.map((broker) => broker.end()));
  }

  async #round(benchCase: BenchCase, round: number): Promise<void> {
    const brokers = this.#contenders
      .filter((contender) => takesPart(contender, benchCase.set))
      .map(({ name }) => this.#running.get(name))
      .filter((broker) => broker !== undefined);
    const rotated = brokers
      .map((_, at) => brokers[(at + round - 1) % brokers.length])
      .filter((each) => each !== undefined);
    const told: string[] = [];
    if (round === 1 && isPubSub(benchCase)) told.push(await this.#limit(benchCase));
    for (const broker of rotated) {
      // aedes speaks 3.1.1 only.
      if (broker.name === 'aedes' && benchCase.load['version'] === mqtt5) continue;
      const result = await this.#measure(benchCase, broker, round);
      told.push(`${broker.name} ${summary(result)}`);
      if (typeof result['error'] === 'string' || !broker.isAlive) await this.#restart(broker);
    }
    this.#options.say(`round ${round}/${this.#options.rounds}  ${benchCase.title}:  ${told.join(' · ')}`);
  }

  async #measure(benchCase: BenchCase, broker: RunningBroker, round: number): Promise<Result> {
    const target = { ...this.#timing(benchCase), ...benchCase.load, port: broker.port, pid: broker.pid };
    if (benchCase.load['mode'] === 'connect') await roomForClosed(handshakesOf(target));
    let result: Result;
    if (benchCase.steps !== undefined) result = await climb(benchCase.steps, target);
    else if (benchCase.load['mode'] === 'queue') result = await queueAndDrain(target, broker.name);
    else if (benchCase.apart === true && processors() > 1) result = await apart(target);
    else result = await attempt(target);
    this.#keep(benchCase, { contender: broker.name, round, result });
    const resident = mostResidentMb(broker.pid);
    this.#residentMb[broker.name] = Math.max(this.#residentMb[broker.name] ?? 0, resident);
    return result;
  }

  async #limit(benchCase: BenchCase): Promise<string> {
    const sink = await startSink(Number(benchCase.load['version'] ?? 4));
    try {
      const result = await load({ ...benchCase.load, seconds: 1, warmup: 0.3, port: sink.port, pid: sink.pid });
      this.#keep(benchCase, { contender: limit, round: 1, result });
      return `generator's limit ${rateText(perSecond(result))}`;
    } finally {
      await sink.end();
    }
  }

  async #idle(benchCase: BenchCase): Promise<void> {
    const told: string[] = [];
    for (const contender of this.#contenders) {
      if (!takesPart(contender, benchCase.set)) continue;
      const broker = await contender.start();
      this.#running.set(contender.name, broker);
      const port = benchCase.load['tls'] === 1 ? broker.tlsPort : broker.port;
      const count = Math.min(Number(benchCase.load['count']), openFilesMax() - idleReserve);
      const result = await attempt({ ...benchCase.load, count, port: port ?? 0, pid: broker.pid });
      this.#keep(benchCase, { contender: contender.name, round: 1, result });
      told.push(`${contender.name} ${summary(result)}`);
      this.#running.delete(contender.name);
      await broker.end();
    }
    this.#options.say(`${benchCase.title}:  ${told.join(' · ')}`);
  }

  #timing(benchCase: BenchCase): Readonly<Record<string, number>> {
    const { seconds, warmup } = this.#options;
    if (benchCase.set === 'smoke') return { seconds: 0.5, warmup: 0.2 };
    if (benchCase.set === 'matrix') return { seconds: seconds / 2, warmup: warmup / 2 };
    // Handshakes are rare elsewhere: a Node broker has compiled nothing of them yet.
    if (benchCase.load['mode'] === 'connect') return { seconds, warmup: warmup * connectWarmups };
    // A light load takes seconds to run often enough that Node compiles it well.
    if (benchCase.set === 'latency') return { seconds: seconds * 2, warmup: warmup * lightWarmups };
    return benchCase.load['mode'] === 'pubsub' ? { seconds, warmup } : {};
  }

  #keep(benchCase: BenchCase, { contender, round, result }: Omit<Sample, 'case'>): void {
    this.#samples.push({ case: benchCase.name, contender, round, result });
  }
}

function takesPart({ sets }: Contender, set: CaseSet): boolean {
  return sets === undefined || sets.includes(set);
}

/** More than any broker here answers. */
function handshakesOf({ seconds, warmup }: Readonly<Record<string, unknown>>): number {
  return handshakesPerSecondMax * (Number(seconds) + Number(warmup));
}

function isPubSub({ load: { mode, rate }, steps }: BenchCase): boolean {
  return mode === 'pubsub' && rate === undefined && steps === undefined;
}

/** A run that fails is told beside the others instead of ending the course. */
async function attempt(options: Readonly<Record<string, string | number>>, processor?: number): Promise<Result> {
  try {
    return await load(options, processor);
  } catch (error) {
    const { stderr } = error as { stderr?: unknown };
    return { error: String(stderr ?? error).trim() };
  }
}

async function apart(target: Readonly<Record<string, string | number>>): Promise<Result> {
  const [pid, last] = [Number(target['pid']), processors() - 1];
  keepOn(pid, '0');
  try {
    return await attempt(target, last);
  } finally {
    keepOn(pid, `0-${last}`);
  }
}

/** Up the steps until one does not hold twice. */
async function climb(steps: readonly number[], target: Readonly<Record<string, string | number>>): Promise<Result> {
  const tried: Result[] = [];
  let best: Result = {};
  for (const rate of steps) {
    const options = { ...target, rate, seconds: ladderSeconds };
    let result = await attempt(options);
    if (!isHeld(result, rate)) result = await attempt(options);
    tried.push({ rate, p99Us: figure(result, 'latencyUs.p99'), cpuUs: figure(result, 'brokerCpuUsPerMessage') });
    if (!isHeld(result, rate)) break;
    best = { ...result, heldPerSecond: rate };
  }
  const { receivedPerSecond: _, ...held } = best;
  return { ...held, heldPerSecond: best['heldPerSecond'] ?? 0, tried };
}

function isHeld(result: Result, rate: number): boolean {
  const [received = 0, p99 = Infinity, lost = 1] = ['receivedPerSecond', 'latencyUs.p99', 'lost'].map((path) =>
    figure(result, path),
  );
  return received >= rate * heldPart && p99 <= heldP99Us && lost === 0;
}

async function queueAndDrain(target: Readonly<Record<string, string | number>>, name: string): Promise<Result> {
  const options = { ...target, 'client-id': `${target['client-id']}-${name.replaceAll(' ', '-')}` };
  const queued = await attempt(options);
  if (queued['error'] !== undefined) return queued;
  const drained = await attempt({ ...options, mode: 'drain' });
  const both = (figure(queued, 'brokerCpuUsPerMessage') ?? 0) + (figure(drained, 'brokerCpuUsPerMessage') ?? 0);
  return { ...drained, queued, brokerCpuUsPerMessage: both };
}

function summary(result: Result): string {
  if (typeof result['error'] === 'string') return `FAILED (${result['error']})`;
  const cpu = figure(result, 'brokerCpuUsPerMessage') ?? figure(result, 'brokerCpuUsPerConnect');
  const bytes = figure(result, 'bytesPerConnection');
  if (bytes !== undefined) return `${(bytes / 1024).toFixed(1)} KB`;
  const p99 = figure(result, 'rate') ? ` p99 ${((figure(result, 'latencyUs.p99') ?? 0) / 1000).toFixed(2)} ms` : '';
  return `${rateText(perSecond(result))}${cpu === undefined ? '' : ` ${cpu.toPrecision(3)} µs`}${p99}`;
}

/** The kernel's own mark (VmHWM): no moment escapes it, start included. 0 when the process is gone. */
function mostResidentMb(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The generator, as a child, has the same limit as this process. */
function openFilesMax(): number {
  const found = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return Number(found?.[1] ?? 1024);
}
