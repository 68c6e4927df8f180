// The ground a gateway stands on: its configuration, and the machine as parameters.
//
// Part of the composition root (device.ts): the only place where the gateway opens the real clock, disk, network
// and processes. A simulated world hands in another Ground.

import { join, resolve } from 'node:path';
import { type Config, loadConfig } from './config/index.ts';
import { ownLogCharactersMax } from './limits.ts';
import { errorMessage, WeirError } from './model/errors.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import { type Disk, keepNewFilesPrivate, systemDisk } from './platform/disk.ts';
import { type Entropy, systemEntropy } from './platform/entropy.ts';
import { type Http, systemHttp } from './platform/http.ts';
import { type InitSystem, systemInit } from './platform/init-system.ts';
import { createLog, type Log, type RecentLines, recentLines } from './platform/log.ts';
import { createMetrics, type Metrics } from './platform/metrics.ts';
import { buildInfo } from './platform/native.ts';
import { type Network, systemNetwork, trustedProxies } from './platform/net.ts';
import { systemPeerCredentials } from './platform/peer-credentials.ts';
import { type Processes, systemProcesses } from './platform/process.ts';
import { findGroups, findUser, type UserFacts } from './platform/users.ts';
import { WallKeeper } from './platform/wall-keeper.ts';
import { systemWitnesses } from './platform/wall-witnesses.ts';

export interface DeviceOptions {
  readonly configPath?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly runDir?: string | undefined;
}

export interface Ground {
  readonly config: Config;
  /** Where its configuration and keys are: the usual directory, and the file that was named. */
  readonly configPlaces: readonly string[];
  readonly clock: Clock;
  /** Behind `clock`: notes the last good time when it is closed. */
  readonly wall: WallKeeper;
  readonly entropy: Entropy;
  readonly disk: Disk;
  readonly network: Network;
  readonly http: Http;
  readonly processes: Processes;
  readonly log: Log;
  /** The latest of its lines. */
  readonly recentLog: RecentLines;
  readonly metrics: Metrics;
  /** Who started this process and wants to hear how it goes; undefined: nobody. */
  readonly service: InitSystem | undefined;
}

/**
 * The run directory holds sockets, and the data directory files, that modules of other users reach by their names. All
 * else in the data directory is the gateway's own, and closed to others.
 */
const passableMode = 0o711;
const configDirectory = '/etc/weir';
const ofModules = ['modules', 'artifacts'];

/** Reads the configuration and makes the directories. Throws ConfigError or DEVICE_DIRECTORY_UNUSABLE. */
export async function openGround(options: DeviceOptions): Promise<Ground> {
  const disk = systemDisk();
  const builtMs = Date.parse(buildInfo().builtAt);
  const wall = new WallKeeper({ machine: systemClock(), disk, witnesses: systemWitnesses() }, { builtMs });
  const clock = systemClock(wall);
  const config = await loadConfig({ ...options, disk });
  const recentLog = recentLines(ownLogCharactersMax);
  const write = (line: string): void => {
    recentLog.write(line);
    process.stdout.write(line);
  };
  const log = createLog({ clock, level: config.log.level, write });
  const metrics = createMetrics();
  keepNewFilesPrivate();
  await openDataDirectory(disk, config.dataDir).catch(unusable(config.dataDir));
  await disk.makeDirectory('device:run', config.runDir, passableMode).catch(unusable(config.runDir));
  await wall.start(join(config.dataDir, 'clock.stamp'), log.child('clock'));
  const peerCredentials = systemPeerCredentials();
  const network = systemNetwork({ peerCredentials });
  const http = systemHttp({ peerCredentials });
  return {
    config,
    configPlaces: [configDirectory, ...(options.configPath === undefined ? [] : [resolve(options.configPath)])],
    clock,
    wall,
    entropy: systemEntropy(),
    disk,
    network,
    http,
    processes: systemProcesses(),
    log,
    recentLog,
    metrics,
    service: systemInit({ env: process.env, pid: process.pid, log: log.child('service') }),
  };
}

async function openDataDirectory(disk: Disk, directory: string): Promise<void> {
  await disk.makeDirectory('device:data', directory);
  for (const name of await disk.list('device:data', directory))
    if (!ofModules.includes(name)) await disk.makePrivate('device:data', join(directory, name));
  await disk.makeDirectory('device:data', directory, passableMode);
}

function unusable(directory: string): (cause: unknown) => never {
  return (cause) => {
    throw new WeirError({
      code: 'DEVICE_DIRECTORY_UNUSABLE',
      message: `The directory ${directory} cannot be used: ${errorMessage(cause)}. Run as root, or choose --data-dir and --run-dir.`,
      fields: { directory },
      cause,
    });
  };
}

/** Where modules' own users begin; undefined: they have none. */
export function firstUid({ config, processes }: Pick<Ground, 'config' | 'processes'>): number | undefined {
  return config.modules.firstUid > 0 && processes.isRoot ? config.modules.firstUid : undefined;
}

/** The groups of serial ports, buses and pins, as distributions name them. */
export function deviceGroups(): Promise<readonly number[]> {
  return findGroups(['dialout', 'uucp', 'gpio', 'i2c', 'spi']);
}

/** Who modules run as; undefined: who runs weir. Throws DEVICE_USER_UNKNOWN. */
export async function findAccount(config: Config): Promise<UserFacts | undefined> {
  const { user } = config.modules;
  const found = user === undefined ? undefined : await findUser(user);
  if (user === undefined || found !== undefined) return found;
  throw new WeirError({
    code: 'DEVICE_USER_UNKNOWN',
    message: `There is no user '${user}' on this machine, and modules.user in the configuration names it. Create the user, or correct the name.`,
    fields: { user },
  });
}

/** What a listener takes on from a proxy in front of it. */
export function behindProxy({ listeners }: Config, name: 'tcp' | 'tls' | 'ws' | 'wss') {
  return { proxyProtocol: listeners.proxied.includes(name) && trustedProxies(listeners.trustedProxies) };
}
