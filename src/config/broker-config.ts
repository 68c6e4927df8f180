// The configuration of `weir broker`: a TOML file, the options of the command line, or both.
//
//   options ──wins over──► file ──wins over──► what `fallback` says below
//
// Keys are named as the options are, with _ for -. Unlike in the gateway's file an unknown key is refused: a misspelled
// acl_file that is ignored would open the broker to everybody. docs/broker.md describes exactly this list; a test
// compares them. The names below [limits] are those of the broker's bounds and come from whoever has the broker.

import { dirname, resolve } from 'node:path';
import { configQuotaBytesMax, configQuotaBytesMin } from '../limits.ts';
import type { Disk } from '../platform/disk.ts';
import type { LogLevel } from '../platform/log.ts';
import { ConfigError, type ConfigNote } from './errors.ts';
import { keyPositions } from './key-positions.ts';
import {
  isLocalListener,
  isNetwork,
  type ListenUrl,
  listenUrlForms,
  loopbackNetworks,
  parseListenUrl,
} from './listen-url.ts';
import { parseToml, readText } from './load.ts';
import { looksLikeMosquittoConf, translateMosquittoConf } from './mosquitto-conf.ts';
import { SettingsReader } from './reader.ts';
import { defaultQuotaBytes, logLevelNames, type SettingDescription, sysIntervalMsMax } from './schema.ts';
import { formatBytes } from './units.ts';

export interface BrokerListener {
  /** As written: its name in logs and rules. */
  readonly text: string;
  readonly url: ListenUrl;
  /** Only this machine reaches it, and no proxy brings others. */
  readonly isLocal: boolean;
  /** Each connection begins with a PROXY protocol header. */
  readonly isProxied: boolean;
}

export interface BrokerConfig {
  /** The file, when there is one. */
  readonly path: string | undefined;
  readonly listeners: readonly BrokerListener[];
  /** Addresses and networks whose PROXY headers are believed. */
  readonly trustedProxies: readonly string[];
  /** Undefined: nothing was said, and local clients come in as long as there is no password file. */
  readonly allowAnonymous: boolean | undefined;
  readonly passwordFile: string | undefined;
  readonly aclFile: string | undefined;
  /** Undefined: sessions and retained messages live in memory. */
  readonly dataDir: string | undefined;
  readonly quotaBytes: number;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsCa: string | undefined;
  readonly requireCertificate: boolean;
  readonly useIdentityAsUsername: boolean;
  readonly deniedPublish: 'drop' | 'disconnect';
  /** 0: no $SYS topics. */
  readonly sysIntervalMs: number;
  readonly logLevel: LogLevel;
  /** Bounds by their names in the broker. */
  readonly limits: Readonly<Record<string, number>>;
}

/** What the command line says; undefined where it is silent. */
export interface BrokerOptions extends Partial<Omit<BrokerConfig, 'path' | 'limits' | 'listeners'>> {
  readonly listen?: readonly string[] | undefined;
  /** Which of them. */
  readonly proxyProtocol?: readonly string[] | undefined;
}

export interface BrokerConfigSource {
  readonly configPath: string | undefined;
  readonly options: BrokerOptions;
  /** The broker's bounds by name: their ceilings. */
  readonly ceilings: Readonly<Record<string, number>>;
  readonly disk: Disk;
}

const defaultListener = 'tcp://127.0.0.1:1883';
const defaultSysIntervalMs = 10_000;
const page = 'docs/broker.md';

