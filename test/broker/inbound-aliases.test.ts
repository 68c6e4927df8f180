// Topic aliases of one client: set, replaced, bounded by number and bytes.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { InboundAliases } from '../../src/broker/inbound-aliases.ts';

const entry = (length: number): { readonly bytes: Buffer } => ({ bytes: Buffer.alloc(length) });

t.test('an alias stands for what it was set to last', (t) => {
  const aliases = new InboundAliases(3);
  const [one, two] = [entry(1), entry(2)];
  t.equal(aliases.get(1), undefined);
  t.equal(aliases.set(3, one), 'set');
  t.equal(aliases.set(3, one), 'set');
  t.equal(aliases.set(1, two), 'set');
  t.equal(aliases.set(3, two), 'set');
  t.same(
    [1, 2, 3].map((alias) => aliases.get(alias)),
    [two, undefined, two],
  );
  t.end();
});

t.test('numbers beyond the maximum are invalid, topics beyond the bytes are too many', (t) => {
  const aliases = new InboundAliases(3);
  t.equal(aliases.set(0, entry(1)), 'invalid');
  t.equal(aliases.set(4, entry(1)), 'invalid');
  t.equal(aliases.set(1, entry(65_537)), 'set');
  t.equal(aliases.set(2, entry(65_537)), 'full');
  t.equal(aliases.get(2), undefined);
  t.equal(aliases.set(1, entry(1)), 'set', 'what is replaced counts no more');
  t.equal(aliases.set(2, entry(65_537)), 'set');
  t.end();
});
