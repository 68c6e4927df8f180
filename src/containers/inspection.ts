// What the engine says about one container, read once: GET /containers/{id}/json.
//
// Podman's answer and Docker's differ in small ways: the names of states between running and exited, and zero times
// ("0001-01-01T00:00:00Z") where nothing has happened yet. What is not known is undefined here.

import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import type { ModuleEnd, RunningModule } from './ports.ts';

export interface Inspection {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `sha256:…` of its image. */
  readonly imageId: string;
  readonly phase: 'created' | 'running' | 'ended';
  readonly pid: number | null;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** The engine's words when it could not be started. */
  readonly error: string;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  /** One raw stream instead of frames in its log. */
  readonly tty: boolean;
  readonly check: HealthCheck | undefined;
}

export interface HealthCheck {
  readonly intervalMs: number;
  readonly status: 'starting' | 'healthy' | 'unhealthy';
  /** What the last check said. */
  readonly output: string;
  readonly lastEndMs: number | undefined;
}

const createdStates: readonly string[] = ['created', 'configured', 'initialized'];
const endedStates: readonly string[] = ['exited', 'stopped', 'dead', 'removing', 'unknown'];
const defaultIntervalMs = 30_000;
const nanoPerMs = 1e6;
const signalBase = 128;
const signalMax = 64;
const outputCharactersMax = 200;

export function inspectionOf(value: JsonValue): Inspection | undefined {
  if (!isJsonObject(value)) return undefined;
  const id = value['Id'];
  const state = objectOf(value['State']);
  const config = objectOf(value['Config']);
  if (typeof id !== 'string' || typeof state['Status'] !== 'string') return undefined;
  const pid = numberOf(state['Pid']) ?? 0;
  const startedAtMs = timeOf(state['StartedAt']);
  return {
    id,
    labels: textsOf(config['Labels']),
    imageId: withPrefix(typeof value['Image'] === 'string' ? value['Image'] : ''),
    phase: phaseOf(state['Status'], startedAtMs),
    pid: pid > 0 ? pid : null,
    exitCode: numberOf(state['ExitCode']) ?? 0,
    oomKilled: state['OOMKilled'] === true,
    error: typeof state['Error'] === 'string' ? state['Error'] : '',
    startedAtMs,
    finishedAtMs: timeOf(state['FinishedAt']),
    tty: config['Tty'] === true,
    check: checkOf(objectOf(config['Healthcheck']), objectOf(state['Health'] ?? state['Healthcheck'])),
  };
}

export function withPrefix(id: string): string {
  return id === '' || id.startsWith('sha256:') ? id : `sha256:${id}`;
}

export function runningOf({ pid, startedAtMs, imageId }: Inspection, nowMs: number): RunningModule {
  return { pid, startedAtMs: startedAtMs ?? nowMs, ...(imageId === '' ? {} : { imageHash: imageId }) };
}

/** How it ended, in the words of a process: above 128 an exit code is a signal's, as shells and engines write it. */
export function endOf(
  found: Inspection,
  { nowMs, logDroppedBytes }: { readonly nowMs: number; readonly logDroppedBytes: number },
): ModuleEnd {
  const { exitCode, error, startedAtMs, oomKilled } = found;
  const endedAtMs = found.finishedAtMs ?? nowMs;
  const signal = exitCode > signalBase && exitCode <= signalBase + signalMax ? exitCode - signalBase : null;
  const times = {
    startedAtMs: startedAtMs ?? null,
    endedAtMs,
    uptimeMs: Math.max(0, endedAtMs - (startedAtMs ?? endedAtMs)),
  };
  const common = { pid: null, oomKilled, logDroppedBytes, ...times };
  if (signal !== null)
    return {
      ...common,
      code: null,
      signal,
      reason: 'signal',
      message: `ended by signal ${signal}${error === '' ? '' : `: ${error}`}`,
    };
  return {
    ...common,
    code: exitCode,
    signal: null,
    reason: 'exit',
    message: `ended with exit code ${exitCode}${error === '' ? '' : `: ${error}`}`,
  };
}

function phaseOf(status: string, startedAtMs: number | undefined): Inspection['phase'] {
  if (createdStates.includes(status)) return 'created';
  if (!endedStates.includes(status)) return 'running';
  return startedAtMs === undefined ? 'created' : 'ended';
}

function checkOf(config: JsonObject, health: JsonObject): HealthCheck | undefined {
  const test = Array.isArray(config['Test']) ? config['Test'] : [];
  const status = health['Status'];
  if (test.length === 0 || test[0] === 'NONE') return undefined;
  const log = Array.isArray(health['Log']) ? health['Log'].filter(isJsonObject) : [];
  const last = log.at(-1);
  const output = typeof last?.['Output'] === 'string' ? last['Output'].trim() : '';
  const intervalNs = numberOf(config['Interval']) ?? 0;
  return {
    intervalMs: intervalNs > 0 ? intervalNs / nanoPerMs : defaultIntervalMs,
    status: status === 'healthy' || status === 'unhealthy' ? status : 'starting',
    output: output.slice(0, outputCharactersMax),
    lastEndMs: timeOf(last?.['End']),
  };
}

/** Undefined for the year 1, which stands for "not yet". */
function timeOf(value: JsonValue | undefined): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function numberOf(value: JsonValue | undefined): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function textsOf(value: JsonValue | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(objectOf(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
