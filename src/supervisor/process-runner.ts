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
import { HealthWatch } from './health-watch.ts';
import { lostEnd, startFailure } from './module-ends.ts';
import type { ModulePaths } from './module-paths.ts';
import type { Found, LaunchSpec, ModuleRunner, RunnerListener, SupervisorPorts } from './ports.ts';
import { type ModuleEnd, parseModuleEnd, parseShimState, type ShimState } from './records.ts';
import { shimArguments, sweepArguments } from './shim-arguments.ts';
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
const microsecondsPerMs = 1000;
const noticesKeptMax = 4096;
const extractVariable = 'WEIR_EXTRACT_DIR';
const privateMode = 0o700;
/** The module passes through to its sockets; each file inside has a mode of its own. */
const directoryMode = 0o711;

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
  #health: HealthWatch | undefined;
  /** What the watch in #health goes by, as JSON. */
  #healthOf = '';
  /** The greeting of a shim whose module's spec is not known yet says what the module said; kept for the watch to come. */
  #notified: string | undefined;

  constructor(
    ports: SupervisorPorts,
    {
      paths,
      listener,
      log,
    }: {
      readonly paths: ModulePaths;
      readonly listener: RunnerListener;
      readonly log: Log;
    },
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

  follow(spec: LaunchSpec): void {
    if (this.#link !== undefined) this.#watchHealth(spec, { adopted: true });
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
    await this.#health?.close();
  }

  /** Kills what still runs, and removes the shim's files. The log stays: it is the module's, whatever its kind. */
  async erase(): Promise<void> {
    await this.#watching;
    await this.#clear();
    const { socket, notify, notified, lock, errors } = this.#paths;
    for (const file of [socket, notify, notified, lock, errors]) await this.#ports.disk.remove('module:erase', file);
  }

  async #start(spec: LaunchSpec): Promise<void> {
    const { disk, processes, clock } = this.#ports;
    if (this.#detached.signal.aborted) return;
    await disk.makeDirectory('module:directory', this.#paths.directory, directoryMode);
    await disk.makeDirectory('module:log-directory', this.#ports.logDirectory);
    await this.#clear();
    if (this.#detached.signal.aborted) return;
    this.#notified = undefined;
    const data = await this.#makeData(spec);
    const env = this.#environment(spec);
    const surroundings = {
      paths: this.#paths,
      writable: [...data, ...this.#nativeParts(env)],
      readable: [this.#ports.runDirectory],
      hidden: this.#ports.hidden ?? [],
    };
    const command = [this.#ports.shimPath, ...shimArguments(spec, surroundings)];
    const { pid } = await processes.spawnDetached({
      command,
      env,
      errorsTo: this.#paths.errors,
    });
    const deadlineMs = clock.monotonicMs() + startMsMax;
    while (!this.#detached.signal.aborted) {
      // Asked before the looking: a shim that is gone by then has left its record by then.
      const alive = (await processes.startTicks(pid)) !== undefined;
      const look = await this.#look();
      if (look.kind === 'linked' && look.state.shimPid === pid) {
        this.#listener.up(look.state);
        this.#watchHealth(spec, { adopted: false });
        return await this.#watch(look.link, look.state);
      }
      if (look.kind === 'linked') look.link.destroy();
      if (!alive) return this.#tell((await this.#endOnDisk()) ?? this.#couldNot(await this.#shimError()));
      if (clock.monotonicMs() > deadlineMs) {
        processes.signal(pid, 'SIGKILL');
        return this.#tell(this.#couldNot(`the shim did not answer within ${startMsMax} ms`));
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
        await this.#endHealth();
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
      await this.#endHealth();
      return this.#tell((await this.#endOnDisk()) ?? (await this.#lost(state)));
    }
  }

  async #look(): Promise<Look> {
    const link = new ShimLink({
      network: this.#ports.network,
      clock: this.#ports.clock,
      path: this.#paths.socket,
      greetingMsMax,
      notified: (text) => this.#hear(text),
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

  /** The shim is gone without a record, or hangs: makes sure that nothing of both is left, and says so. */
  async #lost(state: ShimState): Promise<ModuleEnd> {
    await this.#gone(state, { ended: false });
    const { clock, processes, shimPath } = this.#ports;
    const command = [shimPath, ...sweepArguments(this.#paths)];
    await processes.run({ command, env: {}, timeoutMs: goneMsMax, outputBytesMax: 0 });
    return lostEnd(state, { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() });
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

  #couldNot(reason: string): ModuleEnd {
    return startFailure(reason, this.#ports.clock.wallMs());
  }

  #failed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn('module could not be started', { directory: this.#paths.directory, reason });
    this.#tell(this.#couldNot(reason));
  }

  #tell(end: ModuleEnd): void {
    if (!this.#detached.signal.aborted) this.#listener.ended(end);
  }

  /** Its private directory, when modules have one. */
  async #makeData(spec: LaunchSpec): Promise<readonly string[]> {
    const { data } = this.#paths;
    const { disk, dataDirectory } = this.#ports;
    if (data === undefined || dataDirectory === undefined) return [];
    await disk.makeDirectory('module:data', dataDirectory, directoryMode);
    await disk.makeDirectory('module:data', `${dataDirectory}/${this.#paths.fileName}`, directoryMode);
    if (spec.uid === undefined || spec.gid === undefined) await disk.makeDirectory('module:data', data, privateMode);
    else await disk.makeDirectoryFor('module:data', data, { uid: spec.uid, gid: spec.gid });
    return [data];
  }

  #environment(spec: LaunchSpec): Readonly<Record<string, string>> {
    const { data } = this.#paths;
    const env: Record<string, string> = { ...spec.env };
    if (data !== undefined) {
      env['WEIR_MODULE_DATA'] = data;
      // Our own home is of no use to the module; one that its deployment names is.
      if (env['HOME'] === undefined || env['HOME'] === this.#ports.processes.inherited['HOME']) env['HOME'] = data;
    }
    // Ours is closed to other users: for them the parts of the executable come into their own directory.
    const { isRoot, inherited } = this.#ports.processes;
    if (isRoot && (spec.uid ?? 0) !== 0 && env[extractVariable] === inherited[extractVariable])
      delete env[extractVariable];
    if (spec.health?.notify === true) {
      env['NOTIFY_SOCKET'] = this.#paths.notify;
      if (spec.health.watchdogMs !== undefined)
        env['WATCHDOG_USEC'] = String(Math.round(spec.health.watchdogMs * microsecondsPerMs));
    }
    return env;
  }

  /** Where a built-in module may have to unpack a part of the executable that the runtime itself does not use. */
  #nativeParts(env: Readonly<Record<string, string>>): readonly string[] {
    const directory = env[extractVariable];
    return directory?.startsWith('/') === true ? [directory] : [];
  }

  /** Begins, or goes on with what has to be watched now. */
  #watchHealth(spec: LaunchSpec, { adopted }: { readonly adopted: boolean }): void {
    const { health, uid, gid, cwd } = spec;
    const watchedBy = health === undefined ? '' : JSON.stringify([health, uid, gid, cwd]);
    if (watchedBy === this.#healthOf) return;
    const notified = this.#health?.saidReady === true ? 'READY=1' : this.#notified;
    void this.#endHealth();
    if (health === undefined || this.#detached.signal.aborted) return;
    const { clock, processes } = this.#ports;
    const env = this.#environment(spec);
    const watch = new HealthWatch(
      {
        clock,
        check: (limits) =>
          processes.run({
            command: health.command ?? [],
            env,
            ...(cwd === undefined ? {} : { cwd }),
            ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
            ...limits,
          }),
        tell: (state) => {
          if (!this.#detached.signal.aborted && this.#health === watch) this.#listener.health(state);
        },
      },
      health,
    );
    this.#health = watch;
    this.#healthOf = watchedBy;
    watch.start({ adopted });
    if (notified !== undefined) watch.notified(notified);
  }

  /** A check under way is ended and waited for: it must not outlive the module. */
  async #endHealth(): Promise<void> {
    const watch = this.#health;
    this.#health = undefined;
    this.#healthOf = '';
    this.#notified = undefined;
    await watch?.close();
  }

  #hear(text: string): void {
    if (this.#health !== undefined) this.#health.notified(text);
    else this.#notified = `${this.#notified ?? ''}\n${text}`.slice(-noticesKeptMax);
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
