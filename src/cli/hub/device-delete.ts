// `weir hub device delete D`: the device, its modules and twins. What it sent stays in the log.

import type { CommandModule } from 'yargs';
import type { CliContext } from '../context.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceDeleteOptions extends HubClientOptions {
  readonly device: string;
}

export function deviceDeleteCommand(context: CliContext): CommandModule<HubClientOptions, DeviceDeleteOptions> {
  return {
    command: 'delete <device>',
    describe: 'remove a device with its modules and twins, and end its connections',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .example('weir hub device delete sensor-1', 'to shut it out for a while instead: weir hub device update'),
    handler: async (options) => {
      await new HubClient(context, options).call('DELETE', `/devices/${encodeURIComponent(options.device)}`);
      await context.terminal.write(`Device ${options.device} is deleted. What it sent stays in the log.\n`);
    },
  };
}
