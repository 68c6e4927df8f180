// Batch buffers: which are used again, how many are kept, and for how long.

import t from 'tap';
import { BufferPool } from '../../src/broker/buffer-pool.ts';
import { brokerPoolBytesMax } from '../../src/limits.ts';

const smallest = 4096;

t.test('a buffer that was given back is taken again, the last one first, and only for its size', async (t) => {
  const pool = new BufferPool();
  const [first, second] = [pool.take(1), pool.take(smallest)];
  t.equal(first.length, smallest);
  pool.give(first);
  pool.give(second);
  t.equal(pool.bytes, 2 * smallest);
  t.equal(pool.take(smallest + 1).length, 2 * smallest);
  t.equal(pool.take(100), second);
  t.equal(pool.take(100), first);
  t.not(pool.take(100), first);
  t.equal(pool.bytes, 0);
});

t.test('no more is kept than the bound', async (t) => {
  const pool = new BufferPool();
  const large = brokerPoolBytesMax / 2;
  for (const buffer of [pool.take(large), pool.take(large), pool.take(large)]) pool.give(buffer);
  t.equal(pool.bytes, brokerPoolBytesMax);
});

t.test('what nobody wanted between two trims is let go, what was in use stays', async (t) => {
  const pool = new BufferPool();
  const buffers = Array.from({ length: 10 }, () => pool.take(1));
  for (const buffer of buffers) pool.give(buffer);
  pool.trim();
  t.equal(pool.bytes, 10 * smallest, 'all were in use until now');
  const wanted = [pool.take(1), pool.take(1), pool.take(1)];
  for (const buffer of wanted) pool.give(buffer);
  pool.trim();
  t.equal(pool.bytes, 3 * smallest);
  pool.trim();
  t.equal(pool.bytes, 0, 'an idle pool is empty');
  pool.give(pool.take(1));
  t.equal(pool.bytes, smallest);
});
