// The three records of a module, read and written: state.json and exit.json are the shim's, supervision.json ours.
//
//   supervision.json  {"bootId","kind","generation","phase","restartCount","lastRestartAtMs","nextStartAtMs","lastEnd",
//                      "failures","recentAgesMs":[…],"broken","writtenAtMs"}
//
// A record that cannot be read counts as absent: then a running module has no known generation and is restarted
// by the next deployment, which is the safe reading. Monotonic times do not survive the process that took them,
// so the failures are written as ages and become times again when they are read.

import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import { type Phase, phases } from './module-state.ts';
import type { ModuleKind } from './ports.ts';
import type { RestartHistory } from './restart-policy.ts';

/** Who the shim and the module are, beyond their pids. */
export interface ShimState {
  readonly shimPid: number;
  readonly shimStart: number;
  readonly pid: number;
  readonly pidStart: number;
  readonly bootId: string;
  readonly startedAtMs: number;
  /** What the module was to be shut in with and is not. */
  readonly lacking: readonly string[];
}

/** How a module ended. Of a container pid is null, and reason is exit, signal, start or lost. */
export interface ModuleEnd {
  readonly pid: number | null;
  readonly code: number | null;
  readonly signal: number | null;
  /** exit, signal, exec: told by the shim · start: the shim itself did not start · lost: the shim was killed. */
  readonly reason: 'exit' | 'signal' | 'exec' | 'start' | 'lost';
  readonly message: string;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number;
  readonly uptimeMs: number;
  readonly oomKilled: boolean;
  readonly logDroppedBytes: number;
}

export interface SupervisionRecord {
  readonly bootId: string;
  readonly kind: ModuleKind;
  readonly generation: string;
  readonly phase: Phase;
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
  readonly nextStartAtMs: number | null;
  readonly lastEnd: ModuleEnd | null;
  readonly history: RestartHistory;
}

export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export function parseShimState(text: string): ShimState | undefined {
  const json = objectOf(text);
  if (json === undefined) return undefined;
  const [shimPid, shimStart, pid, pidStart, startedAtMs] = [
    'shimPid',
    'shimStart',
    'pid',
    'pidStart',
    'startedAtMs',
  ].map((key) => count(json, key));
  const bootId = json['bootId'];
  if (
    shimPid === undefined ||
    shimStart === undefined ||
    pid === undefined ||
    pidStart === undefined ||
    startedAtMs === undefined
  )
    return undefined;
  // A pid of 0 or 1 would turn a signal to the group into one to ourselves or to everybody.
  if (shimPid <= 1 || pid <= 1 || typeof bootId !== 'string') return undefined;
  const lacking = Array.isArray(json['lacking']) ? json['lacking'] : [];
  return {
    shimPid,
    shimStart,
    pid,
    pidStart,
    bootId,
    startedAtMs,
    lacking: lacking.filter((name): name is string => typeof name === 'string'),
  };
}

/** The text of `{"notify":"…"}`; undefined for any other line. */
export function parseNotice(line: string): string | undefined {
  const notice = objectOf(line)?.['notify'];
  return typeof notice === 'string' ? notice : undefined;
}

export function parseModuleEnd(text: string): ModuleEnd | undefined {
  const json = objectOf(text);
  return json === undefined ? undefined : endOf(json);
}

export function parseSupervisionRecord(text: string, now: Instant): SupervisionRecord | undefined {
  const json = objectOf(text);
  if (json === undefined) return undefined;
  const { bootId, generation, lastEnd, recentAgesMs } = json;
  const phase = phases.find((known) => known === json['phase']);
  const restartCount = count(json, 'restartCount');
  const failures = count(json, 'failures');
  const writtenAtMs = count(json, 'writtenAtMs');
  if (typeof bootId !== 'string' || typeof generation !== 'string' || phase === undefined) return undefined;
  if (restartCount === undefined || failures === undefined || writtenAtMs === undefined || !Array.isArray(recentAgesMs))
    return undefined;
  // The wall clock may have jumped since; a negative distance would put failures into the future.
  const sinceWrittenMs = Math.max(0, now.wallMs - writtenAtMs);
  const ages = recentAgesMs.filter((age): age is number => typeof age === 'number');
  return {
    bootId,
    kind: json['kind'] === 'container' ? 'container' : 'process',
    generation,
    phase,
    restartCount,
    lastRestartAtMs: count(json, 'lastRestartAtMs') ?? null,
    nextStartAtMs: count(json, 'nextStartAtMs') ?? null,
    lastEnd: isJsonObject(lastEnd) ? (endOf(lastEnd) ?? null) : null,
    history: {
      failures,
      recentAtMs: ages.map((ageMs) => now.monotonicMs - sinceWrittenMs - ageMs),
      broken: json['broken'] === true,
    },
  };
}

export function formatSupervisionRecord(record: SupervisionRecord, now: Instant): string {
  const { history, ...rest } = record;
  const recentAgesMs = history.recentAtMs.map((atMs) => Math.round(now.monotonicMs - atMs));
  return `${JSON.stringify({ ...rest, failures: history.failures, recentAgesMs, broken: history.broken, writtenAtMs: now.wallMs })}\n`;
}

function endOf(json: JsonObject): ModuleEnd | undefined {
  const { reason, message } = json;
  const endedAtMs = count(json, 'endedAtMs');
  if (reason !== 'exit' && reason !== 'signal' && reason !== 'exec' && reason !== 'start' && reason !== 'lost')
    return undefined;
  if (typeof message !== 'string' || endedAtMs === undefined) return undefined;
  return {
    pid: count(json, 'pid') ?? null,
    code: count(json, 'code') ?? null,
    signal: count(json, 'signal') ?? null,
    reason,
    message,
    startedAtMs: count(json, 'startedAtMs') ?? null,
    endedAtMs,
    uptimeMs: count(json, 'uptimeMs') ?? 0,
    oomKilled: json['oomKilled'] === true,
    logDroppedBytes: count(json, 'logDroppedBytes') ?? 0,
  };
}

function objectOf(text: string): JsonObject | undefined {
  const parsed = parseJson(text);
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : undefined;
}

function count(json: JsonObject, key: string): number | undefined {
  const value = json[key];
  return typeof value === 'number' && Number.isSafeInteger(Math.round(value)) && value >= 0 ? value : undefined;
}
