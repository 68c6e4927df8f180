// What a container is created from: a module's createOptions with what the gateway adds. A pure function.
//
//   createOptions (Docker Engine ContainerCreate, as deployed)
//     + Image, Env of the deployment (reserved names win), labels
//     + network, mounts of the workload socket, the gateway's name
//     + limits, stop signal, health check         only where the options are silent
//     − HostConfig.RestartPolicy, AutoRemove      the supervisor restarts, and it has to see how a container ended
//     − Privileged, CapAdd                        when elevated permissions are not allowed; CHOWN and SETUID go, too
//
// Member names are matched without regard to case, as the engine and Azure's agent do.

import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import {
  createLabel,
  gatewayLabel,
  generationLabel,
  moduleLabel,
  originalImageLabel,
  owner,
  ownerLabel,
} from './labels.ts';
import type { ContainerSpec, ContainersOptions, Health, LaunchSpec } from './ports.ts';

export interface CreateFacts {
  readonly options: Pick<ContainersOptions, 'network' | 'allowElevated' | 'gateway'>;
  readonly engine: 'podman' | 'docker';
  readonly digest: (text: string) => string;
  /** Of this machine on the gateway's own network, once that is there. */
  readonly hostAddress?: string | undefined;
}

export interface CreatePlan {
  readonly body: JsonObject;
  /** The value of the label that names everything above. */
  readonly createDigest: string;
  /** Whether the gateway's own network is used. */
  readonly usesNetwork: boolean;
}

const topNames = [
  'Env',
  'Labels',
  'HostConfig',
  'NetworkingConfig',
  'Healthcheck',
  'StopSignal',
  'StopTimeout',
  'Image',
];
const hostNames = [
  'RestartPolicy',
  'AutoRemove',
  'Privileged',
  'CapAdd',
  'CapDrop',
  'Mounts',
  'ExtraHosts',
  'LogConfig',
  'NetworkMode',
  'Memory',
  'NanoCpus',
  'CpuQuota',
  'PidsLimit',
  'BlkioWeight',
  'Ulimits',
];
/** Docker's word for the address of the machine. */
const hostGateway = 'host-gateway';
const droppedCapabilities = ['CAP_CHOWN', 'CAP_SETUID'];
const nanoPerUnit = 1e9;
const nanoPerMs = 1e6;
const msPerSecond = 1000;
/** cgroup v1 has 10 to 1000 where v2 has 1 to 10000, and engines speak v1. */
const blkioWeightMin = 10;
const blkioWeightMax = 1000;
const aliasPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

export function createPlan(spec: LaunchSpec, container: ContainerSpec, facts: CreateFacts): CreatePlan {
  const given = named(container.createOptions, topNames);
  const host = named(objectOf(given['HostConfig']), hostNames);
  const mode = textOf(host['NetworkMode']);
  const network = facts.options.network.name;
  const usesNetwork = mode === undefined || mode === '' || mode === 'default' || mode === network;
  const body: Record<string, JsonValue> = {
    ...given,
    Image: container.image,
    Env: environment(given['Env'], spec.env),
    StopTimeout: given['StopTimeout'] ?? Math.ceil(spec.graceMs / msPerSecond),
    HostConfig: { ...hostConfig(host, spec, facts), ...(usesNetwork ? { NetworkMode: network } : {}) },
  };
  if (given['StopSignal'] === undefined && spec.stopSignal !== undefined) body['StopSignal'] = spec.stopSignal;
  const healthcheck = given['Healthcheck'] ?? healthcheckOf(spec.health);
  if (healthcheck !== undefined) body['Healthcheck'] = facts.engine === 'podman' ? unsplit(healthcheck) : healthcheck;
  if (usesNetwork) body['NetworkingConfig'] = networking(given['NetworkingConfig'], { network, spec, container });
  const labels: Record<string, JsonValue> = {
    [ownerLabel]: owner,
    [originalImageLabel]: container.image,
    ...objectOf(given['Labels']),
    ...container.labels,
    [gatewayLabel]: facts.options.gateway,
    [moduleLabel]: spec.name,
    [generationLabel]: spec.generation,
  };
  const createDigest = facts.digest(JSON.stringify({ ...body, Labels: labels }));
  return { body: { ...body, Labels: { ...labels, [createLabel]: createDigest } }, createDigest, usesNetwork };
}

