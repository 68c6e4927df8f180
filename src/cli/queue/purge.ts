// `weir queue purge QUEUE`: gives messages up for ever. Asks at a terminal; elsewhere it wants --yes.

import type { Argv, CommandModule } from 'yargs';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { UsageError } from '../errors.ts';
import { sinceMs } from '../quantity-text.ts';
import { laneText, readPriority, withPriority } from './lane-words.ts';

interface PurgeOptions extends GlobalOptions {
  readonly queue: string;
  readonly priority: string | undefined;
  readonly olderThan: string | undefined;
  readonly yes: boolean;
  readonly json: boolean;
}

export function queuePurgeCommand(context: CliContext): CommandModule<GlobalOptions, PurgeOptions> {
  return {
    command: 'purge <queue>',
    describe: 'delete the messages of a queue; they are lost',
    builder: purgeOptions,
    handler: (options) => purge(context, options),
  };
}

function purgeOptions(yargs: Argv<GlobalOptions>): Argv<PurgeOptions> {
  const options = yargs
    .positional('queue', { type: 'string', demandOption: true, describe: "its name; quote '$upstream'" })
    .option('priority', { type: 'string', requiresArg: true, describe: 'only of this one: 0 to 9, or unset' })
    .option('older-than', {
      type: 'string',
      requiresArg: true,
      describe: 'only what came before: 2d, 12h, or a time such as 2026-01-31T12:00:00Z',
    })
    .option('yes', { type: 'boolean', default: false, describe: 'without asking' })
    .option('json', { type: 'boolean', default: false, describe: 'for programs' })
    .example("weir queue purge '$upstream' --older-than 30d", 'asks before it does');
  return options as unknown as Argv<PurgeOptions>;
}

async function purge(context: CliContext, options: PurgeOptions): Promise<void> {
  const { queue, olderThan } = options;
  const priority = readPriority(options.priority);
  const beforeMs = olderThan === undefined ? undefined : sinceMs(olderThan, context.clock.wallMs(), '--older-than');
  const client = await adminClient(context, options);
  if (!options.yes && !(await agreed(context, { queue, priority, olderThan }))) {
    await context.terminal.write('Nothing was deleted.\n');
    context.exit.code = 1;
    return;
  }
  const purged = await client.purgeQueue({ queue, priority, beforeMs });
  if (options.json) return await writeJson(context, purged.map(withPriority));
  const lines = purged.map((lane) => `${lane.messages} messages (${laneText(lane)}) of ${lane.queue} are deleted.\n`);
  await context.terminal.write(lines.length === 0 ? 'Nothing to delete.\n' : lines.join(''));
}

async function agreed(
  context: CliContext,
  what: { readonly queue: string; readonly priority: number | undefined; readonly olderThan: string | undefined },
): Promise<boolean> {
  if (!context.keyboard.isTerminal) throw new UsageError('Messages are deleted for ever: say --yes to mean it.');
  const { queue, priority, olderThan } = what;
  const which = priority === undefined ? '' : ` with ${laneText({ priority, live: false })}`;
  const age = olderThan === undefined ? '' : ` from before ${olderThan}`;
  context.terminal.writeError(`All messages of ${queue}${which}${age} will be lost. Type yes to delete them: `);
  return (await context.keyboard.readLine())?.trim().toLowerCase() === 'yes';
}
