// `weir hub device show D`: one device and its modules. Keys are shown by connection-string and by --json only.

import type { CommandModule } from 'yargs';
import { type CliContext, writeJson } from '../context.ts';
import { formatTable } from '../table.ts';
import { authMethodOf, isEdge, parentOf } from './device-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceShowOptions extends HubClientOptions {
  readonly device: string;
  readonly json: boolean;
}

export function deviceShowCommand(context: CliContext): CommandModule<HubClientOptions, DeviceShowOptions> {
  return {
    command: 'show <device>',
    describe: 'one device and its modules',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'its id' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs; with the keys' })
        .example('weir hub device show gw-7', 'a gateway with its modules'),
    handler: (options) => showDevice(context, options),
  };
}

async function showDevice(context: CliContext, options: DeviceShowOptions): Promise<void> {
  const client = new HubClient(context, options);
  const path = `/devices/${encodeURIComponent(options.device)}`;
  const device = await client.object('GET', path);
  const modules = await client.objects(`${path}/modules`);
  if (options.json) return await writeJson(context, { ...device, modules });
  const facts = [
    ['device', String(device['deviceId'])],
    ['kind', isEdge(device) ? 'edge' : 'device'],
    ...(parentOf(device) === undefined ? [] : [['parent', String(parentOf(device))]]),
    ['auth', authMethodOf(device)],
    ['status', String(device['status'])],
    ['connection', String(device['connectionState'])],
    ['created', String(device['createdTime'])],
    ['generation', String(device['generationId'])],
  ];
  const width = 12;
  await context.terminal.write(facts.map(([name = '', value = '']) => `${name.padEnd(width)}${value}\n`).join(''));
  const rows = modules.map((module) => [
    String(module['moduleId']),
    String(module['connectionState']),
    String(module['createdTime']),
  ]);
  if (rows.length > 0)
    await context.terminal.write(`\n${formatTable(context.terminal, ['MODULE', 'CONNECTION', 'CREATED'], rows)}`);
}
