// `weir queue import DIR`: receipts that came back from the hub. What they cover leaves the queue.

import type { CommandModule } from 'yargs';
import type { AdminClient } from '../../admin/index.ts';
import { queueReceiptBytesMax, queueReceiptsMax } from '../../limits.ts';
import { errorCode, errorMessage } from '../../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { CliError } from '../errors.ts';
import { countText } from '../quantity-text.ts';
import { namesIn, queueFileSuffix, readWhole, receiptSuffix } from './queue-files.ts';

interface ImportOptions extends GlobalOptions {
  readonly directory: string;
  readonly json: boolean;
}

type Report = Awaited<ReturnType<AdminClient['takeReceipts']>>[number];

export function queueImportCommand(context: CliContext): CommandModule<GlobalOptions, ImportOptions> {
  return {
    command: 'import <directory>',
    describe: "take the hub's receipts from a stick, and free what they cover",
    builder: (yargs) =>
      yargs
        .positional('directory', { type: 'string', demandOption: true, describe: 'where the stick is mounted' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir queue import /media/usb', 'after weir hub import at the hub'),
    handler: (options) => importReceipts(context, options),
  };
}

async function importReceipts(context: CliContext, options: ImportOptions): Promise<void> {
  const { directory } = options;
  const names = await namesIn(context, directory, `${queueFileSuffix}${receiptSuffix}`);
  if (names.length === 0)
    throw new CliError(
      'CLI_NO_QUEUE_FILES',
      `There are no receipts in ${directory}. The hub makes them: weir hub import, on the stick that weir queue export wrote.`,
    );
  const client = await adminClient(context, options);
  const reports: Report[] = [];
  for (let at = 0; at < names.length; at += queueReceiptsMax) {
    const receipts: { name: string; text: string }[] = [];
    for (const name of names.slice(at, at + queueReceiptsMax)) {
      try {
        const content = await readWhole(context, `${directory}/${name}`, queueReceiptBytesMax);
        receipts.push({ name, text: content.toString('utf8') });
      } catch (error) {
        // One bad place on the stick does not stop the others.
        reports.push({ name, outcome: 'refused', code: errorCode(error), message: errorMessage(error) });
      }
    }
    if (receipts.length > 0) reports.push(...(await client.takeReceipts(receipts)));
  }
  if (options.json) await writeJson(context, reports);
  else await context.terminal.write(reportText(directory, reports));
  if (reports.some(({ outcome }) => outcome === 'refused')) context.exit.code = 1;
}

function reportText(directory: string, reports: readonly Report[]): string {
  const of = (outcome: Report['outcome']): readonly Report[] => reports.filter((report) => report.outcome === outcome);
  const freed = of('freed');
  const messages = freed.reduce((sum, report) => sum + (report.messages ?? 0), 0);
  const lines = [
    `${countText(freed.length, 'receipt')} ${freed.length === 1 ? 'frees' : 'free'} ${countText(messages, 'message')}.`,
    ...(of('gone').length === 0
      ? []
      : [`${of('gone').length} cover nothing that still waits: their files can be deleted.`]),
    ...(of('other').length === 0 ? [] : [`${of('other').length} are for other gateways.`]),
    ...of('refused').map(({ code, message }) => `${message} [${code}]`),
    ...(freed.length === 0 ? [] : [`The files in ${directory} that have a receipt can be deleted.`]),
  ];
  return `${lines.join('\n')}\n`;
}
