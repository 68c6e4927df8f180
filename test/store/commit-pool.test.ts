import t from 'tap';
import { storeCommitBytesKept } from '../../src/limits.ts';
import { CommitPool } from '../../src/store/commit-pool.ts';

const pair = (bytes: number) => ({ entries: new ArrayBuffer(8), records: new ArrayBuffer(bytes) });

t.test('memory that comes back is taken again, three pairs at most', async (t) => {
  const pool = new CommitPool();
  t.equal(pool.take(), undefined);
  const pairs = [pair(1024), pair(1024), pair(1024), pair(1024)];
  for (const each of pairs) pool.give(each, 1000);
  t.equal(pool.take(), pairs[2]);
  t.equal(pool.take(), pairs[1]);
  t.equal(pool.take(), pairs[0]);
  t.equal(pool.take(), undefined);
});

t.test('memory that is larger than is kept, or has become much too large, is not', async (t) => {
  const pool = new CommitPool();
  pool.give(pair(2 * storeCommitBytesKept), 2 * storeCommitBytesKept);
  t.equal(pool.take(), undefined);
  const large = pair(storeCommitBytesKept);
  pool.give(large, storeCommitBytesKept);
  let commits = 0;
  for (let memory = pool.take(); memory !== undefined; memory = pool.take()) {
    t.equal(memory, large);
    pool.give(memory, 100);
    commits++;
  }
  t.equal(commits, 4, 'an hour of quiet does not keep the memory of a rush');
  const small = pair(16_384);
  pool.give(small, 1);
  t.equal(pool.take(), small);
});
