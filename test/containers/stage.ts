// A stage for the contract of containers: an engine, images, and a listener that keeps what it is told.

import { join } from 'node:path';
import type { Test } from 'tap';
import { ModuleContainers } from '../../src/containers/index.ts';
import type { ContainerTimes, LaunchSpec, ModuleEnd, ModuleHealth, RunningModule } from '../../src/containers/ports.ts';
import { systemAppendFiles } from '../../src/platform/append-files.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { shortDigest } from '../../src/platform/digest.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemHttpExchange } from '../../src/platform/http-exchange.ts';
import { keptLog } from '../support/quiet-log.ts';
import { until } from '../support/world/program.ts';

/** What the contract is run against: the real engine, or the tests' own. */
export interface TestEngine {
  readonly socket: string;
  /** An image in the registry that is not on the engine yet; answers its reference. */
  publish(repository: string, options?: { readonly changes?: readonly string[] }): Promise<string>;
  stopEngine(): Promise<void>;
  startEngine(): Promise<void>;
  stopRegistry(): Promise<void>;
  /** Names of containers, as the engine's own tool lists them. */
  containers(): Promise<readonly string[]>;
  images(): Promise<readonly string[]>;
  removeContainer(name: string): Promise<void>;
}

export const fastTimes: Partial<ContainerTimes> = {
  awayMsMin: 20,
  awayMsMax: 100,
  pullRetryMsMin: 50,
  pullRetryMsMax: 100,
  pullFirstMsMax: 120_000,
  healthMsMin: 100,
  eraseMsMax: 120_000,
};

export class Gateway {
  readonly containers: ModuleContainers;
  readonly logDirectory: string;
  readonly network: string;
  readonly log = keptLog(systemClock());

  constructor(
    t: Test,
    {
      engine,
      directory,
      network,
      memory = new Map(),
      ageMs = 60_000,
      times = {},
    }: {
      readonly engine: Pick<TestEngine, 'socket'>;
      readonly directory: string;
      readonly network: string;
      readonly memory?: Map<string, string>;
      /** After which an unused image goes. */
      readonly ageMs?: number;
      readonly times?: Partial<ContainerTimes>;
    },
  ) {
    this.logDirectory = join(directory, 'logs');
    this.network = network;
    this.containers = new ModuleContainers(
      {
        http: systemHttpExchange(),
        files: systemAppendFiles(),
        clock: systemClock(),
        disk: systemDisk(),
        entropy: systemEntropy(),
        log: this.log.log,
        digest: shortDigest,
        memory: {
          state: (key) => Promise.resolve(memory.get(key)),
          saveState: (key, value) => Promise.resolve(void memory.set(key, value)),
        },
      },
      {
        sockets: [engine.socket],
        network: { name: network, ipv6: false, ipam: [] },
        allowElevated: true,
        images: { collect: true, recurrenceMs: 3_600_000, ageMs, reserveBytes: 0 },
        gateway: shortDigest(directory),
        logDirectory: this.logDirectory,
        logBytesMax: 65_536,
        logFiles: 2,
        times: { ...fastTimes, ...times },
      },
    );
    t.teardown(() => this.containers.close());
  }

  logPath(name: string): string {
    return join(this.logDirectory, `${name}.log`);
  }

  module(name: string): Module {
    return new Module(this, name);
  }
}

/** One module's runner, and everything it told. */
export class Module {
  readonly ups: RunningModule[] = [];
  readonly ends: ModuleEnd[] = [];
  readonly told: string[] = [];
  readonly healths: ModuleHealth[] = [];
  readonly name: string;
  readonly runner: ReturnType<ModuleContainers['runner']>;

  constructor(gateway: Gateway, name: string) {
    this.name = name;
    this.runner = gateway.containers.runner(name, {
      up: (state) => void this.ups.push(state),
      ended: (end) => void this.ends.push(end),
      progress: (text) => void this.told.push(text),
      health: (state) => void this.healths.push(state),
    });
  }

  launch(
    image: string,
    more: Partial<LaunchSpec> & { readonly options?: object; readonly generation?: string } = {},
  ): void {
    const { options, container, ...rest } = more;
    this.runner.launch({
      name: this.name,
      generation: 'g1',
      env: { MODULE: this.name },
      graceMs: 1_000,
      logBytesMax: 65_536,
      logFiles: 2,
      container: { image, createOptions: (options ?? {}) as never, pullPolicy: 'on-create', labels: {}, ...container },
      ...rest,
    });
  }

  up(count = 1): Promise<RunningModule> {
    return until(`${this.name} is up`, waitMs, () => this.ups[count - 1]).catch((error: unknown) => {
      throw new TypeError(`${String(error)}; told: ${this.told.join(' | ')}; ends: ${JSON.stringify(this.ends)}`);
    });
  }

  ended(count = 1): Promise<ModuleEnd> {
    return until(`${this.name} has ended`, waitMs, () => this.ends[count - 1]).catch((error: unknown) => {
      throw new TypeError(`${String(error)}; told: ${this.told.join(' | ')}; ups: ${this.ups.length}`);
    });
  }
}

export const waitMs = 180_000;
