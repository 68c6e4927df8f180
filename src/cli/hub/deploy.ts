// `weir hub deploy --device D manifest.json`: makes a manifest, Azure's JSON unchanged, the device's intention.

import type { CommandModule } from 'yargs';
import { errorMessage } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import { type CliContext, writeJson } from '../context.ts';
import { CliError } from '../errors.ts';
import { routeFaultsText } from '../plan-text.ts';
import { routeFaults } from '../route/given-routes.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface DeployOptions extends HubClientOptions {
  readonly manifest: string;
  readonly device: string;
  readonly json: boolean;
}

export function deployCommand(context: CliContext): CommandModule<HubClientOptions, DeployOptions> {
  return {
    command: 'deploy <manifest>',
    describe: 'apply a deployment manifest to one device',
    builder: (yargs) =>
      yargs
        .positional('manifest', { type: 'string', demandOption: true, describe: 'the manifest, a JSON file' })
        .option('device', { type: 'string', demandOption: true, requiresArg: true, describe: 'which device' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir hub deploy --device gw-7 manifest.json', 'a faulty manifest changes nothing'),
    handler: (options) => deploy(context, options),
  };
}

async function deploy(context: CliContext, options: DeployOptions): Promise<void> {
  const text = await context.disk.readFile('cli:manifest', options.manifest).catch((cause: unknown) => {
    throw new CliError(
      'CLI_CANNOT_READ',
      `The manifest ${options.manifest} cannot be read: ${errorMessage(cause)}.`,
      cause,
    );
  });
  const manifest = text.toString('utf8').replace(/^\ufeff/, '');
  const path = `/devices/${encodeURIComponent(options.device)}/applyConfigurationContent?outcome=true`;
  const outcome = await new HubClient(context, options).object('POST', path, manifest);
  const wrongRoutes = await routeFaults(manifest);
  if (options.json) return await writeJson(context, { ...outcome, wrongRoutes });
  const { terminal } = context;
  await terminal.write(`${outcomeText(options.device, outcome)}${routeFaultsText(terminal, wrongRoutes)}`);
}

function outcomeText(device: string, outcome: JsonObject): string {
  const changed = list(outcome['twinsChanged']).map((twin) =>
    isJsonObject(twin) ? `${String(twin['moduleId'])} (version ${String(twin['version'])})` : '',
  );
  const lines: readonly (readonly [string, readonly string[]])[] = [
    ['modules created', list(outcome['modulesCreated']).map(String)],
    ['modules deleted', list(outcome['modulesDeleted']).map(String)],
    ['desired changed', changed],
    ['unchanged', list(outcome['twinsUnchanged']).map(String)],
  ];
  const width = 17;
  const shown = lines
    .filter(([, names]) => names.length > 0)
    .map(([label, names]) => `  ${label.padEnd(width)}${names.join(', ')}\n`);
  return `Applied to ${device}.\n${shown.join('')}`;
}

function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}
