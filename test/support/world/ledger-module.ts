// A module that keeps a ledger: it sends numbered messages and writes down each one that was acknowledged.
//
// Built on the real module host. `LEDGER_FILE` gets a line `batchId sequence` per acknowledgement, appended before
// the next one is looked at; the test compares the file with the hub's log. `LEDGER_EVERY_MS` is the pace.

import { appendFileSync } from 'node:fs';
import { defineModule } from '../../../src/modules/contract.ts';
import { ModuleHost } from '../../../src/modules/host.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { systemEntropy } from '../../../src/platform/entropy.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { createLog } from '../../../src/platform/log.ts';
import { systemNetwork } from '../../../src/platform/net.ts';
import { systemSerial } from '../../../src/platform/serial.ts';

const file = process.env['LEDGER_FILE'] ?? '';
const everyMs = Number(process.env['LEDGER_EVERY_MS'] ?? 20);

const ledger = defineModule({
  name: 'ledger',
  summary: 'sends numbered messages',
  start(context) {
    const life = context.entropy.uuid();
    let number = 0;
    const send = (): void => {
      number += 1;
      const mine = number;
      void context
        .send('out', {
          body: JSON.stringify({ life, number: mine }),
          contentType: 'application/json',
          contentEncoding: 'utf-8',
        })
        .then((outcome) => {
          if (outcome === 'acknowledged') appendFileSync(file, `${life} ${mine}\n`);
        });
    };
    const timer = setInterval(send, everyMs);
    context.ready();
    return Promise.resolve({
      close: () => {
        clearInterval(timer);
        return Promise.resolve();
      },
    });
  },
});

const clock = systemClock();
const host = new ModuleHost(
  ledger,
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
