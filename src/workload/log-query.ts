// What a request for logs asks for, in Azure's words: tail, since, until, follow, timestamps.
//
//   tail    `all` or a number of lines
//   since, until    seconds since 1970, RFC 3339, or how long ago: `10m`, `1h`, `1 day`, `1h 30min`

import { managementTailLinesMax } from '../limits.ts';
import { readMoment } from '../model/moment.ts';
import { badRequestError } from './errors.ts';

export interface LogQuery {
  readonly tail?: number;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly follow: boolean;
  readonly timestamps: boolean;
}

const msPerSecond = 1000;
/** The last moment that JavaScript has a date for. */
const dateMsMax = 8.64e15;

/** Throws WORKLOAD_REQUEST_INVALID. `nowMs` is what "ago" counts from. */
export function readLogQuery(query: URLSearchParams, nowMs: number): LogQuery {
  const tail = query.get('tail');
  const since = query.get('since');
  const until = query.get('until');
  return {
    ...(tail === null || tail === 'all' ? {} : { tail: readTail(tail) }),
    ...(since === null ? {} : { sinceMs: readTime(since, { name: 'since', nowMs }) }),
    ...(until === null ? {} : { untilMs: readTime(until, { name: 'until', nowMs }) }),
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

function readTime(text: string, { name, nowMs }: { readonly name: string; readonly nowMs: number }): number {
  const moment = /^\d+$/.test(text) ? Number(text) * msPerSecond : readMoment(text, nowMs);
  if (moment !== undefined && moment <= dateMsMax) return moment;
  throw badRequestError(
    `invalid parameter: ${name} is RFC 3339, seconds since 1970, or how long ago, such as 1h or '1 day'`,
  );
}
