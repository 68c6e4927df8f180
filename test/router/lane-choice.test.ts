import t, { type Test } from 'tap';
import { drainStarvationBatches, drainStarvationMsMax } from '../../src/limits.ts';
import { chooseLane, type LaneCandidate } from '../../src/router/lane-choice.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

function candidate(priority: number, live: boolean, over: Partial<LaneCandidate> = {}): LaneCandidate {
  const lane = { queue: '$upstream', priority, live };
  return { lane, waitingSinceMs: 0, passedBy: 0, heldUntilMs: 0, notBeforeMs: 0, ...over };
}

function chosen(candidates: readonly LaneCandidate[], nowMs: number): LaneCandidate | undefined {
  const choice = chooseLane(candidates, nowMs);
  return choice.kind === 'send' ? choice.candidate : undefined;
}

t.test('0 goes first, no priority last, live before backlog', async (t: Test) => {
  const lanes = [10, 9, 3, 0].flatMap((priority) => [candidate(priority, false), candidate(priority, true)]);
  const order: string[] = [];
  for (let left = lanes; left.length > 0; ) {
    const next = chosen(left, 1000) as LaneCandidate;
    order.push(`${next.lane.priority}${next.lane.live ? 'l' : ''}`);
    left = left.filter((lane) => lane !== next);
  }
  t.same(order, ['0l', '0', '3l', '3', '9l', '9', '10l', '10']);
  t.same(chooseLane([], 0), { kind: 'wait', untilMs: undefined });
});

t.test('a lane that waits too long and was passed often goes first, the longest waiting of them', async (t: Test) => {
  const nowMs = 100_000;
  const starved = { waitingSinceMs: nowMs - drainStarvationMsMax, passedBy: drainStarvationBatches };
  const first = candidate(0, false, { waitingSinceMs: nowMs - 1 });
  const low = candidate(9, false, starved);
  const longer = candidate(10, false, { ...starved, waitingSinceMs: starved.waitingSinceMs - 1 });
  t.equal(chosen([first, low, longer], nowMs), longer);
  t.equal(chosen([first, low], nowMs), low);
  t.equal(chosen([first, { ...low, waitingSinceMs: low.waitingSinceMs + 1 }], nowMs), first, 'not long enough');
  t.equal(chosen([first, { ...low, passedBy: drainStarvationBatches - 1 }], nowMs), first, 'not passed often enough');
});

t.test('a rate that is used up is waited for, a held lane only lets others go first', async (t: Test) => {
  const held = candidate(0, false, { heldUntilMs: 500 });
  const other = candidate(5, false);
  t.equal(chosen([held, other], 499), other);
  t.equal(chosen([held, other], 500), held);
  t.equal(chosen([held], 100), held);
  const rated = candidate(0, false, { notBeforeMs: 700 });
  t.same(chooseLane([rated, candidate(1, false, { notBeforeMs: 600 })], 599), { kind: 'wait', untilMs: 600 });
  t.equal(chosen([rated, other], 699), other);
  t.equal(chosen([rated, other], 700), rated);
});

t.test('whatever the load: strict priority unless somebody starves, and nobody waits without end', async (t: Test) => {
  for (let seed = 1; seed <= 200; seed++) {
    const dice = seededEntropy(seed);
    const lanes = Array.from({ length: 2 + Math.floor(dice.fraction() * 6) }, (_, index) => ({
      lane: { queue: '$upstream', priority: Math.floor(index / 2), live: index % 2 === 0 },
      waitingSinceMs: 0,
      sinceBatch: 0,
    }));
    const stepMs = 1 + Math.floor(dice.fraction() * 4000);
    let nowMs = 0;
    let longestMs = 0;
    for (let batch = 0; batch < 500; batch++) {
      nowMs += Math.ceil(stepMs * dice.fraction());
      const candidates = lanes.map((state, index) => ({
        ...candidate(0, false),
        lane: state.lane,
        index,
        waitingSinceMs: state.waitingSinceMs,
        passedBy: batch - state.sinceBatch,
      }));
      const choice = chooseLane(candidates, nowMs);
      if (choice.kind !== 'send') throw new Error(`seed ${seed}: all lanes have messages`);
      const { index, passedBy, waitingSinceMs } = choice.candidate;
      const waitedMs = nowMs - waitingSinceMs;
      longestMs = Math.max(longestMs, waitedMs);
      const isGuard = passedBy >= drainStarvationBatches && waitedMs >= drainStarvationMsMax;
      if (index !== 0 && !isGuard) throw new Error(`seed ${seed}: lane ${index} passed a higher one`);
      const state = lanes[index] as (typeof lanes)[number];
      state.waitingSinceMs = nowMs;
      state.sinceBatch = batch + 1;
    }
    const bound = Math.max(drainStarvationMsMax, drainStarvationBatches * stepMs) + (lanes.length + 1) * stepMs;
    t.ok(longestMs <= bound, `seed ${seed}: ${longestMs} of ${bound} ms`);
  }
});
