// `weir hub device purge-queue D`: forgets the messages that wait for a device.

import type { CommandModule } from 'yargs';
import type { CliContext } from '../context.ts';
import { countText } from '../quantity-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DevicePurgeQueueOptions extends HubClientOptions {
  readonly device: string;
}

export function devicePurgeQueueCommand(context: CliContext): CommandModule<HubClientOptions, DevicePurgeQueueOptions> {
  return {
    command: 'purge-queue <device>',
    describe: 'forget the messages that wait for a device',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .example('weir hub device purge-queue sensor-1', 'whoever asked for feedback is told: Purged'),
    handler: async (options) => {
      const path = `/devices/${encodeURIComponent(options.device)}/commands`;
      const answer = await new HubClient(context, options).object('DELETE', path);
      const purged = countText(Number(answer['totalMessagesPurged']), 'message');
      await context.terminal.write(`Purged ${purged} for ${options.device}.\n`);
    },
  };
}
