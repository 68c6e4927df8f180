// `weir broker …`: the MQTT broker alone, and the passwords of its users. Each command is a file beside this one.

import type { Argv, CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from '../context.ts';
import { passwdCommand } from './passwd.ts';
import { type BrokerStartOptions, brokerOptions, runBroker } from './start.ts';

export function brokerCommand(context: CliContext): CommandModule<GlobalOptions, BrokerStartOptions> {
  return {
    command: 'broker',
    describe: 'run the MQTT broker alone, in the foreground',
    builder: (yargs): Argv<BrokerStartOptions> => brokerOptions(yargs.command(passwdCommand(context))),
    handler: (options) => runBroker(context, options),
  };
}
