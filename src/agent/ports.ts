// What the agent needs from outside, in its own words: twins to read and write, hands to start modules with,
// a router to give routes to, and a place that remembers the last good deployment.

import type { JsonObject } from '../model/json.ts';
import type { RestartPolicy } from './deployment.ts';

/** One system module's own twin (`$edgeAgent` or `$edgeHub`). */
export interface OwnTwin {
  desired(): { readonly properties: JsonObject; readonly version: number };
  reported(): JsonObject;
  patchReported(patch: JsonObject): Promise<unknown>;
  onDesired(listener: () => void): void;
}

/** A user of this machine: numbers, because the kernel knows no names. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, `dialout` for serial ports among them. */
  readonly groups: readonly number[];
}

export interface LaunchOrder extends Partial<Account> {
  readonly name: string;
  readonly generation: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly restartPolicy: RestartPolicy;
  readonly wanted: 'running' | 'stopped';
  readonly cwd?: string;
  readonly graceMs: number;
  readonly logBytesMax: number;
  readonly logFiles: number;
}

export interface ModuleFacts {
  readonly name: string;
  readonly runtimeStatus: string;
  readonly exitCode: number;
  readonly statusDescription: string;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
}

export interface ModuleHands {
  /** Converges to exactly these modules; idempotent. */
  apply(orders: readonly LaunchOrder[]): Promise<void>;
  observe(): readonly ModuleFacts[];
  onChange(listener: () => void): () => void;
}

export interface ModuleIdentities {
  /** Makes sure the module can prove who it is, and answers the variables that tell it how. Idempotent. */
  provide(moduleId: string): Promise<{ readonly env: Readonly<Record<string, string>> }>;
  /** The modules that are deployed now; others lose their sockets and twins. */
  keepOnly(moduleIds: readonly string[]): Promise<void>;
}

export interface AgentMemory {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}
