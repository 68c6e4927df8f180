// `weir hub device create D [--edge | --parent GATEWAY]`: a new identity, its connection string and what to do with it.
//
// Options are named as in `az iot hub device-identity create` where there is something like it.

import type { Argv, CommandModule } from 'yargs';
import { type CliContext, writeJson } from '../context.ts';
import { UsageError } from '../errors.ts';
import { scopeOf } from './device-parent.ts';
import { connectionStringOf, deviceStep, gatewayStep, leafConnectionString, leafStep } from './device-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceCreateOptions extends HubClientOptions {
  readonly device: string;
  readonly edge: boolean;
  readonly parent: string | undefined;
  readonly authMethod: keyof typeof authenticationTypes;
  readonly primaryThumbprint: string | undefined;
  readonly secondaryThumbprint: string | undefined;
  readonly json: boolean;
}

/** az's words, and those of the service API. */
const authenticationTypes = {
  shared_private_key: 'sas',
  x509_thumbprint: 'selfSigned',
  x509_ca: 'certificateAuthority',
} as const;

export function deviceCreateCommand(context: CliContext): CommandModule<HubClientOptions, DeviceCreateOptions> {
  return {
    command: 'create <device>',
    describe: 'let a device in',
    builder: createOptions,
    handler: (options) => createDevice(context, options),
  };
}

function createOptions(yargs: Argv<HubClientOptions>): Argv<DeviceCreateOptions> {
  const options = yargs
    .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
    .option('edge', { type: 'boolean', default: false, describe: 'a gateway: it runs modules' })
    .option('parent', { type: 'string', requiresArg: true, describe: 'the gateway it connects through' })
    .option('auth-method', {
      choices: Object.keys(authenticationTypes),
      default: 'shared_private_key',
      describe: 'by what it proves itself',
    })
    .option('primary-thumbprint', {
      type: 'string',
      alias: 'ptp',
      requiresArg: true,
      describe: 'SHA-1 or SHA-256 of its certificate (x509_thumbprint)',
    })
    .option('secondary-thumbprint', { type: 'string', alias: 'stp', requiresArg: true, describe: 'of the next one' })
    .option('json', { type: 'boolean', default: false, describe: 'for programs' })
    .example('weir hub device create gw-7 --edge', 'prints the connection string')
    .example('weir hub device create sensor-1 --parent gw-7', 'a device behind that gateway');
  return options as unknown as Argv<DeviceCreateOptions>;
}

async function createDevice(context: CliContext, options: DeviceCreateOptions): Promise<void> {
  if (options.edge && options.parent !== undefined)
    throw new UsageError('--edge and --parent do not go together: a gateway connects to the hub itself.');
  const client = new HubClient(context, options);
  const body = JSON.stringify({
    capabilities: { iotEdge: options.edge },
    authentication: {
      type: authenticationTypes[options.authMethod],
      x509Thumbprint: {
        primaryThumbprint: options.primaryThumbprint ?? null,
        secondaryThumbprint: options.secondaryThumbprint ?? null,
      },
    },
    ...(options.parent === undefined ? {} : { parentScopes: [await scopeOf(client, options.parent)] }),
  });
  const device = await client.object('PUT', `/devices/${encodeURIComponent(options.device)}`, body);
  const address = await client.address();
  const isLeaf = options.parent !== undefined;
  const connectionString = isLeaf ? leafConnectionString(device, address) : connectionStringOf(device, address);
  if (options.json) return await writeJson(context, { device, connectionString, caPath: address.caPath });
  const direct = options.edge ? gatewayStep(connectionString, address) : deviceStep(address);
  const step = isLeaf ? leafStep(options.parent) : direct;
  await context.terminal.write(`${connectionString}\n\n${step}`);
}
