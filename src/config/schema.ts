// Every key of config.toml: its name, what is allowed, what holds without it, what it means; and Config, the
// frozen result.
//
// Keys are named as in Azure IoT Edge's config.toml where the concept is the same (hostname, parent_hostname,
// trust_bundle_cert, [provisioning]), so that an existing file is a good start. Keys of Azure's that have no
// counterpart here are known by name and warned about, not refused.
//
// docs/configuration.md describes exactly this list; a test compares them.

import {
  configBacklogRateMax,
  configCommitBytesMax,
  configCommitBytesMin,
  configCommitDelayMsMax,
  configCommitMessagesMax,
  configFlashEnduranceBytesMax,
  configFlashEnduranceBytesMin,
  configFlashLifeYearsMax,
  configQuotaBytesMax,
  configQuotaBytesMin,
  configReserveBytesMax,
  configTimeToLiveSecsMax,
} from '../limits.ts';
import type { LogLevel } from '../platform/log.ts';
import { type ContainersConfig, containerSettings } from './container-settings.ts';
import { type ModulesConfig, moduleSettings } from './module-settings.ts';
import type { RemoteBrokerConfig } from './remote-brokers.ts';
import { formatBytes, formatDurationMs } from './units.ts';

export interface TcpAddress {
  readonly host: string;
  /** 0 lets the system choose: for tests. */
  readonly port: number;
}

/** Listeners that an address may be given for. */
export const listenerNames = ['tcp', 'tls', 'ws', 'wss'] as const;

export type ListenerName = (typeof listenerNames)[number];

export interface ManualProvisioning {
  readonly source: 'manual';
  readonly hubHostname: string;
  readonly hubPort: number;
  readonly deviceId: string;
  /** Base64, checked to be decodable. A secret: see redactedConfig. */
  readonly deviceKeyBase64: string;
  /** The gateway through which the hub is reached (nested edge). */
  readonly gatewayHostname: string | undefined;
}

export interface LiveFirst {
  /** At which rate a backlog leaves that is passed; undefined: as fast as the link takes it. */
  readonly backlogPerSecond: number | undefined;
}

/** `isolated` is ours, `strict` IoT Edge's. */
export const routeModes = ['isolated', 'strict'] as const;

export type RouteMode = (typeof routeModes)[number];

export type Provisioning = { readonly source: 'none' } | ManualProvisioning;

export interface Config {
  readonly hostname: string;
  readonly dataDir: string;
  readonly runDir: string;
  /** The file these values come from. */
  readonly path: string | undefined;
  readonly provisioning: Provisioning;
  /** Path of a PEM file with the trust anchors for the link to the hub; undefined means the system's roots. */
  readonly trustBundleCert: string | undefined;
  readonly log: { readonly level: LogLevel };
  readonly listeners: {
    readonly unix: true;
    readonly tcp: TcpAddress | undefined;
    readonly tls: TcpAddress | undefined;
    readonly ws: TcpAddress | undefined;
    readonly wss: TcpAddress | undefined;
    /** Which of these begin each connection with a PROXY protocol header. */
    readonly proxied: readonly ListenerName[];
    /** Addresses and networks whose PROXY headers are believed. */
    readonly trustedProxies: readonly string[];
  };
  readonly store: {
    readonly quotaBytes: number;
    /** The longest and the shortest a message waits for company. */
    readonly commitDelayMs: number;
    readonly commitDelayMsMin: number;
    readonly commitMessages: number;
    readonly commitBytes: number;
    /** Undefined: by the size of the file system. */
    readonly reserveBytes: number | undefined;
    /** Below so many projected years commits wait longer; 0: never. */
    readonly flashLifeYears: number;
    /** Bytes that the storage takes in its life; undefined: not known. */
    readonly flashEnduranceBytes: number | undefined;
    readonly timeToLiveSecs: number;
  };
  readonly upstream: {
    /** Fresh messages pass a long backlog on their way to the hub; undefined: they do not. */
    readonly liveFirst: LiveFirst | undefined;
    /** An MQTT broker that stands for `$upstream`. */
    readonly mqtt: RemoteBrokerConfig | undefined;
  };
  /** Other MQTT brokers. */
  readonly bridges: readonly RemoteBrokerConfig[];
  readonly routes: {
    /** What becomes of the others when one of a deployment's routes is wrong: they hold (isolated), or none does (strict). */
    readonly mode: RouteMode;
  };
  readonly broker: {
    /** Time between two rounds of $SYS topics; 0: there are none. */
    readonly sysIntervalMs: number;
    /** Users without an identity, in mosquitto's format. */
    readonly passwordFile: string | undefined;
    /** PEM file of who vouches for certificates of users without an identity. */
    readonly clientCa: string | undefined;
    /** A policy in JSON that holds while the twin has none. */
    readonly authorizations: string | undefined;
  };
  readonly containers: ContainersConfig;
  readonly modules: ModulesConfig;
}

