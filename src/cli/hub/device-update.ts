// `weir hub device update D --status enabled|disabled`: a device that may not connect for now keeps its twin and its
// place. Whoever is connected is cut off at once, behind a gateway as soon as the gateway hears of it.

import type { Argv, CommandModule } from 'yargs';
import type { CliContext } from '../context.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceUpdateOptions extends HubClientOptions {
  readonly device: string;
  readonly status: 'enabled' | 'disabled';
  readonly statusReason: string | undefined;
}

export function deviceUpdateCommand(context: CliContext): CommandModule<HubClientOptions, DeviceUpdateOptions> {
  return {
    command: 'update <device>',
    describe: 'let a device connect, or not',
    builder: updateOptions,
    handler: async ({ device, status, statusReason, ...options }) => {
      const client = new HubClient(context, options);
      const body = JSON.stringify({ status, ...(statusReason === undefined ? {} : { statusReason }) });
      await client.change(`/devices/${encodeURIComponent(device)}`, body);
      await context.terminal.write(`${device} is ${status} now\n`);
    },
  };
}

function updateOptions(yargs: Argv<HubClientOptions>): Argv<DeviceUpdateOptions> {
  const options = yargs
    .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
    .option('status', {
      choices: ['enabled', 'disabled'] as const,
      demandOption: true,
      describe: 'whether it may connect',
    })
    .option('status-reason', { type: 'string', requiresArg: true, describe: 'why, for people' })
    .example('weir hub device update sensor-1 --status disabled', 'its connection ends, its twin stays');
  return options as unknown as Argv<DeviceUpdateOptions>;
}
