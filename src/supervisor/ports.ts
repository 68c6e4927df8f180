// What supervision needs from outside, and the words it shares with those who use it.

import type { JsonObject } from '../model/json.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Network } from '../platform/net.ts';
import type { Processes } from '../platform/process.ts';
import type { ModuleEnd } from './records.ts';
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
  /** Kept across boots: `<dataDirectory>/<name>/data` is the module's own. Absent: modules have no such directory. */
  readonly dataDirectory?: string | undefined;
  /** Where secrets of the gateway are: shut-in modules see nothing of these directories and files but their own part. */
  readonly hidden?: readonly string[] | undefined;
  /**
   * The first of the numbers that processes get as user and group of their own, when their spec names none. Absent:
   * they run as who runs the supervisor. Needs root and `dataDirectory`.
   */
  readonly firstUid?: number | undefined;
  /** Groups that own field devices (`dialout`): given to processes of their own user that may use devices. */
  readonly deviceGroups?: readonly number[] | undefined;
  /** Absent means the product's own pacing; tests bring a faster one. */
  readonly pacing?: Pacing | undefined;
  /** Runs modules that are containers. Absent: such modules fail, with the reason; all others run. */
  readonly containers?: Containers | undefined;
}

/**
 * Holds one module of one kind: starts it, finds it again, learns its end. Decides nothing about restarts.
 *
 * After launch() exactly one `ended` is told, unless detach() comes first; `up` at most once before it. `ended` is told
 * only when nothing of the module runs any more: two lives of a module never hold one serial port.
 */
export interface ModuleRunner {
  /**
   * What an earlier life of the runtime left; what runs is adopted: its end will be told. Rejects when that cannot be
   * known now (the engine is away): it is then asked again later, and nothing is started before it answered.
   */
  find(): Promise<Found>;
  /** Starts the module. Failures are told as an end with the reason `start`. */
  launch(spec: LaunchSpec): void;
  /** Another spec of the same generation, or the first one for what find() found: health, grace and limits to watch by. */
  follow?(spec: LaunchSpec): void;
  /** Asks the module to end, and kills it after the grace; works before it is up, too. Its end is told. */
  terminate(graceMs: number): void;
  /** Lets go of the module without ending it. Nothing is told any more. */
  detach(): Promise<void>;
  /** Removes all traces, the container and its anonymous volumes among them, of what has ended; what runs in spite of that is killed. */
  erase(): Promise<void>;
}

export interface RunnerListener {
  up(state: RunningModule): void;
  ended(end: ModuleEnd): void;
  /** What is going on before it is up, for people: "pulling image: 40 %". An empty text: nothing to tell any more. */
  progress(text: string): void;
  health(state: ModuleHealth): void;
}

export interface RunningModule {
  /** Null when nobody here may know it (a container of an engine in another pid namespace). */
  readonly pid: number | null;
  readonly startedAtMs: number;
  /** Parts of its isolation that were asked for and that this kernel does not have. */
  readonly lacking?: readonly string[];
  /** `sha256:…` of the image that it runs from. */
  readonly imageHash?: string;
}

export interface ModuleHealth {
  readonly healthy: boolean;
  /** True once it said, or its first check showed, that it does its work. */
  readonly ready: boolean;
  readonly text: string;
}

export type Found =
  | { readonly kind: 'running'; readonly state: RunningModule }
  | { readonly kind: 'ended'; readonly end: ModuleEnd }
  | { readonly kind: 'nothing' };

export type RunnerFactory = (name: string, listener: RunnerListener) => ModuleRunner;

export interface Containers {
  readonly runner: RunnerFactory;
  /** Names of the modules whose containers carry this gateway's label, whatever their state. Rejects when the engine is away. */
  known(): Promise<readonly string[]>;
}

export type ModuleKind = 'process' | 'container';

/** How one module is to run. Everything but `generation` may differ between calls without a restart; it counts at the next start. */
export interface LaunchSpec {
  readonly name: string;
  /** Another generation means another configuration: the module is restarted. */
  readonly generation: string;
  /** Modules with a lower order start first; absent: after all that have one. */
  readonly startupOrder?: number;
  /** Absolute path of the program, then its arguments. Empty for a container. */
  readonly command: readonly string[];
  /** Present: the module is a container. */
  readonly container?: ContainerSpec;
  /** The whole environment; only NOTIFY_SOCKET and what tells of its private directory are added. */
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
  /** Between the stop signal and SIGKILL. */
  readonly graceMs: number;
  /** SIGTERM when absent. */
  readonly stopSignal?: StopSignal;
  /** Most bytes of one log file. */
  readonly logBytesMax: number;
  /** Number of log files, the current one included. */
  readonly logFiles: number;
  /** Directories of the machine that a container sees. */
  readonly mounts?: readonly Mount[];
  /** Names in a container's /etc/hosts; `host-gateway` stands for the address under which it reaches this machine. */
  readonly hosts?: readonly { readonly name: string; readonly address: string }[];
  readonly resources?: Resources;
  readonly isolation?: Isolation;
  readonly health?: Health;
}

export type StopSignal = 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2';

export interface ContainerSpec {
  readonly image: string;
  readonly createOptions: JsonObject;
  readonly pullPolicy: 'on-create' | 'never';
  readonly credentials?: { readonly username: string; readonly password: string; readonly address: string };
  readonly labels: Readonly<Record<string, string>>;
  readonly networkAliases?: readonly string[];
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** What is absent has no limit. */
export interface Resources {
  readonly memoryBytes?: number;
  /** Processor time: 0.5 is half a core. */
  readonly cpus?: number;
  readonly pids?: number;
  /** 1 to 10000; 100 is everybody's. */
  readonly ioWeight?: number;
  readonly ioBytesPerSecond?: number;
  /** Of its private directory. */
  readonly dataBytes?: number;
}

export interface Isolation {
  readonly readOnlyRoot: boolean;
  readonly privateTmp: boolean;
  readonly writable: readonly string[];
  readonly readable?: readonly string[];
  readonly egress: 'any' | 'local' | 'none';
  readonly capabilities: readonly string[];
  readonly devices: readonly string[];
  readonly seccomp: boolean;
  readonly landlock: boolean;
}

export interface Health {
  /** Exit code 0 says healthy. */
  readonly command?: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failed checks in a row that make it unhealthy. */
  readonly retries: number;
  /** After a start failed checks do not count for so long. */
  readonly startPeriodMs: number;
  /** READY=1 over NOTIFY_SOCKET is expected, and with `watchdogMs` a WATCHDOG=1 at least so often. */
  readonly notify: boolean;
  readonly watchdogMs?: number;
}

export type RuntimeStatus = 'unknown' | 'backoff' | 'running' | 'unhealthy' | 'stopped' | 'failed';

/** What is known about one module. Times are wall times, milliseconds since 1970 UTC. */
export interface ModuleObservation {
  readonly name: string;
  readonly kind: ModuleKind;
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
  /** While it runs, and its health is watched. */
  readonly health?: ModuleHealth;
  /** While it runs: parts of its isolation that were asked for and that this kernel does not have. */
  readonly lacking?: readonly string[];
  readonly imageHash?: string;
}
