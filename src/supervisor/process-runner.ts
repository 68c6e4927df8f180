// One module's process, by way of its shim: start it, find it again, learn its end.
//
//   launch()  ─▶ clear the directory ─▶ spawn the shim ─▶ dial ctl.sock until it greets ─▶ up
//   find()    ─▶ dial ctl.sock: greeted ─▶ adopted; else exit.json ─▶ ended; else nothing
//   up        ─▶ the stream ends: exit line, or exit.json, or (shim gone) lost ─▶ ended
//
// Never depends on the shim being our child: the same watching serves what we started and what an earlier life of
// the runtime started. Does not decide anything about restarts.
//
// Invariants
//   After launch() exactly one `ended` is told, unless detach() comes first; `up` at most once before it.
//   exit.json of a former life is removed before a spawn, so one that is there afterwards is of this life.
//   A process is signalled only when pid, start time and boot id agree with its record. The exception is a
//   group whose leader is gone: its number cannot be given to a new process while a member lives.
//   `ended` is told only when the process is gone: two lives of a module never hold one serial port.

import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { ModulePaths } from './module-paths.ts';
import type { Found, LaunchSpec, ModuleRunner, RunnerListener, SupervisorPorts } from './ports.ts';
import { type ModuleEnd, parseModuleEnd, parseShimState, type ShimState } from './records.ts';
import { ShimLink } from './shim-link.ts';

type Look =
  | { readonly kind: 'linked'; readonly link: ShimLink; readonly state: ShimState }
  | { readonly kind: 'silent' }
  | { readonly kind: 'nobody' };

const greetingMsMax = 10_000;
const turnedAwayMsMax = 3000;
const startMsMax = 30_000;
const goneMsMax = 10_000;
const lookAgainMs = 10;
const directoryMode = 0o700;

export class ProcessRunner implements ModuleRunner {
  readonly #ports: SupervisorPorts;
  readonly #log: Log;
  readonly #paths: ModulePaths;
  readonly #listener: RunnerListener;
  #link: ShimLink | undefined;
  #watching: Promise<void> = Promise.resolve();
  /** Grace of a stop that was asked for and may have to be repeated on another link. */
  #terminateGraceMs: number | undefined;
  readonly #detached = new AbortController();

  constructor(
    ports: SupervisorPorts,
    { paths, listener, log }: { readonly paths: ModulePaths; readonly listener: RunnerListener; readonly log: Log },
  ) {
    this.#ports = ports;
    this.#paths = paths;
    this.#listener = listener;
    this.#log = log;
  }

