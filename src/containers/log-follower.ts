// Keeps a container's log file in step with the engine's log: follows it, and reads what is left once it has ended.
//
// The place reached is the file's (container-log.ts, log-place.ts), so a follower may be cut off at any instant, by a
// runtime that is killed or an engine that is restarted, and the next one goes on with the following line.

import { pause } from '../model/pause.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { ContainerLog } from './container-log.ts';
import type { Engine } from './engine.ts';
import { isEngineAway } from './errors.ts';
import { LogFrames, type LogLine } from './log-frames.ts';
import { AfterPlace, PlaceSearch, skipping } from './log-place.ts';
import type { ContainerTimes } from './ports.ts';
import { linkedSignal } from './waiting.ts';

export interface FollowerParts {
  readonly engine: Pick<Engine, 'open' | 'untilBack'>;
  readonly clock: Clock;
  readonly log: ContainerLog;
  readonly times: Pick<ContainerTimes, 'logSilentMsMin' | 'logSilentMsMax'>;
}

export interface Followed {
  readonly id: string;
  readonly tty: boolean;
}

/** Between two readings when the engine ends one although the container runs. */
const againMs = 1000;

/**
 * Until the signal is aborted; never rejects.
 *
 * Podman's following of a file can go deaf when another reader of the same log goes away, so silence is not believed
 * for ever: the log is asked for anew, soon at first, and seldom when there was nothing new.
 */
export async function followLog(parts: FollowerParts, followed: Followed, signal: AbortSignal): Promise<void> {
  const { clock, engine, times, log } = parts;
  let silentMs = times.logSilentMsMin;
  while (!signal.aborted) {
    const linked = linkedSignal(signal);
    let isSilent = false;
    let timer: Timer | undefined;
    const listen = (): void => {
      timer?.cancel();
      timer = clock.setTimer(silentMs, () => {
        isSilent = true;
        linked.abort();
      });
    };
    const before = log.place;
    try {
      listen();
      await read(parts, followed, { follow: true, signal: linked.signal, heard: listen });
      await pause(clock, againMs, signal);
    } catch (error) {
      // A log driver that keeps nothing cannot be read; the module runs all the same.
      if (!isSilent && isEngineAway(error)) await engine.untilBack(signal);
      else if (!isSilent) await pause(clock, againMs, signal);
    } finally {
      timer?.cancel();
      linked.unlink();
    }
    const isNew = before?.second !== log.place?.second || before?.lines !== log.place?.lines;
    silentMs = isNew ? times.logSilentMsMin : Math.min(times.logSilentMsMax, silentMs * 2);
  }
}

/** What there is now, up to its end. Rejects as the engine does. */
export function catchUp(parts: FollowerParts, followed: Followed, signal: AbortSignal): Promise<void> {
  return read(parts, followed, { follow: false, signal, heard: () => undefined });
}

interface Reading {
  readonly follow: boolean;
  readonly signal: AbortSignal;
  readonly heard: () => void;
}

async function read(parts: FollowerParts, followed: Followed, how: Reading): Promise<void> {
  const { log } = parts;
  const { place } = log;
  const add = async (lines: readonly LogLine[] | undefined): Promise<boolean> => {
    if (lines !== undefined) await log.add(lines);
    return lines !== undefined;
  };
  const answer = { ...followed, since: place?.second };
  const after = place === undefined ? undefined : new AfterPlace(place);
  const isWhole = await pour(parts, answer, {
    ...how,
    take: (lines) => add(after === undefined ? lines : after.take(lines)),
  });
  if (isWhole || place === undefined) return;
  const search = new PlaceSearch(place);
  let known: number | undefined;
  const look = async (lines: readonly LogLine[]): Promise<boolean> => {
    known = search.look(lines);
    return known === undefined;
  };
  await pour(parts, answer, { ...how, follow: false, take: look });
  const rest = skipping(place, known ?? 0);
  await pour(parts, answer, { ...how, take: (lines) => add(rest(lines)) });
}

/** To its end, or until `take` answers that it wants no more: then false. */
async function pour(
  { engine }: FollowerParts,
  { id, tty, since }: Followed & { readonly since: number | undefined },
  {
    follow,
    signal,
    heard,
    take,
  }: Reading & {
    readonly take: (lines: readonly LogLine[]) => Promise<boolean>;
  },
): Promise<boolean> {
  const linked = linkedSignal(signal);
  try {
    const answer = await engine.open('the log of a container', {
      method: 'GET',
      path: `/containers/${id}/logs`,
      query: {
        follow: follow ? '1' : '0',
        stdout: '1',
        stderr: '1',
        timestamps: '1',
        ...(since === undefined ? {} : { since: String(since) }),
      },
      signal: linked.signal,
      // Podman sends the head of its answer with the first line.
      limitMs: 'none',
    });
    const frames = new LogFrames({ tty });
    for await (const chunk of answer.body) {
      const goOn = await take(frames.take(chunk));
      heard();
      if (!goOn) return false;
    }
    return true;
  } finally {
    linked.abort();
    linked.unlink();
  }
}
