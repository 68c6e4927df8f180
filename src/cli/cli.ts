// The frame of the command line: global options, the list of commands, usage errors, exit codes.
//
//   0 fine · 1 failed · 2 wrong usage
//
// An error is one clear line with its code on standard error, with --json, too; the stack only with WEIR_DEBUG=1. What
// is wrong with a command line is said by wrong-usage.ts. Each command is a file beside this one; `hub` is loaded only
// when asked for, since its commands are many.

import { resolve } from 'node:path';
import yargs, { type Argv } from 'yargs';
import type { WeirError } from '../model/errors.ts';
import { brokerCommand } from './broker/index.ts';
import { checkCommand } from './check-command.ts';
import { configCommand } from './config.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import { deployCommand } from './deploy.ts';
import { UsageError } from './errors.ts';
import { listCommand } from './list.ts';
import { logsCommand } from './logs.ts';
import { moduleCommand } from './module.ts';
import { queueCommand } from './queue.ts';
import { restartCommand } from './restart.ts';
import { routeCommand } from './route/index.ts';
import { runCommand } from './run.ts';
import { statusCommand } from './status.ts';
import { supportBundleCommand } from './support-bundle.ts';
import { painted } from './terminal.ts';
import { topCommand } from './top.ts';
import { licensesCommand, versionCommand } from './version.ts';
import { explainUsage } from './wrong-usage.ts';

const exitFailed = 1;
const exitUsage = 2;
const helpColumnsMax = 100;

/** Runs one command line (without node and script). Resolves with the exit code; never rejects. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    // Somebody who types the bare name wants to know what there is; a script that does so is wrong.
    const help = await parse(argv.length === 0 ? ['--help'] : argv, context);
    if (help !== '') await context.terminal.write(`${help}\n`);
    if (argv.length === 0) context.exit.code = exitUsage;
  } catch (error) {
    await report(error, { argv, context });
  }
  return context.exit.code;
}

/** The help text, when that is what was asked for; else empty, after the command has run. */
async function parse(argv: readonly string[], context: CliContext): Promise<string> {
  let output = '';
  let failure: unknown;
  const hub = argv.includes('hub') ? (await import('./hub/index.ts')).hubCommand(context) : hubOutline;
  const frame = commandLine(context)
    .command(hub)
    .fail((message: string | null, error: unknown) => {
      failure ??= error ?? new UsageError(message ?? 'This cannot be understood.');
      throw failure;
    });
  await frame.parseAsync([...argv], {}, (error: unknown, _options: unknown, text: string) => {
    failure ??= error ?? undefined;
    output = text;
  });
  if (failure !== undefined) throw failure;
  return output;
}

/** Stands in the list of commands for the real one. */
const hubOutline = {
  command: 'hub',
  describe: 'the control plane: devices, deployments, what they send',
  handler: () => undefined,
};

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
      coerce: absolute,
      describe: 'messages, keys, logs [/var/lib/weir]',
    })
    .option('run-dir', {
      type: 'string',
      requiresArg: true,
      global: true,
      coerce: absolute,
      describe: 'sockets, running modules [/run/weir]',
    });
  const options = frame as unknown as Argv<GlobalOptions>;
  return options
    .command(runCommand(context))
    .command(statusCommand(context))
    .command(listCommand(context))
    .command(logsCommand(context))
    .command(topCommand(context))
    .command(restartCommand(context))
    .command(deployCommand(context))
    .command(queueCommand(context))
    .command(routeCommand(context))
    .command(checkCommand(context))
    .command(supportBundleCommand(context))
    .command(configCommand(context))
    .command(brokerCommand(context))
    .command(moduleCommand(context))
    .command(versionCommand(context))
    .command(licensesCommand(context))
    .command('$0', false, {}, () => {
      throw new UsageError('Name a command.');
    })
    .check((parsed) => refuseRepeated(parsed, frame), true)
    .version(false)
    .help('help')
    .alias('help', 'h')
    .wrap(Math.min(helpColumnsMax, context.terminal.columns))
    .epilogue('More about a command: weir <command> --help')
    .strict()
    .exitProcess(false);
}

/** Modules are told paths in these directories, and their working directory is another one. */
function absolute(path: unknown): unknown {
  return typeof path === 'string' ? resolve(path) : path;
}

/** yargs makes a list of an option that is given twice; a path made of two would be used as one. */
function refuseRepeated(parsed: Readonly<Record<string, unknown>>, frame: Argv): true {
  const { array } = (frame as unknown as { getOptions(): { readonly array: readonly string[] } }).getOptions();
  const twice = Object.keys(parsed).find(
    (name) => name !== '_' && Array.isArray(parsed[name]) && !array.includes(name) && !/[A-Z]/.test(name),
  );
  if (twice !== undefined) throw new UsageError(`--${twice} is given more than once.`);
  return true;
}

async function report(
  error: unknown,
  { argv, context }: { readonly argv: readonly string[]; readonly context: CliContext },
): Promise<void> {
  const { terminal } = context;
  const isUsage = error instanceof UsageError || (error instanceof Error && error.name === 'YError');
  context.exit.code = isUsage ? exitUsage : exitFailed;
  const text = error instanceof Error ? error.message : String(error);
  const help = (path: readonly string[]): Promise<string> =>
    parse([...path, '--help'], { ...context, exit: { code: 0 } }).catch(() => '');
  const message = isUsage ? await explainUsage({ argv, message: text, help }) : text;
  const code = isUsage ? 'CLI_USAGE' : isOperatingError(error) ? error.code : 'INTERNAL';
  terminal.writeError(`${painted(terminal, 'red', 'weir:')} ${message} [${code}]\n`);
  if (context.env['WEIR_DEBUG'] === '1' && error instanceof Error) terminal.writeError(`${error.stack ?? ''}\n`);
}

/** By its fields: the gateway and the hub are parts of the program with a class of that name of their own. */
function isOperatingError(error: unknown): error is WeirError {
  return error instanceof Error && 'code' in error && 'retryable' in error && 'fields' in error;
}
