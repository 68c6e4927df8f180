// What a request for logs asks for, in Azure's words: tail, since, until, follow, timestamps.
//
//   tail    `all` or a number of lines
//   since, until    seconds since 1970, RFC 3339, or how long ago: `10m`, `1h`, `1 day`, `1h 30min`

import { managementTailLinesMax } from '../limits.ts';
import { badRequestError } from './errors.ts';

export interface LogQuery {
  readonly tail?: number;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly follow: boolean;
  readonly timestamps: boolean;
}

const msPerSecond = 1000;
const secondsOf: Readonly<Record<string, number>> = {
  s: 1,
  sec: 1,
  second: 1,
  m: 60,
  min: 60,
  minute: 60,
  h: 3600,
  hr: 3600,
  hour: 3600,
  d: 86_400,
  day: 86_400,
  w: 604_800,
  week: 604_800,
};
/** Date.parse() takes much else for a date. */
const datePattern = /^\d{4}-\d\d-\d\d[T ]/;
const agoPattern = /^(?:\d+ ?[a-z]+ ?)+$/;
const agoPartPattern = /(\d+) ?([a-z]+)/g;
/** The last moment that JavaScript has a date for. */
const dateMsMax = 8.64e15;

/** Throws WORKLOAD_REQUEST_INVALID. `nowMs` is what "ago" counts from. */
export function readLogQuery(query: URLSearchParams, nowMs: number): LogQuery {
  const tail = query.get('tail');
  const since = query.get('since');
  const until = query.get('until');
  return {
    ...(tail === null || tail === 'all' ? {} : { tail: readTail(tail) }),
    ...(since === null ? {} : { sinceMs: readMoment(since, { name: 'since', nowMs }) }),
    ...(until === null ? {} : { untilMs: readMoment(until, { name: 'until', nowMs }) }),
    follow: readFlag(query, 'follow'),
    timestamps: readFlag(query, 'timestamps'),
  };
}

function readTail(text: string): number {
  const lines = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(lines <= managementTailLinesMax))
    throw badRequestError(`invalid parameter: tail is 'all' or a number of lines up to ${managementTailLinesMax}`);
  return lines;
}

function readFlag(query: URLSearchParams, name: string): boolean {
  const text = query.get(name) ?? 'false';
  if (text !== 'true' && text !== 'false') throw badRequestError(`invalid parameter: ${name} is true or false`);
  return text === 'true';
}

function readMoment(text: string, { name, nowMs }: { readonly name: string; readonly nowMs: number }): number {
  const moment = /^\d+$/.test(text)
    ? Number(text) * msPerSecond
    : agoPattern.test(text)
      ? nowMs - agoMs(text)
      : datePattern.test(text)
        ? Date.parse(text)
        : Number.NaN;
  if (!(moment >= 0 && moment <= dateMsMax)) {
    throw badRequestError(
      `invalid parameter: ${name} is RFC 3339, seconds since 1970, or how long ago, such as 1h or '1 day'`,
    );
  }
  return moment;
}

function agoMs(text: string): number {
  let seconds = 0;
  for (const [, count, unit = ''] of text.matchAll(agoPartPattern)) {
    seconds += Number(count) * (secondsOf[unit] ?? secondsOf[unit.replace(/s$/, '')] ?? Number.NaN);
  }
  return seconds * msPerSecond;
}
