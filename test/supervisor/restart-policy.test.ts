import t from 'tap';
import {
  defaultPacing,
  freshHistory,
  judgeEnd,
  type RestartHistory,
  type RestartPolicy,
} from '../../src/supervisor/restart-policy.ts';

const middle = 0.5; // no jitter
const minute = 60_000;

function judge(changes: Partial<Parameters<typeof judgeEnd>[0]>): ReturnType<typeof judgeEnd> {
  return judgeEnd({
    policy: 'always',
    code: 1,
    uptimeMs: 0,
    history: freshHistory,
    pacing: defaultPacing,
    nowMs: 0,
    fraction: middle,
    ...changes,
  });
}

t.test('the policy and the exit code decide', async (t) => {
  const rows: readonly (readonly [RestartPolicy, number | null, string])[] = [
    ['never', 0, 'done'],
    ['never', 1, 'give-up'],
    ['never', null, 'give-up'],
    ['never', 75, 'give-up'],
    ['never', 78, 'give-up'],
    ['on-failure', 0, 'done'],
    ['on-failure', 1, 'wait'],
    ['on-failure', null, 'wait'],
    ['on-failure', 75, 'wait'],
    ['on-failure', 78, 'give-up'],
    ['on-unhealthy', 0, 'done'],
    ['on-unhealthy', 1, 'wait'],
    ['on-unhealthy', null, 'wait'],
    ['on-unhealthy', 78, 'give-up'],
    ['always', 0, 'wait'],
    ['always', 1, 'wait'],
    ['always', null, 'wait'],
    ['always', 78, 'give-up'],
  ];
  for (const [policy, code, kind] of rows)
    t.equal(judge({ policy, code }).verdict.kind, kind, `${policy}, exit ${code}`);
});

t.test('the delay doubles from one second to its cap when ends are rare enough not to be broken', async (t) => {
  let history: RestartHistory = freshHistory;
  const delays: (number | undefined)[] = [];
  for (let at = 0; at < 12; at++) {
    const judged = judge({ history, nowMs: at * 4 * minute });
    history = judged.history;
    delays.push(judged.verdict.delayMs);
  }
  t.same(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000, 300_000]);
});

t.test('jitter spreads a delay over a fifth to both sides', async (t) => {
  t.equal(judge({ fraction: 0 }).verdict.delayMs, 800);
  t.equal(judge({ fraction: 0.999999 }).verdict.delayMs, 1200);
});

t.test('the fifth failure within ten minutes breaks it; it is then tried each half hour', async (t) => {
  let history: RestartHistory = freshHistory;
  const kinds: string[] = [];
  for (let at = 0; at < 5; at++) {
    const judged = judge({ history, nowMs: at * 2 * minute });
    history = judged.history;
    kinds.push(judged.verdict.kind);
  }
  t.same(kinds, ['wait', 'wait', 'wait', 'wait', 'slow']);
  t.ok(history.broken);
  const again = judge({ history, nowMs: 60 * minute });
  t.same(again.verdict, { kind: 'slow', delayMs: 30 * minute }, 'a single failure keeps it broken');
});

t.test('ten minutes of running make good the past', async (t) => {
  const history: RestartHistory = { failures: 9, recentAtMs: [0, 1, 2, 3], broken: true };
  const judged = judge({ history, uptimeMs: 10 * minute, nowMs: 10 * minute });
  t.same(judged, {
    verdict: { kind: 'wait', delayMs: 1000 },
    history: { failures: 1, recentAtMs: [10 * minute], broken: false },
  });
  t.equal(judge({ history, uptimeMs: 10 * minute - 1 }).verdict.kind, 'slow');
});

t.test('a module that asks for its restart is not punished for it', async (t) => {
  const history: RestartHistory = { failures: 3, recentAtMs: [1, 2, 3], broken: false };
  t.same(judge({ history, code: 75 }), { verdict: { kind: 'wait', delayMs: 1000 }, history });
});

t.test('what is remembered has a bound', async (t) => {
  const recentAtMs = Array.from({ length: 100 }, (_, at) => at);
  t.ok(judge({ history: { failures: 100, recentAtMs, broken: true }, nowMs: 100 }).history.recentAtMs.length <= 16);
});
