// The table of answers: status and headers, and what a download does next.

import t from 'tap';
import { type Answer, meaningOf, strongTag } from '../../src/artifacts/answer-meaning.ts';

const want = { offset: 100, sizeBytes: 1000 };

const rows: readonly {
  readonly name: string;
  readonly answer: Answer;
  readonly meaning: object;
}[] = [
  {
    name: '200 of the declared size',
    answer: { status: 200, headers: { 'content-length': '1000' } },
    meaning: { kind: 'whole' },
  },
  { name: '200 without a length', answer: { status: 200, headers: {} }, meaning: { kind: 'whole' } },
  {
    name: '200 of another size',
    answer: { status: 200, headers: { 'content-length': '1001' } },
    meaning: { kind: 'size wrong', bytes: 1001 },
  },
  {
    name: '206 from the offset',
    answer: { status: 206, headers: { 'content-range': 'bytes 100-999/1000' } },
    meaning: { kind: 'rest' },
  },
  {
    name: '206 of unknown size',
    answer: { status: 206, headers: { 'content-range': 'bytes 100-999/*' } },
    meaning: { kind: 'rest' },
  },
  {
    name: '206 of another size',
    answer: { status: 206, headers: { 'content-range': 'bytes 100-999/2000' } },
    meaning: { kind: 'size wrong', bytes: 2000 },
  },
  {
    name: '206 from somewhere else',
    answer: { status: 206, headers: { 'content-range': 'bytes 0-999/1000' } },
    meaning: { kind: 'restart' },
  },
  { name: '206 that does not say from where', answer: { status: 206, headers: {} }, meaning: { kind: 'restart' } },
  {
    name: '206 in parts',
    answer: { status: 206, headers: { 'content-type': 'multipart/byteranges' } },
    meaning: { kind: 'restart' },
  },
  { name: '416', answer: { status: 416, headers: {} }, meaning: { kind: 'restart' } },
  {
    name: '302 with a location',
    answer: { status: 302, headers: { location: '/b' } },
    meaning: { kind: 'elsewhere', location: '/b' },
  },
  { name: '308 without one', answer: { status: 308, headers: {} }, meaning: { kind: 'refused' } },
  { name: '304', answer: { status: 304, headers: {} }, meaning: { kind: 'refused' } },
  { name: '401', answer: { status: 401, headers: {} }, meaning: { kind: 'refused' } },
  { name: '404', answer: { status: 404, headers: {} }, meaning: { kind: 'refused' } },
  {
    name: '429 with seconds',
    answer: { status: 429, headers: { 'retry-after': '30' } },
    meaning: { kind: 'later', afterMs: 30_000 },
  },
  {
    name: '503 with a day',
    answer: { status: 503, headers: { 'retry-after': '86400' } },
    meaning: { kind: 'later', afterMs: 600_000 },
  },
  {
    name: '503 with a date',
    answer: { status: 503, headers: { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' } },
    meaning: { kind: 'later', afterMs: 0 },
  },
  { name: '408', answer: { status: 408, headers: {} }, meaning: { kind: 'later', afterMs: 0 } },
];

for (const { name, answer, meaning } of rows)
  t.test(`the answer ${name} means ${JSON.stringify(meaning)}`, async (t) => t.same(meaningOf(answer, want), meaning));

t.test('only a strong tag asks for the rest of the same file', async (t) => {
  t.equal(strongTag('"abc"'), '"abc"');
  t.equal(strongTag('W/"abc"'), undefined);
  t.equal(strongTag('abc'), undefined);
  t.equal(strongTag(`"${'a'.repeat(257)}"`), undefined);
  t.equal(strongTag(undefined), undefined);
});
