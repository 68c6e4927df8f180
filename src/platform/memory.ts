// Memory that is needed for a moment only goes back to the kernel.
//
//   ready ── collect (servers, threads), unmap (servers) ── settled ── collect ──(what it uses is compiled anew)── unmap
//   a second of work ── trim ── a second of work ── trim …   (servers, as long as they run)
//
//   collect: V8's heap, and what the C library holds free      trim: the latter alone      unmap: the executable
//
// Owns the moments, not the means (native/host/memory.c). What starting up needed goes once. The last collecting and
// unmapping are apart, because a full collection also forgets compiled code: the compiler's own pages would be in use
// again if the executable were unmapped at once. It costs some ten milliseconds on a board, which is why it is not
// repeated: afterwards the process takes what its work needs.
//
// How far V8's heap grows until it is collected depends on what the last collection left, and before the first one on
// nothing but the machine's memory: a server and a thread have their first when they are ready. From then on a
// server's may grow by half, not fourfold. V8 is told at run time: flags on the command line would void every compiled
// form there is, Node's own too, at two megabytes a process.
//
// Trimming is repeated. V8's helpers, its compiler above all, take megabytes from the C library for milliseconds, each
// thread in an arena of its own, and the C library gives none of it back. It takes a millisecond; an idle process is
// left alone. A failure costs the saving and nothing else.

import { setFlagsFromString } from 'node:v8';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from './clock.ts';
import type { Log } from './log.ts';
import { nativeAddon } from './native.ts';

interface HostAddon {
  collectHeap(): void;
  trimHeap(): void;
  /** Bytes that were mapped. */
  unmapIdleFiles(): number;
}

/** Long enough for modules to connect and for twins to arrive. */
const settledMs = 5_000;
const usedAgainMs = 15_000;
const trimMs = 1_000;
const moderateGrowth = '--heap-growing-percent=50';
/** Processor time of such a second, of all threads, from which on it was work. */
const workMs = 100;
const microsPerMilli = 1_000;

export interface ReleaseOptions {
  readonly clock: Clock;
  readonly log?: Log;
  /** A thread has a heap of its own; the executable is the process's, and its main thread's business. */
  readonly of: 'server' | 'process' | 'thread';
}

/** Releases at its moments, from now on. Keeps nothing alive. */
export function releaseMemory({ clock, log, of }: ReleaseOptions): Timer {
  const attempt = (act: (host: HostAddon) => unknown): void => {
    try {
      act(nativeAddon('host') as HostAddon);
    } catch (error) {
      log?.debug('memory that is not needed stays', { code: errorCode(error), reason: errorMessage(error) });
    }
  };
  const collectNow = (): void => attempt((host) => host.collectHeap());
  const unmap = (): void => attempt((host) => host.unmapIdleFiles());
  let timer = clock.setTimer(settledMs, collect, { background: true });
  function collect(): void {
    collectNow();
    if (of !== 'thread') timer = clock.setTimer(usedAgainMs, unmap, { background: true });
  }
  if (of === 'thread') collectNow();
  if (of !== 'server') return { cancel: () => timer.cancel() };
  setFlagsFromString(moderateGrowth);
  collectNow();
  unmap();
  const trimming = trimAfterWork(clock, () => attempt((host) => host.trimHeap()));
  return {
    cancel() {
      timer.cancel();
      trimming.cancel();
    },
  };
}

function trimAfterWork(clock: Clock, trim: () => void): Timer {
  let usedMs = processorMs();
  let timer = clock.setTimer(trimMs, look, { background: true });
  function look(): void {
    const nowMs = processorMs();
    if (nowMs - usedMs >= workMs) trim();
    usedMs = nowMs;
    timer = clock.setTimer(trimMs, look, { background: true });
  }
  return { cancel: () => timer.cancel() };
}

/** Processor time of this process since it started. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / microsPerMilli;
}
