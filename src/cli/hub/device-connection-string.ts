// `weir hub device connection-string D`: that string and nothing else, for scripts.

import type { CommandModule } from 'yargs';
import { type CliContext, writeJson } from '../context.ts';
import { connectionStringOf } from './device-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface ConnectionStringOptions extends HubClientOptions {
  readonly device: string;
  readonly secondary: boolean;
  readonly json: boolean;
}

export function deviceConnectionStringCommand(
  context: CliContext,
): CommandModule<HubClientOptions, ConnectionStringOptions> {
  return {
    command: 'connection-string <device>',
    describe: 'what the device needs to connect',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .option('secondary', { type: 'boolean', default: false, describe: 'with the secondary key' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir hub device connection-string gw-7', 'for weir config init --connection-string'),
    handler: async (options) => {
      const client = new HubClient(context, options);
      const device = await client.object('GET', `/devices/${encodeURIComponent(options.device)}`);
      const address = await client.address();
      const connectionString = connectionStringOf(device, address, options.secondary ? 'secondaryKey' : 'primaryKey');
      if (options.json) await writeJson(context, { connectionString, caPath: address.caPath });
      else await context.terminal.write(`${connectionString}\n`);
    },
  };
}
