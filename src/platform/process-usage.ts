// What processes take, with everything they started: processor time and memory, from /proc.
//
//   /proc/<pid>/stat            parent (field 4), user and system time of itself (14, 15) and of ended children (16, 17)
//   /proc/<pid>/smaps_rollup    Pss: shared pages divided by who shares them, so that sums are true
//
// A process may end while it is looked at: it then counts as gone. Field numbers are those of proc(5).

import { readdir, readFile } from 'node:fs/promises';

export interface ProcessUsage {
  /** Since its start, user and system, of it and of all that it started. */
  readonly cpuMs: number;
  /** Null when the kernel does not tell. */
  readonly memoryBytes: number | null;
  readonly processes: number;
}

interface Entry {
  readonly parent: number;
  readonly ownTicks: number;
  readonly endedTicks: number;
}

/** Linux tells times of processes in hundredths of a second on every architecture (USER_HZ). */
const msPerTick = 10;
const bytesPerKib = 1024;

/** Usage by pid; a pid that is gone is left out. Of those `alone` their children are not counted. */
export async function processUsage(
  pids: readonly number[],
  { alone = [] }: { readonly alone?: readonly number[] } = {},
): Promise<ReadonlyMap<number, ProcessUsage>> {
  const all = await readAll();
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of all) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const usages = await Promise.all(
    [...pids, ...alone].map(async (pid): Promise<readonly [number, ProcessUsage] | undefined> => {
      if (!all.has(pid)) return undefined;
      const isAlone = alone.includes(pid);
      const family = isAlone ? [pid] : descendants(pid, children);
      const memories = await Promise.all(family.map(pssBytes));
      const known = memories.filter((bytes) => bytes !== undefined);
      return [
        pid,
        {
          cpuMs: family.reduce((sum, member) => sum + timeOf(all.get(member), isAlone) * msPerTick, 0),
          memoryBytes: known.length === 0 ? null : known.reduce((sum, bytes) => sum + bytes, 0),
          processes: family.length,
        },
      ];
    }),
  );
  return new Map(usages.filter((usage) => usage !== undefined));
}

async function readAll(): Promise<ReadonlyMap<number, Entry>> {
  const names = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const entries = await Promise.all(names.map(async (name) => [Number(name), await readEntry(name)] as const));
  return new Map(entries.flatMap(([pid, entry]) => (entry === undefined ? [] : [[pid, entry] as const])));
}

async function readEntry(pid: string): Promise<Entry | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The command name may hold blanks and parentheses: fields are counted from behind the last ')', the third one on.
  const [state, parent, , , , , , , , , , user, system, endedUser, endedSystem] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ');
  if (state === 'Z' || state === 'X') return undefined;
  return {
    parent: Number(parent),
    ownTicks: Number(user) + Number(system),
    endedTicks: Number(endedUser) + Number(endedSystem),
  };
}

function timeOf(entry: Entry | undefined, isAlone: boolean): number {
  return entry === undefined ? 0 : entry.ownTicks + (isAlone ? 0 : entry.endedTicks);
}

function descendants(pid: number, children: ReadonlyMap<number, readonly number[]>): readonly number[] {
  const family = [pid];
  for (let at = 0; at < family.length; at++) family.push(...(children.get(family[at] ?? 0) ?? []));
  return family;
}

async function pssBytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  const match = /^Pss:\s+(\d+) kB/m.exec(text);
  return match === null ? undefined : Number(match[1]) * bytesPerKib;
}
