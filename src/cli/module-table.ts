// Modules and queues as tables, for `list`, `status` and `queue status`.

import type { ModuleReport, StatusReport } from '../admin/index.ts';
import type { CliContext } from './context.ts';
import type { OfflineModule } from './offline.ts';
import { durationText, sizeText } from './quantity-text.ts';
import { type Cell, formatTable } from './table.ts';
import type { Colour } from './terminal.ts';

type QueueReport = StatusReport['queues'][number];

export const statusColours: Readonly<Record<ModuleReport['runtimeStatus'], Colour>> = {
  running: 'green',
  backoff: 'yellow',
  unhealthy: 'yellow',
  failed: 'red',
  stopped: 'dim',
  unknown: 'dim',
};

export function moduleTable(context: CliContext, modules: readonly ModuleReport[]): string {
  const nowMs = context.clock.wallMs();
  // Where all are processes, as on most gateways, the line has better use for its columns.
  const hasKinds = modules.some(({ kind }) => kind === 'container');
  const header = ['MODULE', ...(hasKinds ? ['KIND'] : []), 'STATUS', 'SINCE', 'RESTARTS', 'PID', 'DESCRIPTION'];
  const rows = modules.map((module): readonly Cell[] => {
    const sinceMs = module.runtimeStatus === 'running' ? module.startedAtMs : module.exitedAtMs;
    const status = { text: module.runtimeStatus, colour: statusColours[module.runtimeStatus] };
    return [
      module.name,
      ...(hasKinds ? [module.kind ?? 'process'] : []),
      status,
      ago(nowMs, sinceMs),
      module.restartCount,
      module.pid ?? '-',
      describe(module, nowMs),
    ];
  });
  return formatTable(context.terminal, header, rows);
}

export function offlineModuleTable(context: CliContext, modules: readonly OfflineModule[]): string {
  const nowMs = context.clock.wallMs();
  const rows = modules.map((module): readonly Cell[] => [
    module.name,
    { text: module.isRunning ? 'running' : 'ended', colour: module.isRunning ? 'green' : 'dim' },
    ago(nowMs, module.startedAtMs),
    module.pid ?? '-',
    module.description,
  ]);
  return formatTable(context.terminal, ['MODULE', 'STATUS', 'STARTED', 'PID', 'DESCRIPTION'], rows);
}

export function queueTable(context: CliContext, queues: readonly QueueReport[]): string {
  const nowMs = context.clock.wallMs();
  const rows = queues.map((queue): readonly Cell[] => {
    const dropped = Object.entries(queue.dropped).filter(([, count]) => count > 0);
    const lost = dropped.map(([reason, count]) => `${count} ${reason}`).join(', ');
    return [
      queue.queue,
      priorityText(queue),
      queue.messages,
      sizeText(queue.bytes),
      ago(nowMs, queue.oldestEnqueuedMs ?? null),
      { text: lost === '' ? 'none' : lost, colour: lost === '' ? 'dim' : 'red' },
    ];
  });
  return formatTable(context.terminal, ['QUEUE', 'PRIORITY', 'MESSAGES', 'SIZE', 'OLDEST', 'DROPPED'], rows);
}

function priorityText({ priority, live }: QueueReport): string {
  return `${priority ?? '-'}${live ? ' live' : ''}`;
}

function describe(module: ModuleReport, nowMs: number): string {
  const isPlain = module.runtimeStatus === 'running' && module.statusDescription === 'running';
  const next = module.nextStartAtMs === null ? '' : ` (again in ${durationText(module.nextStartAtMs - nowMs)})`;
  const said = isPlain ? '' : `${module.statusDescription.replace(/^running; /, '')}${next}`;
  return [module.progress ?? '', said].filter((text) => text !== '').join('; ');
}

function ago(nowMs: number, atMs: number | null): string {
  return atMs === null ? '-' : durationText(nowMs - atMs);
}
