// Memory that only starting up needed goes back to the kernel, once, when the process has settled.
//
//   settled ── collect: heap and C library ──(work goes on; what it uses is compiled anew)── unmap: executable
//
// Owns the moments, not the means (native/host/memory.c). Two of them, because a full collection also forgets
// compiled code: the compiler's own pages would be in use again if the executable were unmapped at once.
// It costs some ten milliseconds on a board, which is why it is done once and not for ever: afterwards the
// process takes what its work needs. A failure costs the saving and nothing else.

import { errorCode, errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from './clock.ts';
import type { Log } from './log.ts';
import { nativeAddon } from './native.ts';

interface HostAddon {
  collectHeap(): void;
  /** Bytes that were mapped. */
  unmapIdleFiles(): number;
}

/** Long enough for modules to connect and for twins to arrive. */
const settledMs = 5_000;
const usedAgainMs = 15_000;

export interface ReleaseOptions {
  readonly clock: Clock;
  readonly log?: Log;
  /** A thread has a heap of its own; the executable is the process's, and its main thread's business. */
  readonly of: 'process' | 'thread';
}

/** Releases once, some seconds from now. Keeps nothing alive. */
export function releaseMemoryOnce({ clock, log, of }: ReleaseOptions): Timer {
  const attempt = (act: (host: HostAddon) => unknown): void => {
    try {
      act(nativeAddon('host') as HostAddon);
    } catch (error) {
      log?.debug('memory that only the start needed stays', { code: errorCode(error), reason: errorMessage(error) });
    }
  };
  let timer = clock.setTimer(settledMs, collect, { background: true });
  function collect(): void {
    attempt((host) => host.collectHeap());
    if (of === 'thread') return;
    timer = clock.setTimer(usedAgainMs, () => attempt((host) => host.unmapIdleFiles()), { background: true });
  }
  return { cancel: () => timer.cancel() };
}
