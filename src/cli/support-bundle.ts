// `weir support-bundle`: status, configuration without secrets, and logs as one ZIP archive, for who is to help.
//
// The daemon makes it; without one there is `weir check` and the files in the data directory.

import type { Argv, CommandModule } from 'yargs';
import { errorMessage } from '../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions } from './context.ts';
import { CliError } from './errors.ts';
import { sinceMs, sizeText } from './quantity-text.ts';

export interface SupportBundleOptions extends GlobalOptions {
  readonly output: string;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly edgeRuntimeOnly: boolean;
  readonly force: boolean;
}

/** Of an archive that is held before it is written. */
const bundleBytesMax = 268_435_456;

export function supportBundleCommand(context: CliContext): CommandModule<GlobalOptions, SupportBundleOptions> {
  return {
    command: 'support-bundle',
    describe: 'status and logs as one archive, for who is to help',
    builder: bundleOptions,
    handler: (options) => bundle(context, options),
  };
}

function bundleOptions(yargs: Argv<GlobalOptions>): Argv<SupportBundleOptions> {
  const options = yargs
    .option('output', {
      alias: 'o',
      type: 'string',
      default: 'support-bundle.zip',
      requiresArg: true,
      describe: 'where to',
    })
    .option('since', { type: 'string', requiresArg: true, default: '1 day', describe: 'logs since then' })
    .option('until', { type: 'string', requiresArg: true, describe: 'logs before then' })
    .option('edge-runtime-only', { alias: 'e', type: 'boolean', default: false, describe: 'without logs of modules' })
    .option('force', { type: 'boolean', default: false, describe: 'over a file that is there' })
    .example('weir support-bundle -o /media/stick/gw7.zip', 'everything of the last day')
    .example('weir support-bundle --since 2h', 'a smaller one');
  return options as unknown as Argv<SupportBundleOptions>;
}

async function bundle(context: CliContext, options: SupportBundleOptions): Promise<void> {
  const { disk, clock, terminal } = context;
  const { output, since, until } = options;
  if (!options.force && (await disk.facts('cli:bundle', output)) !== undefined)
    throw new CliError('CLI_FILE_EXISTS', `${output} is there already. Name another file with -o, or say --force.`);
  const client = await adminClient(context, options);
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of client.supportBundle({
    sinceMs: since === undefined ? undefined : sinceMs(since, clock.wallMs()),
    untilMs: until === undefined ? undefined : sinceMs(until, clock.wallMs(), '--until'),
    runtimeOnly: options.edgeRuntimeOnly,
    signal: stop.signal,
  })) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > bundleBytesMax)
      throw new CliError(
        'CLI_NO_SPACE',
        `The logs are more than ${sizeText(bundleBytesMax)}. Ask for less with --since.`,
      );
  }
  try {
    await disk.writeFileAtomic('cli:bundle', output, { data: Buffer.concat(pieces) });
  } catch (cause) {
    throw new CliError('CLI_CANNOT_WRITE', `${output} cannot be written: ${errorMessage(cause)}.`, cause);
  }
  await terminal.write(`${output}: ${sizeText(bytes)}. Logs may tell of the plant: look at them before you send it.\n`);
}
