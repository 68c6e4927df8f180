// One life of a module, from its start or adoption to its end: what is known of it while it runs.
//
// Owns the facts that end with it (its health, why it is being ended) and the watch over its private directory. Decides
// nothing: who is over a limit is told to supervised-module.ts.

import type { Log } from '../platform/log.ts';
import { DataWatch } from './data-watch.ts';
import type { LaunchSpec, ModuleHealth, RunningModule, SupervisorPorts } from './ports.ts';
import { defaultPacing } from './restart-policy.ts';

export interface LifeOptions {
  readonly log: Log;
  /** The private directory; undefined: it has none. */
  readonly data: string | undefined;
  /** Its private directory is over its limit. Told of lives that are over, too: compare. */
  readonly over: (life: object, text: string) => void;
}

export class ModuleLife {
  readonly #ports: SupervisorPorts;
  readonly #options: LifeOptions;
  running: RunningModule | undefined;
  adopted = false;
  health: ModuleHealth | undefined;
  /** What goes on before it runs, or keeps it from being known. Empty: nothing to tell. */
  progress = '';
  /** Why it is being ended although it runs. */
  ailment: string | undefined;
  #watch: DataWatch | undefined;
  #watchedBytesMax: number | undefined;

  constructor(ports: SupervisorPorts, options: LifeOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  begin(state: RunningModule, { adopted }: { readonly adopted: boolean }): void {
    this.running = state;
    this.adopted = adopted;
    this.progress = '';
  }

  /** True while it is up, fine, and not ready yet. */
  get isGettingReady(): boolean {
    return this.health?.healthy !== false && this.health?.ready === false;
  }

  /** What the spec wants watched. */
  watch(spec: LaunchSpec): void {
    // Until it is told how it is, a module that can be asked is not ready.
    if (spec.health?.notify === true || spec.health?.command !== undefined)
      this.health ??= { healthy: true, ready: false, text: '' };
    this.#watchData(spec);
  }

  /** A limit that is the same as before goes on being watched as before. */
  #watchData({ resources, container }: LaunchSpec): void {
    const { data: path, log, over } = this.#options;
    const bytesMax = container === undefined && path !== undefined ? resources?.dataBytes : undefined;
    if (bytesMax === this.#watchedBytesMax) return;
    this.#watchedBytesMax = bytesMax;
    void this.#watch?.close();
    this.#watch = undefined;
    if (bytesMax === undefined || path === undefined) return;
    const { clock, disk, pacing } = this.#ports;
    const intervalMs = (pacing ?? defaultPacing).dataLookMs;
    this.#watch = new DataWatch({ clock, disk, log }, { path, bytesMax, intervalMs, over: (text) => over(this, text) });
    this.#watch.start();
  }

  /** Waits for a look under way. */
  async end(): Promise<void> {
    await this.#watch?.close();
  }
}
