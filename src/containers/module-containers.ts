// Containers of this gateway on one engine: makes their runners, knows which there are.
//
// The supervisor's `containers` and, as `images`, the agent's.

import { ContainerCalls } from './container-calls.ts';
import { ContainerRunner, type RunnerParts } from './container-runner.ts';
import { Engine } from './engine.ts';
import { ImageLedger } from './image-ledger.ts';
import { ImageStore } from './image-store.ts';
import type { ContainersOptions, ContainersPorts, Found, LaunchSpec, RunnerListener } from './ports.ts';
import { defaultTimes } from './times.ts';

/** The supervisor's ModuleRunner. */
export interface ContainerModule {
  find(): Promise<Found>;
  launch(spec: LaunchSpec): void;
  follow(spec: LaunchSpec): void;
  terminate(graceMs: number): void;
  detach(): Promise<void>;
  erase(): Promise<void>;
}

export class ModuleContainers {
  readonly images: ImageStore;
  readonly #parts: RunnerParts;
  readonly #runners = new Set<ContainerRunner>();

  constructor(ports: ContainersPorts, options: ContainersOptions) {
    const { disk, clock, log, memory } = ports;
    const times = { ...defaultTimes, ...options.times };
    const engine = new Engine(ports, { sockets: options.sockets, times });
    this.images = new ImageStore(
      { engine, ledger: new ImageLedger(memory), clock, disk, log },
      { images: options.images, times },
    );
    const calls = new ContainerCalls(engine, options);
    this.#parts = { ...ports, engine, calls, images: this.images, options, times };
  }

  readonly runner = (name: string, listener: RunnerListener): ContainerModule => {
    const runner = new ContainerRunner(this.#parts, { name, listener });
    this.#runners.add(runner);
    return {
      find: () => runner.find(),
      launch: (spec) => runner.launch(spec),
      follow: (spec) => runner.follow(spec),
      terminate: (graceMs) => runner.terminate(graceMs),
      detach: () => {
        this.#runners.delete(runner);
        return runner.detach();
      },
      erase: async () => {
        await runner.erase();
        this.#runners.delete(runner);
      },
    };
  };

  /** Names of modules that have a container, whatever its state. Rejects when the engine is away. */
  async known(): Promise<readonly string[]> {
    return [...new Set((await this.#parts.calls.list()).map(({ module }) => module))];
  }

  async start(): Promise<void> {
    await this.#parts.disk.makeDirectory('containers:log-directory', this.#parts.options.logDirectory);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#runners].map((runner) => runner.detach()));
    await this.#parts.engine.close();
    await this.images.close();
  }
}
