// What supervision needs from outside, and the words it shares with those who use it.

import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Network } from '../platform/net.ts';
import type { Processes } from '../platform/process.ts';
import type { Pacing, RestartPolicy } from './restart-policy.ts';

export interface SupervisorPorts {
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly disk: Disk;
  readonly processes: Processes;
  readonly network: Network;
  /** The weir-shim program. */
  readonly shimPath: string;
  /** Volatile: sockets and records of running modules live in `<runDirectory>/modules/<name>/`. */
  readonly runDirectory: string;
  /** Kept across boots: `<logDirectory>/<name>.log`, `.log.1` … */
  readonly logDirectory: string;
  /** Absent means the product's own pacing; tests bring a faster one. */
  readonly pacing?: Pacing | undefined;
}

/** How one module is to run. Everything but `generation` may differ between calls without a restart; it counts at the next start. */
export interface LaunchSpec {
  readonly name: string;
  /** Another generation means another configuration: the module is restarted. */
  readonly generation: string;
  /** Absolute path of the program, then its arguments. */
  readonly command: readonly string[];
  /** The whole environment, nothing is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly restartPolicy: RestartPolicy;
  readonly wanted: 'running' | 'stopped';
  /** Both or neither. */
  readonly uid?: number;
  readonly gid?: number;
  /** Supplementary groups, only with uid and gid. */
  readonly groups?: readonly number[];
  readonly cwd?: string;
  /** Soft and hard alike, by the shim's names: nofile, nproc, as, core … */
  readonly rlimits?: Readonly<Record<string, number>>;
  /** Between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** Most bytes of one log file. */
  readonly logBytesMax: number;
  /** Number of log files, the current one included. */
  readonly logFiles: number;
}

export type RuntimeStatus = 'unknown' | 'backoff' | 'running' | 'unhealthy' | 'stopped' | 'failed';

/** What is known about one module. Times are wall times, milliseconds since 1970 UTC. */
export interface ModuleObservation {
  readonly name: string;
  /** Of the process that runs or ran last. */
  readonly generation: string;
  readonly runtimeStatus: RuntimeStatus;
  readonly pid: number | null;
  /** Of the last end: 128 + signal when a signal ended it, 127 when it could not be started, 0 when it never ended. */
  readonly exitCode: number;
  readonly statusDescription: string;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  /** Starts of this generation after its first. */
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
  readonly nextStartAtMs: number | null;
  /** The process was started by an earlier life of the runtime. */
  readonly adopted: boolean;
}
