// How one module is to run, in the words that agent, supervisor and container engine share.
//
//   LaunchOrder ─┬─ command, uid, cwd …        a process: what is started under the shim
//                ├─ container                  an OCI container instead: `command` is empty
//                └─ resources, isolation, health, mounts    for both kinds
//
// Pure shapes. The supervisor declares the same words again in its own ports; structure is what makes them one.

import type { JsonObject } from '../model/json.ts';
import type { RestartPolicy } from './deployment.ts';

/** A user of this machine: numbers, because the kernel knows no names. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, `dialout` for serial ports among them. */
  readonly groups: readonly number[];
}

export type StopSignal = 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2';

export type PullPolicy = 'on-create' | 'never';

/** The three that a registry asks for. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  /** Host, with the port where there is one: `registry.example.com:5000`. */
  readonly address: string;
}

export interface ContainerSpec {
  /** Complete reference: a tag or a digest is always there. */
  readonly image: string;
  /** Docker Engine's ContainerCreate as it was deployed; names of members as they were written. */
  readonly createOptions: JsonObject;
  readonly pullPolicy: PullPolicy;
  readonly credentials?: RegistryCredentials;
  readonly labels: Readonly<Record<string, string>>;
  readonly networkAliases?: readonly string[];
}

/** A directory or socket of this machine that the module sees at `target`. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** A name in a container's /etc/hosts. `host-gateway` stands for the address under which it reaches this machine. */
export interface HostName {
  readonly name: string;
  readonly address: string;
}

export interface Resources {
  readonly memoryBytes?: number;
  /** Cores: 0.5 is half of one. */
  readonly cpus?: number;
  readonly pids?: number;
  /** 1 to 10000, 100 is what everybody has. */
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
  /** Names as in `CAP_NET_RAW`. */
  readonly capabilities: readonly string[];
  readonly devices: readonly string[];
  readonly seccomp: boolean;
  readonly landlock: boolean;
}

export interface Health {
  readonly command?: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  /** READY=1 and, with watchdogMs, WATCHDOG=1 are expected over NOTIFY_SOCKET. */
  readonly notify: boolean;
  readonly watchdogMs?: number;
}

export interface LaunchOrder extends Partial<Account> {
  readonly name: string;
  /** Another generation means another configuration: the module is restarted. */
  readonly generation: string;
  readonly wanted: 'running' | 'stopped';
  readonly restartPolicy: RestartPolicy;
  /** Lower starts first; groups of the same number one after the other. */
  readonly startupOrder: number;
  /** Absolute path of the program, then its arguments; empty for a container. */
  readonly command: readonly string[];
  /** The whole environment of a process; for a container, what is added to the image's. */
  readonly env: Readonly<Record<string, string>>;
  /** Present: an OCI container. */
  readonly container?: ContainerSpec;
  readonly cwd?: string;
  /** Between the stop signal and SIGKILL. */
  readonly graceMs: number;
  /** Absent: SIGTERM. */
  readonly stopSignal?: StopSignal;
  readonly logBytesMax: number;
  readonly logFiles: number;
  readonly resources?: Resources;
  readonly isolation?: Isolation;
  readonly health?: Health;
  readonly mounts?: readonly Mount[];
  readonly hosts?: readonly HostName[];
}