const brokerSettings: readonly SettingDescription[] = [
  {
    key: 'listen',
    allowed: `a list of URLs: ${listenUrlForms}`,
    fallback: '["tcp://127.0.0.1:1883"]',
    meaning: 'Where clients connect. Each URL is a listener.',
  },
  {
    key: 'proxy_protocol',
    allowed: 'a list of URLs that stand in listen, as they stand there',
    fallback: 'none',
    meaning: 'Listeners behind a proxy: each connection begins with a PROXY protocol header, version 2.',
  },
  {
    key: 'trusted_proxies',
    allowed: 'a list of addresses and networks, such as ["10.0.0.7", "fd00::/8"]',
    fallback: '["127.0.0.0/8", "::1"]',
    meaning: 'Who is a proxy; connections of others to such a listener are closed.',
  },
  {
    key: 'allow_anonymous',
    allowed: 'true or false',
    fallback: 'true on listeners that only this machine reaches, as long as there is no password_file; else false',
    meaning: 'Whether clients without a user name come in.',
  },
  {
    key: 'password_file',
    allowed: 'the path of a file that `weir broker passwd` or mosquitto_passwd wrote',
    fallback: 'none',
    meaning: 'User names and the hashes of their passwords.',
  },
  {
    key: 'acl_file',
    allowed: "the path of a file in mosquitto's ACL format",
    fallback: 'none: everybody who comes in may read and write every topic',
    meaning: 'Which topics a user may read and write.',
  },
  {
    key: 'data_dir',
    allowed: 'the path of a directory',
    fallback: 'none: sessions and retained messages are lost at a restart',
    meaning: 'Where sessions, their messages and retained messages are kept.',
  },
  {
    key: 'quota',
    allowed: `a size with its unit from ${formatBytes(configQuotaBytesMin)} to ${formatBytes(configQuotaBytesMax)}, such as "512MiB"`,
    fallback: formatBytes(defaultQuotaBytes),
    meaning: 'Most disk space below data_dir; half of it for messages. When it is full, new ones are refused.',
  },
  {
    key: 'tls_cert',
    allowed: 'the path of a PEM file',
    fallback: 'none',
    meaning: "The server's certificate and its chain, for tls:// and wss://.",
  },
  { key: 'tls_key', allowed: 'the path of a PEM file', fallback: 'none', meaning: 'The private key of tls_cert.' },
  {
    key: 'tls_ca',
    allowed: 'the path of a PEM file',
    fallback: 'none',
    meaning: 'The authorities that may vouch for client certificates.',
  },
  {
    key: 'require_certificate',
    allowed: 'true or false',
    fallback: 'false',
    meaning: 'Whether a client must show a certificate that tls_ca vouches for.',
  },
  {
    key: 'use_identity_as_username',
    allowed: 'true or false',
    fallback: 'false',
    meaning: "Whether the common name of the client's certificate is its user name; no password is asked then.",
  },
  {
    key: 'denied_publish',
    allowed: '"drop" or "disconnect"',
    fallback: '"drop"',
    meaning: 'What a 3.1.1 client meets that publishes where it may not; 5.0 has a reason code for it.',
  },
  {
    key: 'sys_interval',
    allowed: 'a duration with its unit from 0s to 1d, such as "10s"',
    fallback: '10s',
    meaning: 'How often the $SYS topics are brought up to date; 0s: there are none.',
  },
  {
    key: 'log_level',
    allowed: logLevelNames.map((level) => `"${level}"`).join(', '),
    fallback: '"info"',
    meaning: 'The least severe line that is written.',
  },
];

/** All keys, the bounds included. */
export function describeBrokerSettings(ceilings: Readonly<Record<string, number>>): readonly SettingDescription[] {
  const bounds = Object.entries(ceilings).map(([name, ceiling]) => ({
    key: `limits.${snakeCase(name)}`,
    allowed: `a whole number from 1 to ${ceiling}`,
    fallback: String(ceiling),
    meaning: '',
  }));
  return [...brokerSettings, ...bounds];
}

/** Throws ConfigError with every problem at once. */
export async function loadBrokerConfig(source: BrokerConfigSource): Promise<BrokerConfig> {
  const { configPath, disk } = source;
  const path = configPath ?? 'weir broker';
  const text = configPath === undefined ? '' : await readText(configPath, disk, `${page} has an example.`);
  if (looksLikeMosquittoConf(text)) throw mosquittoConf(path, text);
  const vocabulary = { settings: describeBrokerSettings(source.ceilings), foreignKeys: [], page };
  const reader = new SettingsReader({ path, table: parseToml(path, text), positions: keyPositions(text) }, vocabulary);
  const config = assemble(reader, source);
  reader.checkTables();
  reader.warnUnknownKeys();
  const problems = [
    ...reader.problems,
    ...reader.warnings.map((note) => ({ ...note, message: 'unknown key.' })),
    ...contradictions(config, (key) => placeOf(key, { reader, source })),
  ];
  if (problems.length > 0) throw new ConfigError('CONFIG_INVALID', problems);
  return Object.freeze({ ...config, path: configPath });
}

function assemble(reader: SettingsReader, source: BrokerConfigSource): Omit<BrokerConfig, 'path'> {
  const { options, configPath } = source;
  const directory = configPath === undefined ? '' : dirname(configPath);
  const file = (key: string): string | undefined => {
    const text = reader.text(key);
    return text === undefined ? undefined : resolve(directory, text);
  };
  return {
    listeners: readListeners(reader, source),
    trustedProxies: readProxies(reader, source),
    allowAnonymous: options.allowAnonymous ?? reader.flag('allow_anonymous'),
    passwordFile: options.passwordFile ?? file('password_file'),
    aclFile: options.aclFile ?? file('acl_file'),
    dataDir: options.dataDir ?? file('data_dir'),
    quotaBytes: reader.bytes('quota', {
      min: configQuotaBytesMin,
      max: configQuotaBytesMax,
      fallback: defaultQuotaBytes,
    }),
    tlsCert: options.tlsCert ?? file('tls_cert'),
    tlsKey: options.tlsKey ?? file('tls_key'),
    tlsCa: options.tlsCa ?? file('tls_ca'),
    requireCertificate: options.requireCertificate ?? reader.flag('require_certificate') ?? false,
    useIdentityAsUsername: options.useIdentityAsUsername ?? reader.flag('use_identity_as_username') ?? false,
    deniedPublish: options.deniedPublish ?? reader.choice('denied_publish', ['drop', 'disconnect']) ?? 'drop',
    sysIntervalMs:
      options.sysIntervalMs ??
      reader.durationMs('sys_interval', { min: 0, max: sysIntervalMsMax, fallback: defaultSysIntervalMs }),
    logLevel: options.logLevel ?? reader.choice('log_level', logLevelNames) ?? 'info',
    limits: readLimits(reader, source.ceilings),
  };
}

