// From a deployment to launch orders: a pure decision.
//
// A module whose files are not on the device yet gets no order; everybody else does. Orders come in startupOrder, then
// by name. The generation of an order is a digest of what would need a new start: changing a restart policy, a limit
// of the logs or the grace leaves a module running.

import { moduleGraceMsMax } from '../limits.ts';
import { isJsonObject, type JsonObject } from '../model/json.ts';
import { containerLabels, credentialsFor, withLogging } from './container-module.ts';
import type { DeployedModule, Deployment } from './deployment.ts';
import type { Account, Isolation, LaunchOrder } from './launch-order.ts';
import type { ModuleProvision } from './ports.ts';
import type { ExecutableProgram } from './process-module.ts';

/** What a module sees of this machine to prove who it is. */
export type ModuleSurroundings = ModuleProvision;

/** Where a fetched program is. */
export interface InstalledFiles {
  readonly directory: string;
  /** Path of the single file when the source is no archive. */
  readonly file?: string | undefined;
}

export interface OrderFacts {
  /** Command line that runs a built-in module: `[executable, 'module', 'run', name]`. */
  readonly builtinCommand: (name: string) => readonly string[];
  /** Command line that runs a JavaScript file on weir's own Node; its arguments follow. */
  readonly nodeCommand: (file: string) => readonly string[];
  /** Variables of the machine that every process may need (PATH, TZ, LANG). */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Changes when the executable does: built-in modules are restarted by an upgrade. */
  readonly executableDigest: string;
  /** Who modules run as; undefined: who we are. */
  readonly account: Account | undefined;
  readonly graceMs: number;
  readonly logBytesMax: number;
  readonly logFiles: number;
  /** A short digest of a text. */
  readonly digest: (text: string) => string;
}

export interface OrderInput {
  readonly deployment: Deployment;
  readonly facts: OrderFacts;
  /** By module name; who is not in it is ordered without. */
  readonly surroundings: ReadonlyMap<string, ModuleSurroundings>;
  /** What is installed, by module name. */
  readonly files: ReadonlyMap<string, InstalledFiles>;
  /** Modules that get no order yet. */
  readonly heldBack: ReadonlySet<string>;
}

export function launchOrders({ deployment, facts, surroundings, files, heldBack }: OrderInput): readonly LaunchOrder[] {
  return [...deployment.modules]
    .sort((a, b) => a.startupOrder - b.startupOrder || (a.name < b.name ? -1 : 1))
    .filter((module) => !heldBack.has(module.name))
    .map((module) =>
      orderFor({
        module,
        deployment,
        facts,
        around: surroundings.get(module.name) ?? { env: {} },
        files: files.get(module.name),
      }),
    );
}

interface OrderParts {
  readonly module: DeployedModule;
  readonly deployment: Deployment;
  readonly facts: OrderFacts;
  readonly around: ModuleSurroundings;
  readonly files: InstalledFiles | undefined;
}

function orderFor(parts: OrderParts): LaunchOrder {
  const { module, facts } = parts;
  const { resources, log, health, stop, isolation } = module;
  const body = module.program.kind === 'container' ? containerBody(parts) : processBody(parts);
  return {
    name: module.name,
    wanted: module.wanted,
    restartPolicy: module.restartPolicy,
    startupOrder: module.startupOrder,
    graceMs: stop.graceMs ?? graceOf(module) ?? facts.graceMs,
    logBytesMax: log.bytesMax ?? facts.logBytesMax,
    logFiles: log.files ?? facts.logFiles,
    ...(stop.signal === undefined ? {} : { stopSignal: stop.signal }),
    ...(resources === undefined ? {} : { resources }),
    ...(health === undefined ? {} : { health }),
    ...(isolation === undefined ? {} : { isolation: withFiles(isolation, parts.files) }),
    ...body,
  };
}

/** All of its archive, wherever in it the program begins. */
function withFiles(isolation: Isolation, files: InstalledFiles | undefined): Isolation {
  if (files === undefined) return isolation;
  return { ...isolation, readable: [...(isolation.readable ?? []), files.directory] };
}

type Body = Pick<LaunchOrder, 'generation' | 'command' | 'env'> & Partial<LaunchOrder>;

function processBody({ module, facts, around, files }: OrderParts): Body {
  const { program, resources, health, isolation } = module;
  const command =
    program.kind === 'builtin'
      ? facts.builtinCommand(program.name)
      : program.kind === 'executable'
        ? programCommand(program, facts, files)
        : [];
  const cwd = program.kind === 'executable' ? directoryOf(program, files) : undefined;
  // Reserved names win over the deployment's, as in Azure's agent.
  const env = { ...facts.baseEnv, ...module.env, ...around.env };
  const generation = facts.digest(
    JSON.stringify([
      command,
      Object.entries(env).sort(),
      cwd ?? null,
      module.version,
      program.kind === 'builtin' || (program.kind === 'executable' && program.runtime === 'node')
        ? facts.executableDigest
        : '',
      facts.account ?? null,
      // How often health is asked for may change while it runs; whether it has a socket to tell on may not.
      [resources ?? null, health?.notify ?? false, isolation ?? null],
    ]),
  );
  return { generation, command, env, ...(cwd === undefined ? {} : { cwd }), ...facts.account };
}

function programCommand(
  program: ExecutableProgram,
  facts: OrderFacts,
  files: InstalledFiles | undefined,
): readonly string[] {
  const path = files === undefined ? program.path : (files.file ?? joined(files.directory, program.path));
  return [...(program.runtime === 'node' ? facts.nodeCommand(path) : [path]), ...program.args];
}

function directoryOf({ cwd }: ExecutableProgram, files: InstalledFiles | undefined): string | undefined {
  if (files === undefined) return cwd;
  return cwd === undefined ? files.directory : joined(files.directory, cwd);
}

function joined(directory: string, path: string): string {
  return `${directory}/${path}`;
}

function containerBody({ module, deployment, facts, around }: OrderParts): Body {
  const { program, resources, health } = module;
  if (program.kind !== 'container') return { generation: '', command: [], env: {} };
  const createOptions = withLogging(program.createOptions, deployment.logging);
  const credentials = credentialsFor(program.image, deployment.credentials);
  const env = { ...module.env, ...around.env };
  const { mounts = [], hosts = [] } = around;
  const generation = facts.digest(
    JSON.stringify([
      program.image,
      createOptions,
      Object.entries(env).sort(),
      module.version,
      mounts,
      hosts.map(({ name, address }) => [name, address]),
      [resources ?? null, health ?? null],
    ]),
  );
  return {
    generation,
    command: [],
    env,
    ...(mounts.length === 0 ? {} : { mounts }),
    ...(hosts.length === 0 ? {} : { hosts }),
    container: {
      image: program.image,
      createOptions,
      pullPolicy: module.pullPolicy,
      ...(credentials === undefined ? {} : { credentials }),
      labels: containerLabels({ ...module, image: program.image, createOptions: program.createOptions }),
    },
  };
}

const msPerSecond = 1000;

/** Docker's own word for the grace, in seconds; one without an end is cut. */
function graceOf({ program }: DeployedModule): number | undefined {
  const options: JsonObject = program.kind === 'container' ? program.createOptions : {};
  const seconds = isJsonObject(options) ? options['StopTimeout'] : undefined;
  return typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 0
    ? Math.min(seconds * msPerSecond, moduleGraceMsMax)
    : undefined;
}
