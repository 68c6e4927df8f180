// Rates: a bucket of one second, debts worked off, waiting clients released by one timer.

import t from 'tap';
import { RateQueue, spendAll, TokenBucket } from '../../src/broker/message-rate.ts';
import { SimClock } from '../support/sim-clock.ts';

t.test('a bucket holds one second and fills with time', (t) => {
  const bucket = new TokenBucket(10, 0);
  t.ok(bucket.spend(9));
  t.notOk(bucket.spend(1), 'that was all');
  t.notOk(bucket.refill(0));
  t.ok(bucket.refill(100));
  t.notOk(bucket.spend(6), 'a debt');
  t.notOk(bucket.refill(500));
  t.ok(bucket.refill(700));
  t.ok(bucket.refill(1_000_000));
  t.notOk(bucket.spend(10), 'never more than a second of it');
  t.end();
});

t.test('take() takes what is there and owes nothing', (t) => {
  const bucket = new TokenBucket(2, 0);
  t.same(
    [0, 0, 0, 100, 400, 500, 500, 1000].map((nowMs) => bucket.take(nowMs)),
    [true, true, false, false, false, true, false, true],
  );
  t.end();
});

t.test('who waits is released in time, who is gone is not, and then no timer runs', async (t) => {
  const clock = new SimClock();
  const queue = new RateQueue(clock);
  const released: string[] = [];
  const rate = (name: string, debt: number) => {
    const bucket = new TokenBucket(10, 0);
    bucket.spend(10 + debt);
    return { buckets: [bucket], release: () => void released.push(name) };
  };
  const [quick, slow, gone] = [rate('quick', 0), rate('slow', 4), rate('gone', 0)];
  t.ok(queue.wait(quick) && queue.wait(slow) && queue.wait(gone));
  t.equal(queue.length, 3);
  queue.forget(gone);
  await clock.advance(300);
  t.same(released, ['quick']);
  await clock.advance(300);
  t.same(released, ['quick', 'slow']);
  t.equal(clock.timerCount, 0);
  const rich = { buckets: [new TokenBucket(10, 0)], release: () => t.fail('it never waited') };
  t.notOk(queue.wait(rich), 'time has filled it');
  const last = rate('last', 50);
  last.buckets[0]?.refill(clock.monotonicMs());
  t.ok(queue.wait(last));
  queue.forget(last);
  t.equal(clock.timerCount, 0);
});

t.test('who spends from two buckets waits for the emptier one', async (t) => {
  const clock = new SimClock();
  const queue = new RateQueue(clock);
  const [own, overall] = [new TokenBucket(1000, 0), new TokenBucket(10, 0)];
  const released: string[] = [];
  const rate = (name: string) => ({ buckets: [own, overall], release: () => void released.push(name) });
  t.ok(spendAll(rate('a'), 9));
  t.notOk(spendAll(rate('a'), 3));
  t.ok(queue.wait(rate('a')) && queue.wait(rate('b')));
  await clock.advance(200);
  t.same(released, []);
  await clock.advance(100);
  t.same(released, ['a', 'b'], 'both, for the bucket is of both');
});
