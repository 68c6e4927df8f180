import t, { type Test } from 'tap';
import { TokenBucket } from '../../src/router/token-bucket.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

t.test('a rate is given in tenths of a second, and not made up for after a pause', async (t: Test) => {
  const bucket = new TokenBucket(100, 0);
  t.equal(bucket.quantum, 10);
  t.equal(bucket.available(0), 10);
  bucket.take(10, 0);
  t.equal(bucket.available(50), 5);
  t.equal(bucket.readyAtMs(50), 100);
  t.equal(bucket.readyAtMs(100), 100);
  t.equal(bucket.available(3_600_000), 20, 'an hour later no more than two quanta');
});

t.test('a rate of one message a second is one message a second', async (t: Test) => {
  const bucket = new TokenBucket(1, 0);
  bucket.take(1, 0);
  t.equal(bucket.readyAtMs(0), 1000);
  t.equal(bucket.available(999), 0);
  t.equal(bucket.readyAtMs(999), 1000);
  t.equal(bucket.available(1000), 1);
});

t.test('over any time the rate is kept', async (t: Test) => {
  for (let seed = 1; seed <= 50; seed++) {
    const dice = seededEntropy(seed);
    const perSecond = 1 + Math.floor(dice.fraction() * 2000);
    const bucket = new TokenBucket(perSecond, 0);
    let nowMs = 0;
    let taken = 0;
    while (nowMs < 60_000) {
      nowMs = Math.max(nowMs + Math.floor(dice.fraction() * 20), bucket.readyAtMs(nowMs));
      const count = bucket.available(nowMs);
      bucket.take(count, nowMs);
      taken += count;
    }
    const expected = (perSecond * nowMs) / 1000;
    const most = expected + bucket.quantum * 2 + 1;
    t.ok(taken <= most && taken >= expected * 0.9, `seed ${seed}: ${taken} of ${expected}`);
  }
});
