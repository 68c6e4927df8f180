// A container's HEALTHCHECK as the module's health: looked at once an interval, told when it changes.
//
// Docker runs the checks itself. Podman has systemd timers run them, so on a machine without systemd nobody does; when
// a check is overdue there, it is run from here, and from then on every one.

import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import type { ContainerCalls } from './container-calls.ts';
import type { Engine } from './engine.ts';
import { isEngineAway } from './errors.ts';
import type { HealthCheck, Inspection } from './inspection.ts';
import type { ModuleHealth } from './ports.ts';

export interface HealthWatchParts {
  readonly engine: Engine;
  readonly calls: ContainerCalls;
  readonly clock: Clock;
  readonly healthMsMin: number;
}

const overdueIntervals = 1.5;

/** Until the signal is aborted, or there is no health check; never rejects. */
export async function watchHealth(
  { engine, calls, clock, healthMsMin }: HealthWatchParts,
  { found, told }: { readonly found: Inspection; readonly told: (health: ModuleHealth) => void },
  signal: AbortSignal,
): Promise<void> {
  let check = found.check;
  let last: ModuleHealth | undefined;
  let isDriving = false;
  const sinceMs = clock.machineWallMs();
  while (check !== undefined && !signal.aborted) {
    const health = healthOf(check);
    if (last?.healthy !== health.healthy || last.ready !== health.ready || last.text !== health.text) told(health);
    last = health;
    const intervalMs = Math.max(healthMsMin, check.intervalMs);
    await pause(clock, intervalMs, signal);
    if (signal.aborted) return;
    const ageMs = clock.machineWallMs() - Math.max(check.lastEndMs ?? 0, sinceMs - intervalMs);
    isDriving ||= ageMs > intervalMs * overdueIntervals;
    try {
      if (isDriving) await calls.checkHealth(found.id, signal);
      check = (await calls.inspect(found.id, signal))?.check ?? check;
    } catch (error) {
      // Away: health stays as it was last seen. Refused: the container is ending.
      if (isEngineAway(error)) await engine.untilBack(signal);
    }
  }
}

function healthOf({ status, output }: HealthCheck): ModuleHealth {
  const text = output === '' ? status : `${status}: ${output.replaceAll(/\s+/g, ' ')}`;
  return { healthy: status !== 'unhealthy', ready: status === 'healthy', text };
}
