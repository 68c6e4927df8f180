// A module that keeps a ledger: it sends numbered messages and writes down each one that was acknowledged.
//
// Built on the real module host. `LEDGER_FILE` gets a line `batchId sequence` per acknowledgement, appended before
// the next one is looked at; the test compares the file with the hub's log. `LEDGER_EVERY_MS` is the pace, and
// `LEDGER_BYTES` pads each message, and after `LEDGER_COUNT` of them it sends no more. With
// `LEDGER_OPEN` it waits while as many are not acknowledged, so that its outbox never has to drop one.

import { appendFileSync } from 'node:fs';
import { defineModule } from '../../../src/modules/contract.ts';
import { runModule } from './host-process.ts';

const file = process.env['LEDGER_FILE'] ?? '';
const everyMs = Number(process.env['LEDGER_EVERY_MS'] ?? 20);
const countMax = Number(process.env['LEDGER_COUNT'] ?? Number.POSITIVE_INFINITY);
const openMax = Number(process.env['LEDGER_OPEN'] ?? Number.POSITIVE_INFINITY);
const padding = 'x'.repeat(Number(process.env['LEDGER_BYTES'] ?? 0));

const ledger = defineModule({
  name: 'ledger',
  summary: 'sends numbered messages',
  start(context) {
    const life = context.entropy.uuid();
    let number = 0;
    let open = 0;
    const send = (): void => {
      if (number >= countMax || open >= openMax) return;
      number += 1;
      open += 1;
      const mine = number;
      void context
        .send('out', {
          body: JSON.stringify({ life, number: mine, ...(padding === '' ? {} : { padding }) }),
          contentType: 'application/json',
          contentEncoding: 'utf-8',
        })
        .then((outcome) => {
          open -= 1;
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

runModule(ledger);
