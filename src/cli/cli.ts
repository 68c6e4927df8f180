// The frame of the command line: global options, the list of commands, usage errors, exit codes.
//
//   0 fine · 1 failed · 2 wrong usage
//
// An error is one clear line with its code on standard error; the stack only with WEIR_DEBUG=1. A wrong command
// or option gets the nearest right one. Each command is a file beside this one; `hub` is loaded only when asked
// for, since its commands are many.

import yargs, { type Argv } from 'yargs';
import { errorCode, WeirError } from '../model/errors.ts';
import { checkCommand } from './check-command.ts';
import { configCommand } from './config.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import { UsageError } from './errors.ts';
import { listCommand } from './list.ts';
import { logsCommand } from './logs.ts';
import { moduleCommand } from './module.ts';
import { queueCommand } from './queue.ts';
import { restartCommand } from './restart.ts';
import { runCommand } from './run.ts';
import { statusCommand } from './status.ts';
import { painted } from './terminal.ts';
import { licensesCommand, versionCommand } from './version.ts';

const exitFailed = 1;
const exitUsage = 2;
const helpColumnsMax = 100;

/** Runs one command line (without node and script). Resolves with the exit code; never rejects. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    const help = await parse(argv, context);
    if (help !== '') await context.terminal.write(`${help}\n`);
  } catch (error) {
    await report(error, { argv, context });
  }
  return context.exit.code;
}

/** The help text, when that is what was asked for; else empty, after the command has run. */
async function parse(argv: readonly string[], context: CliContext): Promise<string> {
  let output = '';
  let failure: unknown;
  const frame = commandLine(context).fail((message: string | null, error: unknown) => {
    failure ??= error ?? new UsageError(message ?? 'This cannot be understood.');
    throw failure;
  });
  await frame.parseAsync([...argv], {}, (error: unknown, _options: unknown, text: string) => {
    failure ??= error ?? undefined;
    output = text;
  });
  if (failure !== undefined) throw failure;
  if (argv.length === 0) context.exit.code = exitUsage;
  return output;
}

function commandLine(context: CliContext): Argv<GlobalOptions> {
  const frame = yargs([])
    .scriptName('weir')
    .usage('weir: an edge gateway in one file.\n\nUsage: $0 <command>')
    .locale('en')
    .option('config', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'configuration file [/etc/weir/config.toml]',
    })
    .option('data-dir', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'messages, keys, logs [/var/lib/weir]',
    })
    .option('run-dir', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'sockets, running modules [/run/weir]',
    });
  const options = frame as unknown as Argv<GlobalOptions>;
  return options
    .command(runCommand(context))
    .command(statusCommand(context))
    .command(listCommand(context))
    .command(logsCommand(context))
    .command(restartCommand(context))
    .command(queueCommand(context))
    .command(checkCommand(context))
    .command(configCommand(context))
    .command(moduleCommand(context))
    .command(versionCommand(context))
    .command(licensesCommand(context))
    .command('$0', false, {}, () => {
      throw new UsageError('Name a command.');
    })
    .version(false)
    .help('help')
    .alias('help', 'h')
    .wrap(Math.min(helpColumnsMax, context.terminal.columns))
    .epilogue('More about a command: weir <command> --help')
    .strict()
    .exitProcess(false);
}

async function report(
  error: unknown,
  { argv, context }: { readonly argv: readonly string[]; readonly context: CliContext },
): Promise<void> {
  const { terminal } = context;
  const isUsage = error instanceof UsageError || (error instanceof Error && error.name === 'YError');
  context.exit.code = isUsage ? exitUsage : exitFailed;
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof WeirError ? errorCode(error) : isUsage ? 'CLI_USAGE' : 'INTERNAL';
  const hint = isUsage ? await usageHint(argv, { message, context }) : '';
  const label = terminal.hasColour ? painted(terminal, 'red', 'weir:') : 'weir:';
  terminal.writeError(`${label} ${message}${hint} [${code}]\n`);
  if (context.env['WEIR_DEBUG'] === '1' && error instanceof Error) terminal.writeError(`${error.stack ?? ''}\n`);
}

/** ` Did you mean …?` from the help of the command that was meant, and where to read on. */
async function usageHint(
  argv: readonly string[],
  { message, context }: { readonly message: string; readonly context: CliContext },
): Promise<string> {
  const { nearestName } = await import('../config/index.ts');
  const unknown = /^Unknown (?:command|argument)s?: ([^,]+)/.exec(message)?.[1]?.trim();
  const words = argv.filter((word) => !word.startsWith('-'));
  const path =
    unknown === undefined || !words.includes(unknown) ? words.slice(0, 2) : words.slice(0, words.indexOf(unknown));
  const more = ` See: weir ${[...path, '--help'].join(' ')}`;
  if (unknown === undefined) return more;
  const help = await parse([...path, '--help'], { ...context, exit: { code: 0 } }).catch(() => '');
  const names = [...help.matchAll(/(?:^|\s)--?([a-z][a-z-]*)|^\s+weir (?:[a-z]+ )*?([a-z-]+)(?=\s)/gm)].map(
    (match) => ({
      name: match[1] ?? match[2] ?? '',
      isOption: match[1] !== undefined,
    }),
  );
  const isOption = argv.some((word) => word.startsWith('-') && word.replace(/^-+/, '').split('=')[0] === unknown);
  const nearest = nearestName(
    unknown,
    names.filter((known) => known.isOption === isOption).map((known) => known.name),
  );
  return nearest === undefined ? more : ` Did you mean ${isOption ? '--' : ''}${nearest}?${more}`;
}
