// A module that sends what COMMAND says, as JSON, to its output `command`, again and again.

import { defineModule } from '../../../src/modules/contract.ts';
import { runModule } from './host-process.ts';

const everyMs = 200;

runModule(
  defineModule({
    name: 'commander',
    summary: 'sends a command',
    start(context) {
      const body = context.environment['COMMAND'] ?? '';
      const timer = setInterval(
        () => void context.send('command', { body, contentType: 'application/json', contentEncoding: 'utf-8' }),
        everyMs,
      );
      context.ready();
      return Promise.resolve({
        close: () => {
          clearInterval(timer);
          return Promise.resolve();
        },
      });
    },
  }),
);
