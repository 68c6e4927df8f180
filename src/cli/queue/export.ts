// `weir queue export DIR`: what waits for the hub, as sealed files on a stick that somebody carries there.
//
//   gateway ─► file ─► DIR (temp, fsync, rename, fsync of DIR) ─► the next … until every lane is out
//
// Written here and not by the daemon, so that the stick needs to be writable for who types this and for nobody else.
// Nothing leaves the queue. Files that are in DIR already are not made again: an export that was broken off goes on.
// What comes while it runs and after a lane's last file belongs to the next export.

import type { Argv, CommandModule } from 'yargs';
import type { AdminClient } from '../../admin/index.ts';
import { errorMessage } from '../../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { CliError } from '../errors.ts';
import { countText, sizeText } from '../quantity-text.ts';
import { wholeFiles } from './queue-files.ts';

interface ExportOptions extends GlobalOptions {
  readonly directory: string;
  readonly queue: string;
  readonly whatFits: boolean;
  readonly json: boolean;
}

type File = NonNullable<Awaited<ReturnType<AdminClient['exportQueue']>>>;

interface Written {
  readonly files: string[];
  messages: number;
  bytes: number;
  isComplete: boolean;
}

/** What a file's messages need beside what they need on the gateway's disk. */
const messageOverheadBytes = 128;
/** Left free on the stick: for receipts. */
const spareBytes = 1_048_576;
const progressEveryMs = 2_000;
/** Anybody may copy them: they are sealed. */
const fileMode = 0o644;

export function queueExportCommand(context: CliContext): CommandModule<GlobalOptions, ExportOptions> {
  return {
    command: 'export <directory>',
    describe: 'write what waits for the hub to a stick, sealed; the queue keeps it',
    builder: exportOptions,
    handler: (options) => exportQueue(context, options),
  };
}

function exportOptions(yargs: Argv<GlobalOptions>): Argv<ExportOptions> {
  const options = yargs
    .positional('directory', { type: 'string', demandOption: true, describe: 'where the stick is mounted' })
    .option('queue', { type: 'string', requiresArg: true, default: '$upstream', describe: 'the queue to the hub' })
    .option('what-fits', { type: 'boolean', default: false, describe: 'as much as there is room for' })
    .option('json', { type: 'boolean', default: false, describe: 'for programs' })
    .example('weir queue export /media/usb', 'then, at the hub: weir hub import /media/usb');
  return options as unknown as Argv<ExportOptions>;
}

async function exportQueue(context: CliContext, options: ExportOptions): Promise<void> {
  const written: Written = { files: [], messages: 0, bytes: 0, isComplete: false };
  await write(context, options, written);
  const { files, messages, bytes, isComplete } = written;
  const { directory } = options;
  if (options.json) return await writeJson(context, { directory, files, messages, bytes, complete: isComplete });
  const sum = `${countText(files.length, 'file')}, ${countText(messages, 'message')}, ${sizeText(bytes)} written to ${directory}.`;
  const rest = isComplete ? '' : ' The stick is full: bring it to the hub, import its receipts here, and export again.';
  const next = `At the hub: weir hub import ${directory}; back here: weir queue import ${directory}`;
  await context.terminal.write(
    files.length === 0 && isComplete
      ? `Nothing waits that is not in ${directory} already.\n`
      : `${sum}${rest}\n${next}\n`,
  );
}

async function write(context: CliContext, options: ExportOptions, written: Written): Promise<void> {
  const { directory, queue, whatFits } = options;
  const client = await adminClient(context, options);
  const present = await wholeFiles(context, directory);
  const have: { stream: string; after: number; last: number }[] = merged(present);
  const done: string[] = [];
  const progress = new Progress(context);
  for (;;) {
    const file = await client.exportQueue({ queue, have, done });
    if (file === undefined) break;
    const content = Buffer.from(file.contentBase64, 'base64');
    const free = await freeBytes(context, directory);
    if (written.files.length === 0 && !whatFits) checkSpace(directory, { file, free, present });
    if (content.length + spareBytes > free) {
      if (whatFits) return;
      throw noSpace(directory, `it is full after ${written.files.length} files; they are whole`);
    }
    await save(context, `${directory}/${file.name}`, content);
    const { stream, after, last, messages } = file.facts;
    add(have, { stream, after, last });
    if (file.isLast) done.push(stream);
    written.files.push(file.name);
    written.messages += messages;
    written.bytes += content.length;
    progress.tell(written, file.waiting.messages);
  }
  written.isComplete = true;
}

async function save(context: CliContext, path: string, content: Buffer): Promise<void> {
  try {
    await context.disk.writeFileAtomic('cli:queue-file', path, { data: content, mode: fileMode });
  } catch (cause) {
    throw new CliError(
      'CLI_CANNOT_WRITE',
      `${path} cannot be written: ${errorMessage(cause)}. What was written before it is whole; the same command goes on behind it.`,
      cause,
    );
  }
}

async function freeBytes(context: CliContext, directory: string): Promise<number> {
  try {
    return await context.disk.freeBytes('cli:queue-files', directory);
  } catch (cause) {
    throw new CliError('CLI_CANNOT_WRITE', `${directory} cannot be used: ${errorMessage(cause)}.`, cause);
  }
}

/** Before the first file: does the whole of it fit? By estimate, so that nobody waits an hour for the answer. */
function checkSpace(
  directory: string,
  {
    file,
    free,
    present,
  }: { readonly file: File; readonly free: number; readonly present: readonly { readonly bytes: number }[] },
): void {
  const there = present.reduce((sum, { bytes }) => sum + bytes, 0);
  const needed = file.waiting.bytes + file.waiting.messages * messageOverheadBytes - there + spareBytes;
  if (needed > free) throw noSpace(directory, `${sizeText(needed)} are needed, ${sizeText(free)} are free`);
}

function noSpace(directory: string, reason: string): CliError {
  return new CliError(
    'CLI_NO_SPACE',
    `${directory} has no room for the queue: ${reason}. Take a larger stick, or say --what-fits.`,
  );
}

/** Neighbours become one, so that a stick with thousands of files is told in a few words. */
function merged(
  parts: readonly { readonly stream: string; readonly after: number; readonly last: number }[],
): { stream: string; after: number; last: number }[] {
  const have: { stream: string; after: number; last: number }[] = [];
  for (const { stream, after, last } of [...parts].sort((a, b) => a.after - b.after))
    add(have, { stream, after, last });
  return have;
}

function add(
  have: { stream: string; after: number; last: number }[],
  part: { stream: string; after: number; last: number },
): void {
  const before = have.find(({ stream, last }) => stream === part.stream && last === part.after);
  if (before === undefined) have.push(part);
  else before.last = part.last;
}

/** A line on standard error now and then: an export may take an hour. */
class Progress {
  readonly #context: CliContext;
  #toldMs: number;

  constructor(context: CliContext) {
    this.#context = context;
    this.#toldMs = context.clock.monotonicMs();
  }

  tell({ files, messages, bytes }: Written, waiting: number): void {
    const nowMs = this.#context.clock.monotonicMs();
    if (nowMs - this.#toldMs < progressEveryMs) return;
    this.#toldMs = nowMs;
    this.#context.terminal.writeError(
      `${messages} of ${countText(waiting, 'message')}, ${countText(files.length, 'file')}, ${sizeText(bytes)}\n`,
    );
  }
}
