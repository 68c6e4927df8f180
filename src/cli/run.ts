// `weir run`: the gateway itself, in the foreground, until SIGTERM or SIGINT.
//
// The first signal ends it in order (modules keep running), a second one at once. Everything heavy is imported
// here and nowhere else in the command line.

import type { CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from './context.ts';

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
  const [{ startDevice }, { builtinModules }] = await Promise.all([
    import('../device.ts'),
    import('../modules/index.ts'),
  ]);
  const device = startDevice(
    { configPath: options.config, dataDir: options.dataDir, runDir: options.runDir },
    { builtinModules: builtinModules.map((definition) => definition.name) },
  );
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
    await stopped;
  } finally {
    await device.close();
  }
}
