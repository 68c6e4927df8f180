// `weir hub …`: the control plane and what is asked of it. Each command is a file beside this one.

import type { Argv, CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from '../context.ts';
import { UsageError } from '../errors.ts';
import { deployCommand } from './deploy.ts';
import { deviceConnectionStringCommand } from './device-connection-string.ts';
import { deviceCreateCommand } from './device-create.ts';
import { deviceDeleteCommand } from './device-delete.ts';
import { deviceListCommand } from './device-list.ts';
import { deviceAddChildrenCommand, deviceSetParentCommand } from './device-parent.ts';
import { devicePurgeQueueCommand } from './device-purge-queue.ts';
import { deviceShowCommand } from './device-show.ts';
import { deviceUpdateCommand } from './device-update.ts';
import { feedbackCommand } from './feedback.ts';
import type { HubClientOptions } from './hub-client.ts';
import { importCommand } from './import.ts';
import { methodInvokeCommand } from './method-invoke.ts';
import { monitorCommand } from './monitor.ts';
import { sendCommand } from './send.ts';
import { startCommand } from './start.ts';
import { twinReplaceCommand, twinUpdateCommand } from './twin-change.ts';
import { twinShowCommand } from './twin-show.ts';

export function hubCommand(context: CliContext): CommandModule<GlobalOptions, HubClientOptions> {
  return {
    command: 'hub',
    describe: 'the control plane: devices, deployments, what they send',
    builder: (yargs) =>
      hubOptions(yargs)
        .command(startCommand(context))
        .command(deviceCommand(context))
        .command(deployCommand(context))
        .command(twinCommand(context))
        .command(methodCommand(context))
        .command(sendCommand(context))
        .command(feedbackCommand(context))
        .command(monitorCommand(context))
        .command(importCommand(context))
        .demandCommand(
          1,
          'Name what to do: weir hub start, device, deploy, twin, method, send, feedback, monitor or import',
        ),
    handler: () => {
      throw new UsageError(
        'Name what to do: weir hub start, device, deploy, twin, method, send, feedback, monitor or import',
      );
    },
  };
}

/** The hub's own places by default, so that a gateway and a hub on one machine never share a file. */
function hubOptions(yargs: Argv<GlobalOptions>): Argv<HubClientOptions> {
  const options = yargs
    .option('hub-socket', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'service API of the hub [<run-dir>/hub.sock]',
    })
    .option('data-dir', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'registry, log, certificates [/var/lib/weir-hub]',
    })
    .option('run-dir', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'where the socket is [/run/weir-hub]',
    });
  return options as unknown as Argv<HubClientOptions>;
}

function deviceCommand(context: CliContext): CommandModule<HubClientOptions, HubClientOptions> {
  const what =
    'Name what to do: weir hub device create, list, show, update, set-parent, add-children, delete or connection-string';
  return {
    command: 'device',
    describe: 'who may connect',
    builder: (yargs) =>
      yargs
        .command(deviceCreateCommand(context))
        .command(deviceListCommand(context))
        .command(deviceShowCommand(context))
        .command(deviceUpdateCommand(context))
        .command(deviceSetParentCommand(context))
        .command(deviceAddChildrenCommand(context))
        .command(deviceDeleteCommand(context))
        .command(deviceConnectionStringCommand(context))
        .command(devicePurgeQueueCommand(context))
        .demandCommand(1, what),
    handler: () => {
      throw new UsageError(what);
    },
  };
}

function methodCommand(context: CliContext): CommandModule<HubClientOptions, HubClientOptions> {
  const what = 'Name what to do: weir hub method invoke';
  return {
    command: 'method',
    describe: 'direct methods of devices and modules',
    builder: (yargs) => yargs.command(methodInvokeCommand(context)).demandCommand(1, what),
    handler: () => {
      throw new UsageError(what);
    },
  };
}

function twinCommand(context: CliContext): CommandModule<HubClientOptions, HubClientOptions> {
  const what = 'Name what to do: weir hub twin show, update or replace';
  return {
    command: 'twin',
    describe: 'desired and reported properties',
    builder: (yargs) =>
      yargs
        .command(twinShowCommand(context))
        .command(twinUpdateCommand(context))
        .command(twinReplaceCommand(context))
        .demandCommand(1, what),
    handler: () => {
      throw new UsageError(what);
    },
  };
}
