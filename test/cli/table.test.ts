import t from 'tap';
import { formatTable } from '../../src/cli/table.ts';

const plain = { columns: 80, hasColour: false };

t.test('columns are as wide as their widest cell, numbers stand right', async (t) => {
  const text = formatTable(
    plain,
    ['NAME', 'COUNT', 'NOTE'],
    [
      ['a', 7, 'first'],
      ['longer', 1234567, ''],
    ],
  );
  t.equal(text, ['NAME      COUNT  NOTE', 'a             7  first', 'longer  1234567', ''].join('\n'));
});

t.test('the last column is cut so that no line is wider than the terminal', async (t) => {
  const text = formatTable({ ...plain, columns: 30 }, ['NAME', 'NOTE'], [['module', 'x'.repeat(100)]]);
  t.equal(text.split('\n')[1], `module  ${'x'.repeat(21)}…`);
  t.ok(text.split('\n').every((line) => line.length <= 30));
});

t.test('no rows make no table', async (t) => {
  t.equal(formatTable(plain, ['A'], []), '');
});

t.test('colour does not count as width', async (t) => {
  const text = formatTable({ ...plain, hasColour: true }, ['S', 'N'], [[{ text: 'ok', colour: 'green' }, 'x']]);
  t.equal(text.split('\n')[1], '\u001b[32mok\u001b[0m  x');
});
