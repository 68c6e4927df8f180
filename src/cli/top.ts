// `weir top`: what each module takes, drawn anew every few seconds.
//
//   terminal     the screen is drawn from its corner, rest of line and rest of screen erased: three escapes that every
//                terminal since the VT100 knows, no alternate screen, no cursor games; q or Ctrl-C ends it
//   otherwise    a table each time, under a line with the time
//
// Rates are differences of two reports on the daemon's own clock. Works at 9600 baud: a screen is what changed at most
// every interval, two kilobytes of text.

import type { Argv, CommandModule } from 'yargs';
import type { UsageReport } from '../admin/index.ts';
import { pause } from '../model/pause.ts';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from './context.ts';
import { UsageError } from './errors.ts';
import { ratesOf, type UsageRates, usageTable } from './usage-table.ts';

export interface TopOptions extends GlobalOptions {
  readonly once: boolean;
  readonly interval: number;
  readonly json: boolean;
}

const secondMs = 1_000;
const intervalSecondsUsual = 2;
const intervalSecondsMin = 0.2;
const home = '\u001b[H';
const eraseLine = '\u001b[K';
const eraseBelow = '\u001b[J';
const eraseScreen = '\u001b[2J';

export function topCommand(context: CliContext): CommandModule<GlobalOptions, TopOptions> {
  return {
    command: 'top',
    describe: 'what each module takes: processor, memory, messages',
    builder: topOptions,
    handler: (options) => top(context, options),
  };
}

function topOptions(yargs: Argv<GlobalOptions>): Argv<TopOptions> {
  const options = yargs
    .option('once', { type: 'boolean', default: false, describe: 'one table, and that is it' })
    .option('interval', {
      alias: 'd',
      type: 'number',
      default: intervalSecondsUsual,
      requiresArg: true,
      describe: 'seconds between two looks',
    })
    .option('json', { type: 'boolean', default: false, describe: 'for programs: one look, with rates' })
    .example('weir top', 'live; Ctrl-C ends it')
    .example('weir top --once', 'over an interval, then it ends')
    .example('weir top --interval 10 >> load.txt', 'a table every ten seconds');
  return options as unknown as Argv<TopOptions>;
}

export async function top(context: CliContext, options: TopOptions): Promise<void> {
  const { terminal, clock } = context;
  if (!(options.interval >= intervalSecondsMin))
    throw new UsageError(`--interval is at least ${intervalSecondsMin} seconds.`);
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const client = await adminClient(context, options);
  let before: UsageReport = await client.usage();
  const isLive = terminal.isTerminal && !options.once && !options.json;
  if (isLive) await terminal.write(`${eraseScreen}${screen(context, ratesOf(undefined, before))}`);
  for (;;) {
    await pause(clock, options.interval * secondMs, stop.signal);
    if (stop.signal.aborted) return;
    const report = await client.usage();
    const rates = ratesOf(before, report);
    before = report;
    if (options.json) return await writeJson(context, rates);
    if (isLive) await terminal.write(screen(context, rates));
    else await terminal.write(`${options.once ? '' : `${stamp(clock.wallMs())}\n`}${usageTable(context, rates)}`);
    if (options.once) return;
  }
}

function screen(context: CliContext, rates: UsageRates): string {
  const { terminal, clock } = context;
  const title = `weir top  ${stamp(clock.wallMs())}  Ctrl-C ends`;
  const lines = [title, '', ...usageTable(context, rates).trimEnd().split('\n')];
  // The last line stays free: a newline there would scroll.
  const shown = lines.slice(0, Math.max(1, terminal.rows - 1));
  return `${home}${shown.map((line) => `${line}${eraseLine}\r\n`).join('')}${eraseBelow}`;
}

function stamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
