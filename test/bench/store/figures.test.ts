// Rows and verdicts over written-down runs.

import t from 'tap';
import type { Sample } from '../figures.ts';
import { chooseSets, type StoreRow, storeRows } from './cases.ts';
import { rowFigures, rowsText, summary } from './figures.ts';

function runs(
  name: string,
  contender: string,
  values: Readonly<Record<string, readonly (number | undefined)[]>>,
): Sample[] {
  const rounds = Math.max(...Object.values(values).map((each) => each.length));
  return Array.from({ length: rounds }, (_, at) => ({
    case: name,
    contender,
    round: at + 1,
    result: Object.fromEntries(Object.entries(values).map(([path, each]) => [path, each[at]])),
  }));
}

const rateRow: StoreRow = {
  set: 'accept',
  title: 'taken',
  unit: '/s',
  value: { case: 'a', contender: 'weir', path: 'perSecond' },
  beside: { case: 'a', contender: 'other', path: 'perSecond' },
  goal: { kind: 'ratio', min: 0.7 },
};

t.test('a ratio is the median of the ratios within the rounds', async (t) => {
  const samples = [
    ...runs('a', 'weir', { perSecond: [100, 400, 90] }),
    ...runs('a', 'other', { perSecond: [100, 1000, 100] }),
  ];
  const { value, beside, ratio, verdict } = rowFigures(rateRow, samples);
  t.match({ value, beside, ratio, verdict }, { value: 100, beside: 100, ratio: 0.9, verdict: 'met' });
});

t.test('a round in which one side failed does not count; a row without any round is missed', async (t) => {
  const half = [...runs('a', 'weir', { perSecond: [50, 80] }), ...runs('a', 'other', { perSecond: [undefined, 100] })];
  t.match(rowFigures(rateRow, half), { ratio: 0.8, verdict: 'met' });
  t.match(rowFigures(rateRow, runs('a', 'weir', { perSecond: [50] })), { ratio: undefined, verdict: 'missed' });
});

t.test('of bytes on the device the smallest of the rounds is judged, since neighbours only add', async (t) => {
  const row: StoreRow = {
    set: 'flash',
    title: 'written',
    unit: '×',
    value: { case: 'f', contender: 'weir', path: 'toDevice' },
    goal: { kind: 'most', max: 3, of: 'least' },
  };
  t.match(rowFigures(row, runs('f', 'weir', { toDevice: [9, 2.5, 4] })), { value: 2.5, verdict: 'met' });
  t.match(
    rowFigures({ ...row, goal: { kind: 'most', max: 3, of: 'median' } }, runs('f', 'weir', { toDevice: [9, 2.5, 4] })),
    {
      value: 4,
      verdict: 'missed',
    },
  );
});

t.test('a latency may be near another one', async (t) => {
  const row: StoreRow = { ...rateRow, unit: 'ms', goal: { kind: 'near', factor: 2, plus: 5 } };
  const samples = (own: number): Sample[] => [
    ...runs('a', 'weir', { perSecond: [own] }),
    ...runs('a', 'other', { perSecond: [3] }),
  ];
  t.match(rowFigures(row, samples(11)), { verdict: 'met', goal: '≤ 2 × that + 5 ms' });
  t.match(rowFigures(row, samples(11.1)), { verdict: 'missed' });
});

t.test('the table says what was missed and leaves out what was not asked', async (t) => {
  const { goal: _, ...told } = rateRow;
  const samples = [...runs('a', 'weir', { perSecond: [50_000] }), ...runs('a', 'other', { perSecond: [100_000] })];
  const text = rowsText([rowFigures(rateRow, samples), rowFigures({ ...told, title: 'told' }, samples)]);
  t.match(text, /taken +50 k\/s +100 k\/s +×0\.5 +×0\.7 +MISSED/);
  t.match(text, /told +50 k\/s +100 k\/s +×0\.5$/m);
});

t.test('a run is one line; a failed one says why', async (t) => {
  t.equal(summary({ perSecond: 12_345, batch: 256 }), '12 k/s, 256 a commit');
  t.equal(summary({ error: 'no such broker\nat somewhere' }), 'FAILED (no such broker)');
});

t.test('sets are chosen by name; every row can be measured', async (t) => {
  t.same(chooseSets('smoke,flash'), ['flash', 'smoke']);
  t.notOk(chooseSets('').includes('smoke'));
  t.throws(() => chooseSets('everything'), { name: 'TypeError' });
  t.equal(new Set(storeRows.map(({ title, set }) => `${set} ${title}`)).size, storeRows.length);
});