/** Variables of the options first; a name that the deployment or the runtime sets replaces them. */
function environment(given: JsonValue | undefined, env: Readonly<Record<string, string>>): readonly string[] {
  const list = Array.isArray(given) ? given.filter((item): item is string => typeof item === 'string') : [];
  const kept = list.filter((item) => !Object.hasOwn(env, item.split('=', 1)[0] ?? ''));
  return [...kept, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
}

function hostConfig(host: JsonObject, spec: LaunchSpec, facts: CreateFacts): JsonObject {
  const { resources, rlimits } = spec;
  const config: Record<string, JsonValue> = { ...host, RestartPolicy: { Name: 'no' }, AutoRemove: false };
  if (spec.mounts !== undefined && spec.mounts.length > 0) {
    // As mounts, not binds: a source that is missing is an error then, instead of becoming a directory.
    const mounts = spec.mounts.map(({ source, target, readOnly }) => ({
      Type: 'bind',
      Source: source,
      Target: target,
      ReadOnly: readOnly,
    }));
    config['Mounts'] = [...listOf(host['Mounts']), ...mounts];
  }
  if (spec.hosts !== undefined && spec.hosts.length > 0)
    config['ExtraHosts'] = extraHosts(host['ExtraHosts'], spec.hosts, hostAddress(host, facts));
  if (host['LogConfig'] === undefined) config['LogConfig'] = logConfig(spec, facts.engine);
  if (resources?.memoryBytes !== undefined) config['Memory'] ??= resources.memoryBytes;
  if (resources?.cpus !== undefined && host['CpuQuota'] === undefined)
    config['NanoCpus'] ??= Math.round(resources.cpus * nanoPerUnit);
  if (resources?.pids !== undefined) config['PidsLimit'] ??= resources.pids;
  if (resources?.ioWeight !== undefined)
    config['BlkioWeight'] ??= Math.min(blkioWeightMax, Math.max(blkioWeightMin, resources.ioWeight));
  if (rlimits !== undefined && Object.keys(rlimits).length > 0) config['Ulimits'] = ulimits(host['Ulimits'], rlimits);
  if (!facts.options.allowElevated) {
    config['Privileged'] = false;
    config['CapAdd'] = [];
    config['CapDrop'] = [...new Set([...listOf(host['CapDrop']), ...droppedCapabilities])];
  }
  return config;
}

/** Docker's `name:address`. A name that the options have is theirs; one that leads nowhere is left out. */
function extraHosts(
  given: JsonValue | undefined,
  hosts: LaunchSpec['hosts'],
  gateway: string | undefined,
): readonly JsonValue[] {
  const list = listOf(given);
  const known = new Set(list.map((item) => (textOf(item) ?? '').split(':', 1)[0]?.toLowerCase()));
  const added = (hosts ?? []).flatMap(({ name, address }) => {
    const found = address === hostGateway ? gateway : address;
    return known.has(name.toLowerCase()) || found === undefined ? [] : [`${name}:${found}`];
  });
  return [...list, ...added];
}

/** On a network that is not the gateway's, Docker knows the word; podman knows it from 4.7 on and writes it down before. */
function hostAddress(host: JsonObject, facts: CreateFacts): string | undefined {
  if (host['NetworkMode'] === 'host') return '127.0.0.1';
  return facts.hostAddress ?? (facts.engine === 'docker' ? hostGateway : undefined);
}

/** The engine's own copy of the log is bounded like ours, which is made from it. */
function logConfig({ logBytesMax }: LaunchSpec, engine: 'podman' | 'docker'): JsonObject {
  return engine === 'podman'
    ? { Type: 'k8s-file', Config: { 'max-size': String(logBytesMax) } }
    : { Type: 'json-file', Config: { 'max-size': String(logBytesMax), 'max-file': '2' } };
}

function ulimits(given: JsonValue | undefined, rlimits: Readonly<Record<string, number>>): readonly JsonValue[] {
  const list = listOf(given);
  const known = new Set(list.map((item) => textOf(objectOf(item)['Name'])));
  const added = Object.entries(rlimits)
    .filter(([name]) => !known.has(name))
    .map(([name, value]) => ({ Name: name, Soft: value, Hard: value }));
  return [...list, ...added];
}

function healthcheckOf(health: Health | undefined): JsonObject | undefined {
  if (health?.command === undefined || health.command.length === 0) return undefined;
  return {
    Test: ['CMD', ...health.command],
    Interval: health.intervalMs * nanoPerMs,
    Timeout: health.timeoutMs * nanoPerMs,
    Retries: health.retries,
    StartPeriod: health.startPeriodMs * nanoPerMs,
  };
}

/** Podman joins the words of a check and splits them again at blanks; one text for the shell survives that. */
function unsplit(healthcheck: JsonValue): JsonValue {
  const [kind, ...words] = listOf(objectOf(healthcheck)['Test']);
  if (kind !== 'CMD' || !words.some((word) => typeof word === 'string' && /\s/.test(word))) return healthcheck;
  const quoted = words.map((word) => `'${String(word).replaceAll("'", "'\\''")}'`);
  return { ...objectOf(healthcheck), Test: ['CMD-SHELL', quoted.join(' ')] };
}

function networking(
  given: JsonValue | undefined,
  {
    network,
    spec,
    container,
  }: { readonly network: string; readonly spec: LaunchSpec; readonly container: ContainerSpec },
): JsonObject {
  const config = objectOf(given);
  const endpoints = objectOf(config['EndpointsConfig']);
  const own = objectOf(endpoints[network]);
  const aliases = [...listOf(own['Aliases']), spec.name, ...(container.networkAliases ?? [])].filter(
    (alias): alias is string => typeof alias === 'string' && aliasPattern.test(alias),
  );
  return { ...config, EndpointsConfig: { ...endpoints, [network]: { ...own, Aliases: [...new Set(aliases)] } } };
}

/** The same object with the members of these names written as they are here. */
function named(json: JsonObject, names: readonly string[]): JsonObject {
  const canonical = new Map(names.map((name) => [name.toLowerCase(), name]));
  return Object.fromEntries(
    Object.entries(json)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [canonical.get(key.toLowerCase()) ?? key, value]),
  );
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
