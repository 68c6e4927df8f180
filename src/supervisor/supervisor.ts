// The set of modules: converges what runs to what is listed, and lets it run on without us.
//
// Owns which modules there are. What happens to one is supervised-module.ts; how its process is held is
// process-runner.ts. Does not know deployments, images or identities: the agent turns those into LaunchSpecs.
//
// Invariants
//   start() finds every module an earlier life of the runtime left in the run directory or in the container engine,
//   before any apply(). An engine that is away then is asked until it answers.
//   apply() is all or nothing as to what it accepts: one spec that cannot be followed changes nothing.
//   A group of the start order begins when those before it are up and ready, or have failed, or let us wait too long.
//   What needs no start has no turn, and a newer apply() ends the waiting of an older one.
//   close() leaves the modules running unless told otherwise (guarantee G6).

import { strict as assert } from 'node:assert';
import {
  moduleGraceMsMax,
  moduleLogBytesMax,
  moduleLogBytesMin,
  moduleLogFilesMax,
  startGroupWaitMsMax,
  supervisedModulesMax,
} from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { moduleFileName, moduleOfFileName } from '../model/module-file-name.ts';
import type { Timer } from '../platform/clock.ts';
import { closedError, moduleUnknownError, specInvalidError } from './errors.ts';
import { ModuleAccounts } from './module-accounts.ts';
import { ModuleLogs } from './module-logs.ts';
import { modulePaths, modulesDirectory } from './module-paths.ts';
import type { LaunchSpec, ModuleObservation, SupervisorPorts } from './ports.ts';
import { startGroups } from './start-order.ts';
import { SupervisedModule } from './supervised-module.ts';

/** Others may pass through to the workload sockets; what is inside a module's directory is protected by its own mode. */
const directoryMode = 0o711;
/** How long the start waits for a container engine, and how often one that did not answer is asked again. */
const engineWaitMsMax = 5000;
const engineAskAgainMs = 15_000;

