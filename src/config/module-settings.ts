// The keys of config.toml about all modules: how they are ended, what is kept of their logs, who they run as, and when a
// new set of them counts.
//
//   [modules]
//   grace = "10s"      log_size = "1MiB"      log_files = 4      verify = "2m"
//   user = "weir-modules"                     first_uid = 64000
//   management = ["monitor"]

import {
  configFirstUidMax,
  configGraceMsMax,
  configLogBytesMax,
  configLogBytesMin,
  configLogFilesMax,
  configVerifyMsMax,
} from '../limits.ts';
import type { SettingsReader } from './reader.ts';
import type { SettingDescription } from './schema.ts';
import { formatBytes, formatDurationMs } from './units.ts';

export interface ModulesConfig {
  readonly graceMs: number;
  readonly logBytesMax: number;
  readonly logFiles: number;
  readonly user: string | undefined;
  /** 0: modules have no users of their own. */
  readonly firstUid: number;
  /** Modules that get a management socket. */
  readonly management: readonly string[];
  /** How long new modules have to be ready without a break before their deployment counts. */
  readonly verifyMs: number;
}

const defaultGraceMs = 10_000;
const defaultLogBytes = 1_048_576;
const defaultLogFiles = 4;
/** Long enough for a module that crashes in a loop to be seen, short enough to wait for it. */
const defaultVerifyMs = 120_000;
const userPattern = /^[a-z_][a-z0-9_.-]{0,31}$/i;

export const moduleSettings: readonly SettingDescription[] = [
  {
    key: 'modules.grace',
    allowed: `a duration with its unit from 0ms to ${formatDurationMs(configGraceMsMax)}, such as "10s"`,
    fallback: formatDurationMs(defaultGraceMs),
    meaning: 'Time a module has to stop by itself after SIGTERM.',
  },
  {
    key: 'modules.log_size',
    allowed: `a size with its unit from ${formatBytes(configLogBytesMin)} to ${formatBytes(configLogBytesMax)}, such as "1MiB"`,
    fallback: formatBytes(defaultLogBytes),
    meaning: "Most bytes in one of a module's log files.",
  },
  {
    key: 'modules.log_files',
    allowed: `a whole number from 1 to ${configLogFilesMax}`,
    fallback: String(defaultLogFiles),
    meaning: 'How many log files are kept for a module, with the current one.',
  },
  {
    key: 'modules.verify',
    allowed: `a duration with its unit from 0ms to ${formatDurationMs(configVerifyMsMax)}, such as "2m"`,
    fallback: formatDurationMs(defaultVerifyMs),
    meaning:
      'How long the modules of a new deployment have to be ready without a break; else the deployment before it is restored.',
  },
  {
    key: 'modules.user',
    allowed: 'the name of a user of this machine',
    fallback: 'the user that runs weir',
    meaning: 'Who modules run as.',
  },
  {
    key: 'modules.first_uid',
    allowed: `a whole number from 0 to ${configFirstUidMax}, such as 64000`,
    fallback: '0: modules run as modules.user says',
    meaning:
      'The first of the numbers that process modules get as users of their own, one each, when root runs weir. Two gateways on one machine take two ranges of 512.',
  },
  {
    key: 'modules.management',
    allowed: 'a list of module names, such as ["monitor"]',
    fallback: 'none',
    meaning: "Modules that may list and restart the others and read their logs, over Azure's management API.",
  },
];

export function readModules(reader: SettingsReader): ModulesConfig {
  return {
    graceMs: reader.durationMs('modules.grace', {
      min: 0,
      max: configGraceMsMax,
      fallback: defaultGraceMs,
    }),
    logBytesMax: reader.bytes('modules.log_size', {
      min: configLogBytesMin,
      max: configLogBytesMax,
      fallback: defaultLogBytes,
    }),
    logFiles: reader.integer('modules.log_files', {
      min: 1,
      max: configLogFilesMax,
      fallback: defaultLogFiles,
    }),
    verifyMs: reader.durationMs('modules.verify', {
      min: 0,
      max: configVerifyMsMax,
      fallback: defaultVerifyMs,
    }),
    user: reader.text('modules.user', (text) => userPattern.test(text)),
    firstUid: reader.integer('modules.first_uid', { min: 0, max: configFirstUidMax, fallback: 0 }),
    management: reader.texts('modules.management') ?? [],
  };
}
