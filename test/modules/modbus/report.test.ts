import t from 'tap';
import type { Sample } from '../../../src/modules/modbus/decode.ts';
import { Reporter } from '../../../src/modules/modbus/report.ts';
import type { Report, Tag } from '../../../src/modules/modbus/settings.ts';

const tag = (report: Partial<Report>): Tag => ({
  name: 't',
  at: { table: 'holding', offset: 0, length: 1, bit: undefined },
  type: 'u16',
  order: 'ABCD',
  scale: 1,
  offset: 0,
  unit: undefined,
  isWritable: false,
  min: undefined,
  max: undefined,
  report: { onChange: true, deadband: 0, maxSilenceMs: 0, ...report },
});
const good = (v: number): Sample => ({ v, q: 'good' });

/** Which of the values go out, one poll a second. */
function published(rule: Tag, values: readonly Sample[]): readonly Sample['v'][] {
  const reporter = new Reporter();
  return values.flatMap((sample, second) => reporter.select([[rule, sample]], second * 1000).map(([, { v }]) => v));
}

t.test('without a rule every value goes out', async (t) => {
  t.same(published(tag({ onChange: false }), [good(1), good(1), good(1)]), [1, 1, 1]);
});

t.test('on change, repetitions stay at home', async (t) => {
  t.same(published(tag({}), [good(1), good(1), good(2), good(2), good(1)]), [1, 2, 1]);
});

t.test('the dead-band counts from the last published value, so a slow drift goes out', async (t) => {
  t.same(published(tag({ deadband: 1 }), [good(10), good(10.4), good(10.8), good(11.2), good(11.6)]), [10, 11.2]);
});

t.test('a change of quality always goes out', async (t) => {
  t.same(
    published(tag({ deadband: 100 }), [good(1), { v: null, q: 'bad:timeout' }, { v: null, q: 'bad:timeout' }, good(1)]),
    [1, null, 1],
  );
});

t.test('after the longest silence a value goes out unchanged', async (t) => {
  t.same(published(tag({ maxSilenceMs: 3000 }), [good(1), good(1), good(1), good(1), good(1)]), [1, 1]);
});
