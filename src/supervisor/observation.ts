// What the outside is told about a module: the phases of module-state.ts in IoT Edge's words.
//
//   absent, starting             unknown      running, stopping-*   running
//   backoff                      backoff      stopped, finished     stopped
//   broken, failed               failed       (nextStartAtMs tells whether it is still tried)

import type { Phase } from './module-state.ts';
import type { ModuleKind, ModuleObservation, RuntimeStatus } from './ports.ts';
import type { ModuleEnd } from './records.ts';

export interface ModuleFacts {
  readonly name: string;
  readonly kind: ModuleKind;
  readonly generation: string;
  readonly phase: Phase;
  readonly pid: number | null;
  readonly startedAtMs: number | null;
  readonly lastEnd: ModuleEnd | null;
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
  readonly nextStartAtMs: number | null;
  readonly adopted: boolean;
}

const statuses: Readonly<Record<Phase, RuntimeStatus>> = {
  absent: 'unknown',
  starting: 'unknown',
  running: 'running',
  'stopping-to-stay': 'running',
  'stopping-to-start': 'running',
  'stopping-to-forget': 'running',
  stopped: 'stopped',
  finished: 'stopped',
  failed: 'failed',
  backoff: 'backoff',
  broken: 'failed',
};

const exitCodeCannotStart = 127;
const exitCodeSignalBase = 128;

export function observationOf({ phase, lastEnd, ...facts }: ModuleFacts): ModuleObservation {
  return {
    ...facts,
    runtimeStatus: statuses[phase],
    exitCode: lastEnd === null ? 0 : exitCodeOf(lastEnd),
    exitedAtMs: lastEnd?.endedAtMs ?? null,
    statusDescription: describe(phase, lastEnd),
  };
}

/** As a shell would report it. */
export function exitCodeOf(end: ModuleEnd): number {
  if (end.code !== null) return end.code;
  return end.signal === null ? exitCodeCannotStart : exitCodeSignalBase + end.signal;
}

function describe(phase: Phase, lastEnd: ModuleEnd | null): string {
  const end =
    lastEnd === null ? 'never ran' : lastEnd.oomKilled ? `${lastEnd.message}: out of memory` : lastEnd.message;
  switch (phase) {
    case 'absent':
      return lastEnd === null ? 'not started yet' : end;
    case 'starting':
      return 'starting';
    case 'running':
      return 'running';
    case 'stopping-to-stay':
    case 'stopping-to-forget':
      return 'stopping';
    case 'stopping-to-start':
      return 'stopping, to be started again';
    case 'stopped':
      return 'stopped as wanted';
    case 'finished':
      return `finished: ${end}`;
    case 'failed':
      return `${end}; not tried again until its configuration changes`;
    case 'backoff':
      return `${end}; waiting before the next start`;
    case 'broken':
      return `${end}; failed too often, tried again seldom`;
  }
}
