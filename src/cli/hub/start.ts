// `weir hub start`: the control plane in the foreground, until SIGTERM or SIGINT.
//
// Prints one line when it serves, on standard output; the log goes to standard error. Scripts wait for that line:
//   weir hub is ready: mqtt localhost:8883 (TLS), api /run/weir-hub/hub.sock, CA /var/lib/weir-hub/certs/hub-ca.pem
//   {"event":"ready","hostname":…,"mqttPort":…,"mqttPlainPort":…,"mqttWssPort":…,"socket":…,"caPath":…}      with --json
//
// The first signal ends it in order, a second one at once; what was acknowledged is safe either way.

import type { Argv, CommandModule } from 'yargs';
import type { RunningHub } from '../../cloud.ts';
import { releaseMemory } from '../../platform/memory.ts';
import type { CliContext } from '../context.ts';
import { UsageError } from '../errors.ts';
import { type HubClientOptions, hubDataDir, hubRunDir } from './hub-client.ts';

export interface HubStartOptions extends HubClientOptions {
  readonly hostname: readonly string[];
  readonly mqttHost: string;
  readonly mqttPort: number;
  readonly mqttPlain: string | undefined;
  readonly mqttWss: string | undefined;
  readonly deviceCa: string | undefined;
  readonly retentionDays: number;
  readonly retentionMib: number;
  readonly events: readonly ('twin-changes' | 'lifecycle' | 'connections')[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly json: boolean;
}

const portMax = 65_535;
const mqttTlsPort = 8883;
const retentionDaysUsual = 7;
const retentionMibUsual = 4096;
const retentionMibMin = 16;
const msPerDay = 86_400_000;
const bytesPerMib = 1_048_576;
const exitAtOnce = 1;

export function startCommand(context: CliContext): CommandModule<HubClientOptions, HubStartOptions> {
  return {
    command: 'start',
    describe: 'run the hub in the foreground',
    builder: startOptions,
    handler: (options) => start(context, options),
  };
}

function startOptions(yargs: Argv<HubClientOptions>): Argv<HubStartOptions> {
  const options = yargs
    .option('hostname', {
      type: 'string',
      array: true,
      requiresArg: true,
      default: ['localhost'],
      describe: 'name or address under which devices reach it; the first stands in connection strings',
    })
    .option('mqtt-host', {
      type: 'string',
      requiresArg: true,
      default: '0.0.0.0',
      describe: 'address to listen on',
    })
    .option('mqtt-port', {
      type: 'number',
      requiresArg: true,
      default: mqttTlsPort,
      describe: 'MQTT over TLS; 0 takes a free one',
    })
    .option('mqtt-plain', {
      type: 'string',
      requiresArg: true,
      describe: 'also MQTT without TLS, such as tcp://127.0.0.1:1883',
    })
    .option('mqtt-wss', {
      type: 'string',
      requiresArg: true,
      describe: 'also MQTT over WebSocket, such as wss://0.0.0.0:443',
    })
    .option('device-ca', {
      type: 'string',
      requiresArg: true,
      describe: 'PEM file of the authorities that issue certificates to devices (x509_ca)',
    })
    .option('retention-days', {
      type: 'number',
      requiresArg: true,
      default: retentionDaysUsual,
      describe: 'how long messages stay in the log',
    })
    .option('retention-mib', {
      type: 'number',
      requiresArg: true,
      default: retentionMibUsual,
      describe: 'how much of them',
    })
    .option('events', {
      array: true,
      choices: ['twin-changes', 'lifecycle', 'connections'] as const,
      default: [],
      describe: 'what stands in the log besides what devices send',
    })
    .option('log-level', {
      choices: ['debug', 'info', 'warn', 'error'] as const,
      default: 'info' as const,
      describe: 'what is logged',
    })
    .option('json', { type: 'boolean', default: false, describe: 'the ready line as JSON' })
    .example('weir hub start --hostname hub.example.com', 'for gateways in the network')
    .example('weir hub start --data-dir ./hub --run-dir ./run --mqtt-port 0', 'to try it out');
  return options as unknown as Argv<HubStartOptions>;
}

async function start(context: CliContext, options: HubStartOptions): Promise<void> {
  const settings = readSettings(options);
  const { startHub } = await import('../../cloud.ts');
  let signals = 0;
  const stopped = new Promise<void>((resolve) => {
    context.onStop(() => {
      signals += 1;
      if (signals > 1) process.exit(exitAtOnce);
      resolve();
    });
  });
  const hub = await startHub({ ...settings, writeLog: (line) => context.terminal.writeError(line) });
  try {
    await context.terminal.write(readyLine(hub, options.json));
    const releasing = releaseMemory({ clock: context.clock, of: 'process' });
    await stopped;
    releasing.cancel();
  } finally {
    await hub.close();
  }
}

function readyLine(hub: RunningHub, json: boolean): string {
  const { hostname, mqttPort, mqttPlainPort, mqttWssPort, socketPath, caPath } = hub;
  if (json)
    return `${JSON.stringify({
      event: 'ready',
      hostname,
      mqttPort,
      mqttPlainPort: mqttPlainPort ?? null,
      mqttWssPort: mqttWssPort ?? null,
      socket: socketPath,
      caPath,
    })}\n`;
  const plain = mqttPlainPort === undefined ? '' : ` and port ${mqttPlainPort} (without TLS)`;
  const wss = mqttWssPort === undefined ? '' : ` and port ${mqttWssPort} (WebSocket)`;
  return `weir hub is ready: mqtt ${hostname}:${mqttPort} (TLS)${plain}${wss}, api ${socketPath}, CA ${caPath}\n`;
}

function readSettings(options: HubStartOptions) {
  if (options.config !== undefined)
    throw new UsageError('The hub has no configuration file: its settings are the options of weir hub start.');
  if (!isWhole(options.mqttPort, { min: 0, max: portMax }))
    throw new UsageError(`--mqtt-port must be 0 to ${portMax}.`);
  if (!(options.retentionDays > 0)) throw new UsageError('--retention-days must be over 0.');
  if (!(options.retentionMib >= retentionMibMin))
    throw new UsageError(`--retention-mib must be ${retentionMibMin} or more.`);
  const hostnames = options.hostname.map((name) => name.trim());
  const bad = hostnames.find((name) => !/^[A-Za-z0-9.:_-]+$/.test(name));
  if (bad !== undefined) throw new UsageError(`--hostname ${bad} is neither a host name nor an address.`);
  return {
    dataDir: options.dataDir ?? hubDataDir,
    runDir: options.runDir ?? hubRunDir,
    socketPath: options.hubSocket,
    hostnames,
    mqtt: { host: options.mqttHost, port: options.mqttPort },
    mqttPlain: readListener(options.mqttPlain, plainForm),
    mqttWss: readListener(options.mqttWss, wssForm),
    deviceAuthoritiesPath: options.deviceCa,
    retentionBytes: Math.floor(options.retentionMib * bytesPerMib),
    retentionMs: options.retentionDays * msPerDay,
    events: options.events,
    logLevel: options.logLevel,
  };
}

interface ListenerForm {
  readonly option: string;
  readonly scheme: 'tcp' | 'wss';
  readonly example: string;
}

const plainForm: ListenerForm = { option: '--mqtt-plain', scheme: 'tcp', example: 'tcp://127.0.0.1:1883' };
const wssForm: ListenerForm = { option: '--mqtt-wss', scheme: 'wss', example: 'wss://0.0.0.0:443' };

function readListener(
  text: string | undefined,
  { option, scheme, example }: ListenerForm,
): { readonly host: string; readonly port: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^([a-z]+):\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match?.[1] !== scheme || !isWhole(port, { min: 0, max: portMax }))
    throw new UsageError(`${option} ${text} is not understood. Write it as ${example}.`);
  return { host: String(match[2]).replace(/^\[|\]$/g, ''), port };
}

function isWhole(value: number, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
