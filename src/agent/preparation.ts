// Everything a deployment needs on the device before anything is stopped for it: checked first, then fetched.
//
//   preflight (memory, room, architecture) ─► files, images, one after the other ─► ready
//                    └── does not fit ──┐            └── cannot be had ──┐
//                                       └────────► failed: told why, tried again after a growing pause
//
// What is there already costs nothing, so a try after a failure, or after a restart of the runtime, begins where the
// last one stopped. Nothing here touches what runs. One fetch at a time: the link of a site is narrow.

import { agentPrepareRetryMsMax, agentRetryMs, artifactRoomFactor } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { credentialsFor } from './container-module.ts';
import type { DeployedModule, Deployment } from './deployment.ts';
import type { InstalledFiles } from './orders.ts';
import type { MachineFacts, ModuleArtifacts, ModuleImages } from './ports.ts';
import { architectureWord, type ProgramSource } from './process-module.ts';
import type { Source } from './rollout-record.ts';

export interface PreparationPorts {
  readonly artifacts?: ModuleArtifacts | undefined;
  readonly images?: ModuleImages | undefined;
  readonly machine?: MachineFacts | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PreparationTask {
  /** What is prepared. */
  readonly source: Source;
  readonly deployment: Deployment;
  /** What is in force: its files and images are there already. */
  readonly inForce: Deployment | undefined;
  /** Called when the state changed. */
  readonly changed: () => void;
}

export interface ModuleText {
  readonly name: string;
  readonly text: string;
}

export class Preparation {
  readonly task: PreparationTask;
  readonly #ports: PreparationPorts;
  readonly #abort = new AbortController();
  readonly #files = new Map<string, InstalledFiles>();
  readonly #faults = new Map<string, string>();
  readonly #progress = new Map<string, string>();
  #state: 'working' | 'ready' | 'failed' = 'working';
  #retryMs = agentRetryMs;
  #retry: Timer | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(ports: PreparationPorts, task: PreparationTask) {
    this.#ports = ports;
    this.task = task;
  }

  /** `ready` at once when there is nothing to fetch and all fits; `failed` means: told, and tried again by itself. */
  get state(): 'working' | 'ready' | 'failed' {
    return this.#state;
  }

  /** Installed so far, by module name. */
  get files(): ReadonlyMap<string, InstalledFiles> {
    return this.#files;
  }

  /** What is wrong, by module name. */
  get faults(): ReadonlyMap<string, string> {
    return this.#faults;
  }

  /** For people: what goes on for each module that is waited for. */
  texts(): readonly ModuleText[] {
    const texts = new Map([...this.#progress, ...this.#faults]);
    return [...texts].map(([name, text]) => ({ name, text }));
  }

  start(): void {
    this.#begin();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#retry?.cancel();
    await this.#running;
  }

  #begin(): void {
    this.#faults.clear();
    this.#checkMemory();
    const programs = this.#programs();
    const images = this.#images();
    if (this.#faults.size > 0) {
      this.#end();
      return;
    }
    if (programs.length === 0 && images.length === 0) {
      this.#state = 'ready';
      return;
    }
    this.#state = 'working';
    this.#running = this.#fetch(programs, images).then(
      () => this.#ended(),
      (error: unknown) => {
        for (const { name } of [...programs, ...images]) this.#faults.set(name, errorMessage(error));
        this.#ended();
      },
    );
  }

  #ended(): void {
    if (this.#abort.signal.aborted) return;
    this.#end();
    this.task.changed();
  }

