// `weir logs MODULE`: what a module wrote. Through the daemon when it runs, else straight from the files.

import type { CommandModule } from 'yargs';
import type { LogRequest } from '../admin/index.ts';
import { errorCode } from '../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, locateDirectories } from './context.ts';
import { UsageError } from './errors.ts';
import { sinceMs } from './quantity-text.ts';

export interface LogsOptions extends GlobalOptions {
  readonly module: string;
  readonly follow: boolean;
  readonly tail: string | undefined;
  readonly since: string | undefined;
}

export function logsCommand(context: CliContext): CommandModule<GlobalOptions, LogsOptions> {
  return {
    command: 'logs <module>',
    describe: 'what a module wrote',
    builder: (yargs) =>
      yargs
        .positional('module', { type: 'string', demandOption: true, describe: 'name of the module' })
        .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'go on with new lines' })
        .option('tail', {
          alias: 'n',
          type: 'string',
          requiresArg: true,
          describe: 'only the last lines, a number or "all"',
        })
        .option('since', { type: 'string', requiresArg: true, describe: 'only lines since then: 10m, "1 day", a time' })
        .example('weir logs modbus --tail 50 -f', 'the last lines, and what comes')
        .example('weir logs modbus --since 10m', 'the last ten minutes'),
    handler: (options) => logs(context, options),
  };
}

export async function logs(context: CliContext, options: LogsOptions): Promise<void> {
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const request: LogRequest = {
    name: options.module,
    tail: tailLines(options.tail),
    sinceMs: options.since === undefined ? undefined : sinceMs(options.since, context.clock.wallMs()),
    follow: options.follow,
    signal: stop.signal,
  };
  const client = await adminClient(context, options);
  try {
    await pour(context, client.logs(request));
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ADMIN_NOT_RUNNING' && code !== 'ADMIN_FORBIDDEN') throw error;
    const { ModuleLog } = await import('../admin/index.ts');
    const { dataDir } = await locateDirectories(context, options);
    await pour(context, new ModuleLog(context, { logDir: `${dataDir}/logs` }).read(request));
  }
}

async function pour(context: CliContext, pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of pieces) await context.terminal.write(piece);
}

function tailLines(text: string | undefined): number | undefined {
  if (text === undefined || text === 'all') return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`--tail ${text} is neither "all" nor a number of lines up to 999999.`);
}
