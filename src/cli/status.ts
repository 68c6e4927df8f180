// `weir status`: the gateway at a glance. Without the daemon: which modules still run, and how to start it.

import type { CommandModule } from 'yargs';
import type { StatusReport } from '../admin/index.ts';
import { errorCode } from '../model/errors.ts';
import { adminClient, type CliContext, type GlobalOptions, locateDirectories, writeJson } from './context.ts';
import { moduleTable, offlineModuleTable, queueTable } from './module-table.ts';
import { offlineModules } from './offline.ts';
import { durationText, sizeText, yearsText } from './quantity-text.ts';
import { painted } from './terminal.ts';

export interface StatusOptions extends GlobalOptions {
  readonly json: boolean;
}

type FlashReport = NonNullable<StatusReport['flash']>;

const labelWidth = 12;
const codeApplied = 200;
const codeOther = 406;
const codeEmpty = 417;

export function statusCommand(context: CliContext): CommandModule<GlobalOptions, StatusOptions> {
  return {
    command: 'status',
    describe: 'the gateway at a glance: hub, deployment, queues, modules',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir status', 'what an operator wants to know first')
        .example('weir status --json', 'the whole report as JSON'),
    handler: (options) => status(context, options),
  };
}

export async function status(context: CliContext, options: StatusOptions): Promise<void> {
  const client = await adminClient(context, options);
  try {
    const report = await client.status();
    if (options.json) await writeJson(context, report);
    else await context.terminal.write(statusText(context, report));
  } catch (error) {
    if (errorCode(error) !== 'ADMIN_NOT_RUNNING') throw error;
    const { runDir } = await locateDirectories(context, options);
    const modules = await offlineModules(context, runDir);
    if (options.json) await writeJson(context, { running: false, runDir, modules });
    else await context.terminal.write(offlineModuleTable(context, modules));
    throw error;
  }
}

export function statusText(context: CliContext, report: StatusReport): string {
  const name = report.deviceId === '' ? 'no identity' : report.deviceId;
  const quarantined = report.store.quarantined.length;
  const lines = [
    painted(context.terminal, 'bold', `weir ${report.version}, ${name}, up ${durationText(report.uptimeMs)}`),
    labelled('hub', hubText(context, report)),
    labelled('deployment', deploymentText(context, report)),
    ...routeLines(context, report),
    labelled('clients', `${report.clients} connected`),
    ...bridgeLines(context, report),
    labelled(
      'store',
      `${sizeText(report.store.fileBytes)}${spaceText(context, report)}${quarantined === 0 ? '' : painted(context.terminal, 'yellow', `, ${quarantined} damaged put aside`)}`,
    ),
    ...(report.flash === undefined ? [] : [labelled('flash', flashText(context, report.flash))]),
    ...(report.memoryPssBytes === null ? [] : [labelled('memory', sizeText(report.memoryPssBytes))]),
  ];
  const tables = [moduleTable(context, report.modules), queueTable(context, report.queues)];
  return [`${lines.join('\n')}\n`, ...tables.filter((table) => table !== '')].join('\n');
}

function bridgeLines(context: CliContext, { bridges = [] }: StatusReport): readonly string[] {
  return bridges.map(({ name, isConnected }) => {
    const state = isConnected
      ? painted(context.terminal, 'green', 'connected')
      : painted(context.terminal, 'yellow', 'not connected');
    return labelled('bridge', `${name} ${state}`);
  });
}

/** Only when it matters: less is free than is to be left free. */
function spaceText(context: CliContext, { store }: StatusReport): string {
  if (store.freeBytes === null || store.freeBytes >= store.reserveBytes) return '';
  const text = `, only ${sizeText(store.freeBytes)} free of ${sizeText(store.reserveBytes)} in reserve: oldest messages are dropped`;
  return painted(context.terminal, 'red', text);
}

function flashText(context: CliContext, flash: FlashReport): string {
  const { bytesPerDay, lifeUsed, kind, preEol, lifeYears, sparingDelayMs } = flash;
  const soFar = flash.writtenBytes === null ? 'writes unknown' : `${sizeText(flash.writtenBytes)} so far`;
  const pace = bytesPerDay === null ? soFar : `${sizeText(bytesPerDay)} a day`;
  const used =
    lifeUsed === null
      ? 'life unknown'
      : lifeUsed.from === lifeUsed.to
        ? painted(context.terminal, 'red', 'life used up')
        : `life used ${lifeUsed.from}–${lifeUsed.to} %`;
  const parts = [pace, lifeUsed === null && lifeYears !== null ? 'no wear register' : used];
  const worn = preEol === 'warning' || preEol === 'urgent';
  const device = kind === null ? '' : ` (${kind})`;
  const years = lifeYears === null ? '' : `, ${yearsText(lifeYears)} left`;
  const spares = worn ? painted(context.terminal, 'red', `, spare blocks ${preEol}`) : '';
  return `${parts.join(', ')}${device}${years}${spares}${sparingDelayMs === null ? '' : ', spared'}`;
}

function labelled(label: string, text: string): string {
  return `${label.padEnd(labelWidth)}${text}`;
}

function hubText(context: CliContext, { hub }: StatusReport): string {
  const duration = durationText(context.clock.wallMs() - hub.sinceMs);
  const reason = hub.lastError === undefined ? '' : `: ${hub.lastError}`;
  switch (hub.state) {
    case 'disabled':
      return painted(context.terminal, 'dim', 'none configured');
    case 'connected':
      return `${painted(context.terminal, 'green', 'connected')} to ${hub.hostname} for ${duration}`;
    case 'connecting':
      return `${painted(context.terminal, 'yellow', 'connecting')} to ${hub.hostname} for ${duration}${reason}`;
    case 'waiting':
      return `${painted(context.terminal, 'yellow', 'waiting')} to try ${hub.hostname} again, for ${duration}${reason}`;
  }
}

/** Version 0 is none of the hub's: nothing yet, or one made at this gateway, which the description tells. */
function deploymentText({ terminal }: CliContext, { deployment }: StatusReport): string {
  const { version, code, description } = deployment;
  if (code === codeEmpty || (version === 0 && description === '')) return painted(terminal, 'dim', 'none received yet');
  if (code === codeApplied && version === 0) return painted(terminal, 'green', description);
  if (code === codeApplied)
    return `version ${version} ${painted(terminal, 'green', 'applied')}${description === '' ? '' : `, ${description}`}`;
  if (code === codeOther && version > 0)
    return `${painted(terminal, 'yellow', description)}, in place of the hub's version ${version}`;
  return `${version === 0 ? '' : `version ${version} `}${painted(terminal, 'red', `not applied (${code})`)}: ${description}`;
}

/** Only when something is wrong: of several routes the others may be in force. */
function routeLines({ terminal }: CliContext, { routes }: StatusReport): readonly string[] {
  if (routes === undefined || routes.code === codeApplied || routes.code === codeEmpty) return [];
  return [
    labelled('routes', `${painted(terminal, 'red', `not all in force (${routes.code})`)}: ${routes.description}`),
  ];
}
