// A configuration as it may be shown: in logs, on the admin socket, in a support bundle. Keys are masked.
//
// Built field by field from the schema's names, so that a new field is invisible until somebody decided how
// to show it; never by deleting from a copy.

import { stringify } from 'smol-toml';
import type { JsonObject } from '../model/json.ts';
import { redactedContainers } from './container-settings.ts';
import type { RemoteBrokerConfig } from './remote-brokers.ts';
import type { Config, ListenerName, Provisioning, TcpAddress } from './schema.ts';
import { formatBytes, formatDurationMs } from './units.ts';

export const maskedSecret = '********';

const msPerSecond = 1_000;

/** The effective values under the keys of config.toml; absent ones are left out. */
export function redactedConfig(config: Config): JsonObject {
  return withoutUndefined({
    hostname: config.hostname,
    parent_hostname: config.provisioning.source === 'manual' ? config.provisioning.gatewayHostname : undefined,
    trust_bundle_cert: fileUri(config.trustBundleCert),
    data_dir: config.dataDir,
    run_dir: config.runDir,
    provisioning: redactedProvisioning(config.provisioning),
    log: { level: config.log.level },
    listeners: withoutUndefined({
      tcp: addressText('tcp', config.listeners.tcp),
      tls: addressText('tls', config.listeners.tls),
      ws: addressText('ws', config.listeners.ws),
      wss: addressText('wss', config.listeners.wss),
      ...redactedProxies(config.listeners),
    }),
    broker: withoutUndefined({
      sys_interval: formatDurationMs(config.broker.sysIntervalMs),
      password_file: fileUri(config.broker.passwordFile),
      client_ca: fileUri(config.broker.clientCa),
      authorizations: fileUri(config.broker.authorizations),
    }),
    store: {
      quota: formatBytes(config.store.quotaBytes),
      commit_delay: formatDurationMs(config.store.commitDelayMs),
      commit_delay_min: formatDurationMs(config.store.commitDelayMsMin),
      commit_messages: config.store.commitMessages,
      commit_bytes: formatBytes(config.store.commitBytes),
      ...(config.store.reserveBytes === undefined ? {} : { reserve: formatBytes(config.store.reserveBytes) }),
      flash_life_years: config.store.flashLifeYears,
      ...(config.store.flashEnduranceBytes === undefined
        ? {}
        : { flash_endurance: formatBytes(config.store.flashEnduranceBytes) }),
      time_to_live: formatDurationMs(config.store.timeToLiveSecs * msPerSecond),
    },
    ...redactedContainers(config.containers),
    routes: { mode: config.routes.mode },
    upstream: withoutUndefined({
      live_first: config.upstream.liveFirst !== undefined,
      backlog_rate: config.upstream.liveFirst?.backlogPerSecond,
      mqtt: config.upstream.mqtt === undefined ? undefined : redactedBroker(config.upstream.mqtt),
    }),
    ...(config.bridges.length === 0
      ? {}
      : { bridges: Object.fromEntries(config.bridges.map((broker) => [broker.name, redactedBroker(broker)])) }),
    modules: withoutUndefined({
      grace: formatDurationMs(config.modules.graceMs),
      log_size: formatBytes(config.modules.logBytesMax),
      log_files: config.modules.logFiles,
      verify: formatDurationMs(config.modules.verifyMs),
      user: config.modules.user,
      first_uid: config.modules.firstUid === 0 ? undefined : config.modules.firstUid,
      management: config.modules.management.length === 0 ? undefined : [...config.modules.management],
    }),
  });
}

/** redactedConfig as TOML text. */
export function formatRedacted(redacted: JsonObject): string {
  return `${stringify(redacted).trimEnd()}\n`;
}

function redactedProvisioning(provisioning: Provisioning): JsonObject {
  if (provisioning.source === 'none') return { source: 'none' };
  return {
    source: provisioning.source,
    iothub_hostname: provisioning.hubHostname,
    iothub_port: provisioning.hubPort,
    device_id: provisioning.deviceId,
    authentication: { method: 'sas', device_id_pk: { value: maskedSecret } },
  };
}

function redactedBroker(broker: RemoteBrokerConfig): JsonObject {
  const { host, port, isTls, password, version, timeToLiveMs, topics } = broker;
  return withoutUndefined({
    url: `${isTls ? 'mqtts' : 'mqtt'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    username: broker.username,
    password: password === undefined ? undefined : { value: maskedSecret },
    ca: fileUri(broker.ca),
    certificate: fileUri(broker.certificate),
    private_key: fileUri(broker.privateKey),
    client_id: broker.clientId,
    version: version === undefined ? undefined : version === 4 ? '3.1.1' : '5',
    time_to_live: timeToLiveMs === undefined ? undefined : formatDurationMs(timeToLiveMs),
    topic: broker.telemetryTopic,
    topics: topics.map(({ direction, topic, inPrefix, outPrefix }) => ({
      direction,
      topic,
      in_prefix: inPrefix,
      out_prefix: outPrefix,
    })),
  });
}

function fileUri(path: string | undefined): string | undefined {
  return path === undefined ? undefined : `file://${encodeURI(path)}`;
}

/** Nobody is trusted as a proxy where there is no listener behind one. */
function redactedProxies(listeners: Config['listeners']): JsonObject {
  const { proxied, trustedProxies } = listeners;
  if (proxied.length === 0) return {};
  const urls = proxied.map((name) => addressText(name, listeners[name]) ?? '');
  return { proxy_protocol: urls, trusted_proxies: [...trustedProxies] };
}

function addressText(scheme: ListenerName, address: TcpAddress | undefined): string | undefined {
  if (address === undefined) return undefined;
  return `${scheme}://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

function withoutUndefined(fields: Readonly<Record<string, JsonObject[string] | undefined>>): JsonObject {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, JsonObject[string]] => entry[1] !== undefined),
  );
}
