// `weir queue peek QUEUE`: what waits, without touching it.
//
//   #12  gw-7/modbus out  2026-11-21T09:12:44.123Z  priority 3  27 bytes
//        sequenceNumber=12  unit=degC
//        {"temperature":21.4}
//
// A body that is text is shown as text, any other by its first bytes in hexadecimal.

import type { CommandModule } from 'yargs';
import type { AdminClient } from '../../admin/index.ts';
import { queuePeekMessagesMax } from '../../limits.ts';
import { parseJson } from '../../model/json.ts';
import { adminClient, type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { UsageError } from '../errors.ts';
import { painted, type Terminal } from '../terminal.ts';
import { laneText, readPriority, withPriority } from './lane-words.ts';

interface PeekOptions extends GlobalOptions {
  readonly queue: string;
  readonly priority: string | undefined;
  readonly count: number;
  readonly from: 'first' | 'last';
  readonly json: boolean;
}

type Peeked = Awaited<ReturnType<AdminClient['peekQueue']>>[number];

const countUsual = 10;
const hexBytesShown = 32;

export function queuePeekCommand(context: CliContext): CommandModule<GlobalOptions, PeekOptions> {
  return {
    command: 'peek <queue>',
    describe: 'the messages of a queue, without taking them out',
    builder: (yargs) =>
      yargs
        .positional('queue', { type: 'string', demandOption: true, describe: "its name; quote '$upstream'" })
        .option('priority', { type: 'string', requiresArg: true, describe: 'only of this one: 0 to 9, or unset' })
        .option('count', { type: 'number', requiresArg: true, default: countUsual, describe: 'at most as many' })
        .option('from', {
          choices: ['first', 'last'] as const,
          default: 'first' as const,
          describe: 'those that leave first, or those that came last',
        })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example("weir queue peek '$upstream' --count 3", 'the next three to the hub'),
    handler: (options) => peek(context, options),
  };
}

async function peek(context: CliContext, options: PeekOptions): Promise<void> {
  const { queue, count, from } = options;
  if (!Number.isInteger(count) || count < 1 || count > queuePeekMessagesMax)
    throw new UsageError(`--count must be a whole number from 1 to ${queuePeekMessagesMax}.`);
  const priority = readPriority(options.priority);
  const messages = await (await adminClient(context, options)).peekQueue({ queue, priority, count, from });
  if (options.json) return await writeJson(context, messages.map(peekedJson));
  const texts = messages.map((message) => peekedText(context.terminal, message));
  await context.terminal.write(texts.length === 0 ? 'Nothing waits there.\n' : texts.join(''));
}

/** As the socket answers it, with the body as JSON or text where it is such. */
function peekedJson({ bodyBase64, ...rest }: Peeked): object {
  const message = withPriority(rest);
  if (bodyBase64 === undefined) return message;
  const text = textOf(Buffer.from(bodyBase64, 'base64'));
  if (text === undefined) return { ...message, bodyBase64 };
  const json = parseJson(text);
  return json.ok ? { ...message, body: json.value } : { ...message, bodyText: text };
}

function peekedText(terminal: Pick<Terminal, 'hasColour'>, message: Peeked): string {
  const { offset, deviceId, moduleId, output, enqueuedMs, properties, system, bytes } = message;
  const indent = ' '.repeat(`#${offset}  `.length);
  const sender = `${deviceId}${moduleId === undefined ? '' : `/${moduleId}`}${output === undefined ? '' : ` ${output}`}`;
  const head = `#${offset}  ${sender}  ${new Date(enqueuedMs).toISOString()}  ${laneText(message)}  ${bytes} bytes`;
  const named = [...Object.entries(system).map(([name, value]) => [`$${name}`, value]), ...Object.entries(properties)];
  const pairs = named.map(([name, value]) => `${name}=${value}`).join('  ');
  const body = bytes === 0 ? '' : `${indent}${bodyText(message)}\n`;
  return `${painted(terminal, 'bold', head)}\n${pairs === '' ? '' : `${indent}${printable(pairs)}\n`}${body}`;
}

function bodyText({ bodyBase64, bytes }: Peeked): string {
  if (bodyBase64 === undefined) return '(not shown here; ask for fewer messages)';
  const body = Buffer.from(bodyBase64, 'base64');
  const text = textOf(body);
  if (text !== undefined) return printable(text);
  return `${body.toString('hex', 0, hexBytesShown)}${bytes > hexBytesShown ? '…' : ''}`;
}

/** Undefined when the bytes are not UTF-8 text. */
function textOf(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8');
  return /[^\P{C}\t\r\n]|\uFFFD/u.test(text) ? undefined : text;
}

/** On one line, and without anything that a terminal would obey. */
function printable(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/\p{C}/gu, '?');
}
