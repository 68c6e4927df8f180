// Keeps a container's log file in step with the engine's log: follows it, and reads what is left once it has ended.
//
// The place reached is the file's (container-log.ts), so a follower may be cut off at any instant, by a runtime that is
// killed or an engine that is restarted, and the next one goes on with the following line.

import type { Clock } from '../platform/clock.ts';
import type { ContainerLog, LogPlace } from './container-log.ts';
import type { Engine } from './engine.ts';
import { isEngineAway } from './errors.ts';
import { LogFrames, type LogLine } from './log-frames.ts';
import { pause } from './waiting.ts';

export interface FollowerParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: ContainerLog;
}

export interface Followed {
  readonly id: string;
  readonly tty: boolean;
}

const msPerSecond = 1000;
/** Between two readings when the engine ends one although the container runs. */
const againMs = 1000;

/** Until the signal is aborted; never rejects. */
export async function followLog(parts: FollowerParts, followed: Followed, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await read(parts, followed, { follow: true, signal });
      await pause(parts.clock, againMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isEngineAway(error)) await parts.engine.untilBack(signal);
      // A log driver that keeps nothing cannot be read; the module runs all the same.
      else await pause(parts.clock, againMs, signal);
    }
  }
}

/** What there is now, up to its end. Rejects as the engine does. */
export function catchUp(parts: FollowerParts, followed: Followed, signal: AbortSignal): Promise<void> {
  return read(parts, followed, { follow: false, signal });
}

async function read(
  { engine, log }: FollowerParts,
  { id, tty }: Followed,
  { follow, signal }: { readonly follow: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const from = log.place;
  const answer = await engine.open('the log of a container', {
    method: 'GET',
    path: `/containers/${id}/logs`,
    query: {
      follow: follow ? '1' : '0',
      stdout: '1',
      stderr: '1',
      timestamps: '1',
      ...(from === undefined ? {} : { since: String(from.second) }),
    },
    signal,
    // Podman sends the head of its answer with the first line.
    limitMs: 'none',
  });
  const frames = new LogFrames({ tty });
  const isNew = newLines(from);
  for await (const chunk of answer.body) await log.add(frames.take(chunk).filter(isNew));
}

/** Leaves out what the file has: lines of earlier seconds, and the first ones of the place's own second. */
function newLines(from: LogPlace | undefined): (line: LogLine) => boolean {
  let known = from?.lines ?? 0;
  return ({ stampMs }) => {
    if (from === undefined || stampMs === undefined) return true;
    const second = Math.floor(stampMs / msPerSecond);
    if (second < from.second) return false;
    if (second > from.second || known === 0) return true;
    known--;
    return false;
  };
}
