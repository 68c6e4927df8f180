// What modules take as a table: two reports of the daemon become rates, the rates lines of 80 columns.

import type { UsageReport } from '../admin/index.ts';
import type { CliContext } from './context.ts';
import { statusColours } from './module-table.ts';
import { durationText, sizeText } from './quantity-text.ts';
import { type Cell, formatTable } from './table.ts';

type ModuleUsage = UsageReport['modules'][number];

export interface ModuleRates extends ModuleUsage {
  /** Of one processor; 150 is one and a half. Null without a report before it. */
  readonly cpuPercent: number | null;
  readonly messagesSentPerSecond: number | null;
  readonly messagesReceivedPerSecond: number | null;
}

export interface UsageRates {
  readonly overMs: number | null;
  readonly modules: readonly ModuleRates[];
}

const secondMs = 1_000;
const percent = 100;
const tenth = 10;

/** A module that was restarted between the two has no rate of its processor yet. */
export function ratesOf(before: UsageReport | undefined, after: UsageReport): UsageRates {
  const overMs = before === undefined ? null : after.monotonicMs - before.monotonicMs;
  const earlier = new Map((before?.modules ?? []).map((module) => [module.name, module]));
  const rate = (now: number | null, then: number | null | undefined): number | null =>
    overMs === null || overMs <= 0 || now === null || then === null || then === undefined || now < then
      ? null
      : (now - then) / overMs;
  return {
    overMs,
    modules: after.modules.map((module) => {
      const then = earlier.get(module.name);
      const isSame = then?.pid === module.pid;
      const perSecond = (now: number, past: number | undefined): number | null => {
        const perMs = rate(now, past);
        return perMs === null ? null : rounded(perMs * secondMs);
      };
      const cpu = rate(module.cpuMs, isSame ? then?.cpuMs : undefined);
      return {
        ...module,
        cpuPercent: cpu === null ? null : rounded(cpu * percent),
        messagesSentPerSecond: perSecond(module.messagesSent, then?.messagesSent),
        messagesReceivedPerSecond: perSecond(module.messagesReceived, then?.messagesReceived),
      };
    }),
  };
}

export function usageTable(context: CliContext, { modules }: UsageRates): string {
  const nowMs = context.clock.wallMs();
  const header = ['MODULE', 'STATUS', 'CPU%', 'MEMORY', 'PROCS', 'OUT/S', 'IN/S', 'RESTARTS', 'UP'];
  const rows = modules.map((module): readonly Cell[] => [
    module.name,
    { text: module.runtimeStatus, colour: statusColours[module.runtimeStatus] },
    number(module.cpuPercent),
    module.memoryBytes === null ? '-' : sizeText(module.memoryBytes),
    module.processes ?? '-',
    number(module.messagesSentPerSecond),
    number(module.messagesReceivedPerSecond),
    module.restartCount,
    module.startedAtMs === null || module.runtimeStatus !== 'running' ? '-' : durationText(nowMs - module.startedAtMs),
  ]);
  return formatTable(context.terminal, header, rows);
}

function number(value: number | null): Cell {
  return value === null ? '-' : { text: value.toFixed(1), colour: undefined, isRight: true };
}

function rounded(value: number): number {
  return Math.round(value * tenth) / tenth;
}
