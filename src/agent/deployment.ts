// The deployment: `$edgeAgent`'s desired properties, parsed once into what the agent works with.
//
// Owns the reading of Azure's deployment schema 1.0 and 1.1 and of weir's `type: "process"`. A document holds as a
// whole or not at all: with one fault in it nothing of it is carried out, and every fault is named with its JSON path
// and the mend.
//
//   modules.<name>: { type: "docker",  settings: { image, createOptions… }, …as Azure }
//   modules.<name>: { type: "process", settings: { executable, … }, resources, health, stop, isolation }
//
// The system modules are inside weir: their entries are checked as Azure's agent does it, and reported back.

import { deploymentModulesMax, moduleFileNameBytesMax, registryCredentialsMax } from '../limits.ts';
import { isValidId } from '../model/address.ts';
import { isJsonObject, type JsonObject } from '../model/json.ts';
import { moduleFileName } from '../model/module-file-name.ts';
import type { Problem } from '../model/problem.ts';
import {
  type ContainerProgram,
  type ImageContext,
  readContainer,
  readCredentials,
  readLoggingOptions,
} from './container-module.ts';
import { readCreateOptions } from './create-options.ts';
import { deploymentStatus } from './errors.ts';
import { FieldReader } from './field-reader.ts';
import { readImage } from './image-reference.ts';
import type { Health, Isolation, PullPolicy, RegistryCredentials, Resources } from './launch-order.ts';
import {
  type LogLimits,
  readHealth,
  readIsolation,
  readLogLimits,
  readResources,
  readStop,
  refuseForContainer,
  type Stop,
} from './module-limits.ts';
import { type BuiltinProgram, type ExecutableProgram, readProgram } from './process-module.ts';

export type RestartPolicy = 'never' | 'on-failure' | 'on-unhealthy' | 'always';

export type ModuleProgram = BuiltinProgram | ExecutableProgram | ContainerProgram;

export interface DeployedModule {
  readonly name: string;
  readonly version: string;
  readonly type: 'docker' | 'process';
  readonly wanted: 'running' | 'stopped';
  readonly restartPolicy: RestartPolicy;
  readonly pullPolicy: PullPolicy;
  readonly startupOrder: number;
  readonly env: Readonly<Record<string, string>>;
  readonly program: ModuleProgram;
  readonly resources: Resources | undefined;
  readonly log: LogLimits;
  readonly health: Health | undefined;
  readonly stop: Stop;
  /** Only of processes. */
  readonly isolation: Isolation | undefined;
  /** As written, for the report. */
  readonly source: JsonObject;
}

export interface Deployment {
  readonly schemaVersion: string;
  readonly runtime: JsonObject;
  readonly systemModules: JsonObject;
  readonly modules: readonly DeployedModule[];
  readonly credentials: readonly RegistryCredentials[];
  /** Docker's LogConfig. */
  readonly logging: JsonObject | undefined;
  /** The signed-manifest block, carried as it came. */
  readonly integrity: JsonObject | undefined;
}

export type ParsedDeployment =
  | { readonly ok: true; readonly deployment: Deployment }
  | { readonly ok: false; readonly status: number; readonly problems: readonly Problem[] };

/** Serial ports of the built-in modules that need them; adapters come and go, so it is their directory. */
const builtinDevices: Readonly<Record<string, readonly string[]>> = { modbus: ['/dev'], serial: ['/dev'] };
export const startupOrderMax = 4_294_967_295;
const restartPolicies: readonly RestartPolicy[] = ['never', 'on-failure', 'on-unhealthy', 'always'];

export interface DeploymentContext extends ImageContext {
  /** Of a module's name as a file name: beyond it the path of its sockets is longer than the kernel takes. */
  readonly moduleNameBytesMax?: number | undefined;
}

export function parseDeployment(desired: JsonObject, context: DeploymentContext): ParsedDeployment {
  if (Object.keys(desired).length === 0)
    return refused(deploymentStatus.empty, [{ path: '', message: 'no deployment has been set for this device yet' }]);
  const schemaVersion = desired['schemaVersion'];
  if (typeof schemaVersion !== 'string' || !/^1\.[01](\.\d+)?$/.test(schemaVersion)) {
    const message = `${JSON.stringify(schemaVersion ?? null)} is not supported; write "1.0" or "1.1"`;
    return refused(deploymentStatus.schemaUnsupported, [{ path: 'schemaVersion', message }]);
  }
  const problems: Problem[] = [];
  const root = new FieldReader(desired, '', problems);
  const runtime = root.inside('runtime');
  runtime?.choice('type', ['docker'], 'docker');
  const settings = runtime?.inside('settings');
  const credentials = readCredentials(settings);
  if (credentials.length > registryCredentialsMax)
    settings?.complain('registryCredentials', `at most ${registryCredentialsMax} registries can be named`);
  const logging = readLoggingOptions(settings);
  const systemModules = root.inside('systemModules');
  checkSystemModules(systemModules, context);
  const modules = parseModules(root.inside('modules'), context);
  const integrity = root.inside('integrity');
  if (problems.length > 0) return refused(deploymentStatus.malformed, problems);
  return {
    ok: true,
    deployment: {
      schemaVersion,
      runtime: runtime?.object ?? {},
      systemModules: systemModules?.object ?? {},
      modules,
      credentials,
      logging,
      integrity: integrity?.object,
    },
  };
}