export const defaultConfigPath = '/etc/weir/config.toml';
export const defaultDataDir = '/var/lib/weir';
export const defaultRunDir = '/run/weir';

/** MQTT over TLS, as IoT Hub listens. */
export const defaultHubPort = 8883;

export const logLevelNames = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[];

export const defaultLogLevel: LogLevel = 'info';
export const defaultQuotaBytes = 536_870_912;
/** Sixteen messages come together in it at a hundred a second: what keeps the bytes written below three for each payload byte. */
export const defaultCommitDelayMs = 200;
export const defaultCommitDelayMsMin = 5;
export const defaultCommitMessages = 256;
export const defaultCommitBytes = 65_536;
export const defaultFlashLifeYears = 5;
/** Two hours, in milliseconds: what IoT Edge's timeToLiveSecs is when a manifest does not say. */
export const defaultTimeToLiveMs = 7_200_000;

export interface SettingDescription {
  readonly key: string;
  readonly allowed: string;
  /** What holds when the key is absent. */
  readonly fallback: string;
  readonly meaning: string;
}

/** A day, in milliseconds: slower than that nobody watches. */
export const sysIntervalMsMax = 86_400_000;

/** From one millisecond to the longest time to live, in milliseconds. */
export const timeToLiveMsMax = configTimeToLiveSecsMax * 1_000;

const range = (low: string, high: string): string => `from ${low} to ${high}`;

/** The keys of one table that describes another broker. */
function remoteBrokerSettings(table: string, what: string): readonly SettingDescription[] {
  const rows: readonly (readonly [name: string, allowed: string, fallback: string, meaning: string])[] = [
    ['url', '"mqtt://host:port" or "mqtts://host:port"', 'none', `Where ${what} is; mqtts is over TLS.`],
    ['username', 'a text', 'none', 'The user name there.'],
    ['password', 'a text, { value = "…" } or { uri = "file:///…" }', 'none', 'The password there.'],
    ['ca', 'a file URI of a PEM file', "the system's certificate authorities", 'Who may vouch for it.'],
    ['certificate', 'a file URI of a PEM file', 'none', 'The certificate this gateway shows there.'],
    ['private_key', 'a file URI of a PEM file', 'none', 'The key of that certificate.'],
    [
      'client_id',
      'a text of at most 256 characters',
      'weir-<device>-<name>',
      'The client id there; its session is kept under it.',
    ],
    ['version', '"5" or "3.1.1"', 'whichever it understands', 'The version of MQTT that is spoken with it.'],
    [
      'time_to_live',
      'a duration with its unit from 1s to 24855d, such as "7d"',
      'as long as there is room',
      'How long messages wait for it.',
    ],
    [
      'topics',
      'a list of { direction = "in", "out" or "both", topic = "…", in_prefix = "…", out_prefix = "…" }',
      'none',
      'Topics that are shared with it, beside those that the twin of $edgeHub names.',
    ],
  ];
  return rows.map(([name, allowed, fallback, meaning]) => ({ key: `${table}.${name}`, allowed, fallback, meaning }));
}

