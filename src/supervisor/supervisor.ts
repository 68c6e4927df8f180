// The set of modules: converges what runs to what is listed, and lets it run on without us.
//
// Owns which modules there are. What happens to one is supervised-module.ts; how its process is held is
// process-runner.ts. Does not know deployments, images or identities: the agent turns those into LaunchSpecs.
//
// Invariants
//   start() finds every module an earlier life of the runtime left in the run directory, before any apply().
//   apply() is all or nothing as to what it accepts: one spec that cannot be followed changes nothing.
//   close() leaves the modules running unless told otherwise (guarantee G6).

import { strict as assert } from 'node:assert';
import {
  moduleGraceMsMax,
  moduleLogBytesMax,
  moduleLogBytesMin,
  moduleLogFilesMax,
  supervisedModulesMax,
} from '../limits.ts';
import { moduleFileName, moduleOfFileName } from '../model/module-file-name.ts';
import { closedError, moduleUnknownError, specInvalidError } from './errors.ts';
import { modulePaths, modulesDirectory } from './module-paths.ts';
import type { LaunchSpec, ModuleObservation, SupervisorPorts } from './ports.ts';
import { SupervisedModule } from './supervised-module.ts';

/** Others may pass through to the workload sockets; what is inside a module's directory is protected by its own mode. */
const directoryMode = 0o711;

export class Supervisor {
  readonly #ports: SupervisorPorts;
  readonly #modules = new Map<string, SupervisedModule>();
  readonly #listeners = new Set<() => void>();
  #applying: Promise<void> = Promise.resolve();
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
  }

  /** Finds and adopts the modules that run already. */
  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    this.#state = 'open';
    const directory = modulesDirectory(this.#ports.runDirectory);
    await this.#ports.disk.makeDirectory('supervisor:directory', directory, directoryMode);
    const names = (await this.#ports.disk.list('supervisor:list', directory)).map(moduleOfFileName);
    await Promise.all(names.filter((name) => name !== undefined).map((name) => this.#add(name).restore()));
  }

  /**
   * Makes the listed modules the ones there are. Resolves when each is under way (started, being stopped, waiting);
   * observe() and onChange() tell how it goes.
   * @throws SUPERVISOR_SPEC_INVALID when a spec cannot be followed; then nothing was changed.
   */
  async apply(specs: readonly LaunchSpec[]): Promise<void> {
    this.#assertOpen();
    validate(specs);
    this.#applying = this.#applying.then(() => this.#converge(specs));
    await this.#applying;
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
    await this.#applying;
    const modules = [...this.#modules.values()];
    if (stopModules) {
      await Promise.all(modules.map((module) => module.halt()));
      await this.#untilNothingRuns();
    }
    await Promise.all(modules.map((module) => module.detach()));
    this.#listeners.clear();
  }

  async #converge(specs: readonly LaunchSpec[]): Promise<void> {
    const listed = new Set(specs.map((spec) => spec.name));
    const unlisted = [...this.#modules.values()].filter((module) => !listed.has(module.name));
    await Promise.all(unlisted.map((module) => module.forget()));
    await Promise.all(specs.map((spec) => (this.#modules.get(spec.name) ?? this.#add(spec.name)).assign(spec)));
  }

  #add(name: string): SupervisedModule {
    const fileName = moduleFileName(name);
    assert(fileName !== undefined, 'names are validated before they get here');
    const owner = {
      changed: () => this.#changed(),
      kept: (kept: SupervisedModule) => void this.#modules.set(name, kept),
      erased: (erased: string) => void this.#modules.delete(erased),
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
  if (!program.startsWith('/')) return `its program ${JSON.stringify(program)} is not an absolute path`;
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
