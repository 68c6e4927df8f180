// What the outside is told about a module: the phases of module-state.ts in IoT Edge's words.
//
//   absent, starting             unknown      running, stopping-*   running, or unhealthy while its health says so
//   backoff                      backoff      stopped, finished     stopped
//   broken, failed               failed       (nextStartAtMs tells whether it is still tried)
//   stopping-to-judge            unhealthy

import type { Phase } from './module-state.ts';
import type { ModuleHealth, ModuleKind, ModuleObservation, RunningModule, RuntimeStatus } from './ports.ts';
import type { ModuleEnd } from './records.ts';
import { meaningOfExit } from './restart-policy.ts';

/** What module-life.ts knows. */
export interface LifeFacts {
  readonly running: RunningModule | undefined;
  readonly adopted: boolean;
  readonly health: ModuleHealth | undefined;
  readonly progress: string;
  readonly ailment: string | undefined;
}

/** What module-past.ts knows. */
export interface PastFacts {
  readonly generation: string;
  readonly lastEnd: ModuleEnd | null;
  readonly restartCount: number;
  readonly lastRestartAtMs: number | null;
}

export interface ModuleFacts {
  readonly name: string;
  readonly kind: ModuleKind;
  readonly phase: Phase;
  readonly life: LifeFacts;
  readonly past: PastFacts;
  readonly nextStartAtMs: number | null;
}

const statuses: Readonly<Record<Phase, RuntimeStatus>> = {
  absent: 'unknown',
  starting: 'unknown',
  running: 'running',
  'stopping-to-stay': 'running',
  'stopping-to-start': 'running',
  'stopping-to-forget': 'running',
  'stopping-to-judge': 'unhealthy',
  stopped: 'stopped',
  finished: 'stopped',
  failed: 'failed',
  backoff: 'backoff',
  broken: 'failed',
};

const exitCodeCannotStart = 127;
const exitCodeSignalBase = 128;

export function observationOf(facts: ModuleFacts): ModuleObservation {
  const { name, kind, phase, nextStartAtMs } = facts;
  const { generation, lastEnd, restartCount, lastRestartAtMs } = facts.past;
  const { running, health, adopted } = facts.life;
  const isUnhealthy = phase === 'running' && health?.healthy === false;
  return {
    name,
    kind,
    generation,
    runtimeStatus: isUnhealthy ? 'unhealthy' : statuses[phase],
    pid: running?.pid ?? null,
    exitCode: lastEnd === null ? 0 : exitCodeOf(lastEnd),
    statusDescription: describe(facts),
    startedAtMs: running?.startedAtMs ?? lastEnd?.startedAtMs ?? null,
    exitedAtMs: lastEnd?.endedAtMs ?? null,
    restartCount,
    lastRestartAtMs,
    nextStartAtMs,
    adopted,
    ...(running === undefined || health === undefined ? {} : { health }),
    ...(running?.lacking === undefined || running.lacking.length === 0 ? {} : { lacking: running.lacking }),
    ...(running?.imageHash === undefined ? {} : { imageHash: running.imageHash }),
  };
}

/** As a shell would report it. */
export function exitCodeOf(end: ModuleEnd): number {
  if (end.code !== null) return end.code;
  return end.signal === null ? exitCodeCannotStart : exitCodeSignalBase + end.signal;
}

function describe({ phase, life, past: { lastEnd } }: ModuleFacts): string {
  const { health, progress, ailment } = life;
  const end = lastEnd === null ? 'never ran' : describeEnd(lastEnd);
  switch (phase) {
    case 'absent':
      return progress || (lastEnd === null ? 'not started yet' : end);
    case 'starting':
      return progress === '' ? 'starting' : `starting: ${progress}`;
    case 'running':
      return ['running', health === undefined ? '' : describeHealth(health), progress].filter(Boolean).join('; ');
    case 'stopping-to-stay':
    case 'stopping-to-forget':
      return 'stopping';
    case 'stopping-to-start':
      return 'stopping, to be started again';
    case 'stopping-to-judge':
      return `${ailment ?? 'unhealthy'}; stopping`;
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

/** How it ended, and what its exit code means. */
function describeEnd({ message, oomKilled, code }: ModuleEnd): string {
  const meaning = oomKilled ? 'out of memory' : meaningOfExit(code);
  return meaning === undefined ? message : `${message}: ${meaning}`;
}

function describeHealth({ healthy, ready, text }: ModuleHealth): string {
  if (!healthy) return `unhealthy: ${text}`;
  return ready ? text : ['not ready yet', text].filter(Boolean).join(': ');
}
