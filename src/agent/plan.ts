// From a deployment to launch orders: a pure decision.
//
// Containers have no runner in this build: they get no order and stay in the report as failed with the reason,
// while every other module runs. Orders come in startupOrder, then by name.

import type { DeployedModule, Deployment, ModuleProgram } from './deployment.ts';
import type { Account, LaunchOrder } from './ports.ts';

export interface PlanFacts {
  /** Command line that runs a built-in module: `[executable, 'module', 'run', name]`. */
  readonly builtinCommand: (name: string) => readonly string[];
  /** Variables each module gets, by module name. */
  readonly environment: ReadonlyMap<string, Readonly<Record<string, string>>>;
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

export function planLaunch(deployment: Deployment, facts: PlanFacts): readonly LaunchOrder[] {
  return [...deployment.modules]
    .sort((a, b) => a.startupOrder - b.startupOrder || (a.name < b.name ? -1 : 1))
    .flatMap((module) => {
      const command = commandOf(module.program, facts);
      return command === undefined ? [] : [orderFor(module, command, facts)];
    });
}

/** Why a module of the deployment gets no launch order; undefined when it gets one. */
export function unsupportedReason(module: DeployedModule): string | undefined {
  return module.program.kind === 'container'
    ? `container images are not run by this build of weir (image ${module.program.image}); deploy it as type "process", or use a built-in module`
    : undefined;
}

function commandOf(program: ModuleProgram, facts: PlanFacts): readonly string[] | undefined {
  if (program.kind === 'builtin') return facts.builtinCommand(program.name);
  if (program.kind === 'executable') return [program.path, ...program.args];
  return undefined;
}

function orderFor(module: DeployedModule, command: readonly string[], facts: PlanFacts): LaunchOrder {
  // Reserved names win over the deployment's, as in Azure's agent.
  const env = { ...facts.baseEnv, ...module.env, ...facts.environment.get(module.name) };
  const cwd = module.program.kind === 'executable' ? module.program.cwd : undefined;
  const executable = module.program.kind === 'builtin' ? facts.executableDigest : '';
  const generation = facts.digest(
    JSON.stringify([
      command,
      Object.entries(env).sort(),
      cwd ?? null,
      module.version ?? null,
      executable,
      facts.account ?? null,
    ]),
  );
  return {
    name: module.name,
    generation,
    command,
    env,
    restartPolicy: module.restartPolicy,
    startupOrder: module.startupOrder,
    wanted: module.wanted,
    ...(cwd === undefined ? {} : { cwd }),
    ...facts.account,
    graceMs: facts.graceMs,
    logBytesMax: facts.logBytesMax,
    logFiles: facts.logFiles,
  };
}
