// `weir run`: the gateway itself, in the foreground, until SIGTERM or SIGINT.
//
// The first signal ends it in order (modules keep running), a second one at once; SIGHUP reads users and policy anew. Everything heavy is imported
// here and nowhere else in the command line.

import type { CommandModule } from 'yargs';
import { builtinModuleNames } from '../modules/index.ts';
import { releaseMemory } from '../platform/memory.ts';
import { adminClient, type CliContext, type GlobalOptions } from './context.ts';
import { CliError } from './errors.ts';

const answerTimeoutMs = 1_000;

export function runCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  return {
    command: 'run',
    describe: 'run the gateway in the foreground',
    builder: (yargs) =>
      yargs
        .example('weir run', 'with /etc/weir/config.toml')
        .example('weir run --config ./gw.toml --data-dir ./data --run-dir ./run', 'a second gateway beside it'),
    handler: (options) => run(context, options),
  };
}

async function run(context: CliContext, options: GlobalOptions): Promise<void> {
  await refuseSecond(context, options);
  const { startDevice } = await import('../device.ts');
  const device = startDevice(
    { configPath: options.config, dataDir: options.dataDir, runDir: options.runDir },
    { builtinModules: builtinModuleNames },
  );
  context.onReload(() => void device.reload());
  let signals = 0;
  const stopped = new Promise<void>((resolve) => {
    context.onStop(() => {
      signals++;
      if (signals > 1) process.exit(1);
      resolve();
    });
  });
  try {
    await Promise.race([device.ready, stopped]);
    const releasing = releaseMemory({ clock: context.clock, of: 'server' });
    await stopped;
    releasing.cancel();
  } finally {
    await device.close();
  }
}

/** A second gateway on the same run directory would take the sockets from under the first one's modules. */
async function refuseSecond(context: CliContext, options: GlobalOptions): Promise<void> {
  const client = await adminClient(context, options);
  const late = new AbortController();
  const timer = context.clock.setTimer(answerTimeoutMs, () => late.abort());
  const running = await client.status(late.signal).then(
    (report) => report.version,
    () => undefined,
  );
  timer.cancel();
  if (running !== undefined)
    throw new CliError(
      'CLI_ALREADY_RUNNING',
      `weir ${running} runs already (${client.socketPath}). Stop it first, or give this one a --run-dir and --data-dir of its own.`,
    );
}
