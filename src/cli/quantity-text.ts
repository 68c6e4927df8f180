// Durations, sizes and points in time as an operator reads and writes them.
//
//   durationText  1500 → 1s, 192000 → 3m 12s, 183845000 → 2d 3h      two units at most, never negative
//   yearsText     0.42 → 0.4 years, 7.6 → 8 years
//   sizeText      12918456 → 12.3 MiB
//   countText     1, 'file' → 1 file, 3, 'file' → 3 files
//   sinceMs       "10m", "1 day", "2 hours ago", "2026-11-21T09:00:00Z" → wall time

import { readMoment } from '../model/moment.ts';
import { UsageError } from './errors.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const kibi = 1_024;
/** A projection beyond is no more than a large number. */
const shownYearsMax = 100;
const fewYears = 5;

const shownUnits: readonly (readonly [string, number])[] = [
  ['d', dayMs],
  ['h', hourMs],
  ['m', minuteMs],
  ['s', secondMs],
];

export function durationText(ms: number): string {
  let rest = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, unitMs] of shownUnits) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    // After the first shown unit only its neighbour follows: `2d 3h`, never `2d 4m`.
    if (parts.length > 0 || count > 0) parts.push(`${count}${unit}`);
    if (parts.length === 2) break;
  }
  if (parts.length === 0) return '0s';
  return parts.filter((part, index) => index === 0 || !part.startsWith('0')).join(' ');
}

/** 0.42 → 0.4 years, 7.6 → 8 years, 400 → over 100 years. */
export function yearsText(years: number): string {
  if (years > shownYearsMax) return `over ${shownYearsMax} years`;
  return `${years < fewYears ? years.toFixed(1) : Math.round(years)} years`;
}

export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= kibi && unit < units.length - 1) {
    value /= kibi;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** With the plain plural of English. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Throws UsageError when the text, which `option` brought, is neither a duration nor a point in time. */
export function sinceMs(text: string, nowMs: number, option = '--since'): number {
  const moment = readMoment(text, nowMs);
  if (moment !== undefined) return moment;
  throw new UsageError(
    `${option} "${text}" is not understood. Write a duration such as 10m, 2h or "1 day", or a time such as 2026-01-31T12:00:00Z.`,
  );
}
