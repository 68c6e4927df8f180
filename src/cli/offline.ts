// What can be told about modules while the daemon is down, from the records their shims leave.
//
//   <run>/modules/<name>/state.json   written at the start: pid and its start time, so that a reused pid is told apart
//   <run>/modules/<name>/exit.json    written at the end
//
// Restart counts, queues and the hub are known to the daemon alone.

import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import type { CliContext } from './context.ts';

export interface OfflineModule {
  readonly name: string;
  readonly isRunning: boolean;
  readonly pid: number | null;
  readonly startedAtMs: number | null;
  readonly description: string;
}

export async function offlineModules(context: CliContext, runDir: string): Promise<readonly OfflineModule[]> {
  const names = await context.disk.list('cli:modules', `${runDir}/modules`);
  const found = await Promise.all(
    [...names].sort().map((name) => offlineModule(context, { directory: `${runDir}/modules/${name}`, name })),
  );
  return found.filter((module) => module !== undefined);
}

async function offlineModule(
  context: CliContext,
  { directory, name }: { readonly directory: string; readonly name: string },
): Promise<OfflineModule | undefined> {
  const [state, exit] = await Promise.all([
    record(context, `${directory}/state.json`),
    record(context, `${directory}/exit.json`),
  ]);
  if (state === undefined && exit === undefined) return undefined;
  const pid = number(state?.['pid']);
  const startedAtMs = number((exit ?? state)?.['startedAtMs']);
  const isSameBoot = state?.['bootId'] === context.processes.bootId();
  const isAlive =
    exit === undefined &&
    isSameBoot &&
    pid !== null &&
    (await context.processes.startTicks(pid)) === number(state?.['pidStart']);
  if (isAlive) return { name, isRunning: true, pid, startedAtMs, description: 'running, without its runtime' };
  const message = exit?.['message'];
  const description = typeof message === 'string' && message !== '' ? message : endText(exit);
  return { name, isRunning: false, pid: null, startedAtMs, description };
}

function endText(exit: JsonObject | undefined): string {
  if (exit === undefined) return 'ended without a record (the machine or the shim was killed)';
  const signal = exit['signal'];
  return typeof signal === 'string' ? `ended by ${signal}` : `ended with code ${String(exit['code'])}`;
}

async function record(context: CliContext, path: string): Promise<JsonObject | undefined> {
  const text = await context.disk.readTextIfPresent('cli:module-record', path).catch(() => undefined);
  const parsed = text === undefined ? undefined : parseJson(text);
  return parsed?.ok === true && isJsonObject(parsed.value) ? parsed.value : undefined;
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
