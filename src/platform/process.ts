// Processes as a parameter: start one that outlives us, ask what a pid is, send a signal.
//
// Pids are reused, so a process is known by pid AND start time (field 22 of /proc/<pid>/stat, clock ticks since
// boot) AND boot id. A pid alone identifies nobody.

import { type StdioOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { machine } from 'node:os';
import { type CommandRequest, type CommandResult, runCommand } from './command.ts';

export interface SpawnRequest {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A file that receives what the process writes to stderr; emptied first. Without it stderr goes nowhere. */
  readonly errorsTo?: string;
}

export interface Processes {
  /** Starts a process in its own session, detached from ours, without stdin and stdout. Rejects when it cannot be executed. */
  spawnDetached(request: SpawnRequest): Promise<{ readonly pid: number }>;
  /** Runs a command to its end, or to the end of its time. Never rejects. */
  run(request: CommandRequest): Promise<CommandResult>;
  /** Start time of a live process in clock ticks since boot; undefined when there is none (zombies count as none). */
  startTicks(pid: number): Promise<number | undefined>;
  /** A negative pid means the process group of that number. False when there is none, or it is not ours to signal. */
  signal(pid: number, name: 'SIGTERM' | 'SIGKILL' | 'SIGHUP'): boolean;
  /** Changes with every boot of the machine. */
  bootId(): string;
  readonly pid: number;
  /** Others may be run as other users. */
  readonly isRoot: boolean;
  /** `x86_64`, `aarch64`, `armv7l`, as `uname -m` says. */
  readonly architecture: string;
  readonly nodeVersion: string;
  /** What a child process needs of our environment: where programs are, language, time zone. Nothing else is passed on. */
  readonly inherited: Readonly<Record<string, string>>;
  /** The running executable, for starting built-in modules as the same one. */
  readonly executable: string;
  /** Resident, unshared-weighted memory of a process in bytes (PSS), when the kernel tells. */
  pssBytes(pid: number): Promise<number | undefined>;
}

const startTicksField = 19;
const bytesPerKib = 1024;
const privateFileMode = 0o600;

const inheritedNames = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'WEIR_EXTRACT_DIR', 'QEMU_LD_PREFIX'];

export function systemProcesses(): Processes {
  return {
    pid: process.pid,
    isRoot: process.getuid?.() === 0,
    architecture: machine(),
    nodeVersion: process.versions.node,
    inherited: Object.fromEntries(
      inheritedNames.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    executable: process.execPath,
    spawnDetached,
    run: runCommand,
    async startTicks(pid) {
      try {
        const text = await readFile(`/proc/${pid}/stat`, 'utf8');
        // The command name may hold blanks and parentheses: fields are counted from behind the last ')'.
        const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
        return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[startTicksField]);
      } catch {
        return undefined;
      }
    },
    signal(pid, name) {
      try {
        return process.kill(pid, name);
      } catch {
        return false;
      }
    },
    bootId: () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    async pssBytes(pid) {
      try {
        const match = /^Pss:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'));
        return match === null ? undefined : Number(match[1]) * bytesPerKib;
      } catch {
        return undefined;
      }
    },
  };
}

async function spawnDetached({ command, env, cwd, errorsTo }: SpawnRequest): Promise<{ readonly pid: number }> {
  const [file, ...args] = command;
  const errors = errorsTo === undefined ? undefined : await open(errorsTo, 'w', privateFileMode);
  try {
    return await new Promise((resolve, reject) => {
      const stdio: StdioOptions = ['ignore', 'ignore', errors?.fd ?? 'ignore'];
      const child = spawn(file ?? '', args, {
        detached: true,
        stdio,
        env: { ...env },
        ...(cwd === undefined ? {} : { cwd }),
      });
      child.once('error', reject);
      child.once('spawn', () => {
        child.unref();
        resolve({ pid: child.pid ?? 0 });
      });
    });
  } finally {
    await errors?.close();
  }
}
