// `weir config init|show|check`: write, print, judge the configuration.
//
// init writes two files (the configuration and the systemd unit) and changes nothing else: it starts and enables
// nothing, it tells how. What it would overwrite it refuses to touch without --force, and then keeps a copy.

import type { Argv, CommandModule } from 'yargs';
import { writeConfigFiles } from './config-init.ts';
import { type CliContext, type GlobalOptions, writeJson } from './context.ts';
import { UsageError } from './errors.ts';
import { painted } from './terminal.ts';

interface InitOptions extends GlobalOptions {
  readonly dir: string | undefined;
  readonly unitDir: string | undefined;
  readonly connectionString: string | undefined;
  readonly trustBundle: string | undefined;
  readonly force: boolean;
}

interface ShowOptions extends GlobalOptions {
  readonly json: boolean;
}

export function configCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  return {
    command: 'config',
    describe: 'write, print or judge the configuration',
    builder: (yargs) =>
      yargs
        .command(initCommand(context))
        .command(showCommand(context))
        .command(checkCommand(context))
        .demandCommand(1, 'Name what to do: weir config init, show or check'),
    handler: () => {
      throw new UsageError('Name what to do: weir config init, show or check');
    },
  };
}

function initCommand(context: CliContext): CommandModule<GlobalOptions, InitOptions> {
  return {
    command: 'init',
    describe: 'write a configuration and a systemd unit',
    // yargs gives dashed options in camel case, too; its types do not know.
    builder: (yargs) =>
      yargs
        .option('dir', { type: 'string', requiresArg: true, describe: 'directory of config.toml [/etc/weir]' })
        .option('unit-dir', {
          type: 'string',
          requiresArg: true,
          describe: 'directory of weir.service [/etc/systemd/system, or --dir]',
        })
        .option('connection-string', { type: 'string', requiresArg: true, describe: 'identity at the hub' })
        .option('trust-bundle', {
          type: 'string',
          requiresArg: true,
          describe: 'PEM file of the authorities that vouch for the hub; it is copied',
        })
        .option('force', { type: 'boolean', default: false, describe: 'overwrite, keeping a copy (.bak)' })
        .example('weir config init', 'write /etc/weir/config.toml and the unit')
        .example('weir config init --connection-string "HostName=…"', 'with the identity of this gateway')
        .example(
          'weir config init --dir ./gw --data-dir ./gw/data --run-dir ./gw/run',
          'a gateway to try out',
        ) as unknown as Argv<InitOptions>,
    handler: (options) => writeConfigFiles(context, options),
  };
}

function showCommand(context: CliContext): CommandModule<GlobalOptions, ShowOptions> {
  return {
    command: 'show',
    describe: 'the configuration in force, with secrets masked',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir config show', 'file, options and defaults together, as TOML'),
    handler: async (options) => {
      const { formatRedacted, loadConfig, redactedConfig } = await import('../config/index.ts');
      const redacted = redactedConfig(await loadConfig(sourceOf(context, options)));
      if (options.json) await writeJson(context, redacted);
      else await context.terminal.write(formatRedacted(redacted));
    },
  };
}

function checkCommand(context: CliContext): CommandModule<GlobalOptions, ShowOptions> {
  return {
    command: 'check',
    describe: 'judge the configuration file without running anything',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir config check --config ./new.toml', 'all problems at once, with line and column'),
    handler: (options) => checkFile(context, options),
  };
}

async function checkFile(context: CliContext, options: ShowOptions): Promise<void> {
  const { formatNote, readConfig } = await import('../config/index.ts');
  const reading = await readConfig(sourceOf(context, options));
  const problems = reading.error?.problems ?? [];
  if (problems.length > 0) context.exit.code = 1;
  if (options.json) return writeJson(context, { path: reading.path, problems, warnings: reading.warnings });
  const lines = [
    ...problems.map((note) => `${painted(context.terminal, 'red', 'error')}    ${formatNote(note)}`),
    ...reading.warnings.map((note) => `${painted(context.terminal, 'yellow', 'warning')}  ${formatNote(note)}`),
    problems.length === 0 ? `${reading.path} is fine.` : `${reading.path} cannot be used.`,
  ];
  await context.terminal.write(`${lines.join('\n')}\n`);
}

function sourceOf(
  context: CliContext,
  options: GlobalOptions,
): {
  readonly configPath: string | undefined;
  readonly dataDir: string | undefined;
  readonly runDir: string | undefined;
  readonly disk: CliContext['disk'];
} {
  return { configPath: options.config, dataDir: options.dataDir, runDir: options.runDir, disk: context.disk };
}
