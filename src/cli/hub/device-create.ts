// `weir hub device create D [--edge]`: a new identity, its connection string and what to do with it.

import type { CommandModule } from 'yargs';
import { type CliContext, writeJson } from '../context.ts';
import { connectionStringOf, nextStep } from './device-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceCreateOptions extends HubClientOptions {
  readonly device: string;
  readonly edge: boolean;
  readonly json: boolean;
}

export function deviceCreateCommand(context: CliContext): CommandModule<HubClientOptions, DeviceCreateOptions> {
  return {
    command: 'create <device>',
    describe: 'let a device in',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .option('edge', { type: 'boolean', default: false, describe: 'a gateway: it runs modules' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir hub device create gw-7 --edge', 'prints the connection string'),
    handler: (options) => createDevice(context, options),
  };
}

async function createDevice(context: CliContext, options: DeviceCreateOptions): Promise<void> {
  const client = new HubClient(context, options);
  const body = JSON.stringify({ capabilities: { iotEdge: options.edge } });
  const device = await client.object('PUT', `/devices/${encodeURIComponent(options.device)}`, body);
  const address = await client.address();
  const connectionString = connectionStringOf(device, address);
  if (options.json) return await writeJson(context, { device, connectionString, caPath: address.caPath });
  await context.terminal.write(`${connectionString}\n\n${nextStep(connectionString, address)}`);
}
