// `weir logs [MODULE…]`: what modules wrote. Through the daemon when it runs, else straight from the files.
//
// Of several modules each line begins with the name of its own; without any name it is all of them. `weir` is the
// runtime's own log, as far as the daemon remembers it. Containers' logs lie where those of processes do.
//
//   2026-11-21T09:12:44.123Z O hot          →  {"module":"pump","atMs":1795252364123,"stream":"stdout","text":"hot"}
//   2026-11-21T09:12:44.123Z warn  a: text  →  {"module":"weir","atMs":…,"level":"warn","text":"a: text"}

import type { Argv, CommandModule } from 'yargs';
import type { AdminClient, LogRequest } from '../admin/index.ts';
import { errorCode } from '../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, locateDirectories } from './context.ts';
import { UsageError } from './errors.ts';
import { sinceMs } from './quantity-text.ts';

export interface LogsOptions extends GlobalOptions {
  readonly modules: readonly string[] | undefined;
  readonly follow: boolean;
  readonly tail: string | undefined;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly json: boolean;
}

const streams: Readonly<Record<string, string>> = { O: 'stdout', E: 'stderr', S: 'shim' };

interface Source {
  readonly name: string;
  readonly pieces: AsyncIterable<string>;
}

export function logsCommand(context: CliContext): CommandModule<GlobalOptions, LogsOptions> {
  return {
    command: 'logs [modules..]',
    describe: 'what modules wrote',
    builder: logsOptions,
    handler: (options) => logs(context, options),
  };
}

function logsOptions(yargs: Argv<GlobalOptions>): Argv<LogsOptions> {
  const options = yargs
    .positional('modules', { type: 'string', array: true, describe: 'names of modules, or weir; none: all modules' })
    .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'go on with new lines' })
    .option('tail', {
      alias: 'n',
      type: 'string',
      requiresArg: true,
      describe: 'only the last lines, a number or "all"',
    })
    .option('since', { type: 'string', requiresArg: true, describe: 'only lines since then: 10m, "1 day", a time' })
    .option('until', { type: 'string', requiresArg: true, describe: 'only lines before then' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line' })
    .example('weir logs modbus --tail 50 -f', 'the last lines, and what comes')
    .example('weir logs modbus filter -f', 'both, each line with its module')
    .example('weir logs --since 2h --until 1h', 'all modules, one hour')
    .example('weir logs weir --tail 20', "the runtime's own");
  return options as unknown as Argv<LogsOptions>;
}

export async function logs(context: CliContext, options: LogsOptions): Promise<void> {
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  if (options.follow && options.until !== undefined) throw new UsageError('--follow has no end, and --until is one.');
  const nowMs = context.clock.wallMs();
  const wish: Omit<LogRequest, 'name'> = {
    tail: tailLines(options.tail),
    sinceMs: options.since === undefined ? undefined : sinceMs(options.since, nowMs),
    untilMs: options.until === undefined ? undefined : sinceMs(options.until, nowMs, '--until'),
    follow: options.follow,
    signal: stop.signal,
  };
  const client = await adminClient(context, options);
  const names = options.modules ?? [];
  try {
    await show(context, await daemonSources(client, { names, wish }), options);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ADMIN_NOT_RUNNING' && code !== 'ADMIN_FORBIDDEN') throw error;
    const { dataDir } = await locateDirectories(context, options);
    await show(context, await fileSources(context, { names, wish, logDir: `${dataDir}/logs` }), options);
  }
}

interface Wanted {
  readonly names: readonly string[];
  readonly wish: Omit<LogRequest, 'name'>;
}

async function daemonSources(client: AdminClient, { names, wish }: Wanted): Promise<readonly Source[]> {
  const asked = names.length > 0 ? names : (await client.modules()).map(({ name }) => name);
  const sources = [...new Set(asked)].map((name) => ({ name, pieces: client.logs({ ...wish, name }) }));
  return names.length > 0 ? sources : sources.map(forgiving);
}

async function fileSources(
  context: CliContext,
  { names, wish, logDir }: Wanted & { readonly logDir: string },
): Promise<readonly Source[]> {
  const { ModuleLog } = await import('../admin/index.ts');
  const log = new ModuleLog(context, { logDir });
  const asked = names.length > 0 ? names : await log.names();
  return [...new Set(asked)].map((name) => ({ name, pieces: log.read({ ...wish, name }) }));
}

/** Of all modules, one that never wrote anything is no mistake. */
function forgiving({ name, pieces }: Source): Source {
  return {
    name,
    pieces: (async function* () {
      try {
        yield* pieces;
      } catch (error) {
        if (errorCode(error) !== 'ADMIN_NO_SUCH_MODULE') throw error;
      }
    })(),
  };
}

/** One module as it is; several with their names: followed all at a time, else one after the other. */
async function show(
  context: CliContext,
  sources: readonly Source[],
  { follow, json }: Pick<LogsOptions, 'follow' | 'json'>,
): Promise<void> {
  const width = sources.length === 1 ? 0 : Math.max(0, ...sources.map(({ name }) => name.length));
  const pours = sources.map(({ name, pieces }) => async (): Promise<void> => {
    for await (const piece of pieces)
      await context.terminal.write(json ? jsonLines(name, piece) : named(piece, { name, width }));
  });
  if (follow) await Promise.all(pours.map((run) => run()));
  else for (const run of pours) await run();
}

/** Whole lines, each behind the name in `width` characters; 0: as they are. */
function named(piece: string, { name, width }: { readonly name: string; readonly width: number }): string {
  return width === 0 ? piece : piece.replace(/^(?=[\s\S])/gm, `${name.padEnd(width)} | `);
}

function jsonLines(module: string, piece: string): string {
  const lines = piece.split('\n').filter((line) => line !== '');
  return lines.map((line) => `${JSON.stringify({ module, ...partsOf(line) })}\n`).join('');
}

/** What does not look like a line of a log is text alone. */
function partsOf(line: string): object {
  const [, at = '', mark = '', text] = /^(\S+) ([OES]|debug|info|warn|error) +?(.*)$/s.exec(line) ?? [];
  const atMs = Date.parse(at);
  if (text === undefined || Number.isNaN(atMs)) return { text: line };
  const stream = streams[mark];
  return stream === undefined ? { atMs, level: mark, text: text.trimStart() } : { atMs, stream, text };
}

function tailLines(text: string | undefined): number | undefined {
  if (text === undefined || text === 'all') return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`--tail ${text} is neither "all" nor a number of lines up to 999999.`);
}
