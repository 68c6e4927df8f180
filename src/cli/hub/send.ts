// `weir hub send D [BODY]`: a cloud-to-device message. It waits at the hub until the device takes it.

import type { Argv, CommandModule } from 'yargs';
import { errorMessage } from '../../model/errors.ts';
import { type CliContext, writeJson } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface SendOptions extends HubClientOptions {
  readonly device: string;
  readonly body: string | undefined;
  readonly file: string | undefined;
  readonly property: readonly string[];
  readonly expiry: number | undefined;
  readonly ack: string;
  readonly messageId: string | undefined;
  readonly correlationId: string | undefined;
  readonly userId: string | undefined;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly json: boolean;
}

const msPerSecond = 1000;

export function sendCommand(context: CliContext): CommandModule<HubClientOptions, SendOptions> {
  return {
    command: 'send <device> [body]',
    describe: 'send a message to a device; it waits until the device takes it',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', demandOption: true, describe: 'which device' })
        .positional('body', { type: 'string', describe: 'the text to send' })
        .option('file', { type: 'string', requiresArg: true, describe: 'send this file instead' })
        .option('property', {
          type: 'array',
          string: true,
          default: [] as string[],
          requiresArg: true,
          describe: 'name=value, repeatable',
        })
        .option('expiry', {
          type: 'number',
          requiresArg: true,
          describe: 'seconds until it is given up, up to two days [3600]',
        })
        .option('ack', {
          choices: ['none', 'positive', 'negative', 'full'],
          default: 'none',
          describe: 'which feedback is wanted: weir hub feedback',
        })
        .option('message-id', { type: 'string', requiresArg: true, describe: 'its name [made up]' })
        .option('correlation-id', { type: 'string', requiresArg: true, describe: 'what it answers' })
        .option('user-id', { type: 'string', requiresArg: true, describe: 'who sends it' })
        .option('content-type', { type: 'string', requiresArg: true, describe: 'such as application/json' })
        .option('content-encoding', { type: 'string', requiresArg: true, describe: 'such as utf-8' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example(
          `weir hub send plc-3 '{"setpoint":21}' --property kind=order --ack full`,
          'with feedback',
        ) as unknown as Argv<SendOptions>,
    handler: (options) => send(context, options),
  };
}

async function send(context: CliContext, options: SendOptions): Promise<void> {
  const { device, expiry, messageId, correlationId, userId, contentType, contentEncoding } = options;
  const request = {
    body: (await bodyOf(context, options)).toString('base64'),
    properties: propertiesOf(options.property),
    ack: options.ack,
    expiryTimeUtc: expiry === undefined ? undefined : expiryTime(context, expiry),
    messageId,
    correlationId,
    userId,
    contentType,
    contentEncoding,
  };
  const path = `/devices/${encodeURIComponent(device)}/messages/devicebound`;
  const answer = await new HubClient(context, options).object('POST', path, JSON.stringify(request));
  if (options.json) return await writeJson(context, answer);
  await context.terminal.write(
    `Message ${String(answer['messageId'])} waits for ${device} until ${String(answer['expiryTimeUtc'])} (${String(answer['waiting'])} in its queue).\n`,
  );
}

async function bodyOf(context: CliContext, { body, file }: SendOptions): Promise<Buffer> {
  if (body !== undefined && file !== undefined)
    throw new UsageError('Give the message as text or as --file, not both.');
  if (file === undefined) return Buffer.from(body ?? '');
  return context.disk.readFile('cli:message', file).catch((cause: unknown) => {
    throw new CliError('CLI_CANNOT_READ', `The message ${file} cannot be read: ${errorMessage(cause)}.`, cause);
  });
}

function propertiesOf(texts: readonly string[]): Readonly<Record<string, string>> {
  const pairs = texts.map((text): readonly [string, string] => {
    const equals = text.indexOf('=');
    if (equals <= 0) throw new UsageError(`--property ${text} is not name=value.`);
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
  return Object.fromEntries(pairs);
}

function expiryTime(context: CliContext, seconds: number): string {
  if (!(seconds > 0)) throw new UsageError('--expiry takes a number of seconds above 0.');
  return new Date(context.clock.wallMs() + seconds * msPerSecond).toISOString();
}
