// Runs mqtt-load and takes its JSON line.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Result } from './figures.ts';

const run = promisify(execFile);
const timeoutMs = 240_000;

export const generatorFile = 'out/host/mqtt-load';

/** Rejects with what mqtt-load said when it ended badly. `processor`: the generator stays on this one. */
export async function load(options: Readonly<Record<string, string | number>>, processor?: number): Promise<Result> {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const before = busySeconds();
  const startedMs = performance.now();
  const pinned = processor === undefined ? [] : ['taskset', '--cpu-list', String(processor)];
  const [command = generatorFile, ...rest] = [...pinned, generatorFile, ...args];
  const { stdout } = await run(command, rest, { timeout: timeoutMs });
  const result: unknown = JSON.parse(stdout);
  if (typeof result !== 'object' || result === null) throw new TypeError(`mqtt-load said ${stdout}`);
  const seconds = (performance.now() - startedMs) / 1000;
  return { ...result, machineBusy: Number(((busySeconds() - before) / seconds).toFixed(3)) };
}

/**
 * Waits until the kernel has forgotten enough closed connections (TIME_WAIT, a minute each) to remember `count` more.
 * With that table full, handshakes stall for whoever is asked next, whichever broker it is.
 */
export async function roomForClosed(count: number): Promise<void> {
  const most = Number(readFileSync('/proc/sys/net/ipv4/tcp_max_tw_buckets', 'utf8'));
  const left = Math.max(most - count, most / closedLeftPart);
  while (closedConnections() > left) await setTimeout(closedLookMs);
}

const closedLeftPart = 8;
const closedLookMs = 250;

function closedConnections(): number {
  return Number(/^TCP: .*\btw (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1] ?? 0);
}

const ticksPerSecond = 100;
const firstIdleColumn = 4;

/** CPU seconds of this machine since it started, all processes and the kernel together. */
function busySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  // cpu user nice system idle iowait irq softirq steal …
  const columns = line.split(/\s+/).slice(1, 9).map(Number);
  return (
    columns.reduce((sum, ticks, at) => (at === firstIdleColumn - 1 || at === firstIdleColumn ? sum : sum + ticks), 0) /
    ticksPerSecond
  );
}

export function processors(): number {
  return cpus().length;
}

/** The main thread of `pid` may run on the processors of this list (`0`, `0-3`) and nowhere else; its other threads stay free. */
export function keepOn(pid: number, list: string): void {
  execFileSync('taskset', ['--cpu-list', '--pid', list, String(pid)], { stdio: 'ignore' });
}
