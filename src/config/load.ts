// From files and options to one frozen Config, or to every problem at once.
//
//   readConfig  tells all: the config (unless there are problems), problems, warnings; for `weir check`
//   loadConfig  gives the config or throws; for everybody who only wants to run
//   locate      finds the directories without judging the file, for commands that work when it is broken
//
// Precedence: command line, then the file, then the defaults of schema.ts. The file must exist; a machine
// without one has not been set up, and running on guesses would hide that.

import { isAbsolute } from 'node:path';
import { parse, TomlError, type TomlTableWithoutBigInt } from 'smol-toml';
import {
  configBacklogRateMax,
  configCommitBytesMax,
  configCommitBytesMin,
  configCommitDelayMsMax,
  configCommitMessagesMax,
  configFileBytesMax,
  configFlashEnduranceBytesMax,
  configFlashEnduranceBytesMin,
  configFlashLifeYearsMax,
  configQuotaBytesMax,
  configQuotaBytesMin,
  configReserveBytesMax,
} from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Disk } from '../platform/disk.ts';
import { readContainers } from './container-settings.ts';
import { ConfigError, type ConfigNote } from './errors.ts';
import { readGatewayListeners } from './gateway-listeners.ts';
import { keyPositions } from './key-positions.ts';
import { readModules } from './module-settings.ts';
import { isHostname, readProvisioning } from './provisioning.ts';
import { SettingsReader } from './reader.ts';
import { readBridges, readUpstreamBroker } from './remote-brokers.ts';
import {
  type Config,
  defaultCommitBytes,
  defaultCommitDelayMs,
  defaultCommitDelayMsMin,
  defaultCommitMessages,
  defaultConfigPath,
  defaultDataDir,
  defaultFlashLifeYears,
  defaultLogLevel,
  defaultQuotaBytes,
  defaultRunDir,
  defaultTimeToLiveMs,
  type LiveFirst,
  logLevelNames,
  routeModes,
  sysIntervalMsMax,
  timeToLiveMsMax,
} from './schema.ts';

export interface ConfigSource {
  /** `/etc/weir/config.toml` when absent. */
  readonly configPath?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly runDir?: string | undefined;
  readonly disk: Disk;
}

export interface ConfigReading {
  readonly path: string;
  /** Undefined when there are problems. */
  readonly config: Config | undefined;
  /** The error that loadConfig throws. */
  readonly error: ConfigError | undefined;
  readonly warnings: readonly ConfigNote[];
}

const msPerSecond = 1_000;
const runDirLengthMax = 80;
const hostnameLengthMax = 64;
const worldBits = 0o007;
const kernelHostnamePath = '/proc/sys/kernel/hostname';

/** Throws ConfigError. Warnings go to `onWarning`. */
export async function loadConfig(
  source: ConfigSource & { readonly onWarning?: (warning: ConfigNote) => void },
): Promise<Config> {
  const reading = await readConfig(source);
  for (const warning of reading.warnings) source.onWarning?.(warning);
  if (reading.config === undefined) throw reading.error;
  return reading.config;
}

