// `weir deploy manifest.json`: deploys at the gateway itself, without a hub or until the hub has something newer.
//
//   read ─► plan (dry run at the daemon) ─► agreed ─► carried out ─► watched until it is in force, or rolled back
//             └─ faults: one line each, nothing changes
//
// What is wrong is told before anything is asked; what is told at the end is what happened, not what was wanted.
// Progress is told line by line, so that it reads the same in a terminal, on a serial line and in a file.

import type { Argv, CommandModule } from 'yargs';
import type { AdminClient } from '../admin/index.ts';
import { errorMessage } from '../model/errors.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from './context.ts';
import { DeployWatch } from './deploy-watch.ts';
import { CliError, UsageError } from './errors.ts';
import { planText, problemsText, routeFaultsText } from './plan-text.ts';
import { routeFaults } from './route/given-routes.ts';

export interface DeployOptions extends GlobalOptions {
  readonly manifest: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly wait: boolean;
  readonly timeout: number;
  readonly json: boolean;
}

const secondMs = 1_000;
const timeoutSecondsUsual = 900;

export function deployCommand(context: CliContext): CommandModule<GlobalOptions, DeployOptions> {
  return {
    command: 'deploy <manifest>',
    describe: 'deploy a manifest at this gateway, without a hub',
    builder: deployOptions,
    // yargs reads a lone dash as an empty text.
    handler: (options) => deploy(context, { ...options, manifest: options.manifest || '-' }),
  };
}

function deployOptions(yargs: Argv<GlobalOptions>): Argv<DeployOptions> {
  const options = yargs
    .positional('manifest', { type: 'string', demandOption: true, describe: 'a JSON file, or - for standard input' })
    .option('dry-run', { type: 'boolean', default: false, describe: 'only say what would be done' })
    .option('yes', { alias: 'y', type: 'boolean', default: false, describe: 'without asking' })
    .option('wait', { type: 'boolean', default: true, describe: 'until it is in force; --no-wait' })
    .option('timeout', {
      type: 'number',
      default: timeoutSecondsUsual,
      requiresArg: true,
      describe: 'how long to wait, seconds',
    })
    .option('json', { type: 'boolean', default: false, describe: 'for programs' })
    .example('weir deploy manifest.json', 'shows the plan, asks, and waits for the outcome')
    .example('weir deploy manifest.json --dry-run', 'all that is wrong with it, or what it would change')
    .example('generate | weir deploy - --yes', 'from another program');
  return options as unknown as Argv<DeployOptions>;
}

export async function deploy(context: CliContext, options: DeployOptions): Promise<void> {
  const { terminal } = context;
  if (!(options.timeout > 0)) throw new UsageError('--timeout is no number of seconds.');
  const manifest = await readManifest(context, options.manifest);
  const client = await adminClient(context, options);
  const planned = await client.deploy(manifest, { dryRun: true });
  const wrongRoutes = await routeFaults(manifest);
  if (!options.json) {
    await terminal.write(routeFaultsText(terminal, wrongRoutes));
    await terminal.write(planned.ok ? planText(terminal, planned.plan) : problemsText(terminal, planned.problems));
  }
  if (!planned.ok || options.dryRun) {
    if (options.json) await writeJson(context, { ...planned, wrongRoutes, dryRun: options.dryRun });
    if (!planned.ok) context.exit.code = 1;
    return;
  }
  if (!(await agreed(context, options))) {
    await terminal.write('Nothing was changed.\n');
    context.exit.code = 1;
    return;
  }
  await carryOut(context, { client, manifest, wrongRoutes, options });
}

async function carryOut(
  context: CliContext,
  {
    client,
    manifest,
    wrongRoutes,
    options,
  }: {
    readonly client: AdminClient;
    readonly manifest: string;
    readonly wrongRoutes: readonly string[];
    readonly options: DeployOptions;
  },
): Promise<void> {
  const { terminal } = context;
  const report = { ...(await client.deploy(manifest, { dryRun: false })), wrongRoutes };
  if (!report.ok) {
    if (options.json) await writeJson(context, report);
    else await terminal.write(problemsText(terminal, report.problems));
    context.exit.code = 1;
    return;
  }
  if (!options.wait) {
    if (options.json) await writeJson(context, report);
    else await terminal.write('Handed over. See: weir status\n');
    return;
  }
  const watch = new DeployWatch(context, client, {
    timeoutMs: options.timeout * secondMs,
    tell: options.json ? () => Promise.resolve() : (line) => terminal.write(line),
  });
  const outcome = await watch.outcome();
  if (options.json)
    await writeJson(context, { ...report, ok: outcome.ok, outcome: outcome.text, progress: outcome.progress });
  else await terminal.write(`${outcome.text}\n`);
  if (!outcome.ok) context.exit.code = 1;
}

/** Asked is only who sits at a terminal: a script has said what it wants. */
async function agreed(context: CliContext, { yes, json, manifest }: DeployOptions): Promise<boolean> {
  if (yes || json || manifest === '-' || !context.keyboard.isTerminal) return true;
  context.terminal.writeError('Type yes to do this: ');
  return (await context.keyboard.readLine())?.trim().toLowerCase() === 'yes';
}

/** JSON text of an object. Throws CLI_CANNOT_READ, CLI_BAD_MANIFEST. */
async function readManifest(context: CliContext, path: string): Promise<string> {
  const text = path === '-' ? await standardInput(context) : await fileText(context, path);
  const name = path === '-' ? 'the standard input' : path;
  const parsed = parseJson(text);
  if (parsed.ok && isJsonObject(parsed.value)) return text;
  const reason = parsed.ok ? 'it is no JSON object' : `${parsed.reason}${placeOf(text, parsed.reason)}`;
  throw new CliError('CLI_BAD_MANIFEST', `The manifest in ${name} cannot be read: ${reason}. Nothing was changed.`);
}

async function fileText(context: CliContext, path: string): Promise<string> {
  try {
    return (await context.disk.readFile('cli:manifest', path)).toString('utf8').replace(/^\ufeff/, '');
  } catch (cause) {
    throw new CliError('CLI_CANNOT_READ', `The manifest ${path} cannot be read: ${errorMessage(cause)}.`, cause);
  }
}

async function standardInput({ keyboard }: CliContext): Promise<string> {
  const lines: string[] = [];
  for (;;) {
    const line = await keyboard.readLine();
    if (line === undefined) return lines.join('\n');
    lines.push(line);
  }
}

/** V8 tells a position in some messages only. */
function placeOf(text: string, reason: string): string {
  const [, position] = /at position (\d+)/.exec(reason) ?? [];
  if (position === undefined || /line \d+/.test(reason)) return '';
  const before = text.slice(0, Number(position)).split('\n');
  return ` (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
}
