// Memory that is needed for a moment only goes back to the kernel.
//
//   ready ── collect (servers, threads), unmap (servers) ── settled ── collect ──(what it uses is compiled anew)── unmap
//   a second of work ── trim ── a second of work ── trim, press …   (servers, as long as they run)
//
//   collect: V8's heap, and what the C library holds free      trim: the latter alone      unmap: the executable
//   press: V8's heap beside the work, when the process is large
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
// Young objects are collected while the old ones are marked, too: V8 of Node 24 puts the former off until the latter
// is done, and where other processes leave its helpers no processor, a burst grew the heap by twenty megabytes.
//
// Pressing: a burst leaves a heap of which half is free, and V8 gives that back when nothing happens for long. A server
// above comfortBytes asks for it, once for each time that it has grown beyond what the last time left: it stops
// for some ten milliseconds at the end.
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
  pressHeap(): void;
  /** Bytes that were mapped. */
  unmapIdleFiles(): number;
}

/** Long enough for modules to connect and for twins to arrive. */
const settledMs = 5_000;
const usedAgainMs = 15_000;
const trimMs = 1_000;
const serverFlags = ['--heap-growing-percent=50', '--no-separate-gc-phases'];
/** Resident memory of a process up to which nothing is asked for while it works. */
const comfortBytes = 75_497_472;
/** More than the last pressing left: what a burst needs for a moment is not asked back again and again. */
const roomBytes = 8_388_608;
const pressMs = 10_000;
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
  for (const flag of serverFlags) setFlagsFromString(flag);
  collectNow();
  unmap();
  const pressing = new Pressing(clock, () => attempt((host) => host.pressHeap()));
  const trimming = afterWork(clock, () => {
    attempt((host) => host.trimHeap());
    pressing.look();
  });
  return {
    cancel() {
      timer.cancel();
      trimming.cancel();
    },
  };
}

/** Decides when a process is large enough to be pressed. */
class Pressing {
  readonly #clock: Clock;
  readonly #press: () => void;
  #boundBytes = comfortBytes;
  #pressedMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, press: () => void) {
    this.#clock = clock;
    this.#press = press;
  }

  look(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#pressedMs < pressMs) return;
    const residentBytes = process.memoryUsage.rss();
    if (residentBytes > this.#boundBytes) {
      this.#press();
      this.#pressedMs = nowMs;
      // What it left is seen when the time is over.
      this.#boundBytes = Number.POSITIVE_INFINITY;
    } else {
      this.#boundBytes = Math.max(comfortBytes, Math.min(this.#boundBytes, residentBytes + roomBytes));
    }
  }
}

function afterWork(clock: Clock, act: () => void): Timer {
  let usedMs = processorMs();
  let timer = clock.setTimer(trimMs, look, { background: true });
  function look(): void {
    const nowMs = processorMs();
    if (nowMs - usedMs >= workMs) act();
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
