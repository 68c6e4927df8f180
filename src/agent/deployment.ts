// The deployment: `$edgeAgent`'s desired properties, parsed once into what the agent works with.
//
// Owns the reading of Azure's deployment schema 1.0 and 1.1 and of weir's `type: "process"`. Every problem is
// found at once, each with its JSON path and the mend. A module that cannot be read is left out and named; the
// others stand, unless the document as a whole is unreadable.
//
//   modules.<name>: { type: "docker",  settings: { image, createOptions… }, …as Azure }
//   modules.<name>: { type: "process", settings: { executable: "weir:modbus" | "/path", args: […], cwd } }
//
// A container image that weir carries as a built-in module (Azure's simulated temperature sensor) runs built in,
// so that Azure's quickstart works on a device that has no container engine.

import { deploymentModulesMax } from '../limits.ts';
import { isValidId } from '../model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { readCreateOptions } from './create-options.ts';
import { deploymentStatus } from './errors.ts';

export type RestartPolicy = 'never' | 'on-failure' | 'on-unhealthy' | 'always';

export type ModuleProgram =
  | { readonly kind: 'builtin'; readonly name: string }
  | {
      readonly kind: 'executable';
      readonly path: string;
      readonly args: readonly string[];
      readonly cwd: string | undefined;
    }
  | { readonly kind: 'container'; readonly image: string };

export interface DeployedModule {
  readonly name: string;
  readonly version: string | undefined;
  readonly type: 'docker' | 'process';
  readonly wanted: 'running' | 'stopped';
  readonly restartPolicy: RestartPolicy;
  readonly startupOrder: number;
  readonly env: Readonly<Record<string, string>>;
  readonly program: ModuleProgram;
  /** As written, for the report. */
  readonly source: JsonObject;
}

export interface Deployment {
  readonly schemaVersion: string;
  readonly runtime: JsonObject;
  readonly systemModules: JsonObject;
  readonly modules: readonly DeployedModule[];
}

export type ParsedDeployment =
  | { readonly ok: true; readonly deployment: Deployment; readonly problems: readonly Problem[] }
  | { readonly ok: false; readonly status: number; readonly problems: readonly Problem[] };

const startupOrderMax = 4_294_967_295;
const restartPolicies: readonly RestartPolicy[] = ['never', 'on-failure', 'on-unhealthy', 'always'];

export interface DeploymentContext {
  /** Names of the modules inside this executable. */
  readonly builtins: readonly string[];
}

export function parseDeployment(desired: JsonObject, context: DeploymentContext): ParsedDeployment {
  if (Object.keys(desired).length === 0) {
    return {
      ok: false,
      status: deploymentStatus.empty,
      problems: [{ path: '', message: 'no deployment has been set for this device yet' }],
    };
  }
  const schemaVersion = desired['schemaVersion'];
  if (typeof schemaVersion !== 'string' || !/^1\.[01](\.\d+)?$/.test(schemaVersion)) {
    return {
      ok: false,
      status: deploymentStatus.schemaUnsupported,
      problems: [
        {
          path: 'schemaVersion',
          message: `${JSON.stringify(schemaVersion ?? null)} is not supported; write "1.0" or "1.1"`,
        },
      ],
    };
  }
  const modules = desired['modules'] ?? {};
  if (!isJsonObject(modules)) return malformed('modules', 'an object with one member a module is expected');
  if (Object.keys(modules).length > deploymentModulesMax)
    return malformed('modules', `at most ${deploymentModulesMax} modules fit on one device`);
  const problems: Problem[] = [];
  const deployed: DeployedModule[] = [];
  for (const [name, source] of Object.entries(modules)) {
    const module = parseModule({ name, source, context, problems });
    if (module !== undefined) deployed.push(module);
  }
  return {
    ok: true,
    problems,
    deployment: {
      schemaVersion,
      runtime: objectOr(desired['runtime']),
      systemModules: objectOr(desired['systemModules']),
      modules: deployed,
    },
  };
}

function malformed(path: string, message: string): ParsedDeployment {
  return { ok: false, status: deploymentStatus.malformed, problems: [{ path, message }] };
}

