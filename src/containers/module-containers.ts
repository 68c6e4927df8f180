// Containers of this gateway on one engine: makes their runners, knows which there are, removes what is left over.
//
// The supervisor's `containers` and, as `images`, the agent's. A removal that the engine's absence prevents goes on in
// the background until it is done, or until a module of the same name is wanted again.

import { backoffDelays } from '../model/backoff.ts';
import { errorMessage } from '../model/errors.ts';
import { ContainerCalls } from './container-calls.ts';
import { ContainerRunner, type RunnerParts } from './container-runner.ts';
import { Engine } from './engine.ts';
import { isEngineAway } from './errors.ts';
import { ImageLedger } from './image-ledger.ts';
import { ImageStore } from './image-store.ts';
import type { ContainersOptions, ContainersPorts, Found, LaunchSpec, RunnerListener } from './ports.ts';
import { defaultTimes } from './times.ts';
import { linkedSignal, pause } from './waiting.ts';

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
  readonly #closed = new AbortController();
  readonly #runners = new Set<ContainerRunner>();
  readonly #erasing = new Map<string, { readonly stop: () => void; readonly done: Promise<void> }>();

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
      launch: (spec) => {
        this.#erasing.get(name)?.stop();
        runner.launch(spec);
      },
      follow: (spec) => runner.follow(spec),
      terminate: (graceMs) => runner.terminate(graceMs),
      detach: () => {
        this.#runners.delete(runner);
        return runner.detach();
      },
      erase: () => this.#erase(name, runner),
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
    this.#closed.abort();
    await Promise.all([...this.#runners].map((runner) => runner.detach()));
    await this.#parts.engine.close();
    await Promise.all([...this.#erasing.values()].map(({ done }) => done));
    await this.images.close();
  }

  /** Resolves when it is done, or soon; then it goes on by itself. */
  async #erase(name: string, runner: ContainerRunner): Promise<void> {
    const { clock, times } = this.#parts;
    const stopped = new AbortController();
    const done = this.#eraseUntilDone(name, { runner, stopped: stopped.signal }).finally(() =>
      this.#erasing.delete(name),
    );
    this.#erasing.set(name, { stop: () => stopped.abort(), done });
    let soon: { cancel(): void } | undefined;
    const patience = new Promise<void>((resolve) => {
      soon = clock.setTimer(times.eraseMsMax, resolve);
    });
    await Promise.race([done, patience]).finally(() => soon?.cancel());
  }

  async #eraseUntilDone(
    name: string,
    { runner, stopped }: { readonly runner: ContainerRunner; readonly stopped: AbortSignal },
  ): Promise<void> {
    const { engine, log, clock, entropy, times } = this.#parts;
    // Podman refuses for a moment after an end, while it cleans up.
    const delays = backoffDelays(
      { floorMs: times.awayMsMin, firstCeilingMs: times.awayMsMin, ceilingMsMax: times.awayMsMax },
      () => entropy.fraction(),
    );
    const linked = linkedSignal(stopped, this.#closed.signal);
    try {
      while (!linked.signal.aborted) {
        try {
          return await runner.erase();
        } catch (error) {
          log.warn('container cannot be removed yet', { module: name, reason: errorMessage(error) });
          if (isEngineAway(error)) await engine.untilBack(linked.signal);
          else await pause(clock, delays.next().value, linked.signal);
        }
      }
    } finally {
      linked.unlink();
    }
  }
}
