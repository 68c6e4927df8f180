// A command of somebody else, run to its end: bounded in time and in what is kept of its output.
//
// For health commands of modules, which may hang, flood or leave children behind. The command leads a process group
// of its own, and the group is killed when its time is over and when it ended. A child that left the group and holds
// the pipes is not waited for.

import { type ChildProcess, spawn } from 'node:child_process';

export interface CommandRequest {
  /** Absolute path of the program, then its arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Both or neither; supplementary groups are dropped with them. */
  readonly uid?: number;
  readonly gid?: number;
  readonly timeoutMs: number;
  /** Ends it before its time. */
  readonly signal?: AbortSignal;
  /** Of stdout and stderr together; the rest is read and dropped. */
  readonly outputBytesMax: number;
}

export interface CommandResult {
  /** Null when a signal ended it, or it could not be started. */
  readonly code: number | null;
  readonly timedOut: boolean;
  /** What it wrote, or why it could not be started. */
  readonly output: string;
}

/** After the end of the command its pipes are read for so long at most. */
const drainMs = 200;

/** Never rejects. */
export function runCommand(request: CommandRequest): Promise<CommandResult> {
  const { command, env, cwd, uid, gid, timeoutMs, signal, outputBytesMax } = request;
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const kept: Buffer[] = [];
    let room = outputBytesMax;
    let timedOut = false;
    const output = (): string => Buffer.concat(kept).toString('utf8');
    const child = attempt(() =>
      spawn(file, args, {
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...env },
        ...(cwd === undefined ? {} : { cwd }),
        ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
      }),
    );
    if (typeof child === 'string') return resolve({ code: null, timedOut, output: child });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        const part = chunk.subarray(0, room);
        room -= part.length;
        if (part.length > 0) kept.push(part);
      });
    }
    const deadline = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, timeoutMs);
    const stop = (): void => killGroup(child);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    const over = (): void => {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', stop);
    };
    child.once('error', (error) => {
      over();
      resolve({ code: null, timedOut, output: error.message });
    });
    child.once('exit', (code) => {
      over();
      killGroup(child);
      const drained = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, drainMs);
      child.once('close', () => {
        clearTimeout(drained);
        resolve({ code, timedOut, output: output() });
      });
    });
  });
}

/** The reason when it cannot even be tried. */
function attempt(work: () => ChildProcess): ChildProcess | string {
  try {
    return work();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The number of the group is not given to others while a member lives. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}
