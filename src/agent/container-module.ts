// What a module of `type: "docker"` runs: its image, Docker's ContainerCreate options, credentials and labels.
//
// A container image that weir carries as a built-in module (Azure's simulated temperature sensor) runs built in, so
// that Azure's quickstart works on a device that has no container engine.
//
// The labels are those of Azure's agent, for tools that look for its containers. `loggingOptions` of the runtime is
// the log configuration of every container whose own createOptions have none.

import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import { type CreateOptions, readCreateOptions } from './create-options.ts';
import type { FieldReader } from './field-reader.ts';
import { readImage, registryAddress, registryOf } from './image-reference.ts';
import type { RegistryCredentials } from './launch-order.ts';
import type { BuiltinProgram } from './process-module.ts';

export interface ContainerProgram {
  readonly kind: 'container';
  /** Complete: with a tag or a digest. */
  readonly image: string;
  readonly createOptions: JsonObject;
}

export interface ImageContext {
  /** Names of the modules inside this executable. */
  readonly builtins: readonly string[];
  /** What `$upstream` stands for; undefined without a parent gateway. */
  readonly parentHostname?: string | undefined;
}

const contentDigestPattern = /^sha256:[0-9a-f]{64}$/;
const labelRoot = 'net.azure-devices.edge';

export function readContainer(
  settings: FieldReader,
  context: ImageContext,
): ContainerProgram | BuiltinProgram | undefined {
  const written = settings.text('image', 'the name of a container image is expected') ?? '';
  const options = readCreateOptions(settings.object);
  if (!options.ok) settings.complain('createOptions', options.reason);
  const builtin = builtinForImage(written, context.builtins);
  if (builtin !== undefined) return { kind: 'builtin', name: builtin };
  const image = readImage(withDigest(written, settings), context.parentHostname);
  if (!image.ok) return settings.complain('image', image.reason);
  return { kind: 'container', image: image.image, createOptions: optionsOf(options) };
}

/** `settings.digest` names the content beside the image's name; what runs then is that content and no other. */
function withDigest(image: string, settings: FieldReader): string {
  const digest = settings.text('digest') ?? '';
  if (digest === '') return image;
  if (!contentDigestPattern.test(digest))
    settings.complain('digest', 'write sha256: and the 64 hexadecimal digits that the registry says');
  else if (!image.includes('@')) return `${image}@${digest}`;
  else if (!image.endsWith(`@${digest}`))
    settings.complain('digest', 'the image names another digest; leave one of them out');
  return image;
}

function optionsOf(options: CreateOptions): JsonObject {
  return options.ok ? options.value : {};
}

function builtinForImage(image: string, builtins: readonly string[]): string | undefined {
  // mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5, mcr.microsoft.com/azureiotedge/modbus:1.0
  const repository = `/${image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')}`.toLowerCase();
  return builtins.find(
    (builtin) =>
      repository.endsWith(`/azureiotedge-${builtin}`) ||
      repository.endsWith(`/azureiotedge/${builtin}`) ||
      image.toLowerCase() === `weir:${builtin}`,
  );
}

/** `runtime.settings.registryCredentials`. */
export function readCredentials(settings: FieldReader | undefined): readonly RegistryCredentials[] {
  const block = settings?.inside('registryCredentials');
  if (block === undefined) return [];
  return Object.keys(block.object).flatMap((id) => {
    const entry = block.inside(id);
    if (entry === undefined) return [];
    const [username, password, address] = ['username', 'password', 'address'].map((name) => {
      const text = entry.text(name);
      if (text === undefined || text === '') entry.complain(name, 'username, password and address are needed together');
      return text ?? '';
    });
    return [{ username: username ?? '', password: password ?? '', address: address ?? '' }];
  });
}

/** The first whose address is the image's registry. */
export function credentialsFor(
  image: string,
  credentials: readonly RegistryCredentials[],
): RegistryCredentials | undefined {
  const registry = registryOf(image);
  return credentials.find(({ address }) => registryAddress(address) === registry);
}

/** `runtime.settings.loggingOptions`: `{"log-driver", "log-opts"}` or Docker's own `{"Type", "Config"}`, as text. */
export function readLoggingOptions(settings: FieldReader | undefined): JsonObject | undefined {
  const written = settings?.object['loggingOptions'] ?? '';
  const parsed =
    typeof written === 'string'
      ? parseJson(written.trim() === '' ? '{}' : written)
      : { ok: true as const, value: written };
  if (!parsed.ok || !isJsonObject(parsed.value))
    return settings?.complain(
      'loggingOptions',
      'a text that holds a JSON object such as {"log-driver": "json-file"} is expected',
    );
  const member = (...names: readonly string[]) =>
    Object.entries(parsed.value as JsonObject).find(([key]) => names.includes(key.toLowerCase()))?.[1];
  const type = member('log-driver', 'type');
  const options = member('log-opts', 'config');
  if (type === undefined && options === undefined) return undefined;
  if (typeof type !== 'string')
    return settings?.complain('loggingOptions', 'the name of the log driver is missing: "log-driver": "json-file"');
  return { Type: type, Config: isJsonObject(options) ? options : {} };
}

/** createOptions with the runtime's log configuration where they have none. */
export function withLogging(createOptions: JsonObject, logging: JsonObject | undefined): JsonObject {
  const hostConfig = isJsonObject(createOptions['HostConfig']) ? createOptions['HostConfig'] : {};
  if (logging === undefined || isJsonObject(hostConfig['LogConfig'])) return createOptions;
  return { ...createOptions, HostConfig: { ...hostConfig, LogConfig: logging } };
}

export function containerLabels(facts: {
  readonly image: string;
  readonly createOptions: JsonObject;
  readonly env: Readonly<Record<string, string>>;
  readonly wanted: string;
  readonly restartPolicy: string;
  readonly pullPolicy: string;
  readonly startupOrder: number;
  readonly version: string;
}): Readonly<Record<string, string>> {
  return {
    [`${labelRoot}.owner`]: 'Microsoft.Azure.Devices.Edge.Agent',
    [`${labelRoot}.original-image`]: facts.image,
    [`${labelRoot}.create-options`]: JSON.stringify(facts.createOptions),
    [`${labelRoot}.env`]: JSON.stringify(
      Object.fromEntries(Object.entries(facts.env).map(([name, value]) => [name, { value }])),
    ),
    [`${labelRoot}.version`]: facts.version,
    [`${labelRoot}.desired-status`]: facts.wanted,
    [`${labelRoot}.restart-policy`]: facts.restartPolicy,
    [`${labelRoot}.image-pull-policy`]: facts.pullPolicy,
    [`${labelRoot}.startup-order`]: String(facts.startupOrder),
  };
}