function readListeners(reader: SettingsReader, source: BrokerConfigSource): readonly BrokerListener[] {
  const texts = source.options.listen ?? reader.texts('listen') ?? [defaultListener];
  const proxied = source.options.proxyProtocol ?? reader.texts('proxy_protocol') ?? [];
  for (const text of proxied) {
    if (texts.includes(text)) continue;
    const { mark } = placeOf('proxy_protocol', { reader, source });
    reader.problem('proxy_protocol', `${mark}${text} is not among the listeners.`);
  }
  return texts.flatMap((text) => {
    const url = parseListenUrl(text);
    const isProxied = proxied.includes(text);
    // Whoever comes through a proxy may be anybody.
    if (url !== undefined) return [{ text, url, isLocal: isLocalListener(url) && !isProxied, isProxied }];
    reader.problem('listen', `${placeOf('listen', { reader, source }).mark}${text} is not understood.`);
    return [];
  });
}

function readProxies(reader: SettingsReader, source: BrokerConfigSource): readonly string[] {
  const texts = source.options.trustedProxies ?? reader.texts('trusted_proxies') ?? loopbackNetworks;
  for (const text of texts) {
    if (isNetwork(text)) continue;
    const { mark } = placeOf('trusted_proxies', { reader, source });
    reader.problem('trusted_proxies', `${mark}${text} is neither an address nor a network such as 10.0.0.0/8.`);
  }
  return texts;
}

/** A bare number counts in the unit that stands in the name; bytes and times may carry one. */
function readLimits(
  reader: SettingsReader,
  ceilings: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const limits: Record<string, number> = {};
  for (const [name, ceiling] of Object.entries(ceilings)) {
    const key = `limits.${snakeCase(name)}`;
    if (!reader.has(key)) continue;
    const bounds = { min: 1, max: ceiling, fallback: ceiling };
    const isText = typeof reader.value(key) === 'string';
    if (isText && name.includes('Bytes')) limits[name] = reader.bytes(key, bounds);
    else if (isText && /Ms(Max|Min)?$/.test(name)) limits[name] = reader.durationMs(key, bounds);
    else limits[name] = reader.integer(key, bounds);
  }
  return limits;
}

interface Place {
  /** `config.toml:3:1`, or the command line. */
  readonly where: string;
  /** What stands before the value in a message: `--listen `, or nothing. */
  readonly mark: string;
}

/** Where the value of `key` comes from. */
function placeOf(
  key: string,
  { reader, source }: { readonly reader: SettingsReader; readonly source: BrokerConfigSource },
): Place {
  const option = key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) as keyof BrokerOptions;
  if (source.configPath !== undefined && source.options[option] === undefined)
    return { where: reader.where(key), mark: '' };
  return { where: 'weir broker', mark: `--${key.replaceAll('_', '-')} ` };
}

/** What each for itself is allowed, and together is not. */
function contradictions(config: Omit<BrokerConfig, 'path'>, place: (key: string) => Place): ConfigNote[] {
  const notes: ConfigNote[] = [];
  const note = (key: string, message: string, mend: string): void => {
    const { where, mark } = place(key);
    notes.push({ where, key: mark === '' ? key : mark.trim(), message, mend });
  };
  const { listeners, tlsCert, tlsKey, tlsCa, requireCertificate, useIdentityAsUsername } = config;
  for (const { text, url, isLocal } of listeners) {
    const hasTls = url.scheme === 'tls' || url.scheme === 'wss';
    if (hasTls && (tlsCert === undefined || tlsKey === undefined))
      note('listen', `${text} needs a certificate and its key.`, 'Give tls_cert and tls_key.');
    const isProtected = config.passwordFile !== undefined || (hasTls && requireCertificate);
    if (!isProtected && config.allowAnonymous !== true && !isLocal)
      note(
        'listen',
        `${text} would let everybody in who reaches this machine.`,
        'Give a password_file or, with TLS, require_certificate; or say that this is meant: allow_anonymous.',
      );
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    note(tlsCert === undefined ? 'tls_key' : 'tls_cert', 'its counterpart is missing.', 'Give tls_cert and tls_key.');
  if ((requireCertificate || useIdentityAsUsername) && tlsCa === undefined)
    note(
      requireCertificate ? 'require_certificate' : 'use_identity_as_username',
      'nobody can vouch for a client certificate.',
      'Give tls_ca.',
    );
  return notes;
}

function mosquittoConf(path: string, text: string): ConfigError {
  const { toml, remarks } = translateMosquittoConf(text);
  const indented = toml.replaceAll(/^(?=.)/gm, '    ');
  const note = {
    where: path,
    key: '',
    message: 'this is a mosquitto.conf, and weir reads TOML. As TOML it says:',
    mend: ['', '', indented, '', ...remarks.map((remark) => `    # ${remark}`), `    See ${page}.`].join('\n'),
  };
  return new ConfigError('CONFIG_MOSQUITTO', [note]);
}

/** `connectMsMax` → `connect_ms_max`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