export const settings: readonly SettingDescription[] = [
  {
    key: 'hostname',
    allowed: 'a host name of at most 64 characters, such as "gateway-1.plant.example"',
    fallback: "the machine's host name",
    meaning: 'The name under which modules and leaf devices reach this gateway; it is in its server certificate.',
  },
  {
    key: 'parent_hostname',
    allowed: 'a host name',
    fallback: 'none: the hub is reached directly',
    meaning:
      "What is dialled in place of the hub, such as a TCP forwarder; the hub's certificate must have this name, too. Another weir gateway does not pass it on.",
  },
  {
    key: 'trust_bundle_cert',
    allowed: 'a file URI of a PEM file, such as "file:///etc/weir/hub-ca.pem"',
    fallback: "the system's certificate authorities",
    meaning: 'The certificate authorities that may vouch for the hub.',
  },
  {
    key: 'data_dir',
    allowed: 'an absolute path',
    fallback: defaultDataDir,
    meaning: 'Where messages, twins, keys and logs are kept. --data-dir wins over it.',
  },
  {
    key: 'run_dir',
    allowed: 'an absolute path of at most 80 characters',
    fallback: defaultRunDir,
    meaning: 'Where the sockets and the state of running modules are. --run-dir wins over it.',
  },
  {
    key: 'provisioning.source',
    allowed: '"manual" or "none"',
    fallback: '"none", or "manual" when connection_string is given',
    meaning: 'How this gateway gets its identity at the hub; "none" runs without a hub.',
  },
  {
    key: 'provisioning.connection_string',
    allowed: '"HostName=…;DeviceId=…;SharedAccessKey=…", or { uri = "file:///…" } with that text in a file',
    fallback: 'none',
    meaning: 'Hub, device and key in one text, as `weir hub device connection-string` and Azure give it.',
  },
  {
    key: 'provisioning.iothub_hostname',
    allowed: 'a host name, such as "hub.example" or "10.0.0.2"',
    fallback: 'none',
    meaning: 'The hub, when there is no connection string.',
  },
  {
    key: 'provisioning.iothub_port',
    allowed: 'a port number from 1 to 65535',
    fallback: String(defaultHubPort),
    meaning: "The hub's port for MQTT over TLS, when it is not the usual one.",
  },
  {
    key: 'provisioning.device_id',
    allowed: "1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '",
    fallback: 'none',
    meaning: 'The name of this gateway in the registry of the hub, when there is no connection string.',
  },
  {
    key: 'provisioning.authentication.method',
    allowed: '"sas"',
    fallback: '"sas"',
    meaning: 'How this gateway proves who it is: with a symmetric key.',
  },
  {
    key: 'provisioning.authentication.device_id_pk',
    allowed: '{ value = "base64 key" } or { uri = "file:///…" }',
    fallback: 'none',
    meaning: 'The symmetric key of the device.',
  },
  {
    key: 'log.level',
    allowed: logLevelNames.map((level) => `"${level}"`).join(', '),
    fallback: `"${defaultLogLevel}"`,
    meaning: 'The least severe line that is written.',
  },
  {
    key: 'listeners.tcp',
    allowed: '"tcp://host:port" with an IP address or host name, such as "tcp://127.0.0.1:1883"',
    fallback: 'off',
    meaning: 'MQTT without TLS. Only a loopback address is reasonable.',
  },
  {
    key: 'listeners.tls',
    allowed: '"tls://host:port" with an IP address or host name, such as "tls://0.0.0.0:8883"',
    fallback: 'off',
    meaning: 'MQTT over TLS for leaf devices and modules in containers.',
  },
  {
    key: 'listeners.ws',
    allowed: '"ws://host:port" with an IP address or host name, such as "ws://127.0.0.1:8080"',
    fallback: 'off',
    meaning:
      'MQTT over WebSocket without TLS, on any path, and the calls of `wss`. Only a loopback address is reasonable.',
  },
  {
    key: 'listeners.wss',
    allowed: '"wss://host:port" with an IP address or host name, such as "wss://0.0.0.0:443"',
    fallback: 'off',
    meaning:
      'MQTT over WebSocket and TLS, on any path, for leaf devices behind firewalls that only let HTTPS out; and direct methods over HTTPS from module to module. Azure clients know no port but 443 for both.',
  },
  {
    key: 'listeners.proxy_protocol',
    allowed: 'a list of URLs that stand in listeners.tcp, tls, ws or wss, as they stand there',
    fallback: 'none',
    meaning: 'Listeners behind a proxy: each connection begins with a PROXY protocol header, version 2.',
  },
  {
    key: 'listeners.trusted_proxies',
    allowed: 'a list of addresses and networks, such as ["10.0.0.7", "fd00::/8"]',
    fallback: '["127.0.0.0/8", "::1"]',
    meaning: 'Who is a proxy; connections of others to such a listener are closed.',
  },
  {
    key: 'broker.sys_interval',
    allowed: 'a duration with its unit from 0ms to 1d, such as "10s"',
    fallback: '0ms: there are none',
    meaning: 'How often the $SYS topics are brought up to date; every client of this gateway may read them then.',
  },
  {
    key: 'broker.password_file',
    allowed: 'a file URI, such as "file:///etc/weir/passwords"',
    fallback: 'none: only identities come in',
    meaning: "Users without an identity at the hub, in mosquitto's format (docs/mqtt.md); read again on SIGHUP.",
  },
  {
    key: 'broker.client_ca',
    allowed: 'a file URI of a PEM file',
    fallback: 'none: clients are not asked for certificates',
    meaning: 'Who vouches for certificates of users without an identity; the common name is the user name.',
  },
  {
    key: 'broker.authorizations',
    allowed: 'a file URI of a JSON file with a list of statements',
    fallback: 'none: nobody may use topics of their own',
    meaning: 'The authorisation policy that holds while the twin of $edgeHub has none; read again on SIGHUP.',
  },
  {
    key: 'store.quota',
    allowed: `a size with its unit ${range(formatBytes(configQuotaBytesMin), formatBytes(configQuotaBytesMax))}, such as "512MiB"`,
    fallback: formatBytes(defaultQuotaBytes),
    meaning: 'Most disk space for messages that wait. When it is full, the oldest go first and are counted.',
  },
  {
    key: 'store.commit_delay',
    allowed: `a duration with its unit ${range('0ms', formatDurationMs(configCommitDelayMsMax))}, such as "200ms"`,
    fallback: formatDurationMs(defaultCommitDelayMs),
    meaning:
      'The longest a message waits for others to share one flush to disk, when others come. Longer spares flash.',
  },
  {
    key: 'store.commit_delay_min',
    allowed: `a duration with its unit ${range('0ms', formatDurationMs(configCommitDelayMsMax))}, such as "5ms"`,
    fallback: formatDurationMs(defaultCommitDelayMsMin),
    meaning: 'The shortest wait: what a lone sender, which waits for each answer, is delayed by.',
  },
  {
    key: 'store.commit_messages',
    allowed: `a whole number ${range('1', String(configCommitMessagesMax))}`,
    fallback: String(defaultCommitMessages),
    meaning: 'As many messages do not wait any longer.',
  },
  {
    key: 'store.commit_bytes',
    allowed: `a size with its unit ${range(formatBytes(configCommitBytesMin), formatBytes(configCommitBytesMax))}, such as "64KiB"`,
    fallback: formatBytes(defaultCommitBytes),
    meaning: 'As many bytes do not wait any longer.',
  },
  {
    key: 'store.reserve',
    allowed: `a size with its unit ${range('0B', formatBytes(configReserveBytesMax))}, such as "64MiB"`,
    fallback: 'a tenth of the file system, from 64MiB to 1GiB and at most a quarter of it',
    meaning:
      'Space of the file system that messages never take: for configuration, logs and updates. Less being free counts as a full quota.',
  },
  {
    key: 'store.flash_life_years',
    allowed: `a whole number ${range('0', String(configFlashLifeYearsMax))}`,
    fallback: String(defaultFlashLifeYears),
    meaning:
      'When the storage would not last as many years at the present pace, commits wait longer for company; 0: never.',
  },
  {
    key: 'store.flash_endurance',
    allowed: `a size with its unit ${range(formatBytes(configFlashEnduranceBytesMin), formatBytes(configFlashEnduranceBytesMax))}, such as "40TB"`,
    fallback: 'not known: only the registers of the device tell',
    meaning: 'Bytes that may be written to the storage in its life, by its data sheet (TBW).',
  },
  {
    key: 'store.time_to_live',
    allowed: 'a duration with its unit from 1s to 24855d, such as "7d"',
    fallback: formatDurationMs(defaultTimeToLiveMs),
    meaning: 'How long messages are kept until a deployment says otherwise (timeToLiveSecs).',
  },
  {
    key: 'routes.mode',
    allowed: '"isolated" or "strict"',
    fallback: '"isolated"',
    meaning:
      'When a route of a deployment is wrong: the good ones hold and the wrong one is reported, or none holds and the last good set stays, as in IoT Edge.',
  },
  {
    key: 'upstream.live_first',
    allowed: 'true or false',
    fallback: 'false: all messages of one priority arrive in the order in which they were accepted',
    meaning: 'Whether fresh messages pass a long backlog on their way to the hub, once the link is back.',
  },
  {
    key: 'upstream.backlog_rate',
    allowed: `a whole number from 1 to ${configBacklogRateMax}`,
    fallback: 'as fast as the link takes it',
    meaning:
      'Messages of a backlog a second that go to the hub while fresh ones pass it; without live_first it does nothing, and is warned about.',
  },
  ...remoteBrokerSettings('upstream.mqtt', 'the MQTT broker that stands for $upstream'),
  {
    key: 'upstream.mqtt.topic',
    allowed: 'a topic with {device}, and with {module}, {output}, {properties} as wanted',
    fallback: 'none: telemetry goes to the hub',
    meaning: 'Telemetry goes to that broker instead of the hub, under this topic: "weir/{device}/{module}/{output}".',
  },
  ...remoteBrokerSettings('bridges.<name>', 'another MQTT broker'),
  ...moduleSettings,
  ...containerSettings,
];

/** Keys and tables of Azure's config.toml that mean nothing here. */
export const azureOnlyKeys: readonly string[] = [
  'agent',
  'auto_reprovisioning_mode',
  'aziot_keys',
  'cert_issuance',
  'cloud_retries',
  'cloud_timeout_sec',
  'connect',
  'edge_ca',
  'homedir',
  'imported_master_encryption_key',
  'listen',
  'localid',
  'manifest_trust_bundle_cert',
  'preloaded_certs',
  'preloaded_keys',
  'prefer_module_identity_cache',
  'tpm',
  'watchdog',
];
