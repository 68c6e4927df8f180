// `weir hub device set-parent D GATEWAY | --none`, `weir hub device add-children GATEWAY D …`: which gateway devices
// connect through. The words are those of `az iot hub device-identity parent set` and `children add`.
//
// A gateway hears of it at once, or when it is back: no restart.

import type { CommandModule } from 'yargs';
import type { CliContext } from '../context.ts';
import { UsageError } from '../errors.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface SetParentOptions extends HubClientOptions {
  readonly device: string;
  readonly parent: string | undefined;
  readonly none: boolean;
}

export interface AddChildrenOptions extends HubClientOptions {
  readonly parent: string;
  readonly devices: readonly string[];
}

export function deviceSetParentCommand(context: CliContext): CommandModule<HubClientOptions, SetParentOptions> {
  return {
    command: 'set-parent <device> [parent]',
    describe: 'the gateway a device connects through',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .positional('parent', { type: 'string', describe: 'id of the gateway' })
        .option('none', { type: 'boolean', default: false, describe: 'behind no gateway any more' })
        .example('weir hub device set-parent sensor-1 gw-7', 'sensor-1 connects through gw-7'),
    handler: async ({ device, parent, none, ...options }) => {
      if ((parent === undefined) !== none) throw new UsageError('Name the gateway, or say --none.');
      const client = new HubClient(context, options);
      const scope = parent === undefined ? undefined : await scopeOf(client, parent);
      await place(client, device, scope);
      await context.terminal.write(
        parent === undefined ? `${device} is behind no gateway now\n` : `${device} is behind ${parent} now\n`,
      );
    },
  };
}

export function deviceAddChildrenCommand(context: CliContext): CommandModule<HubClientOptions, AddChildrenOptions> {
  return {
    command: 'add-children <parent> <devices..>',
    describe: 'put devices behind a gateway',
    builder: (yargs) =>
      yargs
        .positional('parent', { type: 'string', demandOption: true, describe: 'id of the gateway' })
        .positional('devices', { type: 'string', array: true, demandOption: true, describe: 'ids of the devices' })
        .example('weir hub device add-children gw-7 sensor-1 sensor-2', 'both connect through gw-7'),
    handler: async ({ parent, devices, ...options }) => {
      const client = new HubClient(context, options);
      const scope = await scopeOf(client, parent);
      for (const device of devices) {
        await place(client, device, scope);
        await context.terminal.write(`${device} is behind ${parent} now\n`);
      }
    },
  };
}

/** The scope of a gateway as the service API names it. Rejects when it is no edge device. */
export async function scopeOf(client: HubClient, gateway: string): Promise<string> {
  const { deviceScope, parentScopes } = await client.object('GET', `/devices/${encodeURIComponent(gateway)}`);
  if (typeof deviceScope === 'string' && parentScopes === undefined) return deviceScope;
  throw new UsageError(`${gateway} is no gateway: it was not created with --edge.`);
}

async function place(client: HubClient, device: string, scope: string | undefined): Promise<void> {
  const body = JSON.stringify({ parentScopes: scope === undefined ? [] : [scope] });
  await client.change(`/devices/${encodeURIComponent(device)}`, body);
}
