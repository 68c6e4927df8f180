// A module that passes on what comes to its input `in`, and takes a message only when the copy is safe.
//
// The copy goes to the output `relayed` with the sender's numbering as `fromBatch` and `fromSequence`.

import { defineModule } from '../../../src/modules/contract.ts';
import { runModule } from './host-process.ts';

runModule(
  defineModule({
    name: 'relay',
    summary: 'passes messages on',
    start(context) {
      context.onInput('in', async ({ body, properties }) => {
        const { batchId = '', sequenceNumber = '' } = properties;
        await context.send('relayed', {
          body,
          contentType: 'application/json',
          contentEncoding: 'utf-8',
          properties: { fromBatch: batchId, fromSequence: sequenceNumber },
        });
      });
      context.ready();
      return Promise.resolve({ close: () => Promise.resolve() });
    },
  }),
);
