// A log that keeps its lines, so that a test can ask what was said.

import { createLog, type Log } from '../../src/platform/log.ts';
import { SimClock } from './sim-clock.ts';

export function quietLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ clock: new SimClock(), level: 'debug', write: (line) => void lines.push(line) });
  return Object.assign(log, { lines });
}
