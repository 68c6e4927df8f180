// Children of a level come in their order, one at a time or many, to whoever stands between two of them.

import t from 'tap';
import { Level } from '../../src/broker/retained-level.ts';

t.test('one child, several, and none any more', async (t) => {
  const level = new Level<string>();
  t.ok(level.isLeaf);
  const a = level.add('a');
  t.equal(level.child('a'), a);
  t.equal(level.child('b'), undefined);
  t.equal(level.after(0), a);
  t.equal(level.after(a.ordinal), undefined);

  const b = level.add('b');
  const c = level.add('c');
  t.same([level.child('a'), level.child('b'), level.child('c')], [a, b, c]);
  t.equal(level.after(a.ordinal), b, 'who has seen the only one sees those that came since');
  level.remove(b);
  t.equal(level.child('b'), undefined);
  t.equal(level.after(a.ordinal), c);
  level.remove(a);
  level.remove(c);
  t.ok(level.isLeaf);
  t.equal(level.after(0), undefined);

  const again = level.add('a');
  t.equal(level.after(0), again);
  level.remove(again);
  t.ok(level.isLeaf);
  t.equal(level.child('a'), undefined);
});
