// `weir hub device list`: every device, page by page.

import type { CommandModule } from 'yargs';
import type { JsonObject } from '../../model/json.ts';
import { type CliContext, writeJson } from '../context.ts';
import { type Cell, formatTable } from '../table.ts';
import { isEdge, parentOf } from './device-text.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeviceListOptions extends HubClientOptions {
  readonly json: boolean;
}

const pageRows = 1000;

export function deviceListCommand(context: CliContext): CommandModule<HubClientOptions, DeviceListOptions> {
  return {
    command: ['list', 'ls'],
    describe: 'all devices and whether they are connected',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir hub device list', 'gateways and devices, and behind which gateway they are'),
    handler: (options) => listDevices(context, options),
  };
}

async function listDevices(context: CliContext, options: DeviceListOptions): Promise<void> {
  const devices = await allDevices(new HubClient(context, options));
  if (options.json) return await writeJson(context, devices);
  const rows = devices.map((device) => row(device));
  await context.terminal.write(
    formatTable(context.terminal, ['DEVICE', 'KIND', 'STATUS', 'CONNECTION', 'CREATED', 'PARENT'], rows) ||
      'No devices. Create one with: weir hub device create gw-1 --edge\n',
  );
}

async function allDevices(client: HubClient): Promise<readonly JsonObject[]> {
  const devices: JsonObject[] = [];
  for (;;) {
    const after = encodeURIComponent(String(devices.at(-1)?.['deviceId'] ?? ''));
    const page = await client.objects(`/devices?top=${pageRows}&after=${after}`);
    devices.push(...page);
    if (page.length < pageRows) return devices;
  }
}

function row(device: JsonObject): readonly Cell[] {
  const connected = device['connectionState'] === 'Connected';
  return [
    String(device['deviceId']),
    isEdge(device) ? 'edge' : 'device',
    { text: String(device['status']), colour: device['status'] === 'enabled' ? undefined : 'yellow' },
    { text: connected ? 'connected' : '-', colour: connected ? 'green' : undefined },
    String(device['createdTime']),
    parentOf(device) ?? '-',
  ];
}
