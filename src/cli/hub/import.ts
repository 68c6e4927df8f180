// `weir hub import DIR`: queue files that somebody carried here. Each is taken by the hub in one transaction, and its
// receipt is laid beside it. A file that cannot be taken is told, and the others go on.

import type { CommandModule } from 'yargs';
import { errorCode, errorMessage } from '../../model/errors.ts';
import type { JsonObject } from '../../model/json.ts';
import { type CliContext, writeJson } from '../context.ts';
import { CliError } from '../errors.ts';
import { countText } from '../quantity-text.ts';
import { namesIn, queueFileSuffix, readWhole, receiptSuffix } from '../queue/queue-files.ts';
import { painted } from '../terminal.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

interface ImportOptions extends HubClientOptions {
  readonly directory: string;
  readonly json: boolean;
}

type Outcome =
  | {
      readonly file: string;
      readonly ok: true;
      readonly device: string;
      readonly logged: number;
      readonly repeated: number;
    }
  | { readonly file: string; readonly ok: false; readonly code: string; readonly message: string };

const receiptMode = 0o644;

export function importCommand(context: CliContext): CommandModule<HubClientOptions, ImportOptions> {
  return {
    command: 'import <directory>',
    describe: 'take what weir queue export wrote to a stick, and leave receipts there',
    builder: (yargs) =>
      yargs
        .positional('directory', { type: 'string', demandOption: true, describe: 'where the stick is mounted' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir hub import /media/usb', 'then, at the gateway: weir queue import /media/usb'),
    handler: (options) => importFiles(context, options),
  };
}

async function importFiles(context: CliContext, options: ImportOptions): Promise<void> {
  const { directory } = options;
  const names = await namesIn(context, directory, queueFileSuffix);
  if (names.length === 0)
    throw new CliError(
      'CLI_NO_QUEUE_FILES',
      `There are no queue files (*${queueFileSuffix}) in ${directory}. A gateway writes them: weir queue export.`,
    );
  const client = new HubClient(context, options);
  const outcomes: Outcome[] = [];
  for (const name of names) {
    const outcome = await importFile(context, client, { directory, name });
    outcomes.push(outcome);
    if (!options.json) await context.terminal.write(outcomeText(context, outcome));
  }
  if (options.json) await writeJson(context, outcomes);
  else await context.terminal.write(sumText(directory, outcomes));
  if (outcomes.some(({ ok }) => !ok)) context.exit.code = 1;
}

async function importFile(
  context: CliContext,
  client: HubClient,
  { directory, name }: { readonly directory: string; readonly name: string },
): Promise<Outcome> {
  try {
    const content = await readWhole(context, `${directory}/${name}`);
    const path = `/imports?file=${encodeURIComponent(name)}`;
    const { receipt, ...taken } = await client.object('POST', path, content.toString('base64'));
    const file = { data: String(receipt), mode: receiptMode };
    await context.disk.writeFileAtomic('cli:receipt', `${directory}/${name}${receiptSuffix}`, file);
    return {
      file: name,
      ok: true,
      device: String(taken['device']),
      logged: count(taken, 'logged'),
      repeated: count(taken, 'repeated'),
    };
  } catch (error) {
    // Without a hub none of them can be taken.
    if (errorCode(error) === 'CLI_HUB_NOT_RUNNING') throw error;
    return { file: name, ok: false, code: errorCode(error), message: errorMessage(error) };
  }
}

function outcomeText({ terminal }: CliContext, outcome: Outcome): string {
  if (!outcome.ok) return `${painted(terminal, 'red', outcome.file)}  ${outcome.message} [${outcome.code}]\n`;
  const repeated = outcome.repeated === 0 ? '' : `, ${outcome.repeated} were there already`;
  return `${painted(terminal, 'green', outcome.file)}  ${countText(outcome.logged, 'message')} of ${outcome.device}${repeated}\n`;
}

function sumText(directory: string, outcomes: readonly Outcome[]): string {
  const taken = outcomes.filter((outcome) => outcome.ok);
  const messages = taken.reduce((sum, outcome) => sum + outcome.logged, 0);
  const next = taken.length === 0 ? '' : ` Bring the receipts back: weir queue import ${directory}`;
  return `${taken.length} of ${countText(outcomes.length, 'file')} taken, ${countText(messages, 'new message')}.${next}\n`;
}

function count(object: JsonObject, name: string): number {
  return Number(object[name] ?? 0);
}
