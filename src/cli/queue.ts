// `weir queue …`: what waits on disk. `status` is here: what waits for the hub and for modules, and what was dropped
// and why. The others are files in queue/.

import type { CommandModule } from 'yargs';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from './context.ts';
import { UsageError } from './errors.ts';
import { queueTable } from './module-table.ts';
import { queueExportCommand, queueImportCommand, queuePeekCommand, queuePurgeCommand } from './queue/index.ts';

export interface QueueOptions extends GlobalOptions {
  readonly json: boolean;
}

export function queueCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  const status: CommandModule<GlobalOptions, QueueOptions> = {
    command: 'status',
    describe: 'every queue by priority: messages, size, age of the oldest, what was dropped',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir queue status', '$upstream is the queue to the hub'),
    handler: async (options) => {
      const queues = await (await adminClient(context, options)).queues();
      if (options.json) await writeJson(context, queues);
      else await context.terminal.write(queueTable(context, queues) || 'No queues.\n');
    },
  };
  const what = 'Name what to do: weir queue status, peek, purge, export or import';
  return {
    command: 'queue',
    describe: 'what waits on disk',
    builder: (yargs) =>
      yargs
        .command(status)
        .command(queuePeekCommand(context))
        .command(queuePurgeCommand(context))
        .command(queueExportCommand(context))
        .command(queueImportCommand(context))
        .demandCommand(1, what),
    handler: () => {
      throw new UsageError(what);
    },
  };
}