  #end(): void {
    this.#progress.clear();
    if (this.#faults.size === 0) {
      this.#state = 'ready';
      return;
    }
    this.#state = 'failed';
    const reasons = Object.fromEntries(this.#faults);
    this.#ports.log.warn('a deployment cannot be prepared yet; what runs goes on', {
      ...reasons,
      againInMs: this.#retryMs,
    });
    this.#retry = this.#ports.clock.setTimer(this.#retryMs, () => {
      this.#retryMs = Math.min(this.#retryMs * 2, agentPrepareRetryMsMax);
      this.#begin();
      this.task.changed();
    });
  }

  /** Limits are promises: all modules that run together may use theirs at the same time. */
  #checkMemory(): void {
    const total = this.#ports.machine?.memoryTotalBytes;
    if (total === undefined) return;
    const limited = this.task.deployment.modules.filter(
      ({ wanted, resources }) => wanted === 'running' && resources?.memoryBytes !== undefined,
    );
    const sum = limited.reduce((bytes, { resources }) => bytes + (resources?.memoryBytes ?? 0), 0);
    if (sum <= total) return;
    for (const { name } of limited)
      this.#faults.set(
        name,
        `the modules may use ${sum} bytes of memory together, and the machine has ${total}; lower resources.memory`,
      );
  }

  #programs(): readonly { readonly name: string; readonly source: ProgramSource }[] {
    return this.task.deployment.modules.flatMap(({ name, program }) => {
      if (program.kind !== 'executable' || program.source === undefined) return [];
      const { architecture } = program.source;
      const ours = this.#ports.machine?.architecture;
      if (architecture !== undefined && ours !== undefined && architecture !== architectureWord(ours))
        this.#faults.set(name, `it is built for ${architecture}, and this machine is ${architectureWord(ours)}`);
      return [{ name, source: program.source }];
    });
  }

  /** Images that the deployment in force does not have: the runner of the others has theirs. */
  #images(): readonly DeployedModule[] {
    const { deployment, inForce } = this.task;
    const known = new Set(
      inForce?.modules.flatMap(({ program }) => (program.kind === 'container' ? [program.image] : [])) ?? [],
    );
    // Nothing is in force: whoever runs containers pulls their images itself, and other modules do not wait for that.
    if (inForce === undefined) return [];
    return deployment.modules.filter(({ program }) => program.kind === 'container' && !known.has(program.image));
  }

  async #fetch(
    programs: readonly { readonly name: string; readonly source: ProgramSource }[],
    images: readonly DeployedModule[],
  ): Promise<void> {
    await this.#checkRoom(programs);
    for (const { name, source } of programs) {
      if (!this.#faults.has(name)) await this.#attempt(name, () => this.#install(name, source));
    }
    for (const module of images) await this.#attempt(module.name, () => this.#pull(module));
  }

  async #checkRoom(programs: readonly { readonly name: string; readonly source: ProgramSource }[]): Promise<void> {
    const { machine } = this.#ports;
    const there = new Set(sourcesOf(this.task.inForce));
    const missing = new Map(
      programs
        .filter(({ name, source }) => !there.has(source.sha256) && !this.#files.has(name))
        .map(({ source }) => [source.sha256, source.sizeBytes]),
    );
    if (machine === undefined || missing.size === 0) return;
    const needed = Math.ceil([...missing.values()].reduce((sum, bytes) => sum + bytes, 0) * artifactRoomFactor);
    const free = await machine.roomBytes();
    if (free >= needed) return;
    for (const { name, source } of programs) {
      if (missing.has(source.sha256))
        this.#faults.set(
          name,
          `its files need ${needed} bytes, and ${Math.max(0, free)} are free beside the reserve; make room`,
        );
    }
  }

  async #attempt(name: string, work: () => Promise<void>): Promise<void> {
    if (this.#abort.signal.aborted) return;
    try {
      await work();
    } catch (error) {
      this.#faults.set(name, errorMessage(error));
    }
    this.#progress.delete(name);
  }

  async #install(name: string, source: ProgramSource): Promise<void> {
    const { artifacts } = this.#ports;
    if (artifacts === undefined) {
      this.#faults.set(name, 'programs are not fetched here; name one that is on the machine');
      return;
    }
    const { directory, file } = await artifacts.install(source, (text) => this.#tell(name, text), this.#abort.signal);
    this.#files.set(name, { directory, ...(file === undefined ? {} : { file }) });
  }

  async #pull({ name, program, pullPolicy }: DeployedModule): Promise<void> {
    const { images, machine } = this.#ports;
    if (program.kind !== 'container') return;
    if (images === undefined) {
      this.#faults.set(name, `there is no container engine for the image ${program.image}`);
      return;
    }
    const credentials = credentialsFor(program.image, this.task.deployment.credentials);
    const wish = { image: program.image, pullPolicy, ...(credentials === undefined ? {} : { credentials }) };
    const { architecture } = await images.prepare(wish, (text) => this.#tell(name, text), this.#abort.signal);
    const ours = machine === undefined ? undefined : architectureWord(machine.architecture);
    // An image without the word (made from nothing) is believed.
    if (ours !== undefined && architecture !== '' && architectureWord(architecture) !== ours)
      this.#faults.set(name, `the image ${program.image} is built for ${architecture}, and this machine is ${ours}`);
  }

  #tell(name: string, text: string): void {
    this.#progress.set(name, text);
  }
}

/** Digests of everything a deployment has fetched. */
export function sourcesOf(deployment: Deployment | undefined): readonly string[] {
  return (deployment?.modules ?? []).flatMap(({ program }) =>
    program.kind === 'executable' && program.source !== undefined ? [program.source.sha256] : [],
  );
}

export function imagesOf(deployment: Deployment | undefined): readonly string[] {
  return (deployment?.modules ?? []).flatMap(({ program }) => (program.kind === 'container' ? [program.image] : []));
}