/** Never throws for what is in the file or for its absence. */
export async function readConfig(source: ConfigSource): Promise<ConfigReading> {
  const path = source.configPath ?? defaultConfigPath;
  let text: string;
  let table: TomlTableWithoutBigInt;
  try {
    text = await readText(path, source.disk);
    table = parseToml(path, text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { path, config: undefined, error, warnings: [] };
  }
  const reader = new SettingsReader({ path, table, positions: keyPositions(text) });
  const config = await assemble(reader, { ...source, path });
  reader.checkTables();
  reader.warnUnknownKeys();
  await warnReadableFile(reader, { path, disk: source.disk });
  const error = reader.problems.length === 0 ? undefined : new ConfigError('CONFIG_INVALID', reader.problems);
  return { path, config: error === undefined ? freeze(config) : undefined, error, warnings: reader.warnings };
}

/** The directories, from the options, else from the file as far as it can be read, else the defaults. */
export async function locate(source: ConfigSource): Promise<{ readonly dataDir: string; readonly runDir: string }> {
  let table: TomlTableWithoutBigInt = {};
  try {
    const path = source.configPath ?? defaultConfigPath;
    table = parseToml(path, await readText(path, source.disk));
  } catch {
    // An unreadable file is the business of `weir check`; a client can still try the usual places.
  }
  const directory = (given: string | undefined, key: string, fallback: string): string => {
    const value = table[key];
    return given ?? (typeof value === 'string' && isAbsolute(value) ? value : fallback);
  };
  return {
    dataDir: directory(source.dataDir, 'data_dir', defaultDataDir),
    runDir: directory(source.runDir, 'run_dir', defaultRunDir),
  };
}

/** `mendMissing` says what to do when there is no such file. */
export async function readText(path: string, disk: Disk, mendMissing = 'Write one: weir config init'): Promise<string> {
  try {
    const facts = await disk.facts('config:facts', path);
    if (facts?.isDirectory === true)
      throw unreadable(path, 'this is a directory.', { mend: 'Name a file with --config.' });
    if (facts !== undefined && facts.bytes > configFileBytesMax)
      throw unreadable(path, `the file is larger than ${configFileBytesMax} bytes.`, {
        mend: 'Name another file with --config.',
      });
    const text = await disk.readTextIfPresent('config:read', path);
    if (text !== undefined) return text;
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const mend = 'Run as the user that owns it, or as root.';
    throw unreadable(path, `the file cannot be read: ${errorMessage(cause)}.`, { mend, cause });
  }
  const note = {
    where: path,
    key: '',
    message: 'there is no configuration file.',
    mend: mendMissing,
  };
  throw new ConfigError('CONFIG_MISSING', [note]);
}

function unreadable(
  path: string,
  message: string,
  { mend, cause }: { readonly mend: string; readonly cause?: unknown },
): ConfigError {
  return new ConfigError('CONFIG_UNREADABLE', [{ where: path, key: '', message, mend }], cause);
}

export function parseToml(path: string, text: string): TomlTableWithoutBigInt {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw' });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // The first line of a TomlError is the sentence; the rest draws the source, which may hold a secret.
    const sentence = (cause.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    const note = {
      where: `${path}:${cause.line}:${cause.column}`,
      key: '',
      message: `this is not valid TOML: ${sentence}.`,
      mend: 'Correct this line.',
    };
    throw new ConfigError('CONFIG_SYNTAX', [note], cause);
  }
}

async function assemble(reader: SettingsReader, source: ConfigSource & { readonly path: string }): Promise<Config> {
  if (source.runDir !== undefined && source.runDir.length > runDirLengthMax)
    reader.problem('run_dir', `--run-dir ${source.runDir} is too long for the sockets in it.`);
  return {
    hostname: reader.text('hostname', isGatewayHostname) ?? (await machineHostname(source.disk)),
    dataDir: source.dataDir ?? reader.text('data_dir', isAbsolute) ?? defaultDataDir,
    runDir: source.runDir ?? reader.text('run_dir', isRunDir) ?? defaultRunDir,
    path: source.path,
    provisioning: await readProvisioning(reader, source.disk),
    trustBundleCert: await readTrustBundle(reader, source.disk),
    log: { level: reader.choice('log.level', logLevelNames) ?? defaultLogLevel },
    listeners: readGatewayListeners(reader),
    store: readStore(reader),
    routes: { mode: reader.choice('routes.mode', routeModes) ?? 'isolated' },
    upstream: {
      liveFirst: readLiveFirst(reader),
      mqtt: await readUpstreamBroker(reader, source.disk),
    },
    bridges: await readBridges(reader, source.disk),
    broker: {
      sysIntervalMs: reader.durationMs('broker.sys_interval', { min: 0, max: sysIntervalMsMax, fallback: 0 }),
      passwordFile: reader.fileUri('broker.password_file'),
      clientCa: reader.fileUri('broker.client_ca'),
      authorizations: reader.fileUri('broker.authorizations'),
    },
    containers: readContainers(reader),
    modules: readModules(reader),
  };
}

function readStore(reader: SettingsReader): Config['store'] {
  return {
    quotaBytes: reader.bytes('store.quota', {
      min: configQuotaBytesMin,
      max: configQuotaBytesMax,
      fallback: defaultQuotaBytes,
    }),
    commitDelayMs: reader.durationMs('store.commit_delay', {
      min: 0,
      max: configCommitDelayMsMax,
      fallback: defaultCommitDelayMs,
    }),
    commitDelayMsMin: reader.durationMs('store.commit_delay_min', {
      min: 0,
      max: configCommitDelayMsMax,
      fallback: defaultCommitDelayMsMin,
    }),
    commitMessages: reader.integer('store.commit_messages', {
      min: 1,
      max: configCommitMessagesMax,
      fallback: defaultCommitMessages,
    }),
    commitBytes: reader.bytes('store.commit_bytes', {
      min: configCommitBytesMin,
      max: configCommitBytesMax,
      fallback: defaultCommitBytes,
    }),
    reserveBytes:
      reader.value('store.reserve') === undefined
        ? undefined
        : reader.bytes('store.reserve', { min: 0, max: configReserveBytesMax, fallback: 0 }),
    flashLifeYears: reader.integer('store.flash_life_years', {
      min: 0,
      max: configFlashLifeYearsMax,
      fallback: defaultFlashLifeYears,
    }),
    flashEnduranceBytes:
      reader.value('store.flash_endurance') === undefined
        ? undefined
        : reader.bytes('store.flash_endurance', {
            min: configFlashEnduranceBytesMin,
            max: configFlashEnduranceBytesMax,
            fallback: configFlashEnduranceBytesMax,
          }),
    timeToLiveSecs: Math.floor(
      reader.durationMs('store.time_to_live', {
        min: msPerSecond,
        max: timeToLiveMsMax,
        fallback: defaultTimeToLiveMs,
      }) / msPerSecond,
    ),
  };
}

function readLiveFirst(reader: SettingsReader): LiveFirst | undefined {
  const isOn = reader.flag('upstream.live_first') ?? false;
  const rate = reader.integer('upstream.backlog_rate', { min: 1, max: configBacklogRateMax, fallback: 0 });
  if (!isOn && reader.has('upstream.backlog_rate'))
    reader.warning(
      'upstream.backlog_rate',
      'nothing passes the backlog, so that it leaves as fast as the link takes it.',
      'Set live_first = true beside it, or remove it.',
    );
  return isOn ? { backlogPerSecond: rate === 0 ? undefined : rate } : undefined;
}

function isGatewayHostname(text: string): boolean {
  return text.length <= hostnameLengthMax && isHostname(text);
}

function isRunDir(text: string): boolean {
  return isAbsolute(text) && text.length <= runDirLengthMax;
}

async function machineHostname(disk: Disk): Promise<string> {
  const name = await disk.readTextIfPresent('config:machine-hostname', kernelHostnamePath).catch(() => undefined);
  return name?.trim() || 'localhost';
}

async function readTrustBundle(reader: SettingsReader, disk: Disk): Promise<string | undefined> {
  const key = 'trust_bundle_cert';
  const path = reader.fileUri(key);
  if (path === undefined) return undefined;
  try {
    const pem = await disk.readTextIfPresent('config:trust-bundle', path);
    if (pem === undefined) reader.problem(key, `the file ${path} does not exist.`, 'Create it, or correct the path.');
    else if (!pem.includes('-----BEGIN CERTIFICATE-----')) reader.problem(key, `${path} holds no PEM certificate.`);
  } catch (cause) {
    reader.problem(
      key,
      `the file ${path} cannot be read: ${errorMessage(cause)}.`,
      'Let the user that runs weir read it.',
    );
  }
  return path;
}

async function warnReadableFile(
  reader: SettingsReader,
  { path, disk }: { readonly path: string; readonly disk: Disk },
): Promise<void> {
  const secrets = ['provisioning.connection_string', 'provisioning.authentication.device_id_pk'];
  const inline = secrets.find((key) => reader.has(key) && reader.secret(key)?.kind === 'value');
  if (inline === undefined) return;
  const facts = await disk.facts('config:facts', path);
  if (facts !== undefined && (facts.mode & worldBits) !== 0) {
    reader.warning(
      inline,
      `this file holds a key and everybody on this machine can read it (mode ${facts.mode.toString(8)}).`,
      `chmod 640 ${path}`,
    );
  }
}

function freeze(config: Config): Config {
  for (const section of Object.values(config)) {
    if (typeof section === 'object' && section !== null) Object.freeze(section);
  }
  return Object.freeze(config);
}
