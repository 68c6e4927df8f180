// The keys of config.toml about containers, all of them Azure's: which engine, which network, what modules may ask for,
// and when images are removed again.
//
//   allow_elevated_docker_permissions = true
//   [moby_runtime]                             [image_garbage_collection]
//   uri = "unix:///run/podman/podman.sock"     enabled = true
//   network = "azure-iot-edge"                 cleanup_recurrence = "1d"
//                                              image_age_cleanup_threshold = "7d"
//
// The network may be a table, as in Azure's file: { name = "…", ipv6 = true, ipam = { config = [{ subnet = "…" }] } }.

import type { TomlTableWithoutBigInt, TomlValueWithoutBigInt } from 'smol-toml';
import { configImageAgeMsMax, configImageAgeMsMin, configImageRecurrenceMsMin } from '../limits.ts';
import type { JsonObject } from '../model/json.ts';
import type { SettingsReader } from './reader.ts';
import type { SettingDescription } from './schema.ts';
import { formatDurationMs } from './units.ts';

export interface ContainersConfig {
  /** Sockets in the order in which they are tried. */
  readonly sockets: readonly string[];
  readonly network: ContainerNetworkConfig;
  readonly allowElevated: boolean;
  readonly images: { readonly collect: boolean; readonly recurrenceMs: number; readonly ageMs: number };
}

export interface ContainerNetworkConfig {
  readonly name: string;
  readonly ipv6: boolean;
  readonly ipam: readonly { readonly subnet?: string; readonly gateway?: string; readonly ipRange?: string }[];
}

const defaultSockets = ['/run/podman/podman.sock', '/var/run/docker.sock'];
const defaultNetwork = 'azure-iot-edge';
/** A day and a week, in milliseconds, as in IoT Edge. */
const defaultRecurrenceMs = 86_400_000;
const defaultAgeMs = 604_800_000;
const networkPattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const timeOfDayPattern = /^([01]\d|2[0-3]):[0-5]\d$/;
const ageRange = `a duration with its unit from ${formatDurationMs(configImageRecurrenceMsMin)} to ${formatDurationMs(configImageAgeMsMax)}`;

export const containerSettings: readonly SettingDescription[] = [
  {
    key: 'allow_elevated_docker_permissions',
    allowed: 'true or false',
    fallback: 'true',
    meaning:
      'Whether createOptions may ask for Privileged and CapAdd; if not, both are ignored, and CHOWN and SETUID are taken from every container.',
  },
  {
    key: 'moby_runtime.uri',
    allowed: '"unix:///path" of the socket of podman or Docker',
    fallback: `the first that answers of ${defaultSockets.join(' and ')}`,
    meaning: 'The container engine for modules of type "docker". Process modules need none.',
  },
  {
    key: 'moby_runtime.network',
    allowed: 'a name, or { name = "…", ipv6 = true or false, ipam = { config = [{ subnet, gateway, ip_range }] } }',
    fallback: defaultNetwork,
    meaning: 'The network of container modules, made when it is missing; two gateways on one engine take two names.',
  },
  {
    key: 'image_garbage_collection.enabled',
    allowed: 'true or false',
    fallback: 'true',
    meaning: 'Whether images that weir pulled and no deployment names any more are removed.',
  },
  {
    key: 'image_garbage_collection.cleanup_recurrence',
    allowed: `${ageRange}, such as "1d"`,
    fallback: formatDurationMs(defaultRecurrenceMs),
    meaning: 'How often they are looked for; after each deployment, too.',
  },
  {
    key: 'image_garbage_collection.image_age_cleanup_threshold',
    allowed: `a duration with its unit from ${formatDurationMs(configImageAgeMsMin)} to ${formatDurationMs(configImageAgeMsMax)}, such as "7d"`,
    fallback: formatDurationMs(defaultAgeMs),
    meaning: 'How long an image is kept unused; when space is short it goes earlier.',
  },
  {
    key: 'image_garbage_collection.cleanup_time',
    allowed: '"HH:MM"',
    fallback: 'none',
    meaning: "Taken from Azure's file and not used: weir looks once a recurrence, counted from the last deployment.",
  },
];

