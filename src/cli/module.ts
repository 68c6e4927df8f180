// `weir module run NAME`: this process becomes a built-in module. Started by the supervisor, one process each.
//
// Loads neither the broker nor SQLite: a module costs a few megabytes, not a gateway.

import type { CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from './context.ts';
import { UsageError } from './errors.ts';

export interface ModuleRunOptions extends GlobalOptions {
  readonly name: string;
}

export function moduleCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  const run: CommandModule<GlobalOptions, ModuleRunOptions> = {
    command: 'run <name>',
    describe: 'become a built-in module',
    builder: (yargs) =>
      yargs
        .positional('name', { type: 'string', demandOption: true, describe: 'modbus, simulated-temperature-sensor' })
        .example('weir module run modbus', 'with the IOTEDGE_* variables that the supervisor sets'),
    handler: (options) => runBuiltin(context, options.name),
  };
  return {
    command: 'module',
    describe: 'built-in modules, as processes of their own',
    builder: (yargs) => yargs.command(run).demandCommand(1, 'Name what to do: weir module run NAME'),
    handler: () => {
      throw new UsageError('Name what to do: weir module run NAME');
    },
  };
}

async function runBuiltin(context: CliContext, name: string): Promise<void> {
  const { runModuleProcess } = await import('../module-process.ts');
  context.exit.code = await runModuleProcess(name);
}
