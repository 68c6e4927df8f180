// `weir hub feedback`: what became of messages whose sender asked (weir hub send --ack).
//
//   2026-05-01T08:00:00.000Z #3 plc-3 7f0c… Success

import type { CommandModule } from 'yargs';
import { isJsonObject, type JsonObject, parseJson } from '../../model/json.ts';
import { linesOf } from '../../model/whole-lines.ts';
import type { CliContext } from '../context.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface FeedbackOptions extends HubClientOptions {
  readonly from: string | undefined;
  readonly follow: boolean;
  readonly json: boolean;
}

export function feedbackCommand(context: CliContext): CommandModule<HubClientOptions, FeedbackOptions> {
  return {
    command: 'feedback',
    describe: 'what became of messages to devices',
    builder: (yargs) =>
      yargs
        .option('from', { type: 'string', requiresArg: true, describe: 'earliest, latest or an offset [earliest]' })
        .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'go on with what comes' })
        .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line' })
        .example('weir hub feedback --from latest --follow', 'what is told from now on, until Ctrl-C'),
    handler: (options) => feedback(context, options),
  };
}

async function feedback(context: CliContext, options: FeedbackOptions): Promise<void> {
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const query = new URLSearchParams({
    from: options.from ?? 'earliest',
    ...(options.follow ? { follow: 'true' } : {}),
  });
  const body = await new HubClient(context, options).stream(`/feedback?${query.toString()}`, stop.signal);
  try {
    for await (const line of linesOf(body)) await show(context, options, line);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

async function show(context: CliContext, options: FeedbackOptions, line: string): Promise<void> {
  const parsed = parseJson(line);
  if (!parsed.ok || !isJsonObject(parsed.value)) return;
  await context.terminal.write(`${options.json ? line : feedbackText(parsed.value)}\n`);
}

function feedbackText(record: JsonObject): string {
  const { enqueuedTimeUtc, offset, deviceId, originalMessageId, statusCode } = record;
  return `${String(enqueuedTimeUtc)} #${String(offset)} ${String(deviceId)} ${String(originalMessageId)} ${String(statusCode)}`;
}
