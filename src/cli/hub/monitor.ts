// `weir hub monitor`: the messages in the hub's log, one line each, live unless told otherwise.
//
//   2026-05-01T08:00:00.000Z #12 gw-7/modbus out {"temperature":21.4} sequenceNumber=12 [messageId=m7 contentType=application/json]
//   └ accepted at           offset sender  output body               application properties  system properties
//
// --json passes the hub's lines on unchanged. A hub that goes away while followed is waited for, and reading goes
// on behind the last line shown: nothing is missed and nothing shown twice.

import type { CommandModule } from 'yargs';
import { errorCode, errorMessage } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { pause } from '../../model/pause.ts';
import { linesOf } from '../../model/whole-lines.ts';
import type { CliContext } from '../context.ts';
import { painted, type Terminal } from '../terminal.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface MonitorOptions extends HubClientOptions {
  readonly device: string | undefined;
  readonly from: string | undefined;
  readonly follow: boolean;
  readonly json: boolean;
}

const retryDelayMs = 1_000;

export function monitorCommand(context: CliContext): CommandModule<HubClientOptions, MonitorOptions> {
  return {
    command: 'monitor',
    describe: 'what devices send, live',
    builder: (yargs) =>
      yargs
        .option('device', { type: 'string', requiresArg: true, describe: 'of this device only' })
        .option('from', {
          type: 'string',
          requiresArg: true,
          describe: 'earliest, latest, an offset, or a time such as 2026-05-01T08:00:00Z',
        })
        .option('follow', {
          type: 'boolean',
          default: true,
          describe: 'go on with what comes; --no-follow ends at the last message',
        })
        .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line' })
        .example('weir hub monitor --device gw-7', 'live, until Ctrl-C')
        .example('weir hub monitor --from earliest --no-follow --json', 'everything there is'),
    handler: (options) => monitor(context, options),
  };
}

async function monitor(context: CliContext, options: MonitorOptions): Promise<void> {
  const stop = new AbortController();
  context.onStop(() => stop.abort());
  const reader = new LogReader(context, options, stop.signal);
  try {
    if (options.device !== undefined) await tellUnknown(context, options, options.device);
    await reader.read(options.from ?? (options.follow ? 'latest' : 'earliest'));
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

/** Messages of a deleted device are there all the same; of a mistyped one nothing will ever come. */
async function tellUnknown(context: CliContext, options: MonitorOptions, device: string): Promise<void> {
  try {
    await new HubClient(context, options).object('GET', `/devices/${encodeURIComponent(device)}`);
  } catch (error) {
    if (errorCode(error) !== 'HUB_DEVICE_NOT_FOUND') throw error;
    context.terminal.writeError(`weir: there is no device ${device} now; shown is what it sent before.\n`);
  }
}

class LogReader {
  readonly #context: CliContext;
  readonly #options: MonitorOptions;
  readonly #signal: AbortSignal;
  readonly #client: HubClient;
  /** Where to go on: behind the last line shown, once there is one. */
  #next: string | undefined;

  constructor(context: CliContext, options: MonitorOptions, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#signal = signal;
    this.#client = new HubClient(context, options);
  }

  async read(from: string): Promise<void> {
    // `latest` is pinned to an offset at once, so that a hub restarted before the first message changes nothing.
    this.#next = from === 'latest' ? await this.#end() : from;
    await this.#once();
    while (this.#options.follow && !this.#signal.aborted) {
      await pause(this.#context.clock, retryDelayMs, this.#signal);
      await this.#once().catch((error: unknown) => {
        if (errorCode(error) !== 'CLI_HUB_NOT_RUNNING') throw error;
      });
    }
  }

  async #end(): Promise<string> {
    const status = await this.#client.object('GET', '/status');
    const log = status['eventLog'];
    return isJsonObject(log) ? String(log['nextOffset']) : 'latest';
  }

  /** Shows lines until the end of the stream; a stream that breaks off while followed is a hub that went away. */
  async #once(): Promise<void> {
    const { device, follow } = this.#options;
    const query = new URLSearchParams({
      from: this.#next ?? 'earliest',
      ...(device === undefined ? {} : { device }),
      ...(follow ? { follow: 'true' } : {}),
    });
    const body = await this.#client.stream(`/events?${query.toString()}`, this.#signal);
    try {
      for await (const line of linesOf(body)) await this.#show(line);
    } catch (error) {
      if (!follow) throw error;
      if (!this.#signal.aborted)
        this.#context.terminal.writeError(`weir: the hub went away (${errorMessage(error)}); waiting for it\n`);
    }
  }

  async #show(line: string): Promise<void> {
    const parsed = parseJson(line);
    if (!parsed.ok || !isJsonObject(parsed.value)) return;
    const { terminal } = this.#context;
    await terminal.write(`${this.#options.json ? line : eventText(terminal, parsed.value)}\n`);
    this.#next = String(Number(parsed.value['offset']) + 1);
  }
}

/** One event for a person; cut to the terminal's width. */
export function eventText(terminal: Pick<Terminal, 'columns' | 'hasColour'>, event: JsonObject): string {
  const sender =
    event['moduleId'] === undefined
      ? String(event['deviceId'])
      : `${String(event['deviceId'])}/${String(event['moduleId'])}`;
  const head = `${String(event['enqueuedTime'])} #${String(event['offset'])} ${sender}${event['output'] === undefined ? '' : ` ${String(event['output'])}`}`;
  const system = pairs(event['systemProperties']);
  const tail = `${pairs(event['properties'])
    .map((pair) => ` ${pair}`)
    .join('')}${system.length === 0 ? '' : ` [${system.join(' ')}]`}`;
  const room = Math.max(0, terminal.columns - head.length - 1);
  const shown = `${bodyText(event)}${tail}`;
  return `${painted(terminal, 'dim', head)} ${shown.length <= room ? shown : `${shown.slice(0, Math.max(0, room - 1))}…`}`;
}

/** `name=value`; a value with blanks, quotes or brackets stands in quotes, so that it can be told from its neighbours. */
function pairs(properties: JsonValue | undefined): readonly string[] {
  if (!isJsonObject(properties)) return [];
  return Object.entries(properties).map(([name, value]) => {
    const text = String(value);
    return `${name}=${/^[^\s"[\]]+$/.test(text) ? text : JSON.stringify(text)}`;
  });
}

function bodyText(event: JsonObject): string {
  if ('body' in event) return JSON.stringify(event['body']);
  const bytes = Buffer.from(String(event['bodyBase64']), 'base64');
  const text = bytes.toString('utf8');
  return isPrintable(text) ? text : `(${bytes.length} bytes)`;
}

function isPrintable(text: string): boolean {
  return !/[^\P{C}\t\r\n]|\uFFFD/u.test(text) && !/[\r\n]/.test(text);
}
