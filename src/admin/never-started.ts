// How a module is listed that this build cannot run: failed, with the reason, and without a past.

import type { ModuleReport } from './ports.ts';

export function neverStarted({ name, reason }: { readonly name: string; readonly reason: string }): ModuleReport {
  return {
    name,
    runtimeStatus: 'failed',
    pid: null,
    exitCode: 0,
    statusDescription: reason,
    restartCount: 0,
    startedAtMs: null,
    exitedAtMs: null,
    nextStartAtMs: null,
  };
}
