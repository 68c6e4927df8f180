// A point in time as people and requests for logs write it. Pure.
//
//   10m · 1 day · 2 hours ago · 1d 12h 30m · 1 hour, 30 min      so long before now
//   2026-11-21T09:00:00Z · 2026-11-21 09:00 · 2026-11-21          RFC 3339, and what else begins with such a date
//
// A bare number is none: to some it is seconds since 1970, to others a mistake. Who takes it reads it first.

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

/** Wall time in milliseconds, never before 1970; undefined when the text is none of these. */
export function readMoment(text: string, nowMs: number): number | undefined {
  const trimmed = text.trim();
  const ago = durationMs(trimmed.replace(/\s+ago$/i, ''));
  if (ago !== undefined) return Math.max(0, nowMs - ago);
  // Date.parse() takes much else for a date.
  const at = /^\d{4}-\d\d-\d\d(?!\d)/.test(trimmed) ? Date.parse(trimmed) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at);
}

function durationMs(text: string): number | undefined {
  if (!/^(?:\d{1,9}\s*[a-z]+[\s,]*)+$/i.test(text)) return undefined;
  let sum = 0;
  for (const [, count, word = ''] of text.matchAll(/(\d{1,9})\s*([a-z]+)/gi)) {
    const lower = word.toLowerCase();
    const unit = lower.length > 2 ? lower.replace(/s$/, '') : lower;
    const unitMs = Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (unitMs === undefined) return undefined;
    sum += Number(count) * unitMs;
  }
  return sum;
}
