// Runs a built-in module: finds it by name, hosts it until the process is asked to end.

import { errorCode, errorMessage } from '../model/errors.ts';
import type { ModuleDefinition } from './contract.ts';
import type { Environment } from './environment.ts';
import { ModuleConfigurationError } from './errors.ts';
import { ModuleHost, type ModulePorts } from './host.ts';
import { modbus } from './modbus/index.ts';
import { simulatedTemperatureSensor } from './simulated-temperature-sensor/index.ts';

export const builtinModules: readonly ModuleDefinition[] = [modbus, simulatedTemperatureSensor];

const exitFine = 0;
const exitFailed = 1;
/** sysexits.h EX_CONFIG: wrong configuration, which a restart cannot mend. */
const exitConfiguration = 78;

/** As runModule of the door. */
export async function runBuiltin(name: string, ports: ModulePorts, env: Environment): Promise<number> {
  const log = ports.log.child(name);
  try {
    const host = new ModuleHost(findModule(name), { ...ports, log }, env);
    const terminated = new Promise<number>((resolve) => ports.onTerminate(() => resolve(exitFine)));
    host.start();
    const exitCode = await Promise.race([terminated, host.failed.then(() => exitFailed)]);
    await host.close();
    return exitCode;
  } catch (error) {
    if (!(error instanceof ModuleConfigurationError)) throw error;
    log.error(errorMessage(error), { code: errorCode(error) });
    return exitConfiguration;
  }
}

function findModule(name: string): ModuleDefinition {
  const found = builtinModules.find((definition) => definition.name === name);
  if (found !== undefined) return found;
  throw new ModuleConfigurationError({
    code: 'MODULES_UNKNOWN',
    message: `There is no built-in module '${name}'. There are: ${builtinModules.map((known) => known.name).join(', ')}.`,
    fields: { module: name },
  });
}
