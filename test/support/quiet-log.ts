// A log that keeps its lines instead of writing them.

import type { Clock } from '../../src/platform/clock.ts';
import { createLog, type Log } from '../../src/platform/log.ts';

export function keptLog(clock: Clock): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLog({ clock, level: 'debug', write: (line) => void lines.push(line) }), lines };
}
