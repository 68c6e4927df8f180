// What `weir module run` does for a built-in module, for modules of the tests: the real host on the real machine.

import type { ModuleDefinition } from '../../../src/modules/contract.ts';
import { ModuleHost } from '../../../src/modules/host.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { systemEntropy } from '../../../src/platform/entropy.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { createLog } from '../../../src/platform/log.ts';
import { systemNetwork } from '../../../src/platform/net.ts';
import { systemSerial } from '../../../src/platform/serial.ts';

export function runModule(definition: ModuleDefinition): void {
  const clock = systemClock();
  const host = new ModuleHost(
    definition,
    {
      network: systemNetwork(),
      http: systemHttp(),
      clock,
      entropy: systemEntropy(),
      log: createLog({ clock, level: 'info', write: (line) => void process.stdout.write(line) }),
      serial: systemSerial(),
      onTerminate: () => undefined,
    },
    process.env,
  );
  process.on('SIGTERM', () => void host.close().then(() => process.exit(0)));
  host.start();
}