export class Supervisor {
  readonly #ports: SupervisorPorts;
  readonly #modules = new Map<string, SupervisedModule>();
  readonly #listeners = new Set<() => void>();
  readonly #accounts: ModuleAccounts | undefined;
  readonly #logs: ModuleLogs;
  #applying: Promise<void> = Promise.resolve();
  /** The groups of the last apply() that have not had their turn. */
  #starting: { readonly ended: Promise<void>; readonly stop: AbortController } | undefined;
  #listed: ReadonlySet<string> | undefined;
  #askAgain: Timer | undefined;
  #engineAway = false;
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
    const { firstUid, dataDirectory, disk, logDirectory: directory } = ports;
    this.#logs = new ModuleLogs(disk, { directory, isThere: (name) => this.#modules.has(name) });
    if (firstUid !== undefined && dataDirectory !== undefined)
      this.#accounts = new ModuleAccounts(ports, { firstUid, dataDirectory });
  }

  /** Finds and adopts the modules that run already. */
  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    this.#state = 'open';
    const directory = modulesDirectory(this.#ports.runDirectory);
    await this.#ports.disk.makeDirectory('supervisor:directory', directory, directoryMode);
    const found = (await this.#ports.disk.list('supervisor:list', directory)).map(moduleOfFileName);
    const inEngine = new Set((await this.#askEngine()).filter((name) => moduleFileName(name) !== undefined));
    const names = new Set([...found.filter((name) => name !== undefined), ...inEngine]);
    await Promise.all([...names].map((name) => this.#add(name).restore({ isContainer: inEngine.has(name) })));
  }

  /**
   * Makes the listed modules the ones there are. Resolves when each is under way (started, being stopped, waiting);
   * observe() and onChange() tell how it goes.
   * @throws SUPERVISOR_SPEC_INVALID when a spec cannot be followed; then nothing was changed.
   */
  async apply(specs: readonly LaunchSpec[]): Promise<void> {
    this.#assertOpen();
    validate(specs);
    await this.#inTurn(() => this.#converge(specs));
  }

  /** Logs of modules that are not listed any more stay with these names only. */
  async keepLogs(names: readonly string[]): Promise<void> {
    this.#assertOpen();
    await this.#inTurn(() => {
      const leaving = [...this.#modules.keys()].filter((name) => this.#listed?.has(name) === false);
      return this.#logs.keepOnly(new Set(names), leaving);
    });
  }

  observe(): readonly ModuleObservation[] {
    return [...this.#modules.values()].map((module) => module.observe());
  }

  /** Ends the module, when it runs, and starts it at once, whatever its past. */
  async restart(name: string): Promise<void> {
    this.#assertOpen();
    const module = this.#modules.get(name);
    if (module === undefined) throw moduleUnknownError(name);
    await module.restart();
  }

  /** Called after every change of any module. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close({ stopModules }: { readonly stopModules: boolean }): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#askAgain?.cancel();
    this.#starting?.stop.abort();
    await this.#applying;
    await this.#starting?.ended;
    const modules = [...this.#modules.values()];
    if (stopModules) {
      await Promise.all(modules.map((module) => module.halt()));
      await this.#untilNothingRuns();
    }
    await Promise.all(modules.map((module) => module.detach()));
    this.#listeners.clear();
  }

  /** A failure is told to who asked, and holds up nobody behind it. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#applying.then(work);
    this.#applying = done.catch(() => undefined);
    return done;
  }

  async #converge(specs: readonly LaunchSpec[]): Promise<void> {
    this.#starting?.stop.abort();
    await this.#starting?.ended;
    if (this.#state === 'closed') return;
    const listed = new Set(specs.map((spec) => spec.name));
    this.#listed = listed;
    const unlisted = [...this.#modules.values()].filter((module) => !listed.has(module.name));
    await Promise.all(unlisted.map((module) => module.forget()));
    const equipped: LaunchSpec[] = [];
    for (const spec of specs) equipped.push(await this.#withAccount(spec, listed));
    for (const { name } of equipped) if (!this.#modules.has(name)) this.#add(name);
    const hasTurn = (spec: LaunchSpec): boolean => this.#modules.get(spec.name)?.follows(spec) !== true;
    await this.#assign(equipped.filter((spec) => !hasTurn(spec)));
    const [first = [], ...later] = startGroups(equipped.filter(hasTurn));
    for (const { name } of later.flat()) this.#modules.get(name)?.hold();
    await this.#assign(first);
    const stop = new AbortController();
    this.#starting = { stop, ended: this.#startLater([first, ...later], stop.signal) };
  }

  async #assign(specs: readonly LaunchSpec[]): Promise<void> {
    await Promise.all(specs.map((spec) => (this.#modules.get(spec.name) ?? this.#add(spec.name)).assign(spec)));
  }

  /** The first group is under way; each other one after the one before it. */
  async #startLater(groups: readonly (readonly LaunchSpec[])[], signal: AbortSignal): Promise<void> {
    let before = groups[0] ?? [];
    for (const group of groups.slice(1)) {
      await this.#untilSettled(before, signal);
      if (signal.aborted) return;
      await this.#assign(group);
      before = group;
    }
  }

  #untilSettled(specs: readonly LaunchSpec[], signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#listeners.delete(look);
        signal.removeEventListener('abort', end);
        timer.cancel();
        resolve();
      };
      const look = (): void => {
        if (!specs.some(({ name }) => this.#modules.get(name)?.isOnItsWay)) end();
      };
      const timer = this.#ports.clock.setTimer(startGroupWaitMsMax, () => {
        const late = specs.filter(({ name }) => this.#modules.get(name)?.isOnItsWay).map(({ name }) => name);
        this.#ports.log.warn('modules start before earlier ones are ready', {
          waitedMs: startGroupWaitMsMax,
          late: late.join(),
        });
        end();
      });
      this.#listeners.add(look);
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
      else look();
    });
  }

  /** A user of its own for a process that names none, in the groups of the devices that it may use. */
  async #withAccount(spec: LaunchSpec, listed: ReadonlySet<string>): Promise<LaunchSpec> {
    if (this.#accounts === undefined || spec.uid !== undefined || spec.container !== undefined) return spec;
    const number = await this.#accounts.numberOf(spec.name, listed);
    const groups = (spec.isolation?.devices.length ?? 0) > 0 ? (this.#ports.deviceGroups ?? []) : [];
    return { ...spec, uid: number, gid: number, groups };
  }

  /** The modules the engine has containers of. While it is away it is asked again, and what it names then is adopted or ended. */
  async #askEngine(): Promise<readonly string[]> {
    const { containers, clock } = this.#ports;
    if (containers === undefined) return [];
    const asked = containers.known();
    const late = Symbol('late');
    let deadline: Timer | undefined;
    try {
      const answer = await Promise.race([
        asked,
        new Promise<typeof late>((resolve) => {
          deadline = clock.setTimer(engineWaitMsMax, () => resolve(late));
        }),
      ]);
      if (answer !== late) {
        if (this.#engineAway) this.#ports.log.info('container engine answers');
        this.#engineAway = false;
        return answer;
      }
      asked.catch(() => undefined);
      this.#engineIsAway(`no answer within ${engineWaitMsMax} ms`);
    } catch (error) {
      this.#engineIsAway(errorMessage(error));
    } finally {
      deadline?.cancel();
    }
    if (this.#state === 'open') this.#askAgain = clock.setTimer(engineAskAgainMs, () => void this.#adoptLate());
    return [];
  }

  /** Said once: a gateway without containers has no engine for good. */
  #engineIsAway(reason: string): void {
    if (!this.#engineAway) this.#ports.log.info('no container engine; it is asked again now and then', { reason });
    this.#engineAway = true;
  }

  async #adoptLate(): Promise<void> {
    const names = await this.#askEngine();
    if (this.#state !== 'open') return;
    await this.#inTurn(async () => {
      const late = names.filter((name) => !this.#modules.has(name) && moduleFileName(name) !== undefined);
      await Promise.all(late.map((name) => this.#add(name).restore({ isContainer: true })));
      const unlisted = late.filter((name) => this.#listed !== undefined && !this.#listed.has(name));
      await Promise.all(unlisted.map((name) => this.#modules.get(name)?.forget()));
    });
  }

  #add(name: string): SupervisedModule {
    const fileName = moduleFileName(name);
    assert(fileName !== undefined, 'names are validated before they get here');
    const owner = {
      changed: () => this.#changed(),
      kept: (kept: SupervisedModule) => {
        this.#modules.set(name, kept);
        this.#logs.stays(name);
      },
      erased: (erased: string) => {
        this.#modules.delete(erased);
        return this.#logs.left(erased);
      },
    };
    const module = new SupervisedModule(name, { ports: this.#ports, paths: modulePaths(fileName, this.#ports), owner });
    this.#modules.set(name, module);
    return module;
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Ends by itself: each module has its grace, and then SIGKILL. */
  #untilNothingRuns(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if ([...this.#modules.values()].some((module) => module.hasProcess)) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  #assertOpen(): void {
    if (this.#state === 'closed') throw closedError();
    assert(this.#state === 'open', 'start() comes first');
  }
}

function validate(specs: readonly LaunchSpec[]): void {
  const seen = new Set<string>();
  if (specs.length > supervisedModulesMax)
    throw specInvalidError(
      specs[supervisedModulesMax]?.name ?? '',
      `there are more than ${supervisedModulesMax} modules`,
    );
  for (const spec of specs) {
    const reason = seen.has(spec.name) ? 'its name is listed twice' : invalidity(spec);
    if (reason !== undefined) throw specInvalidError(spec.name, reason);
    seen.add(spec.name);
  }
}

function invalidity(spec: LaunchSpec): string | undefined {
  const program = spec.command[0] ?? '';
  const texts = [...spec.command, ...Object.entries(spec.env).flat()];
  if (moduleFileName(spec.name) === undefined) return 'its name is empty or too long';
  if (spec.container === undefined && !program.startsWith('/'))
    return `its program ${JSON.stringify(program)} is not an absolute path`;
  if (texts.some((text) => text.includes('\0'))) return 'its command or environment holds a zero byte';
  if (spec.cwd !== undefined && !spec.cwd.startsWith('/')) return 'its working directory is not an absolute path';
  if ((spec.uid === undefined) !== (spec.gid === undefined)) return 'uid and gid are needed together';
  if (!within(spec.graceMs, 0, moduleGraceMsMax)) return `its grace is not within 0 and ${moduleGraceMsMax} ms`;
  if (!within(spec.logBytesMax, moduleLogBytesMin, moduleLogBytesMax))
    return `its log file size is not within ${moduleLogBytesMin} and ${moduleLogBytesMax} bytes`;
  if (!within(spec.logFiles, 1, moduleLogFilesMax))
    return `its number of log files is not within 1 and ${moduleLogFilesMax}`;
  return undefined;
}

function within(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}