  /** What an earlier life of the runtime left. A running module is adopted: its end will be told. */
  async find(): Promise<Found> {
    const state = await this.#stateOnDisk();
    const look = state === undefined ? await this.#look() : await this.#lookWhileAlive(state);
    if (look.kind === 'linked') {
      this.#watching = this.#watch(look.link, look.state).catch((error: unknown) => this.#failed(error));
      return { kind: 'running', state: look.state };
    }
    const end = await this.#endOnDisk();
    if (end !== undefined) return { kind: 'ended', end };
    if (state === undefined || state.bootId !== this.#ports.processes.bootId()) return { kind: 'nothing' };
    return { kind: 'ended', end: await this.#lost(state) };
  }

  /** Starts the module. Failures are told as an end. */
  launch(spec: LaunchSpec): void {
    this.#terminateGraceMs = undefined;
    this.#watching = this.#watching.then(() => this.#start(spec)).catch((error: unknown) => this.#failed(error));
  }

  /** Asks the module to end; works before it is up, too. */
  terminate(graceMs: number): void {
    this.#terminateGraceMs = graceMs;
    this.#link?.terminate(graceMs);
  }

  /** Lets go of the process without ending it. Nothing is told any more. */
  async detach(): Promise<void> {
    this.#detached.abort();
    this.#link?.destroy();
    await this.#watching;
  }

  /** Kills what still runs, and removes the shim's files. The log stays: it is the module's, whatever its kind. */
  async erase(): Promise<void> {
    await this.#watching;
    await this.#clear();
    const { socket, lock, errors } = this.#paths;
    for (const file of [socket, lock, errors]) await this.#ports.disk.remove('module:erase', file);
  }

  async #start(spec: LaunchSpec): Promise<void> {
    const { disk, processes, clock } = this.#ports;
    if (this.#detached.signal.aborted) return;
    await disk.makeDirectory('module:directory', this.#paths.directory, directoryMode);
    await disk.makeDirectory('module:log-directory', this.#ports.logDirectory);
    await this.#clear();
    if (this.#detached.signal.aborted) return;
    const command = [this.#ports.shimPath, ...shimArguments(spec, this.#paths)];
    const { pid } = await processes.spawnDetached({ command, env: spec.env, errorsTo: this.#paths.errors });
    const deadlineMs = clock.monotonicMs() + startMsMax;
    while (!this.#detached.signal.aborted) {
      // Asked before the looking: a shim that is gone by then has left its record by then.
      const alive = (await processes.startTicks(pid)) !== undefined;
      const look = await this.#look();
      if (look.kind === 'linked' && look.state.shimPid === pid) {
        this.#listener.up(look.state);
        return await this.#watch(look.link, look.state);
      }
      if (look.kind === 'linked') look.link.destroy();
      if (!alive) return this.#tell((await this.#endOnDisk()) ?? this.#startFailure(await this.#shimError()));
      if (clock.monotonicMs() > deadlineMs) {
        processes.signal(pid, 'SIGKILL');
        return this.#tell(this.#startFailure(`the shim did not answer within ${startMsMax} ms`));
      }
      await this.#pause(lookAgainMs);
    }
  }

  /** Ends whatever still runs in the directory unknown to us, and removes the records of the last life. */
  async #clear(): Promise<void> {
    const look = await this.#look();
    if (look.kind === 'linked') {
      look.link.kill();
      await look.link.closed;
      await this.#gone(look.state, { ended: true });
    } else {
      const state = await this.#stateOnDisk();
      const ended = (await this.#endOnDisk()) !== undefined;
      if (state?.bootId === this.#ports.processes.bootId()) await this.#gone(state, { ended });
    }
    await this.#ports.disk.remove('module:exit', this.#paths.exit);
    await this.#ports.disk.remove('module:state', this.#paths.state);
  }

  async #watch(first: ShimLink, state: ShimState): Promise<void> {
    let link = first;
    for (;;) {
      this.#link = link;
      if (this.#terminateGraceMs !== undefined) link.terminate(this.#terminateGraceMs);
      if (this.#detached.signal.aborted) link.destroy();
      const told = await link.closed;
      this.#link = undefined;
      if (this.#detached.signal.aborted) return;
      const end = told ?? (await this.#endOnDisk());
      if (end !== undefined) {
        await this.#gone(state, { ended: true });
        return this.#tell(end);
      }
      // The stream broke. If the shim lives, it only lost us.
      const look = await this.#lookWhileAlive(state);
      if (look.kind === 'linked') {
        link = look.link;
        continue;
      }
      if (this.#detached.signal.aborted) return;
      return this.#tell((await this.#endOnDisk()) ?? (await this.#lost(state)));
    }
  }

  async #look(): Promise<Look> {
    const link = new ShimLink({
      network: this.#ports.network,
      clock: this.#ports.clock,
      path: this.#paths.socket,
      greetingMsMax,
    });
    const state = await link.opened;
    if (state !== undefined) return { kind: 'linked', link, state };
    return { kind: link.silent ? 'silent' : 'nobody' };
  }

  /** A living shim may turn us away for a moment, when too many ask; one that says nothing to the end hangs. */
  async #lookWhileAlive(state: ShimState): Promise<Look> {
    const deadlineMs = this.#ports.clock.monotonicMs() + turnedAwayMsMax;
    for (;;) {
      const look = await this.#look();
      if (look.kind === 'linked' || this.#detached.signal.aborted) return look;
      if (!(await this.#isShim(state)) || this.#ports.clock.monotonicMs() >= deadlineMs) return look;
      await this.#pause(lookAgainMs);
    }
  }

  /** The shim is gone without a record, or hangs: makes sure that both are gone, and says so. */
  async #lost(state: ShimState): Promise<ModuleEnd> {
    await this.#gone(state, { ended: false });
    const endedAtMs = this.#ports.clock.wallMs();
    return {
      pid: state.pid,
      code: null,
      signal: 9,
      reason: 'lost',
      message: 'its shim was killed, and the module with it',
      startedAtMs: state.startedAtMs,
      endedAtMs,
      // No longer than the machine runs: the wall clock may have been set in between.
      uptimeMs: Math.min(Math.max(0, endedAtMs - state.startedAtMs), Math.round(this.#ports.clock.monotonicMs())),
      oomKilled: false,
      logDroppedBytes: 0,
    };
  }

  /**
   * Waits until shim and module are gone. A shim that reported an end only drains its pipes now, a second at
   * most; one that reported none is killed, and the module's group with it.
   */
  async #gone(state: ShimState, { ended }: { readonly ended: boolean }): Promise<void> {
    const { processes, clock } = this.#ports;
    const deadlineMs = clock.monotonicMs() + goneMsMax;
    while (await this.#isShim(state)) {
      if (!ended || clock.monotonicMs() > deadlineMs) processes.signal(state.shimPid, 'SIGKILL');
      if (clock.monotonicMs() > deadlineMs) break;
      await this.#pause(lookAgainMs);
    }
    const ticks = await processes.startTicks(state.pid);
    if (!ended && (ticks === undefined || ticks === state.pidStart)) processes.signal(-state.pid, 'SIGKILL');
    while ((await processes.startTicks(state.pid)) === state.pidStart && clock.monotonicMs() <= deadlineMs)
      await this.#pause(lookAgainMs);
  }

  async #isShim(state: ShimState): Promise<boolean> {
    return (
      state.bootId === this.#ports.processes.bootId() &&
      (await this.#ports.processes.startTicks(state.shimPid)) === state.shimStart
    );
  }

  async #endOnDisk(): Promise<ModuleEnd | undefined> {
    const text = await this.#ports.disk.readTextIfPresent('module:exit', this.#paths.exit);
    return text === undefined ? undefined : parseModuleEnd(text);
  }

  async #stateOnDisk(): Promise<ShimState | undefined> {
    const text = await this.#ports.disk.readTextIfPresent('module:state', this.#paths.state);
    return text === undefined ? undefined : parseShimState(text);
  }

  async #shimError(): Promise<string> {
    const text = (await this.#ports.disk.readTextIfPresent('module:shim-error', this.#paths.errors)) ?? '';
    return text.trim() === '' ? 'the shim ended without a record' : text.trim().replace(/^weir-shim: /, '');
  }

  #startFailure(reason: string): ModuleEnd {
    const endedAtMs = this.#ports.clock.wallMs();
    const message = `could not be started: ${reason}`;
    return {
      pid: null,
      code: null,
      signal: null,
      reason: 'start',
      message,
      startedAtMs: null,
      endedAtMs,
      uptimeMs: 0,
      oomKilled: false,
      logDroppedBytes: 0,
    };
  }

  #failed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn('module could not be started', { directory: this.#paths.directory, reason });
    this.#tell(this.#startFailure(reason));
  }

  #tell(end: ModuleEnd): void {
    if (!this.#detached.signal.aborted) this.#listener.ended(end);
  }

  #pause(delayMs: number): Promise<void> {
    return pause(this.#ports.clock, delayMs);
  }
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(delayMs, resolve);
  });
}

function shimArguments(spec: LaunchSpec, paths: ModulePaths): readonly string[] {
  const args = [
    '--dir',
    paths.directory,
    '--log',
    paths.log,
    '--log-bytes',
    String(spec.logBytesMax),
    '--log-files',
    String(spec.logFiles),
  ];
  args.push('--grace-ms', String(spec.graceMs), '--no-new-privs');
  if (spec.uid !== undefined && spec.gid !== undefined) {
    args.push('--uid', String(spec.uid), '--gid', String(spec.gid));
    for (const group of spec.groups ?? []) args.push('--group', String(group));
  }
  if (spec.cwd !== undefined) args.push('--cwd', spec.cwd);
  for (const [name, value] of Object.entries(spec.rlimits ?? {})) args.push('--rlimit', `${name}=${value}`);
  return [...args, '--', ...spec.command];
}
