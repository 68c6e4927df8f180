// `weir list`: the modules and how they are. Works without the daemon from the records of the shims.

import type { CommandModule } from 'yargs';
import { errorCode } from '../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, locateDirectories, writeJson } from './context.ts';
import { moduleTable, offlineModuleTable } from './module-table.ts';
import { offlineModules } from './offline.ts';

export interface ListOptions extends GlobalOptions {
  readonly json: boolean;
}

export function listCommand(context: CliContext): CommandModule<GlobalOptions, ListOptions> {
  return {
    command: ['list', 'ls'],
    describe: 'the modules and how they are',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir list', 'kind, status, since when, restarts; what is going on')
        .example('weir list --json', 'the same as JSON'),
    handler: (options) => list(context, options),
  };
}

export async function list(context: CliContext, options: ListOptions): Promise<void> {
  const client = await adminClient(context, options);
  try {
    const modules = await client.modules();
    if (options.json) return await writeJson(context, modules);
    await context.terminal.write(
      moduleTable(context, modules) ||
        'No modules. They come with a deployment: weir deploy manifest.json here, or weir hub deploy --device D manifest.json\n',
    );
  } catch (error) {
    if (errorCode(error) !== 'ADMIN_NOT_RUNNING') throw error;
    const { runDir } = await locateDirectories(context, options);
    const modules = await offlineModules(context, runDir);
    if (options.json) await writeJson(context, modules);
    else await context.terminal.write(offlineModuleTable(context, modules));
    throw error;
  }
}
