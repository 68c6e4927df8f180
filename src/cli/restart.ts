// `weir restart MODULE`: stop a module and start it again, as its deployment says.

import type { CommandModule } from 'yargs';
import { adminClient, type CliContext, type GlobalOptions } from './context.ts';

export interface RestartOptions extends GlobalOptions {
  readonly module: string;
}

export function restartCommand(context: CliContext): CommandModule<GlobalOptions, RestartOptions> {
  return {
    command: 'restart <module>',
    describe: 'stop a module and start it again',
    builder: (yargs) =>
      yargs
        .positional('module', { type: 'string', demandOption: true, describe: 'name of the module' })
        .example('weir restart modbus', 'restart one module'),
    handler: async (options) => {
      const client = await adminClient(context, options);
      await client.restartModule(options.module);
      await context.terminal.write(`${options.module} is being restarted. See: weir list\n`);
    },
  };
}
