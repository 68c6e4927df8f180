// Where a process comes from: its parents and its cgroups, read from /proc.
//
//   /proc/<pid>/stat     pid (name) state ppid … starttime      /proc/<pid>/cgroup   12:memory:/path  …  0::/path
//   /proc/<pid>/status   NSpid: 4711 1        one number a pid namespace, the outermost that we see first
//
// All three are readable for everybody, unless /proc is mounted with hidepid: then other users' processes do not
// exist for us. Pids are reused, so a process is known by pid AND start time; the parents are what they were at the
// moment of reading. A process whose parent ended belongs to the next subreaper above it (prctl(2)): for a module
// that is its shim, so a module's process has the shim among its ancestors for as long as the shim lives.

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

export interface ProcessLineage {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTicks: number;
  /** Parents, the nearest first, up to the first process of our namespace. */
  readonly ancestors: readonly number[];
  /** Path of its cgroup by hierarchy: the controllers' names of version 1, an empty name for version 2. */
  readonly cgroups: Readonly<Record<string, string>>;
  /** It lives in a pid namespace below ours. */
  readonly isNested: boolean;
}

export interface ProcessTable {
  /** This process. */
  readonly pid: number;
  readonly uid: number;
  /** Undefined when there is no such process, or we may not see it. */
  lineage(pid: number): Promise<ProcessLineage | undefined>;
}

/** Deeper trees than this are nobody's: a loop made by pids that were reused while we read ends here. */
const ancestorsMax = 64;
const parentField = 1;
const startTicksField = 19;

/** Where shims put their modules, in every hierarchy (native/weir-shim/cgroup.c). A process cannot leave it by itself. */
const modulesGroup = '/weir.modules/';

/** A process module, or what it started: also when it runs as root. False where the machine has no cgroups. */
export function isInModuleGroup({ cgroups }: ProcessLineage): boolean {
  return Object.values(cgroups).some((path) => path.includes(modulesGroup));
}

export function systemProcessTable(): ProcessTable {
  return { pid: process.pid, uid: process.getuid?.() ?? 0, lineage: readLineage };
}

/** Start time of a process now, in clock ticks since boot; undefined when it is gone. Never waits: /proc is memory. */
export function startTicksNow(pid: number): number | undefined {
  try {
    return statFields(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.startTicks;
  } catch {
    return undefined;
  }
}

async function readLineage(pid: number): Promise<ProcessLineage | undefined> {
  try {
    const [stat, cgroup, status] = await Promise.all(
      ['stat', 'cgroup', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(absentFile(name))),
    );
    const own = statFields(stat ?? '');
    if (own === undefined) return undefined;
    return {
      pid,
      startTicks: own.startTicks,
      ancestors: await readAncestors(own.parent),
      cgroups: cgroupPaths(cgroup ?? ''),
      isNested: namespaces(status ?? '') > namespaces(readFileSync('/proc/self/status', 'utf8')),
    };
  } catch {
    return undefined;
  }
}

/** A kernel without cgroups has no such file; every process has the other two. */
function absentFile(name: string): (error: unknown) => string {
  return (error) => {
    if (name === 'cgroup') return '';
    throw error;
  };
}

async function readAncestors(parent: number): Promise<readonly number[]> {
  const ancestors: number[] = [];
  for (let pid = parent; pid > 0 && ancestors.length < ancestorsMax; ) {
    ancestors.push(pid);
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    pid = statFields(stat)?.parent ?? 0;
  }
  return ancestors;
}

/** The command name may hold blanks and parentheses: fields are counted from behind the last ')'. */
function statFields(text: string): { readonly parent: number; readonly startTicks: number } | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const parent = Number(fields[parentField]);
  const startTicks = Number(fields[startTicksField]);
  if (!Number.isInteger(parent) || !Number.isInteger(startTicks)) return undefined;
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { parent, startTicks };
}

function cgroupPaths(text: string): Readonly<Record<string, string>> {
  const paths: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers !== undefined && path !== undefined) paths[controllers] = path;
  }
  return paths;
}

function namespaces(status: string): number {
  return (/^NSpid:(.*)$/m.exec(status)?.[1] ?? ' 0').trim().split(/\s+/).length;
}
