// A built-in module as this process, put together: the root of `weir module run NAME`.
//
// The machine's parts that a module needs and no others: neither the command line, nor the broker, nor SQLite,
// nor TLS, because every module pays for what is loaded here, and a small board runs many of them.

import { runModule } from './modules/index.ts';
import { systemClock } from './platform/clock.ts';
import { systemEntropy } from './platform/entropy.ts';
import { systemHttp } from './platform/http.ts';
import { createLog } from './platform/log.ts';
import { releaseMemory } from './platform/memory.ts';
import { systemNetwork } from './platform/net.ts';
import { systemSerial } from './platform/serial.ts';

/** Runs until SIGTERM or SIGINT. Resolves with the exit code. */
export function runModuleProcess(name: string): Promise<number> {
  const { env, stderr } = process;
  const clock = systemClock();
  // Without a listener, a reader of the log that went away would end the module.
  stderr.on('error', () => undefined);
  // The shim stamps and keeps standard output and standard error alike.
  const level = env['WEIR_LOG_LEVEL'] === 'debug' ? 'debug' : 'info';
  const log = createLog({ clock, level, write: (line) => void stderr.write(line) });
  releaseMemory({ clock, log, of: 'process' });
  return runModule(
    name,
    {
      network: systemNetwork(),
      http: systemHttp(),
      clock,
      entropy: systemEntropy(),
      serial: systemSerial(),
      log,
      onTerminate(listener) {
        process.on('SIGINT', listener);
        process.on('SIGTERM', listener);
      },
    },
    env,
  );
}
