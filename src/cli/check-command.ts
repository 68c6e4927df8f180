// `weir check`: everything that can be told about this gateway without changing it, each with its mend.
//
// Exit code 0 when nothing failed (warnings are fine), 1 when something did.

import type { CommandModule } from 'yargs';
import type { CheckAnswer, CheckFacts } from './check/index.ts';
import { adminClient, type CliContext, type GlobalOptions, locateDirectories, writeJson } from './context.ts';
import { UsageError } from './errors.ts';
import { type Colour, painted } from './terminal.ts';

export interface CheckOptions extends GlobalOptions {
  readonly json: boolean;
  readonly list: boolean;
  readonly only: readonly string[] | undefined;
}

const colours: Readonly<Record<CheckAnswer['result'], Colour>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
  skip: 'dim',
};
const daemonTimeoutMs = 5_000;
const socketTimeoutMs = 4_000;
const resultWidth = 4;

export function checkCommand(context: CliContext): CommandModule<GlobalOptions, CheckOptions> {
  return {
    command: 'check',
    describe: 'find what is wrong with this gateway, and how to mend it',
    builder: (yargs) =>
      yargs
        .option('only', {
          type: 'string',
          array: true,
          requiresArg: true,
          describe: 'only this check; may be repeated',
        })
        .option('list', { type: 'boolean', default: false, describe: 'the ids of all checks' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir check', 'works without the daemon and without a network, too')
        .example('weir check --only hub-tls', 'one check alone'),
    handler: (options) => check(context, options),
  };
}

export async function check(context: CliContext, options: CheckOptions): Promise<void> {
  const { checks, runChecks } = await import('./check/index.ts');
  if (options.list) {
    if (options.json)
      return writeJson(
        context,
        checks.map(({ id, group, title }) => ({ id, group, title })),
      );
    return context.terminal.write(checks.map(({ id, title }) => `${id.padEnd(24)}${title}\n`).join(''));
  }
  const unknown = options.only?.find((id) => !checks.some((known) => known.id === id));
  if (unknown !== undefined)
    throw new UsageError(`There is no check '${unknown}'. The ids are told by: weir check --list`);
  const chosen = checks.filter(({ id }) => options.only === undefined || options.only.includes(id));
  const answers = await runChecks(chosen, await gatherFacts(context, options));
  if (answers.some(({ result }) => result === 'fail')) context.exit.code = 1;
  if (options.json) await writeJson(context, { checks: answers, totals: totals(answers) });
  else await context.terminal.write(checkReport(context, answers));
}

async function gatherFacts(context: CliContext, options: GlobalOptions): Promise<CheckFacts> {
  const [{ readConfig }, { systemMachine }, { buildInfo, nativeAddon, shimPath }, { probeKernel }] = await Promise.all([
    import('../config/index.ts'),
    import('../platform/machine.ts'),
    import('../platform/native.ts'),
    import('../platform/kernel-features.ts'),
  ]);
  const { disk, clock } = context;
  let kernel: ReturnType<CheckFacts['kernel']> | undefined;
  return {
    disk,
    clock,
    machine: systemMachine(),
    reading: await readConfig({ configPath: options.config, dataDir: options.dataDir, runDir: options.runDir, disk }),
    ...(await locateDirectories(context, options)),
    daemon: await askDaemon(context, options),
    builtAtMs: Date.parse(buildInfo().builtAt),
    kernel: () => {
      kernel ??= Promise.resolve().then(() => probeKernel(shimPath()));
      return kernel;
    },
    askSocket: (socketPath, path) => askSocket(context, { socketPath, path }),
    native: { load: (name) => void nativeAddon(name), shimPath },
  };
}

async function askSocket(
  { http, clock }: CliContext,
  question: { readonly socketPath: string; readonly path: string },
): Promise<string> {
  const late = new AbortController();
  const timer = clock.setTimer(socketTimeoutMs, () => late.abort());
  try {
    return (await http.call({ ...question, method: 'GET', signal: late.signal })).body;
  } finally {
    timer.cancel();
  }
}

async function askDaemon(context: CliContext, options: GlobalOptions): Promise<CheckFacts['daemon']> {
  const late = new AbortController();
  const timer = context.clock.setTimer(daemonTimeoutMs, () => late.abort());
  try {
    const client = await adminClient(context, options);
    return { status: await client.status(late.signal) };
  } catch (error) {
    return { error };
  } finally {
    timer.cancel();
  }
}

/** Grouped lines; cause and mend of what is not fine on lines of their own. */
export function checkReport(context: Pick<CliContext, 'terminal'>, answers: readonly CheckAnswer[]): string {
  const lines: string[] = [];
  let group = '';
  for (const answer of answers) {
    if (answer.group !== group) {
      if (group !== '') lines.push('');
      group = answer.group;
      lines.push(painted(context.terminal, 'bold', group));
    }
    const result = painted(context.terminal, colours[answer.result], answer.result.padEnd(resultWidth));
    const brief = answer.result === 'ok' || answer.result === 'skip';
    lines.push(
      `  ${result}  ${answer.title}${brief && answer.cause !== '' ? painted(context.terminal, 'dim', ` (${answer.cause})`) : ''}`,
    );
    if (brief) continue;
    for (const cause of answer.cause.split('\n')) lines.push(`        ${cause}`);
    lines.push(`        ${painted(context.terminal, 'bold', 'mend:')} ${answer.mend}  [${answer.id}]`);
  }
  const { ok, warn, fail, skip } = totals(answers);
  lines.push('', `${ok} ok, ${warn} warnings, ${fail} failed, ${skip} skipped`);
  return `${lines.join('\n')}\n`;
}

function totals(answers: readonly CheckAnswer[]): Readonly<Record<CheckAnswer['result'], number>> {
  const count = (result: CheckAnswer['result']): number => answers.filter((answer) => answer.result === result).length;
  return { ok: count('ok'), warn: count('warn'), fail: count('fail'), skip: count('skip') };
}
