// Queue files and receipts in a directory, such as a USB stick: which there are, and how they are found.
//
//   gw-7-0011223344556677.3-000000012000.weirq            device, stream, the offset it begins behind
//   gw-7-0011223344556677.3-000000012000.weirq.receipt    what the hub took of it
//
// Names sort in the order in which the files of a lane follow each other.

import { queueFileBytesMax } from '../../limits.ts';
import { errorMessage } from '../../model/errors.ts';
import { readSegmentHeader, type SegmentFacts } from '../../protocol/queue-file/index.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';

export const queueFileSuffix = '.weirq';
export const receiptSuffix = '.receipt';

/** Enough for any header. */
const headerBytes = 16_384;

/** Names in the directory that end so, in their order. Throws CLI_CANNOT_READ. */
export async function namesIn(context: CliContext, directory: string, suffix: string): Promise<readonly string[]> {
  try {
    const facts = await context.disk.facts('cli:queue-files', directory);
    if (facts?.isDirectory !== true)
      throw new CliError('CLI_CANNOT_READ', `${directory} is not a directory. Is the stick mounted there?`);
    const names = await context.disk.list('cli:queue-files', directory);
    return names.filter((name) => name.endsWith(suffix) && !name.startsWith('.')).sort();
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError('CLI_CANNOT_READ', `${directory} cannot be read: ${errorMessage(cause)}.`, cause);
  }
}

/** What the whole files of the directory hold; others are as if they were not there. */
export async function wholeFiles(
  context: CliContext,
  directory: string,
): Promise<readonly (SegmentFacts & { readonly bytes: number })[]> {
  const found: (SegmentFacts & { readonly bytes: number })[] = [];
  for (const name of await namesIn(context, directory, queueFileSuffix)) {
    // What the stick does not give back is made again.
    const whole = await wholeFile(context, `${directory}/${name}`).catch(() => undefined);
    if (whole !== undefined) found.push(whole);
  }
  return found;
}

async function wholeFile(
  context: CliContext,
  path: string,
): Promise<(SegmentFacts & { readonly bytes: number }) | undefined> {
  const bytes = (await context.disk.facts('cli:queue-files', path))?.bytes ?? 0;
  const range = { offset: 0, bytesMax: Math.min(bytes, headerBytes) };
  const header = readSegmentHeader(await context.disk.readSlice('cli:queue-files', path, range));
  return header.ok && header.header.length + header.bodyBytes === bytes ? { ...header.facts, bytes } : undefined;
}

/** A file of the directory, if it is no larger than such a file can be. Throws CLI_CANNOT_READ. */
export async function readWhole(
  context: CliContext,
  path: string,
  bytesMax: number = queueFileBytesMax,
): Promise<Buffer> {
  try {
    const bytes = (await context.disk.facts('cli:queue-files', path))?.bytes ?? 0;
    if (bytes <= bytesMax) return await context.disk.readFile('cli:queue-files', path);
  } catch (cause) {
    throw new CliError('CLI_CANNOT_READ', `${path} cannot be read: ${errorMessage(cause)}.`, cause);
  }
  throw new CliError('CLI_CANNOT_READ', `${path} is larger than such a file can be: it is none.`);
}
