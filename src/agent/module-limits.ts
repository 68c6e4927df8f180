// What a module may use and how it is watched and ended: `resources`, `health`, `stop` and `isolation` of a manifest.
//
//   "resources": { "memory": "64MB", "cpu": 0.5, "pids": 64, "io": { "weight": 100, "bytesPerSecond": "1MB" },
//                  "data": "100MB", "log": { "size": "256KiB", "files": 2 } }
//   "health":    { "command": ["/bin/ok"], "interval": "10s", "timeout": "3s", "retries": 3, "startPeriod": "30s",
//                  "notify": true, "watchdog": "30s" }
//   "stop":      { "signal": "SIGTERM", "grace": "10s" }
//   "isolation": { "readOnlyRoot": true, "privateTmp": true, "writable": ["/srv/x"], "egress": "any",
//                  "capabilities": ["CAP_NET_RAW"], "devices": ["/dev/ttyUSB0"], "seccomp": true, "landlock": true }
//
// These blocks are weir's own. Nothing said means what is safe and costs nothing: its own /tmp, a root it cannot write
// to, no capabilities. What a kernel cannot do is left out by who starts the module, and told.

import {
  moduleCpusMax,
  moduleCpusMin,
  moduleGraceMsMax,
  moduleHealthMsMax,
  moduleHealthMsMin,
  moduleHealthRetriesMax,
  moduleLogBytesMax,
  moduleLogBytesMin,
  moduleLogFilesMax,
  moduleMemoryBytesMin,
  modulePidsMax,
} from '../limits.ts';
import { isJsonObject } from '../model/json.ts';
import { readCapabilities } from './capabilities.ts';
import type { FieldReader } from './field-reader.ts';
import type { Health, Isolation, Resources, StopSignal } from './launch-order.ts';

/** What is kept of a module's output; what is not said is the gateway's. */
export interface LogLimits {
  /** Of one file. */
  readonly bytesMax?: number;
  /** The current one included. */
  readonly files?: number;
}

export interface Stop {
  readonly signal?: StopSignal;
  readonly graceMs?: number;
}

const stopSignals: readonly StopSignal[] = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];
const bytesMax = Number.MAX_SAFE_INTEGER;
const ioWeightMax = 10_000;
const defaultIntervalMs = 10_000;
const defaultTimeoutMs = 3000;
const defaultRetries = 3;
const defaultStartPeriodMs = 30_000;

export function readResources(module: FieldReader): Resources | undefined {
  const block = module.inside('resources');
  if (block === undefined) return undefined;
  block.only(['memory', 'cpu', 'pids', 'io', 'data', 'log']);
  const io = block.inside('io');
  io?.only(['weight', 'bytesPerSecond']);
  return withoutUndefined({
    memoryBytes: block.bytes('memory', { min: moduleMemoryBytesMin, max: bytesMax }),
    cpus: block.number('cpu', { min: moduleCpusMin, max: moduleCpusMax }),
    pids: block.integer('pids', { min: 1, max: modulePidsMax }),
    ioWeight: io?.integer('weight', { min: 1, max: ioWeightMax }),
    ioBytesPerSecond: io?.bytes('bytesPerSecond', { min: 1, max: bytesMax }),
    dataBytes: block.bytes('data', { min: 1, max: bytesMax }),
  });
}

/** `resources.log`: not among what a module may use, because a change of it starts nothing again. */
export function readLogLimits(module: FieldReader): LogLimits {
  const block = objectIn(module, 'resources')?.inside('log');
  block?.only(['size', 'files']);
  return withoutUndefined({
    bytesMax: block?.bytes('size', { min: moduleLogBytesMin, max: moduleLogBytesMax }),
    files: block?.integer('files', { min: 1, max: moduleLogFilesMax }),
  });
}

/** What weir can ask of a process and no engine of a container: a limit that nobody keeps is refused, not passed over. */
export function refuseForContainer(module: FieldReader): void {
  const resources = objectIn(module, 'resources');
  if (resources?.has('data') === true) resources.complain('data', "a container's files are its engine's; leave it out");
  const io = objectIn(resources, 'io');
  if (io?.has('bytesPerSecond') === true)
    io.complain('bytesPerSecond', 'a container takes BlkioDeviceReadBps and BlkioDeviceWriteBps of its createOptions');
  const health = objectIn(module, 'health');
  for (const name of ['notify', 'watchdog'])
    if (health?.has(name) === true && health.object[name] !== false)
      health.complain(name, 'a container has no NOTIFY_SOCKET; write a command');
  if (module.has('isolation'))
    module.complain('isolation', "a container's walls are in its createOptions; leave it out");
}

