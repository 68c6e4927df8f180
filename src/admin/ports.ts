// What the admin socket tells and needs, in its own words. The root plugs the device in.
//
// The reports are the JSON of the socket and of the command line's --json: names are stable, times are wall
// times in milliseconds since 1970 UTC, sizes are bytes. Null means "does not apply now".

import type { JsonObject } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import type { MetricSample } from '../platform/metrics.ts';

export type HubState = 'disabled' | 'connecting' | 'connected' | 'waiting';

export interface HubReport {
  /** Empty when there is no hub. */
  readonly hostname: string;
  readonly state: HubState;
  /** When it came into this state. */
  readonly sinceMs: number;
  readonly lastError?: string | undefined;
}

export interface DeploymentReport {
  /** `$version` of the desired properties that were judged last; 0 when none ever arrived. */
  readonly version: number;
  /** 200 applied, 400 malformed, 412 unknown schema, 417 empty, 500 failed, 406 not known yet. */
  readonly code: number;
  readonly description: string;
}

/** One lane of a queue. */
export interface QueueReport {
  /** `$upstream` or `<module>/inputs/<input>`. */
  readonly queue: string;
  /** 0 (first) to 9; null for routes without one, which come after all others. */
  readonly priority: number | null;
  /** Fresh messages that pass a backlog. */
  readonly live: boolean;
  readonly messages: number;
  readonly bytes: number;
  readonly oldestEnqueuedMs?: number | undefined;
  /** Messages that were given up, by reason (quota, ttl_expiry, purged). */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface ModuleReport {
  readonly name: string;
  readonly runtimeStatus: 'unknown' | 'backoff' | 'running' | 'unhealthy' | 'stopped' | 'failed';
  readonly pid: number | null;
  /** Of the last end. */
  readonly exitCode: number;
  readonly statusDescription: string;
  readonly restartCount: number;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  readonly nextStartAtMs: number | null;
  readonly kind?: 'process' | 'container' | undefined;
  /** While it runs, and its health is watched. */
  readonly health?: { readonly healthy: boolean; readonly ready: boolean; readonly text: string } | undefined;
  /** Parts of its isolation that were asked for and that this kernel does not have. */
  readonly lacking?: readonly string[] | undefined;
  /** What a deployment under way does for it: `pulling image: 40 %`. */
  readonly progress?: string | undefined;
}

/** How far the deployment that is asked for has come. */
export interface DeploymentProgress {
  readonly phase: 'settled' | 'preparing' | 'applying' | 'verifying' | 'rolled-back';
  /** One sentence for people; empty when there is nothing to say. */
  readonly detail: string;
  /** Since when the phase is this one. */
  readonly sinceMs: number;
  /** What goes on, or what is wrong, module by module. */
  readonly modules: readonly { readonly name: string; readonly text: string }[];
  /** What the hub is told of it. */
  readonly status: DeploymentReport;
}

export interface DeployReport {
  readonly ok: boolean;
  /** Everything that is wrong with the manifest, when it is not ok. */
  readonly problems: readonly Problem[];
  readonly plan: readonly {
    readonly module: string;
    readonly action: 'start' | 'stop' | 'restart' | 'remove' | 'create' | 'keep';
    readonly why: string;
  }[];
}

export interface AdminDeployment {
  progress(): DeploymentProgress;
  /** Resolves when it is remembered: progress() tells how it goes on. With `dryRun` nothing changes. */
  deploy(manifest: JsonObject, options: { readonly dryRun: boolean }): Promise<DeployReport>;
}

/** What one module takes; counts are since its start, or since the runtime's for messages. */
export interface ModuleUsage {
  readonly name: string;
  readonly kind: 'process' | 'container';
  readonly runtimeStatus: ModuleReport['runtimeStatus'];
  readonly restartCount: number;
  readonly startedAtMs: number | null;
  readonly pid: number | null;
  /** It and all that it started; null while it does not run. */
  readonly processes: number | null;
  readonly cpuMs: number | null;
  readonly memoryBytes: number | null;
  readonly messagesSent: number;
  readonly messagesReceived: number;
}

export interface UsageReport {
  /** Of this report, on a clock that does not jump: rates are differences of two reports. */
  readonly monotonicMs: number;
  /** The runtime itself is the first, under the name `weir`. */
  readonly modules: readonly ModuleUsage[];
}

export interface BundleRequest {
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Leaves the modules' logs out. */
  readonly runtimeOnly?: boolean | undefined;
  readonly signal: AbortSignal;
}

export interface StoreReport {
  readonly fileBytes: number;
  /** Of messages that wait for their destination. */
  readonly messageBytes: number;
  /** Of the file system, and what of it is to be left free; null when it does not tell. */
  readonly freeBytes: number | null;
  readonly reserveBytes: number;
  /** Paths of damaged files that were put aside. */
  readonly quarantined: readonly string[];
}

/** What the runtime costs its storage, and how long that lasts. Null is "not known". */
export interface FlashReport {
  readonly device: string | null;
  readonly kind: 'eMMC' | 'SD card' | null;
  /** By this runtime: since it first ran on this device, and in a day of operation. */
  readonly writtenBytes: number | null;
  readonly bytesPerDay: number | null;
  /** By everybody, to the whole device. */
  readonly deviceBytesPerDay: number | null;
  /** Bytes written for each byte of messages and MQTT state taken. */
  readonly amplification: number | null;
  /** Percent, by the device's register; 100 to 100: more than all of it. */
  readonly lifeUsed: { readonly from: number; readonly to: number } | null;
  /** Spare blocks of an eMMC: four fifths used (warning), nine tenths used (urgent). */
  readonly preEol: 'normal' | 'warning' | 'urgent' | null;
  readonly lifeYears: number | null;
  readonly lifeBasis: 'registers' | 'endurance' | null;
  /** To which the longest wait of commits is lengthened to spare the device. */
  readonly sparingDelayMs: number | null;
}

export interface BridgeReport {
  readonly name: string;
  readonly isConnected: boolean;
}

export interface StatusReport {
  readonly version: string;
  readonly uptimeMs: number;
  /** Empty when the gateway has no identity at a hub. */
  readonly deviceId: string;
  readonly hub: HubReport;
  readonly deployment: DeploymentReport;
  /** Of `$edgeHub`'s desired properties. Absent from a weir that does not know it. */
  readonly routes?: DeploymentReport | undefined;
  /** Connected MQTT clients. */
  readonly clients: number;
  /** Other brokers that are configured. Absent from a weir that does not know it. */
  readonly bridges?: readonly BridgeReport[] | undefined;
  readonly queues: readonly QueueReport[];
  readonly modules: readonly ModuleReport[];
  readonly store: StoreReport;
  /** Absent from a weir that does not know it. */
  readonly flash?: FlashReport | undefined;
  /** Proportional memory of all processes of weir itself; null when the kernel does not tell. */
  readonly memoryPssBytes: number | null;
}

export interface LogRequest {
  readonly name: string;
  /** Only the last lines, this many. */
  readonly tail?: number | undefined;
  /** Only lines stamped at or after this wall time. */
  readonly sinceMs?: number | undefined;
  /** Only lines stamped before this wall time; nothing is followed then. */
  readonly untilMs?: number | undefined;
  /** Goes on with new lines until the signal. */
  readonly follow?: boolean | undefined;
  /** The reader left. */
  readonly signal: AbortSignal;
}

export interface PeekRequest {
  readonly queue: string;
  /** 0 to 9, 10 for messages without one; undefined: all. */
  readonly priority?: number | undefined;
  readonly count: number;
  readonly from: 'first' | 'last';
}

export interface PeekedMessage {
  readonly queue: string;
  readonly priority: number;
  /** Fresh messages that pass a backlog. */
  readonly live: boolean;
  readonly offset: number;
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly output?: string;
  readonly enqueuedMs: number;
  readonly system: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  /** Of the body. */
  readonly bytes: number;
  /** Absent when there was no room for it in the answer. */
  readonly bodyBase64?: string;
}

export interface PurgeRequest {
  readonly queue: string;
  readonly priority?: number | undefined;
  /** Only messages accepted before this wall time. */
  readonly beforeMs?: number | undefined;
}

export interface PurgeReport {
  readonly queue: string;
  readonly priority: number;
  readonly live: boolean;
  readonly messages: number;
}

export interface ExportRequest {
  readonly queue: string;
  /** What there is already, by stream. */
  readonly have: readonly { readonly stream: string; readonly after: number; readonly last: number }[];
  /** Streams of which nothing more is wanted. */
  readonly done: readonly string[];
}

/** One queue file: protocol/queue-file/segment.ts. */
export interface ExportedFile {
  readonly name: string;
  readonly facts: {
    readonly stream: string;
    readonly after: number;
    readonly last: number;
    readonly messages: number;
  };
  /** Nothing of its lane is behind it. */
  readonly isLast: boolean;
  readonly contentBase64: string;
  readonly waiting: { readonly messages: number; readonly bytes: number };
}

export interface ReceiptText {
  readonly name: string;
  readonly text: string;
}

export interface ReceiptReport {
  readonly name: string;
  /** `gone`: nothing that it covers waited any more. `other`: it is another gateway's. */
  readonly outcome: 'freed' | 'gone' | 'other' | 'refused';
  readonly messages?: number;
  readonly code?: string;
  readonly message?: string;
}

/** What operators do to queues. All reject with a WeirError of their own. */
export interface AdminQueues {
  peek(request: PeekRequest): Promise<readonly PeekedMessage[]>;
  purge(request: PurgeRequest): Promise<readonly PurgeReport[]>;
  /** The next queue file for the hub; undefined when there is nothing more. */
  exportNext(request: ExportRequest): Promise<ExportedFile | undefined>;
  takeReceipts(receipts: readonly ReceiptText[]): Promise<readonly ReceiptReport[]>;
}

/** The device behind the socket. */
export interface AdminDevice {
  readonly queues: AdminQueues;
  readonly deployment: AdminDeployment;
  usage(): Promise<UsageReport>;
  /** A ZIP archive for somebody who is to find out what is wrong. */
  supportBundle(request: BundleRequest): AsyncIterable<Buffer>;
  status(): Promise<StatusReport>;
  /** Stops and starts a module again. Rejects ADMIN_NO_SUCH_MODULE or a WeirError of its own. */
  restartModule(name: string): Promise<void>;
  /** Whole lines, oldest first, in pieces of any number of lines. */
  logs(request: LogRequest): AsyncIterable<string>;
  /** The configuration in force, with secrets masked. */
  config(): JsonObject;
  /** What `weir version --json` tells, of the running process. */
  version(): JsonObject;
}

export interface MetricSource {
  snapshot(): readonly MetricSample[];
}
