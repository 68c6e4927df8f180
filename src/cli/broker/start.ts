// `weir broker`: the broker alone in the foreground, until SIGTERM or SIGINT.
//
// Prints one line when it serves, on standard output; the log goes to standard error. Scripts wait for that line:
//   weir broker is ready: tcp://127.0.0.1:1883, anonymous clients of this machine only
//   {"event":"ready","listeners":["tcp://127.0.0.1:1883"],"anonymous":"local",…}             with --json
//
// SIGHUP reads password, ACL and certificate files anew. The first SIGTERM ends it in order, a second one at once.

import type { Argv } from 'yargs';
import { batchLines } from '../../platform/log.ts';
import { releaseMemory } from '../../platform/memory.ts';
import type { RunningBroker } from '../../standalone.ts';
import type { CliContext, GlobalOptions } from '../context.ts';
import { UsageError } from '../errors.ts';

export interface BrokerStartOptions extends GlobalOptions {
  readonly listen: readonly string[] | undefined;
  readonly proxyProtocol: readonly string[] | undefined;
  readonly trustedProxies: readonly string[] | undefined;
  readonly allowAnonymous: boolean | undefined;
  readonly passwordFile: string | undefined;
  readonly aclFile: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsCa: string | undefined;
  readonly requireCertificate: boolean | undefined;
  readonly useIdentityAsUsername: boolean | undefined;
  readonly deniedPublish: 'drop' | 'disconnect' | undefined;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | undefined;
  readonly json: boolean;
}

const exitAtOnce = 1;

const anonymity = {
  nobody: 'no anonymous clients',
  local: 'anonymous clients of this machine only',
  everybody: 'anonymous clients from everywhere',
} as const;

export function brokerOptions(yargs: Argv<GlobalOptions>): Argv<BrokerStartOptions> {
  const path = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
  const options = yargs
    .option('listen', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'tcp://, tls://, ws://, wss://HOST:PORT or unix:///PATH; repeatable [tcp://127.0.0.1:1883]',
    })
    .option('proxy-protocol', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'which of --listen stand behind a proxy that sends PROXY headers, version 2; repeatable',
    })
    .option('trusted-proxies', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'addresses and networks of those proxies; repeatable [127.0.0.0/8 ::1]',
    })
    .option('allow-anonymous', { type: 'boolean', describe: 'clients without a user name may come in' })
    .option('password-file', path('who may come in, as weir broker passwd and mosquitto_passwd write it'))
    .option('acl-file', path("which topics whom, in mosquitto's format"))
    .option('data-dir', { ...path('sessions and retained messages; none: in memory'), global: true })
    .option('config', { ...path('TOML file with the same settings and [limits]; options win'), global: true })
    .option('run-dir', { type: 'string', hidden: true, global: true })
    .option('tls-cert', path('PEM: certificate and chain, for tls:// and wss://'))
    .option('tls-key', path('PEM: its private key'))
    .option('tls-ca', path('PEM: who may vouch for client certificates'))
    .option('require-certificate', { type: 'boolean', describe: 'clients must show a certificate of --tls-ca' })
    .option('use-identity-as-username', {
      type: 'boolean',
      describe: 'the common name of the client certificate is the user name',
    })
    .option('denied-publish', {
      choices: ['drop', 'disconnect'] as const,
      describe: 'what a 3.1.1 client meets that publishes where it may not [drop]',
    })
    .option('log-level', { choices: ['debug', 'info', 'warn', 'error'] as const, describe: 'what is logged [info]' })
    .option('json', { type: 'boolean', default: false, describe: 'the ready line as JSON' })
    .example('weir broker', 'for clients of this machine')
    .example('weir broker --listen tcp://0.0.0.0:1883 --password-file ./passwd --data-dir ./data', 'for a site')
    .example('weir broker --config /etc/weir/broker.toml', 'all from a file')
    .example('weir broker passwd ./passwd plc-1', 'a user');
  return options as unknown as Argv<BrokerStartOptions>;
}

export async function runBroker(context: CliContext, options: BrokerStartOptions): Promise<void> {
  if (options.runDir !== undefined) throw new UsageError('weir broker has no --run-dir.');
  const { startBroker } = await import('../../standalone.ts');
  let signals = 0;
  const stopped = new Promise<void>((resolve) => {
    context.onStop(() => {
      signals += 1;
      if (signals > 1) process.exit(exitAtOnce);
      resolve();
    });
  });
  // Before the broker is there, a SIGHUP has nothing to read anew; but it must not end the process.
  let running: RunningBroker | undefined;
  context.onReload(() => void running?.reload());
  const log = batchLines(context.clock, (lines) => context.terminal.writeError(lines));
  process.once('exit', log.flush);
  try {
    running = await startBroker({
      configPath: options.config,
      options: settingsOf(options),
      writeLog: log.write,
    });
    await serve(context, { running, stopped, json: options.json });
  } finally {
    process.off('exit', log.flush);
    log.flush();
  }
}

async function serve(
  context: CliContext,
  {
    running,
    stopped,
    json,
  }: { readonly running: RunningBroker; readonly stopped: Promise<void>; readonly json: boolean },
): Promise<void> {
  try {
    await context.terminal.write(readyLine(running, json));
    const releasing = releaseMemory({ clock: context.clock, of: 'server' });
    await stopped;
    releasing.cancel();
  } finally {
    await running.close();
  }
}

const settingNames = [
  'listen',
  'proxyProtocol',
  'trustedProxies',
  'allowAnonymous',
  'passwordFile',
  'aclFile',
  'dataDir',
  'tlsCert',
  'tlsKey',
  'tlsCa',
  'requireCertificate',
  'useIdentityAsUsername',
  'deniedPublish',
  'logLevel',
] as const;

type GivenSettings = {
  [Name in (typeof settingNames)[number]]?: Exclude<BrokerStartOptions[Name], undefined>;
};

/** What the command line says; the file says the rest. */
function settingsOf(options: BrokerStartOptions): GivenSettings {
  const all = settingNames.map((name) => [name, options[name]] as const);
  return Object.fromEntries(all.filter(([, value]) => value !== undefined)) as GivenSettings;
}

function readyLine({ listeners, anonymous, config }: RunningBroker, json: boolean): string {
  if (!json) return `weir broker is ready: ${listeners.join(', ')}, ${anonymity[anonymous]}\n`;
  const { path, passwordFile, aclFile, dataDir } = config;
  const files = { config: path, passwordFile, aclFile, dataDir };
  const told = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, file ?? null]));
  return `${JSON.stringify({ event: 'ready', listeners, anonymous, ...told, pid: process.pid })}\n`;
}
