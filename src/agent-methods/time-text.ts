// Points in time as the filters of log requests write them, Azure's forms.
//
//   1d 12h 30m · 1 day 12 hours 30 minutes · 90 minutes      so long ago
//   2026-11-21T09:00:00Z                                      RFC 3339
//   1795251600 · "1795251600"                                 seconds since 1970 UTC

import type { JsonValue } from '../model/json.ts';
import { badRequestError } from './errors.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const weekMs = 604_800_000;

const units: Readonly<Record<string, number>> = {
  s: secondMs,
  sec: secondMs,
  second: secondMs,
  m: minuteMs,
  min: minuteMs,
  minute: minuteMs,
  h: hourMs,
  hr: hourMs,
  hour: hourMs,
  d: dayMs,
  day: dayMs,
  w: weekMs,
  week: weekMs,
};

/** Wall time in milliseconds; undefined when `value` is absent. Throws AGENT_METHODS_BAD_REQUEST. */
export function readTime(value: JsonValue | undefined, nowMs: number, member: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value * secondMs;
  const text = typeof value === 'string' ? value.trim() : '';
  if (/^\d{1,12}$/.test(text)) return Number(text) * secondMs;
  const ago = durationMs(text);
  if (ago !== undefined) return Math.max(0, nowMs - ago);
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return Math.max(0, at);
  throw badRequestError(
    `Error parsing command payload because of error - ${member} ${JSON.stringify(value)} is neither a duration such as "1d 12h 30m", nor an RFC 3339 time, nor a UNIX timestamp.`,
  );
}

function durationMs(text: string): number | undefined {
  if (!/^(\d{1,9}\s*[a-z]+[\s,]*)+$/i.test(text)) return undefined;
  let sum = 0;
  for (const [, count, word = ''] of text.matchAll(/(\d{1,9})\s*([a-z]+)/gi)) {
    const lower = word.toLowerCase();
    const unit = lower.length > 1 ? lower.replace(/s$/, '') : lower;
    const unitMs = Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (unitMs === undefined) return undefined;
    sum += Number(count) * unitMs;
  }
  return sum;
}