export function readContainers(reader: SettingsReader): ContainersConfig {
  reader.text('image_garbage_collection.cleanup_time', (text) => timeOfDayPattern.test(text));
  return {
    sockets: readSockets(reader),
    network: readNetwork(reader),
    allowElevated: reader.flag('allow_elevated_docker_permissions') ?? true,
    images: {
      collect: reader.flag('image_garbage_collection.enabled') ?? true,
      recurrenceMs: reader.durationMs('image_garbage_collection.cleanup_recurrence', {
        min: configImageRecurrenceMsMin,
        max: configImageAgeMsMax,
        fallback: defaultRecurrenceMs,
      }),
      ageMs: reader.durationMs('image_garbage_collection.image_age_cleanup_threshold', {
        min: configImageAgeMsMin,
        max: configImageAgeMsMax,
        fallback: defaultAgeMs,
      }),
    },
  };
}

/** As it is written in config.toml. */
export function redactedContainers({ sockets, network, allowElevated, images }: ContainersConfig): JsonObject {
  const isPlain = !network.ipv6 && network.ipam.length === 0;
  const config = network.ipam.map(({ subnet, gateway, ipRange }) => ({
    ...(subnet === undefined ? {} : { subnet }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(ipRange === undefined ? {} : { ip_range: ipRange }),
  }));
  return {
    allow_elevated_docker_permissions: allowElevated,
    moby_runtime: {
      ...(sockets.length === 1 ? { uri: `unix://${sockets[0] ?? ''}` } : {}),
      network: isPlain ? network.name : { name: network.name, ipv6: network.ipv6, ipam: { config } },
    },
    image_garbage_collection: {
      enabled: images.collect,
      cleanup_recurrence: formatDurationMs(images.recurrenceMs),
      image_age_cleanup_threshold: formatDurationMs(images.ageMs),
    },
  };
}

function readSockets(reader: SettingsReader): readonly string[] {
  const text = reader.text('moby_runtime.uri', (uri) => /^unix:\/\/\/[^?#]+$/.test(uri));
  return text === undefined ? defaultSockets : [text.slice('unix://'.length)];
}

function readNetwork(reader: SettingsReader): ContainerNetworkConfig {
  const key = 'moby_runtime.network';
  const value = reader.value(key);
  const plain = { name: defaultNetwork, ipv6: false, ipam: [] };
  if (value === undefined) return plain;
  if (typeof value === 'string' && networkPattern.test(value)) return { ...plain, name: value };
  const read = isTable(value) ? networkOf(value) : undefined;
  if (read === undefined) reader.problem(key, 'this is not a network in a form that can be read.');
  return read ?? plain;
}

function networkOf(table: Readonly<Record<string, TomlValueWithoutBigInt>>): ContainerNetworkConfig | undefined {
  const { name = defaultNetwork, ipv6 = false, ipam, ...rest } = table;
  if (typeof name !== 'string' || !networkPattern.test(name) || typeof ipv6 !== 'boolean') return undefined;
  const pools = ipam === undefined ? [] : isTable(ipam) ? ipam['config'] : undefined;
  if (!Array.isArray(pools) || Object.keys(rest).length > 0) return undefined;
  const read = pools.map((pool: TomlValueWithoutBigInt) => (isTable(pool) ? poolOf(pool) : undefined));
  const ipamRead = read.filter((pool) => pool !== undefined);
  return ipamRead.length === read.length ? { name, ipv6, ipam: ipamRead } : undefined;
}

function poolOf(
  pool: Readonly<Record<string, TomlValueWithoutBigInt>>,
): ContainerNetworkConfig['ipam'][number] | undefined {
  const { subnet, gateway, ip_range: ipRange, ...rest } = pool;
  const isText = (value: unknown): boolean => value === undefined || typeof value === 'string';
  if (![subnet, gateway, ipRange].every(isText) || Object.keys(rest).length > 0) return undefined;
  return {
    ...(typeof subnet === 'string' ? { subnet } : {}),
    ...(typeof gateway === 'string' ? { gateway } : {}),
    ...(typeof ipRange === 'string' ? { ipRange } : {}),
  };
}

/** reader.ts has the same; it imports the list of settings, so this file may not import it. */
function isTable(value: TomlValueWithoutBigInt | undefined): value is TomlTableWithoutBigInt {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
