// The runner of a module as it is now, when the same name may be a process today and a container tomorrow.
//
//   process ──become('container'): the process is ended and its traces removed──▶ container, and back
//
// Owns which kind the module is. Invariant: only the runner of this kind is listened to, so what the other one may
// still tell about an end that was waited for already changes nothing.

import { engineMissingEnd } from './module-ends.ts';
import type { ModulePaths } from './module-paths.ts';
import type { ModuleKind, ModuleRunner, RunnerListener, SupervisorPorts } from './ports.ts';
import { ProcessRunner } from './process-runner.ts';

export interface RunnersOptions {
  readonly ports: SupervisorPorts;
  readonly paths: ModulePaths;
  /** Told which runner speaks: what comes late is to be dropped by whoever queues it. */
  readonly listen: (kind: ModuleKind) => RunnerListener;
}

export class ModuleRunners {
  readonly #process: ProcessRunner;
  readonly #container: ModuleRunner;
  #kind: ModuleKind = 'process';

  constructor(name: string, { ports, paths, listen }: RunnersOptions) {
    this.#process = new ProcessRunner(ports, { paths, log: ports.log, listener: listen('process') });
    const listener = listen('container');
    this.#container = ports.containers?.runner(name, listener) ?? withoutEngine(listener, ports);
  }

  get kind(): ModuleKind {
    return this.#kind;
  }

  get current(): ModuleRunner {
    return this.#kind === 'process' ? this.#process : this.#container;
  }

  /** What an earlier life of the runtime left is of this kind. */
  assume(kind: ModuleKind): void {
    this.#kind = kind;
  }

  /** From now on it is of this kind. Nothing of it runs when this is called; what is left of the other kind is removed. */
  async become(kind: ModuleKind): Promise<void> {
    if (kind === this.#kind) return;
    await this.current.erase();
    this.#kind = kind;
  }

  /** Ends and removes what is there of the kind that it is not. */
  async eraseOther(): Promise<void> {
    await (this.#kind === 'process' ? this.#container : this.#process).erase();
  }

  async detach(): Promise<void> {
    await Promise.all([this.#process.detach(), this.#container.detach()]);
  }
}

function withoutEngine(listener: RunnerListener, { clock }: SupervisorPorts): ModuleRunner {
  return {
    find: async () => ({ kind: 'nothing' }),
    launch: () => listener.ended(engineMissingEnd(clock.wallMs())),
    terminate: () => undefined,
    detach: async () => undefined,
    erase: async () => undefined,
  };
}
