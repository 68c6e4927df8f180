// Ends of a module that no shim and no engine told of: it could not be started, its shim was killed, it was ended
// because it did not do its work.

import type { ModuleEnd, ShimState } from './records.ts';

export function startFailure(reason: string, endedAtMs: number): ModuleEnd {
  return {
    pid: null,
    code: null,
    signal: null,
    reason: 'start',
    message: `could not be started: ${reason}`,
    startedAtMs: null,
    endedAtMs,
    uptimeMs: 0,
    oomKilled: false,
    logDroppedBytes: 0,
  };
}

export function engineMissingEnd(endedAtMs: number): ModuleEnd {
  return startFailure('it is a container, and this gateway has no container engine', endedAtMs);
}

/** The module died with its shim. No longer than the machine runs: the wall clock may have been set in between. */
export function lostEnd(
  state: ShimState,
  { wallMs, monotonicMs }: { readonly wallMs: number; readonly monotonicMs: number },
): ModuleEnd {
  return {
    pid: state.pid,
    code: null,
    signal: 9,
    reason: 'lost',
    message: 'its shim was killed, and the module with it',
    startedAtMs: state.startedAtMs,
    endedAtMs: wallMs,
    uptimeMs: Math.min(Math.max(0, wallMs - state.startedAtMs), Math.round(monotonicMs)),
    oomKilled: false,
    logDroppedBytes: 0,
  };
}

/** It ran, and was ended because of `cause`: how it took that says nothing. */
export function ailingEnd(end: ModuleEnd, cause: string): ModuleEnd {
  return { ...end, message: `${cause}; it was ended: ${end.message}` };
}
