// The supervisor with everything real below it: the shim, processes, sockets, files, in a directory of a test's own.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/platform/clock.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { systemProcesses } from '../../src/platform/process.ts';
import {
  defaultPacing,
  type LaunchSpec,
  type ModuleObservation,
  type Pacing,
  Supervisor,
  type SupervisorPorts,
} from '../../src/supervisor/index.ts';
import { wholeTree } from './removal.ts';
import { shimBinary } from './shim-binary.ts';

/** A guard against hangs: nothing here is judged by how long it takes. */
const waitMsMax = 120_000;
const shimPath = shimBinary();
export const fast: Pacing = { ...defaultPacing, firstDelayMs: 20, delayMsMax: 100, brokenFailures: 100 };
export const forever = 'while :; do sleep 0.05; done';

export class Site {
  readonly directory: string;
  readonly #open = new Set<Supervisor>();
  lines: string[] = [];

  constructor(test: Test) {
    this.directory = mkdtempSync(join(tmpdir(), 'weir-supervisor-'));
    test.teardown(async () => {
      const last = await this.supervisor();
      await last.apply([]);
      await until(last, 'nothing', (all) => all.length === 0);
      await Promise.all([...this.#open].map((one) => one.close({ stopModules: false })));
      rmSync(this.directory, wholeTree);
    });
  }

  /** A new life of the runtime over the same directories. Earlier ones are dropped. */
  async supervisor(pacing: Pacing = fast, ports: Partial<SupervisorPorts> = {}): Promise<Supervisor> {
    for (const earlier of this.#open) await earlier.close({ stopModules: false });
    const clock = systemClock();
    const supervisor = new Supervisor({
      clock,
      entropy: systemEntropy(),
      log: createLog({ clock, level: 'debug', write: (line) => void this.lines.push(line) }),
      disk: systemDisk(),
      processes: systemProcesses(),
      network: systemNetwork(),
      shimPath,
      runDirectory: join(this.directory, 'run'),
      logDirectory: join(this.directory, 'log'),
      dataDirectory: join(this.directory, 'data'),
      pacing,
      ...ports,
    });
    this.#open.add(supervisor);
    await supervisor.start();
    return supervisor;
  }

  module(name: string): string {
    return join(this.directory, 'run/modules', name);
  }
}

export function spec(changes: Partial<LaunchSpec> & { readonly script?: string } = {}): LaunchSpec {
  const { script = forever, ...rest } = changes;
  return {
    name: 'm',
    generation: '1',
    command: ['/bin/sh', '-c', script],
    env: { PATH: '/usr/bin:/bin' },
    restartPolicy: 'always',
    startupOrder: 0,
    wanted: 'running',
    graceMs: 5000,
    logBytesMax: 100_000,
    logFiles: 2,
    ...rest,
  };
}

export async function until(
  supervisor: Supervisor,
  what: string,
  holds: (all: readonly ModuleObservation[]) => boolean,
  withinMs = waitMsMax,
): Promise<void> {
  if (holds(supervisor.observe())) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      off();
      reject(new Error(`did not happen: ${what}; ${JSON.stringify(supervisor.observe())}`));
    }, withinMs);
    const off = supervisor.onChange(() => {
      if (!holds(supervisor.observe())) return;
      clearTimeout(timer);
      off();
      resolve();
    });
  });
}

export async function module(
  supervisor: Supervisor,
  what: Partial<ModuleObservation> | ((one: ModuleObservation) => boolean),
  name = 'm',
  withinMs = waitMsMax,
): Promise<ModuleObservation> {
  const holds =
    typeof what === 'function'
      ? what
      : (one: ModuleObservation): boolean =>
          Object.entries(what).every(([key, value]) => one[key as keyof ModuleObservation] === value);
  // Kept as it was seen: a moment later it may be in another state.
  let found: ModuleObservation | undefined;
  const isSeen = (all: readonly ModuleObservation[]): boolean => {
    found = all.find((one) => one.name === name && holds(one));
    return found !== undefined;
  };
  await until(supervisor, `${name}: ${JSON.stringify(what)} ${String(what)}`, isSeen, withinMs);
  if (found === undefined) throw new Error('cannot be: it was there');
  return found;
}

export const isAlive = (pid: number | null): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + waitMsMax;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const state = (site: Site, name = 'm'): { readonly shimPid: number; readonly pid: number } =>
  JSON.parse(readFileSync(join(site.module(name), 'state.json'), 'utf8'));
