import t from 'tap';
import { readMoment } from '../../src/model/moment.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);
const minuteMs = 60_000;

const rows: readonly (readonly [string, number | undefined])[] = [
  ['10m', nowMs - 10 * minuteMs],
  ['90 s', nowMs - 1.5 * minuteMs],
  ['1 day', nowMs - 1_440 * minuteMs],
  ['2 Hours ago', nowMs - 120 * minuteMs],
  ['1d 12h 30m', nowMs - 2_190 * minuteMs],
  ['1 hour, 30 mins', nowMs - 90 * minuteMs],
  ['3hrs', nowMs - 180 * minuteMs],
  ['2w', nowMs - 20_160 * minuteMs],
  ['999999999 weeks', 0],
  ['2026-11-21T09:00:00Z', Date.UTC(2026, 10, 21, 9)],
  ['2026-11-21', Date.UTC(2026, 10, 21)],
  [' 2026-11-21T09:00:00+01:00 ', Date.UTC(2026, 10, 21, 8)],
  ['1930-01-01T00:00:00Z', 0],
  ['', undefined],
  ['3', undefined],
  ['1795251600', undefined],
  ['10ms', undefined],
  ['1 constructor', undefined],
  ['ago', undefined],
  ['yesterday', undefined],
  ['21 November 2026', undefined],
  ['2026-13-01', undefined],
  ['2026-11-211', undefined],
];
for (const [text, moment] of rows) t.equal(readMoment(text, nowMs), moment, JSON.stringify(text));
