// Points in time as the filters of log requests write them: those of model/moment.ts, and seconds since 1970 UTC as a
// number or as text (`1795251600`).

import type { JsonValue } from '../model/json.ts';
import { readMoment } from '../model/moment.ts';
import { badRequestError } from './errors.ts';

const secondMs = 1_000;

/** Wall time in milliseconds; undefined when `value` is absent. Throws AGENT_METHODS_BAD_REQUEST. */
export function readTime(value: JsonValue | undefined, nowMs: number, member: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value * secondMs;
  const text = typeof value === 'string' ? value.trim() : '';
  if (/^\d{1,12}$/.test(text)) return Number(text) * secondMs;
  const moment = readMoment(text, nowMs);
  if (moment !== undefined) return moment;
  throw badRequestError(
    `Error parsing command payload because of error - ${member} ${JSON.stringify(value)} is neither a duration such as "1d 12h 30m", nor an RFC 3339 time, nor a UNIX timestamp.`,
  );
}
