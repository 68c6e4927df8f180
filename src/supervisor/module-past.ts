// What has happened to one module: of which generation it is, how often it was started, how it ended last.
//
//   supervision.json ──recall()──► the past ──keep(phase)──► supervision.json, before the phase has an effect
//
// Owns the counts, and that they survive the runtime: a generation begins without any past; a record of an earlier boot
// of the machine, in a directory that outlived it, is history. Decides nothing.

import { errorMessage } from '../model/errors.ts';
import type { Log } from '../platform/log.ts';
import type { ModulePaths } from './module-paths.ts';
import type { Phase } from './module-state.ts';
import type { ModuleKind, SupervisorPorts } from './ports.ts';
import {
  formatSupervisionRecord,
  type Instant,
  type ModuleEnd,
  parseSupervisionRecord,
  type SupervisionRecord,
} from './records.ts';
import { freshHistory, type RestartHistory } from './restart-policy.ts';

/** The module passes through to its sockets; each file inside has a mode of its own. */
const directoryMode = 0o711;

export class ModulePast {
  readonly #ports: SupervisorPorts;
  readonly #name: string;
  readonly #paths: ModulePaths;
  readonly #log: Log;
  #generation = '';
  #startedOnce = false;
  #restartCount = 0;
  #lastRestartAtMs: number | null = null;
  history: RestartHistory = freshHistory;
  lastEnd: ModuleEnd | null = null;

  constructor(
    name: string,
    options: { readonly ports: SupervisorPorts; readonly paths: ModulePaths; readonly log: Log },
  ) {
    this.#name = name;
    this.#ports = options.ports;
    this.#paths = options.paths;
    this.#log = options.log;
  }

  get generation(): string {
    return this.#generation;
  }

  /** Starts of this generation after its first. */
  get restartCount(): number {
    return this.#restartCount;
  }

  get lastRestartAtMs(): number | null {
    return this.#lastRestartAtMs;
  }

  /** What an earlier life of the runtime kept, in this boot of the machine. */
  async recall(): Promise<SupervisionRecord | undefined> {
    const text = await this.#ports.disk.readTextIfPresent('module:record', this.#paths.record);
    const read = text === undefined ? undefined : parseSupervisionRecord(text, this.#now());
    if (read === undefined || read.bootId !== this.#ports.processes.bootId()) return undefined;
    this.#generation = read.generation;
    this.#restartCount = read.restartCount;
    this.#lastRestartAtMs = read.lastRestartAtMs;
    this.lastEnd = read.lastEnd;
    this.history = read.history;
    this.#startedOnce = true;
    return read;
  }

  /** It is about to be started. */
  async start(generation: string): Promise<void> {
    // The old end is in the record from now on. Left in place, it could be taken for the end of the new process.
    await this.#unhindered(() => this.#ports.disk.remove('module:exit', this.#paths.exit));
    if (this.#startedOnce && generation === this.#generation) {
      this.#restartCount += 1;
      this.#lastRestartAtMs = this.#ports.clock.wallMs();
    }
    this.begin(generation);
    this.#startedOnce = true;
  }

  begin(generation: string): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.history = freshHistory;
    this.#restartCount = 0;
    this.#lastRestartAtMs = null;
    this.#startedOnce = false;
  }

  keep(now: {
    readonly kind: ModuleKind;
    readonly phase: Phase;
    readonly nextStartAtMs: number | null;
  }): Promise<void> {
    const record = formatSupervisionRecord(
      {
        ...now,
        bootId: this.#ports.processes.bootId(),
        generation: this.#generation,
        restartCount: this.#restartCount,
        lastRestartAtMs: this.#lastRestartAtMs,
        lastEnd: this.lastEnd,
        history: this.history,
      },
      this.#now(),
    );
    return this.#unhindered(async () => {
      await this.#ports.disk.makeDirectory('module:directory', this.#paths.directory, directoryMode);
      await this.#ports.disk.writeFileAtomic('module:record', this.#paths.record, { data: record });
    });
  }

  /** A run directory that is full or gone must not keep modules from being started and stopped. */
  async #unhindered(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn('supervision record cannot be kept', {
        module: this.#name,
        error: errorMessage(error),
      });
    }
  }

  #now(): Instant {
    return { wallMs: this.#ports.clock.wallMs(), monotonicMs: this.#ports.clock.monotonicMs() };
  }
}
