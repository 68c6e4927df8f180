// `weir route …`: the routing language without a gateway. Each verb is a file beside this one.

import type { CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from '../context.ts';
import { UsageError } from '../errors.ts';
import { routeCheckCommand } from './check.ts';
import { routeTestCommand } from './trial.ts';

export function routeCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  const what = 'Name what to do: weir route check or test';
  return {
    command: 'route',
    describe: 'judge routes, and try them on a message',
    builder: (yargs) =>
      yargs.command(routeCheckCommand(context)).command(routeTestCommand(context)).demandCommand(1, what),
    handler: () => {
      throw new UsageError(what);
    },
  };
}
