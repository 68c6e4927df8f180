// `weir hub twin show D [M]`: the twin of a device or module, as JSON: that is what it is.

import type { CommandModule } from 'yargs';
import { type CliContext, writeJson } from '../context.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';
import { twinPath } from './twin-change.ts';

export interface TwinShowOptions extends HubClientOptions {
  readonly device: string | undefined;
  readonly module: string | undefined;
  readonly json: boolean;
}

export function twinShowCommand(context: CliContext): CommandModule<HubClientOptions, TwinShowOptions> {
  return {
    command: 'show [device] [module]',
    describe: 'desired and reported properties of a device or module',
    builder: (yargs) =>
      yargs
        .positional('device', { type: 'string', describe: 'also as --device' })
        .positional('module', { type: 'string', describe: "also as --module; quote '$edgeAgent'" })
        .option('json', { type: 'boolean', default: false, describe: 'the same: a twin is JSON' })
        .example("weir hub twin show gw-7 '$edgeAgent'", 'what the gateway is to run, and what it runs'),
    handler: async (options) => {
      await writeJson(context, await new HubClient(context, options).call('GET', twinPath(options, 'show')));
    },
  };
}
