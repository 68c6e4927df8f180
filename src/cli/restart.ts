// `weir restart MODULE…`: stop modules and start them again, as their deployment says, and see that they run.

import type { Argv, CommandModule } from 'yargs';
import type { AdminClient, ModuleReport } from '../admin/index.ts';
import { pause } from '../model/pause.ts';
import { adminClient, type CliContext, type GlobalOptions } from './context.ts';
import { durationText } from './quantity-text.ts';

export interface RestartOptions extends GlobalOptions {
  readonly modules: readonly string[];
  readonly wait: boolean;
}

const lookMs = 200;
/** Longer than the usual grace and a slow start. */
const patienceMs = 60_000;

export function restartCommand(context: CliContext): CommandModule<GlobalOptions, RestartOptions> {
  return {
    command: 'restart <modules..>',
    describe: 'stop modules and start them again',
    builder: restartOptions,
    handler: (options) => restart(context, options),
  };
}

function restartOptions(yargs: Argv<GlobalOptions>): Argv<RestartOptions> {
  const options = yargs
    .positional('modules', { type: 'string', array: true, demandOption: true, describe: 'names of modules' })
    .option('wait', { type: 'boolean', default: true, describe: 'until it runs again; --no-wait' })
    .example('weir restart modbus', 'restart one module')
    .example('weir restart modbus filter', 'one after the other');
  return options as unknown as Argv<RestartOptions>;
}

export async function restart(context: CliContext, options: RestartOptions): Promise<void> {
  const { terminal } = context;
  const client = await adminClient(context, options);
  for (const name of options.modules) {
    const before = options.wait ? await report(client, name) : undefined;
    await client.restartModule(name);
    if (!options.wait) {
      await terminal.write(`${name} is being restarted. See: weir list\n`);
      continue;
    }
    const { ok, text } = await runsAgain(context, { client, name, before });
    await terminal.write(`${text}\n`);
    if (!ok) context.exit.code = 1;
  }
}

async function runsAgain(
  context: CliContext,
  {
    client,
    name,
    before,
  }: { readonly client: AdminClient; readonly name: string; readonly before: ModuleReport | undefined },
): Promise<{ readonly ok: boolean; readonly text: string }> {
  const { clock } = context;
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const beganMs = clock.monotonicMs();
  for (;;) {
    const now = await report(client, name);
    if (now?.runtimeStatus === 'running' && now.startedAtMs !== (before?.startedAtMs ?? null))
      return { ok: true, text: `${name} runs again, after ${durationText(clock.monotonicMs() - beganMs)}.` };
    const isOver = clock.monotonicMs() - beganMs >= patienceMs;
    if (isOver || stop.signal.aborted)
      return { ok: false, text: `${name} does not run yet: ${now?.statusDescription ?? 'it is gone'}. See: weir list` };
    await pause(clock, lookMs, stop.signal);
  }
}

async function report(client: AdminClient, name: string): Promise<ModuleReport | undefined> {
  return (await client.modules()).find((module) => module.name === name);
}
