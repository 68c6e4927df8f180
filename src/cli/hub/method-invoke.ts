// `weir hub method invoke D[/M] NAME`: calls a direct method of a device or module and shows its answer.
//
// The exit code is 0 when somebody answered, whatever the status of the answer; 1 when nobody did.

import type { Argv, CommandModule } from 'yargs';
import { parseIdentityKey } from '../../model/address.ts';
import { type JsonValue, parseJson } from '../../model/json.ts';
import { type CliContext, writeJson } from '../context.ts';
import { UsageError } from '../errors.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface MethodInvokeOptions extends HubClientOptions {
  readonly target: string;
  readonly name: string;
  readonly payload: string | undefined;
  readonly timeout: number;
  readonly connectTimeout: number;
  readonly json: boolean;
}

const usualSeconds = 30;

export function methodInvokeCommand(context: CliContext): CommandModule<HubClientOptions, MethodInvokeOptions> {
  return {
    command: 'invoke <target> <name>',
    describe: 'call a direct method of a device or module',
    builder: (yargs) =>
      yargs
        .positional('target', { type: 'string', demandOption: true, describe: 'device, or device/module' })
        .positional('name', { type: 'string', demandOption: true, describe: "the method's name" })
        .option('payload', { type: 'string', requiresArg: true, describe: 'JSON for the method [null]' })
        .option('timeout', {
          type: 'number',
          requiresArg: true,
          default: usualSeconds,
          describe: 'seconds to wait for the answer, 5 to 300',
        })
        .option('connect-timeout', {
          type: 'number',
          requiresArg: true,
          default: 0,
          describe: 'seconds to wait until the target is connected, 0 to 300',
        })
        .option('json', { type: 'boolean', default: false, describe: 'status and payload as one object' })
        .example(`weir hub method invoke gw-7/modbus reconnect --payload '{"line":"rs485"}'`, 'a module on a gateway')
        .example(
          'weir hub method invoke plc-3 reboot --connect-timeout 60',
          'a device that may come within a minute',
        ) as unknown as Argv<MethodInvokeOptions>,
    handler: (options) => invoke(context, options),
  };
}

async function invoke(context: CliContext, options: MethodInvokeOptions): Promise<void> {
  const target = parseIdentityKey(options.target);
  if (target === undefined) throw new UsageError(`'${options.target}' is neither a device nor device/module.`);
  const device = `/twins/${encodeURIComponent(target.deviceId)}`;
  const path = target.moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(target.moduleId)}`;
  const request = {
    methodName: options.name,
    payload: payloadOf(options.payload),
    responseTimeoutInSeconds: options.timeout,
    connectTimeoutInSeconds: options.connectTimeout,
  };
  const answer = await new HubClient(context, options).object('POST', `${path}/methods`, JSON.stringify(request));
  if (options.json) return await writeJson(context, answer);
  const payload = answer['payload'] ?? null;
  await context.terminal.write(
    `Status ${String(answer['status'])}${payload === null ? '' : `\n${JSON.stringify(payload, null, 2)}`}\n`,
  );
}

function payloadOf(text: string | undefined): JsonValue {
  if (text === undefined) return null;
  const parsed = parseJson(text);
  if (!parsed.ok)
    throw new UsageError(`--payload is not JSON: ${parsed.reason}. A text needs its quotes: --payload '"text"'`);
  return parsed.value;
}