function objectOr(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

interface ModuleParsing {
  readonly name: string;
  readonly source: JsonValue;
  readonly context: DeploymentContext;
  readonly problems: Problem[];
}

function parseModule({ name, source, context, problems }: ModuleParsing): DeployedModule | undefined {
  const at = `modules.${name}`;
  const found = problems.length;
  const complain = (path: string, message: string): undefined =>
    void problems.push({ path: path === '' ? at : `${at}.${path}`, message });
  if (!isValidId(name) || name.startsWith('$'))
    complain(
      '',
      'a module name has 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; and does not start with $',
    );
  if (!isJsonObject(source)) return complain('', 'an object is expected');
  const type = textOf(source['type'])?.toLowerCase();
  if (type !== 'docker' && type !== 'process')
    complain('type', 'write "docker" for a container image or "process" for a program');
  const status = (textOf(source['status']) ?? 'running').toLowerCase();
  if (status !== 'running' && status !== 'stopped') complain('status', 'write "running" or "stopped"');
  const policy = restartPolicies.find(
    (known) => known === (textOf(source['restartPolicy']) ?? 'on-unhealthy').toLowerCase(),
  );
  if (policy === undefined) complain('restartPolicy', `write one of ${restartPolicies.join(', ')}`);
  const startupOrder = source['startupOrder'] ?? startupOrderMax;
  if (
    typeof startupOrder !== 'number' ||
    !Number.isInteger(startupOrder) ||
    startupOrder < 0 ||
    startupOrder > startupOrderMax
  ) {
    complain('startupOrder', `a whole number from 0 to ${startupOrderMax} is expected`);
  }
  const env = parseEnv(source['env'], complain);
  const settings = source['settings'];
  if (!isJsonObject(settings)) return complain('settings', 'an object is expected');
  const program =
    type === 'docker' ? parseImage(settings, context, complain) : parseProgram(settings, context, complain);
  if (problems.length > found || program === undefined || policy === undefined) return undefined;
  return {
    name,
    version: textOf(source['version']),
    type: type === 'docker' ? 'docker' : 'process',
    wanted: status === 'stopped' ? 'stopped' : 'running',
    restartPolicy: policy,
    startupOrder: Number(startupOrder),
    env,
    program,
    source,
  };
}

type Complain = (path: string, message: string) => undefined;

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value.trim() : undefined;
}

function parseEnv(value: JsonValue | undefined, complain: Complain): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) return complain('env', 'an object of { "NAME": { "value": … } } is expected') ?? {};
  const env: Record<string, string> = {};
  for (const [name, entry] of Object.entries(value)) {
    const inner = isJsonObject(entry) ? entry['value'] : undefined;
    if (typeof inner === 'string' || typeof inner === 'number' || typeof inner === 'boolean') env[name] = String(inner);
    else complain(`env.${name}`, 'write { "value": "text" }');
    if (name.includes('=') || name.includes('\0')) complain(`env.${name}`, 'a variable name holds neither = nor NUL');
  }
  return env;
}

function parseImage(settings: JsonObject, context: DeploymentContext, complain: Complain): ModuleProgram | undefined {
  const image = textOf(settings['image']);
  if (image === undefined || image === '')
    return complain('settings.image', 'the name of a container image is expected');
  const options = readCreateOptions(settings);
  if (!options.ok) return complain('settings.createOptions', options.reason);
  const builtin = builtinForImage(image, context);
  return builtin === undefined ? { kind: 'container', image } : { kind: 'builtin', name: builtin };
}

function builtinForImage(image: string, { builtins }: DeploymentContext): string | undefined {
  // mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5, mcr.microsoft.com/azureiotedge/modbus:1.0
  const repository = `/${image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')}`.toLowerCase();
  return builtins.find(
    (builtin) =>
      repository.endsWith(`/azureiotedge-${builtin}`) ||
      repository.endsWith(`/azureiotedge/${builtin}`) ||
      image.toLowerCase() === `weir:${builtin}`,
  );
}

function parseProgram(
  settings: JsonObject,
  { builtins }: DeploymentContext,
  complain: Complain,
): ModuleProgram | undefined {
  const executable = textOf(settings['executable']) ?? textOf(settings['image']);
  if (executable === undefined || executable === '')
    return complain('settings.executable', 'write "weir:<built-in module>" or the absolute path of a program');
  if (executable.startsWith('weir:')) {
    const name = executable.slice('weir:'.length);
    return builtins.includes(name)
      ? { kind: 'builtin', name }
      : complain('settings.executable', `${name} is not built in; built in are ${builtins.join(', ')}`);
  }
  if (!executable.startsWith('/')) return complain('settings.executable', `${executable} is not an absolute path`);
  const args = settings['args'] ?? [];
  if (!Array.isArray(args) || !args.every((arg): arg is string => typeof arg === 'string'))
    return complain('settings.args', 'a list of texts is expected');
  const cwd = textOf(settings['cwd']);
  if (cwd !== undefined && !cwd.startsWith('/')) return complain('settings.cwd', `${cwd} is not an absolute path`);
  return { kind: 'executable', path: executable, args, cwd };
}
