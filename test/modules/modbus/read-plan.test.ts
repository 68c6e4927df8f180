import t from 'tap';
import { planReads, splitBlock } from '../../../src/modules/modbus/read-plan.ts';
import type { Table, Tag } from '../../../src/modules/modbus/settings.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

function tag(table: Table, offset: number, length = 1): Tag {
  return {
    name: `${table}:${offset}+${length}`,
    at: { table, offset, length, bit: undefined },
    type: 'u16',
    order: 'ABCD',
    scale: 1,
    offset: 0,
    unit: undefined,
    isWritable: false,
    min: undefined,
    max: undefined,
    report: { onChange: false, deadband: 0, maxSilenceMs: 0 },
  };
}

const limits = { registersMax: 125, bitsMax: 2000, gapMax: 10 };
const shape = (tags: readonly Tag[], with_ = limits): readonly string[] =>
  planReads(tags, with_).map(({ table, offset, count }) => `${table}:${offset}+${count}`);

t.test('reads are merged as the table says', async (t) => {
  const rows: readonly (readonly [readonly Tag[], readonly string[]])[] = [
    [[], []],
    [[tag('holding', 5)], ['holding:5+1']],
    [[tag('holding', 6, 2), tag('holding', 4, 2)], ['holding:4+4']],
    [[tag('holding', 0), tag('holding', 11)], ['holding:0+12']],
    [
      [tag('holding', 0), tag('holding', 12)],
      ['holding:0+1', 'holding:12+1'],
    ],
    [
      [tag('holding', 0), tag('input', 1)],
      ['holding:0+1', 'input:1+1'],
    ],
    [[tag('holding', 0, 100), tag('holding', 100, 25)], ['holding:0+125']],
    [
      [tag('holding', 0, 100), tag('holding', 100, 26)],
      ['holding:0+100', 'holding:100+26'],
    ],
    [[tag('coil', 0), tag('coil', 8)], ['coil:0+9']],
    [[tag('holding', 0, 8), tag('holding', 2), tag('holding', 9)], ['holding:0+10']],
  ];
  for (const [tags, expected] of rows) t.same(shape(tags), expected);
});

t.test('no gap is read along when none is allowed', async (t) => {
  t.same(shape([tag('input', 0), tag('input', 1), tag('input', 3)], { ...limits, gapMax: 0 }), [
    'input:0+2',
    'input:3+1',
  ]);
});

t.test('whatever the tags, each is wholly inside exactly one block within the limits', async (t) => {
  const entropy = seededEntropy(99);
  for (let round = 0; round < 300; round += 1) {
    const tags = Array.from({ length: 1 + Math.floor(entropy.fraction() * 40) }, () =>
      tag(
        entropy.fraction() < 0.5 ? 'holding' : 'input',
        Math.floor(entropy.fraction() * 400),
        1 + Math.floor(entropy.fraction() * 8),
      ),
    );
    const blocks = planReads(tags, { ...limits, gapMax: Math.floor(entropy.fraction() * 30) });
    const covered = blocks.flatMap((block) => block.tags.map((inner) => ({ block, inner })));
    const isWhole = covered.every(
      ({ block, inner }) =>
        inner.at.table === block.table &&
        inner.at.offset >= block.offset &&
        inner.at.offset + inner.at.length <= block.offset + block.count,
    );
    if (!isWhole || covered.length !== tags.length || blocks.some(({ count }) => count > 125))
      throw new Error(`round ${round}`);
  }
  t.pass('300 plans');
});

t.test('a refused block is cut at its widest gap, and no further than its tags', async (t) => {
  const [block] = planReads([tag('holding', 0), tag('holding', 1), tag('holding', 8)], limits);
  const parts = splitBlock(block!);
  t.same(
    parts.map(({ offset, count }) => [offset, count]),
    [
      [0, 2],
      [8, 1],
    ],
  );
  t.same(splitBlock(parts[1]!), [parts[1]]);
});
