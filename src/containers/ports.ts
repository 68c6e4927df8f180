// What running containers needs from outside, and the words it shares with supervisor and agent: structure is what
// makes theirs and ours one.

import type { JsonObject } from '../model/json.ts';
import type { AppendFiles } from '../platform/append-files.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { HttpExchange } from '../platform/http-exchange.ts';
import type { Log } from '../platform/log.ts';

export interface ContainersPorts {
  readonly http: HttpExchange;
  readonly disk: Disk;
  readonly files: AppendFiles;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly memory: ContainersMemory;
  /** A short name for a text: the same for the same text, for ever. */
  readonly digest: (text: string) => string;
}

/** Small durable texts by key. */
export interface ContainersMemory {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}

export interface ContainersOptions {
  /** Sockets of an engine in the order in which they are tried. */
  readonly sockets: readonly string[];
  /** The network modules are on unless their createOptions choose another. */
  readonly network: NetworkOptions;
  /** Azure's allow_elevated_docker_permissions. */
  readonly allowElevated: boolean;
  readonly images: ImageOptions;
  /** Tells the containers of this gateway from those of another one on the same engine. */
  readonly gateway: string;
  /** `<logDirectory>/<module>.log`, as of process modules. */
  readonly logDirectory: string;
  /** Until a module's own limits are known. */
  readonly logBytesMax: number;
  readonly logFiles: number;
  /** Absent: the product's own. */
  readonly times?: Partial<ContainerTimes> | undefined;
}

export interface NetworkOptions {
  readonly name: string;
  readonly ipv6: boolean;
  /** Docker's IPAM.Config entries: subnet, gateway, ip_range. */
  readonly ipam: readonly NetworkPool[];
}

export interface NetworkPool {
  readonly subnet?: string;
  readonly gateway?: string;
  readonly ipRange?: string;
}

export interface ImageOptions {
  /** Whether unused images are removed at all. */
  readonly collect: boolean;
  readonly recurrenceMs: number;
  readonly ageMs: number;
  /** Less free space where the engine keeps its images, and unused ones go at once. */
  readonly reserveBytes: number;
}

/** Pace of everything that waits; a test brings a faster one. */
export interface ContainerTimes {
  /** An ordinary answer of the engine. */
  readonly answerMsMax: number;
  /** Between two looks for an engine that is away: the first, and the longest. */
  readonly awayMsMin: number;
  readonly awayMsMax: number;
  /** Between two pulls that failed. */
  readonly pullRetryMsMin: number;
  readonly pullRetryMsMax: number;
  /** A pull that says nothing for so long, before its first byte and later, has failed. */
  readonly pullFirstMsMax: number;
  readonly pullSilentMsMax: number;
  /** After the grace: SIGKILL is sent again so often until the end is seen. */
  readonly killAgainMs: number;
  /** What is left of a log after the end of its container is waited for. */
  readonly logDrainMsMax: number;
  /** A followed log that is silent for so long is asked for anew: at first, and at the longest. */
  readonly logSilentMsMin: number;
  readonly logSilentMsMax: number;
  /** Least time between two looks at a container's health. */
  readonly healthMsMin: number;
  /** For so long a removal that the engine refuses is tried again; then it is told. */
  readonly eraseMsMax: number;
}

export interface LaunchSpec {
  readonly name: string;
  readonly generation: string;
  readonly container?: ContainerSpec;
  readonly env: Readonly<Record<string, string>>;
  readonly rlimits?: Readonly<Record<string, number>>;
  readonly graceMs: number;
  readonly stopSignal?: string;
  readonly logBytesMax: number;
  readonly logFiles: number;
  readonly mounts?: readonly Mount[];
  /** Names in the container's /etc/hosts; `host-gateway` stands for the address under which it reaches this machine. */
  readonly hosts?: readonly { readonly name: string; readonly address: string }[];
  readonly resources?: Resources;
  readonly health?: Health;
}

export interface ContainerSpec {
  readonly image: string;
  /** Docker Engine's ContainerCreate as it was deployed. */
  readonly createOptions: JsonObject;
  readonly pullPolicy: 'on-create' | 'never';
  readonly credentials?: RegistryCredentials;
  readonly labels: Readonly<Record<string, string>>;
  readonly networkAliases?: readonly string[];
}

export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  readonly address: string;
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface Resources {
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly pids?: number;
  readonly ioWeight?: number;
  readonly ioBytesPerSecond?: number;
}

export interface Health {
  readonly command?: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
}

export interface RunningModule {
  /** On the host; null when the engine does not tell. */
  readonly pid: number | null;
  readonly startedAtMs: number;
  readonly imageHash?: string;
}

export interface ModuleEnd {
  readonly pid: number | null;
  readonly code: number | null;
  readonly signal: number | null;
  readonly reason: 'exit' | 'signal' | 'exec' | 'start' | 'lost';
  readonly message: string;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number;
  readonly uptimeMs: number;
  readonly oomKilled: boolean;
  readonly logDroppedBytes: number;
}

export interface ModuleHealth {
  readonly healthy: boolean;
  readonly ready: boolean;
  readonly text: string;
}

export interface RunnerListener {
  up(state: RunningModule): void;
  ended(end: ModuleEnd): void;
  progress(text: string): void;
  health(state: ModuleHealth): void;
}

export type Found =
  | { readonly kind: 'running'; readonly state: RunningModule }
  | { readonly kind: 'ended'; readonly end: ModuleEnd }
  | { readonly kind: 'nothing' };
