import t from 'tap';
import { OffsetRanges } from '../../../src/store/outbox/offset-ranges.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const offsets = 60;
const lives = 200;

t.test('ranges are what a set of offsets would be', async (t) => {
  const entropy = seededEntropy(5);
  const below = (limit: number): number => Math.floor(entropy.fraction() * limit);
  for (let life = 0; life < lives; life++) {
    let ranges = OffsetRanges.none;
    let gone = new Set<number>();
    for (let step = 0; step < 12; step++) {
      const from = 1 + below(offsets);
      const to = Math.min(offsets, from + below(8));
      if (below(5) === 0) {
        ranges = ranges.after(from);
        gone = new Set([...gone].filter((offset) => offset > from));
      } else {
        ranges = ranges.with(from, to);
        for (let offset = from; offset <= to; offset++) gone.add(offset);
      }
      const counted = [...gone].filter((offset) => offset >= from && offset <= to).length;
      const flat = [...ranges.entries()];
      const apart = flat.every(([a, b], index) => a <= b && a > (flat[index - 1]?.[1] ?? -1) + 1);
      if (!apart || ranges.size !== gone.size || ranges.countIn(from, to) !== counted) t.fail(`life ${life}`);
      for (let offset = 1; offset <= offsets; offset++) {
        let end: number | undefined = gone.has(offset) ? offset : undefined;
        while (end !== undefined && gone.has(end + 1)) end++;
        if (ranges.endOf(offset) !== end) t.fail(`life ${life}: the end from ${offset}`);
      }
    }
  }
  t.pass();
});

t.test('the list before a change stays as it was', async (t) => {
  const before = OffsetRanges.none.with(3, 5);
  before.with(6, 9);
  t.strictSame([...before.entries()], [[3, 5]]);
});
