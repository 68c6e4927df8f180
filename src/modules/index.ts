// The door of the built-in modules: which there are, and running one as this process.
//
// `weir module run NAME` calls runModule with the system's ports; the supervisor starts that command for a module
// of the deployment whose image is built in. One process runs one module. Their code comes with the first run:
// a gateway needs only to know their names.

import type { Environment } from './environment.ts';
import type { ModulePorts } from './host.ts';

export type { ModuleContext, ModuleDefinition, RunningModule } from './contract.ts';
export { defineModule } from './contract.ts';
export type { ModulePorts } from './host.ts';

export const builtinModuleNames: readonly string[] = ['modbus', 'simulated-temperature-sensor'];

/** Runs until the process is asked to end. Resolves with the exit code: 0 after an orderly end, 1 when the module could not start, 78 for a configuration that cannot work. */
export async function runModule(name: string, ports: ModulePorts, env: Environment): Promise<number> {
  const { runBuiltin } = await import('./run.ts');
  return runBuiltin(name, ports, env);
}
