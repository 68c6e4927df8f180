// `make bench-router`: what conditions and many routes cost; tables on standard output, all of it as JSON.
//
//   node bench-router.mjs [--messages N] [--rounds N] [--only pure,hops] [--json FILE]
//
// Exit codes: 0 every goal met, 1 failed, 2 wrong usage, 3 a goal missed. docs/bench.md tells the method.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { figure, type Result } from '../figures.ts';
import { bundleChildren } from '../store/child.ts';
import { conditions, routeSets } from './cases.ts';
import { gatewayHops, type HopOptions, hopRoutes, mosquittoHop, mosquittoQueue } from './hops.ts';
import { acceptNs, dispatchNs } from './pure.ts';

const exitUsage = 2;
const exitMissed = 3;
const conditionNsMax = 1000;
const ratioMax = 2;
const few = 10;
const many = 1000;
const caseMs = 400;
/** Below it a difference is the clock's. */
const noiseNs = 20;

interface Goal {
  readonly what: string;
  readonly met: boolean;
}

const goals: Goal[] = [];
const out = (text: string): void => void process.stdout.write(`${text}\n`);

function ask(what: string, met: boolean): void {
  goals.push({ what, met });
}

function measureConditions(): Record<string, number> {
  const kinds: Record<string, number> = {};
  out('\ncondition                     ns a message   of it the condition   a second');
  const plain = dispatchNs(['FROM /messages/* INTO $upstream'], caseMs);
  for (const [kind, condition] of conditions) {
    const where = condition === undefined ? '' : `WHERE ${condition} `;
    const ns = dispatchNs([`FROM /messages/* ${where}INTO $upstream`], caseMs);
    const own = Math.max(0, ns - plain);
    kinds[kind] = ns;
    const rate = own < noiseNs ? '' : `${(1000 / own).toFixed(1)} M`;
    out(`${kind.padEnd(30)}${ns.toFixed(0).padStart(12)}${own.toFixed(0).padStart(22)}${rate.padStart(11)}`);
    if (!kind.includes('body') || kind.includes('behind')) ask(`${kind}: below a microsecond`, own < conditionNsMax);
  }
  return kinds;
}

async function measureSets(): Promise<Record<string, object>> {
  const sets: Record<string, object> = {};
  out(
    `\nroutes                        ns a message: ${few}, ${many} routes     through accept(): ${few}, ${many}, ratio`,
  );
  for (const [name, routes] of routeSets) {
    const [small, large] = [dispatchNs(routes(few), caseMs), dispatchNs(routes(many), caseMs)];
    const [acceptSmall, acceptLarge] = [await acceptNs(routes(few), caseMs), await acceptNs(routes(many), caseMs)];
    const ratio = acceptLarge / acceptSmall;
    sets[name] = { dispatchNs: { few: small, many: large }, acceptNs: { few: acceptSmall, many: acceptLarge } };
    const cell = (ns: number): string => ns.toFixed(0).padStart(9);
    out(
      `${name.padEnd(30)}${cell(small)}${cell(large)}${cell(acceptSmall).padStart(26)}${cell(acceptLarge)}   ×${ratio.toFixed(2)}`,
    );
    // Bounds on one source have to be compared one by one; what that adds is told, and judged against a whole message.
    if (!name.includes('bound'))
      ask(`${name}: ${many} routes cost less than ${ratioMax} times ${few}`, ratio < ratioMax);
  }
  return sets;
}

async function measureHops(options: HopOptions, rounds: number): Promise<Record<string, readonly Result[]>> {
  const results: Record<string, Result[]> = {};
  const keep = (name: string, result: Result): void => {
    results[name] ??= [];
    results[name].push(result);
  };
  const full = hopRoutes(many).count;
  for (let round = 1; round <= rounds; round++) {
    for (const size of round % 2 === 0 ? [full, few] : [few, full]) {
      const { toInput, toQueue } = await gatewayHops(options, size);
      keep(`weir, ${size} routes: module → input`, toInput);
      keep(`weir, ${size} routes: module → upstream queue`, toQueue);
    }
    keep('mosquitto: publisher → subscriber', await mosquittoHop(options));
    keep('mosquitto: publisher → session of one away', await mosquittoQueue(options));
  }
  out('\nhop, 250 B, QoS 1                                 messages a second   CPU µs a message');
  const cpu = new Map<string, number>();
  for (const [name, samples] of Object.entries(results)) {
    const [rate, micros] = [middle(samples, 'perSecond'), middle(samples, 'cpuMicroseconds')];
    cpu.set(name, micros);
    out(`${name.padEnd(50)}${rate.toFixed(0).padStart(17)}${micros.toFixed(1).padStart(19)}`);
  }
  for (const hop of ['module → input', 'module → upstream queue']) {
    const ratio = (cpu.get(`weir, ${full} routes: ${hop}`) ?? NaN) / (cpu.get(`weir, ${few} routes: ${hop}`) ?? NaN);
    ask(
      `${hop}: ${full} routes, what a twin holds, cost ×${ratio.toFixed(2)} of ${few}, less than ×${ratioMax}`,
      ratio < ratioMax,
    );
  }
  return results;
}

function middle(samples: readonly Result[], name: string): number {
  const values = samples.map((sample) => figure(sample, name) ?? NaN).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? NaN;
}

function choose() {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: 'pure,hops' },
      json: { type: 'string', default: 'out/bench/router.json' },
    },
  });
  const [messages, rounds] = [Number(values.messages), Number(values.rounds)];
  if (!Number.isInteger(messages) || messages < 1) throw new TypeError(`MESSAGES is a whole number from 1`);
  if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError(`ROUNDS is a whole number from 1`);
  return { messages, rounds, only: values.only.split(','), json: values.json };
}

async function measure(
  { messages, rounds, only, json }: ReturnType<typeof choose>,
  directory: string,
): Promise<boolean> {
  const startedAt = new Date().toISOString();
  const before = loadavg()[0];
  const parts = join(directory, 'parts');
  const results: Record<string, unknown> = {};
  if (only.includes('pure')) {
    results['conditions'] = measureConditions();
    results['sets'] = await measureSets();
  }
  if (only.includes('hops')) {
    await bundleChildren(parts);
    const children = { directory: parts, profiles: undefined };
    results['hops'] = await measureHops({ children, directory, messages }, rounds);
  }
  const load = { before, after: loadavg()[0] };
  out(
    `\nLoad of the machine (${cpus().length} processors) at the beginning and the end: ${before?.toFixed(1)}, ${load.after?.toFixed(1)}.`,
  );
  for (const { what, met } of goals) if (!met) out(`missed: ${what}`);
  const met = goals.every((goal) => goal.met);
  out(`${goals.filter((goal) => goal.met).length} of ${goals.length} goals met.`);
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify({ startedAt, load, goals, ...results }, null, 2)}\n`);
  return met;
}

async function main(): Promise<void> {
  let choice: ReturnType<typeof choose>;
  try {
    choice = choose();
  } catch (error) {
    process.stderr.write(`bench-router: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = exitUsage;
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-router-'));
  try {
    if (!(await measure(choice, directory))) process.exitCode = exitMissed;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
