// What the agent needs from outside, in its own words: twins to read and write, hands to start modules with, whoever
// fetches their files and images, and a place that remembers what it has decided.

import type { JsonObject } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import type { HostName, LaunchOrder, Mount, PullPolicy, RegistryCredentials } from './launch-order.ts';
import type { PlannedChange } from './plan.ts';

export type {
  Account,
  ContainerSpec,
  Health,
  HostName,
  Isolation,
  LaunchOrder,
  Mount,
  PullPolicy,
  RegistryCredentials,
  Resources,
  StopSignal,
} from './launch-order.ts';

/** One system module's own twin (`$edgeAgent` or `$edgeHub`). */
export interface OwnTwin {
  desired(): { readonly properties: JsonObject; readonly version: number };
  reported(): JsonObject;
  patchReported(patch: JsonObject): Promise<unknown>;
  onDesired(listener: () => void): void;
}

/** What is known about one module. Times are wall times, milliseconds since 1970 UTC. */
export interface ModuleFacts {
  readonly name: string;
  /** Of what runs or ran last; tells whether it is already the one that was asked for. */
  readonly generation?: string;
  readonly runtimeStatus: string;
  readonly exitCode: number;
  readonly statusDescription: string;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
  /** Absent: the module tells nobody, and counts as ready while it runs. */
  readonly health?: { readonly healthy: boolean; readonly ready: boolean; readonly text: string } | undefined;
  /** `sha256:…` of the image that the container was made from. */
  readonly imageHash?: string | undefined;
}

export interface ModuleHands {
  /** Converges to exactly these modules; idempotent. */
  apply(orders: readonly LaunchOrder[]): Promise<void>;
  observe(): readonly ModuleFacts[];
  /** Logs of modules that are gone, or going, stay with these names only. */
  keepLogs(names: readonly string[]): Promise<void>;
  onChange(listener: () => void): () => void;
}

export type ModuleKind = 'process' | 'container';

export interface ModuleProvision {
  /** Variables that tell the module who it is and where it proves that. */
  readonly env: Readonly<Record<string, string>>;
  /** Directories of this machine that a container has to see for that. */
  readonly mounts?: readonly Mount[];
  /** Names that lead to this machine from inside a container. */
  readonly hosts?: readonly HostName[];
}

export interface ModuleIdentities {
  /** Makes sure the module can prove who it is, and answers what tells it how. Idempotent. */
  provide(moduleId: string, kind?: ModuleKind): Promise<ModuleProvision>;
  /** The modules that are deployed now; others lose their sockets and twins. */
  keepOnly(moduleIds: readonly string[]): Promise<void>;
}

export interface AgentMemory {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}

/** Files of process modules: fetched, verified, installed side by side, never over one another. */
export interface ModuleArtifacts {
  /**
   * Fetches (resuming), verifies and installs; at once when it is installed already. Rejects with a WeirError that
   * names the address and the mend.
   */
  install(
    source: { readonly url: string; readonly sha256: string; readonly sizeBytes: number },
    told: (progress: string) => void,
    signal: AbortSignal,
  ): Promise<{
    readonly directory: string;
    /** Path of the single file when the source is no archive. */
    readonly file?: string;
    readonly installedBytes: number;
  }>;
  /** Everything but these is removed. */
  keepOnly(sha256s: readonly string[]): Promise<void>;
}

/** Images of container modules. */
export interface ModuleImages {
  /** Pulls as the policy says. Rejects with a WeirError that names the image and the mend. */
  prepare(
    image: { readonly image: string; readonly pullPolicy: PullPolicy; readonly credentials?: RegistryCredentials },
    told: (progress: string) => void,
    signal: AbortSignal,
  ): Promise<{
    /** `sha256:…` */
    readonly id: string;
    /** As the image says it: `amd64`, `arm64`, `arm`. */
    readonly architecture: string;
  }>;
  /** What weir pulled and nobody has used for days, or when space is short, is removed; never these. */
  keepOnly(images: readonly string[]): Promise<void>;
  available(): Promise<
    { readonly ok: true; readonly engine: string } | { readonly ok: false; readonly reason: string }
  >;
}

/** What a deployment has to fit into. */
export interface MachineFacts {
  /** Free where modules' files are kept, beside what the store and the logs need. Bytes. */
  roomBytes(): Promise<number>;
  readonly memoryTotalBytes: number;
  /** In anybody's words: `x64`, `aarch64`, `armv7l`. */
  readonly architecture: string;
}

/** Desired properties that this site gives its modules and routes, until the hub gives newer ones. */
export interface LocalTwins {
  /** Of the desired properties that the hub sent last; 0: never. */
  hubVersion(moduleId: string): number;
  /** Serves exactly these instead of the hub's, each as long as the hub's is of that version. */
  serve(sections: Readonly<Record<string, { readonly properties: JsonObject; readonly overVersion: number }>>): void;
}

/** How far the deployment that is asked for has come. */
export interface Rollout {
  readonly phase: 'settled' | 'preparing' | 'applying' | 'verifying' | 'rolled-back';
  /** One sentence for people; empty when there is nothing to say. */
  readonly detail: string;
  /** Since when the phase is this one: wall time, milliseconds. */
  readonly since: number;
  /** What goes on, or what is wrong, module by module. */
  readonly modules: readonly { readonly name: string; readonly text: string }[];
}

export interface LocalDeployResult {
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  readonly plan: readonly PlannedChange[];
}