function refused(status: number, problems: readonly Problem[]): ParsedDeployment {
  return { ok: false, status, problems };
}

function checkSystemModules(section: FieldReader | undefined, context: DeploymentContext): void {
  for (const name of ['edgeAgent', 'edgeHub']) {
    const module = section?.inside(name);
    if (module === undefined) continue;
    module.choice('type', ['docker'], 'docker');
    module.choice('imagePullPolicy', ['on-create', 'never'], 'on-create');
    if (name === 'edgeHub') {
      module.choice('status', ['running', 'stopped'], 'running');
      module.choice('restartPolicy', restartPolicies, 'always');
      module.integer('startupOrder', { min: 0, max: startupOrderMax });
    }
    parseEnv(module.inside('env'));
    const settings = module.inside('settings');
    if (settings === undefined) continue;
    const image = readImage(settings.text('image') ?? '', context.parentHostname ?? 'parent');
    if (!image.ok) settings.complain('image', image.reason);
    const options = readCreateOptions(settings.object);
    if (!options.ok) settings.complain('createOptions', options.reason);
  }
}

function parseModules(section: FieldReader | undefined, context: DeploymentContext): readonly DeployedModule[] {
  if (section === undefined) return [];
  const names = Object.keys(section.object);
  if (names.length > deploymentModulesMax)
    return section.complain('', `at most ${deploymentModulesMax} modules fit on one device`) ?? [];
  const { moduleNameBytesMax: nameBytesMax = moduleFileNameBytesMax } = context;
  return names.flatMap((name) => {
    if (!isValidId(name) || name.startsWith('$'))
      section.complain(
        name,
        'a module name has 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; and does not start with $',
      );
    else if ((moduleFileName(name)?.length ?? Number.POSITIVE_INFINITY) > nameBytesMax)
      section.complain(
        name,
        `the name is too long for the paths of its sockets: ${nameBytesMax} bytes fit here, and what is no letter, digit, - _ or . takes three`,
      );
    if (!isJsonObject(section.object[name])) return section.complain(name, 'an object is expected') ?? [];
    const module = section.inside(name);
    return module === undefined ? [] : (parseModule(name, module, context) ?? []);
  });
}

function parseModule(name: string, module: FieldReader, context: DeploymentContext): DeployedModule | undefined {
  const type = readType(module);
  const wanted = module.choice('status', ['running', 'stopped'], 'running');
  const restartPolicy = module.choice('restartPolicy', restartPolicies, 'on-unhealthy');
  const pullPolicy = module.choice('imagePullPolicy', ['on-create', 'never'], 'on-create');
  const startupOrder = module.integer('startupOrder', { min: 0, max: startupOrderMax }) ?? startupOrderMax;
  const version = module.text('version') ?? '';
  const env = parseEnv(module.inside('env'));
  const resources = readResources(module);
  const log = readLogLimits(module);
  const health = readHealth(module);
  const stop = readStop(module);
  const settings = module.inside('settings');
  if (settings === undefined)
    return module.has('settings') ? undefined : module.complain('settings', 'an object is expected');
  const program = type === 'docker' ? readContainer(settings, context) : readProgram(settings, context.builtins);
  const isContainer = type === 'docker' && program?.kind !== 'builtin';
  if (isContainer) refuseForContainer(module);
  const isolation = isContainer ? undefined : readIsolation(module, devicesOf(program));
  if (program === undefined || type === undefined) return undefined;
  return {
    name,
    version,
    type,
    wanted,
    restartPolicy,
    pullPolicy,
    startupOrder,
    env,
    program,
    resources,
    log,
    health,
    stop,
    isolation,
    source: module.object,
  };
}

function readType(module: FieldReader): DeployedModule['type'] | undefined {
  const type = module.text('type')?.toLowerCase();
  if (type === 'docker' || type === 'process') return type;
  return module.complain('type', 'write "docker" for a container image or "process" for a program');
}

function devicesOf(program: ModuleProgram | undefined): readonly string[] {
  return program?.kind === 'builtin' && Object.hasOwn(builtinDevices, program.name)
    ? (builtinDevices[program.name] ?? [])
    : [];
}

function parseEnv(block: FieldReader | undefined): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const [name, entry] of Object.entries(block?.object ?? {})) {
    const inner = isJsonObject(entry) ? entry['value'] : undefined;
    if (typeof inner === 'string' || typeof inner === 'number' || typeof inner === 'boolean') env[name] = String(inner);
    else block?.complain(name, 'write { "value": "text" }');
    if (/[=\0]/.test(name) || env[name]?.includes('\0') === true)
      block?.complain(name, 'a variable holds no NUL, and its name no =');
  }
  return env;
}
