// `weir hub device purge-queue D`: forgets the messages that wait for a device.

import type { CommandModule } from 'yargs';
import type { CliContext } from '../context.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DevicePurgeQueueOptions extends HubClientOptions {
  readonly device: string;
}

export function devicePurgeQueueCommand(context: CliContext): CommandModule<HubClientOptions, DevicePurgeQueueOptions> {
  return {
    command: 'purge-queue <device>',
    describe: 'forget the messages that wait for a device',
    builder: (yargs) => yargs.positional('device', { type: 'string', demandOption: true, describe: 'its id' }),
    handler: async (options) => {
      const path = `/devices/${encodeURIComponent(options.device)}/commands`;
      const answer = await new HubClient(context, options).object('DELETE', path);
      await context.terminal.write(
        `${String(answer['totalMessagesPurged'])} messages for ${options.device} are gone.\n`,
      );
    },
  };
}