export function readHealth(module: FieldReader): Health | undefined {
  const block = module.inside('health');
  if (block === undefined) return undefined;
  block.only(['command', 'interval', 'timeout', 'retries', 'startPeriod', 'notify', 'watchdog']);
  const range = { min: moduleHealthMsMin, max: moduleHealthMsMax };
  const command = block.texts('command');
  const watchdogMs = block.durationMs('watchdog', range);
  const isNotified = block.flag('notify', watchdogMs !== undefined);
  if (block.has('command') && command.length === 0)
    block.complain('command', 'the program and its arguments are expected');
  if (watchdogMs !== undefined && !isNotified)
    block.complain('watchdog', 'it is fed over NOTIFY_SOCKET; leave out "notify": false');
  if (command.length === 0 && !isNotified && !block.has('command'))
    block.complain('', 'write a command, or "notify": true for modules that tell by themselves');
  return {
    ...(command.length === 0 ? {} : { command }),
    intervalMs: block.durationMs('interval', range) ?? defaultIntervalMs,
    timeoutMs: block.durationMs('timeout', range) ?? defaultTimeoutMs,
    retries: block.integer('retries', { min: 1, max: moduleHealthRetriesMax }) ?? defaultRetries,
    startPeriodMs: block.durationMs('startPeriod', { min: 0, max: moduleHealthMsMax }) ?? defaultStartPeriodMs,
    notify: isNotified,
    ...(watchdogMs === undefined ? {} : { watchdogMs }),
  };
}

export function readStop(module: FieldReader): Stop {
  const block = module.inside('stop');
  if (block === undefined) return {};
  block.only(['signal', 'grace']);
  return withoutUndefined({
    signal: block.has('signal') ? block.choice('signal', stopSignals, 'SIGTERM') : undefined,
    graceMs: block.durationMs('grace', { min: 0, max: moduleGraceMsMax }),
  });
}

/** `devices` are those that the module needs by its kind, whatever the manifest says. */
export function readIsolation(module: FieldReader, devices: readonly string[] = []): Isolation {
  const block = module.inside('isolation');
  if (block === undefined)
    return {
      readOnlyRoot: true,
      privateTmp: true,
      writable: [],
      egress: 'any',
      capabilities: [],
      devices,
      seccomp: true,
      landlock: true,
    };
  block.only([
    'readOnlyRoot',
    'privateTmp',
    'writable',
    'readable',
    'egress',
    'capabilities',
    'devices',
    'seccomp',
    'landlock',
  ]);
  return {
    readOnlyRoot: block.flag('readOnlyRoot', true),
    privateTmp: block.flag('privateTmp', true),
    writable: block.texts('writable', isAbsolute, 'absolute paths'),
    ...(block.has('readable') ? { readable: block.texts('readable', isAbsolute, 'absolute paths') } : {}),
    egress: block.choice('egress', ['any', 'local', 'none'], 'any'),
    capabilities: readCapabilities(block),
    devices: [
      ...new Set([
        ...devices,
        ...block.texts('devices', (path) => path.startsWith('/dev/') && isAbsolute(path), 'paths in /dev'),
      ]),
    ],
    seccomp: block.flag('seccomp', true),
    landlock: block.flag('landlock', true),
  };
}

/** A block that another reader reads, too: that one notes when it is no object. */
function objectIn(outer: FieldReader | undefined, name: string): FieldReader | undefined {
  return isJsonObject(outer?.object[name]) ? outer.inside(name) : undefined;
}

function isAbsolute(path: string): boolean {
  return path.startsWith('/') && !path.includes('\0') && !path.split('/').includes('..');
}

type Known<T> = { readonly [Key in keyof T]?: Exclude<T[Key], undefined> };

function withoutUndefined<T extends object>(members: T): Known<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Known<T>;
}
