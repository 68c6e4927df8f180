import t from 'tap';
import { recentLines } from '../../src/platform/log.ts';

t.test('the latest lines are remembered, and no more characters than allowed', (t) => {
  const recent = recentLines(10);
  t.same(recent.lines(), []);
  recent.write('abcd\n');
  recent.write('efgh\n');
  t.same(recent.lines(), ['abcd', 'efgh']);
  recent.write('ijkl\n');
  t.same(recent.lines(), ['efgh', 'ijkl']);
  for (let count = 0; count < 1000; count++) recent.write(`${String(count).padStart(5, '0')}\n`);
  t.same(recent.lines(), ['00998', '00999']);
  recent.write('a line that is longer than all of it\n');
  t.same(recent.lines(), ['a line that is longer than all of it'], 'one line is always there');
  t.end();
});
