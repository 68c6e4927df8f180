import t from 'tap';
import {
  formatSupervisionRecord,
  parseModuleEnd,
  parseShimState,
  parseSupervisionRecord,
  type SupervisionRecord,
} from '../../src/supervisor/records.ts';

const state = {
  shimPid: 10,
  shimStart: 100,
  pid: 11,
  pidStart: 101,
  bootId: 'b',
  startedAtMs: 5,
  lacking: ['landlock'],
};
const end = {
  pid: 11,
  code: null,
  signal: 9,
  reason: 'signal',
  message: 'm',
  startedAtMs: 1,
  endedAtMs: 2,
  uptimeMs: 1,
  oomKilled: true,
  logDroppedBytes: 3,
} as const;

t.test('the shim’s records are read, and what is not one is not', async (t) => {
  t.same(parseShimState(JSON.stringify({ ...state, monotonicMs: 9 })), state);
  t.same(parseModuleEnd(JSON.stringify(end)), end);
  for (const bad of [
    '',
    '{',
    '[]',
    'null',
    '{}',
    JSON.stringify({ ...state, pid: -5 }),
    JSON.stringify({ ...state, pid: 'x' }),
  ]) {
    t.equal(parseShimState(bad), undefined, bad);
  }
  for (const pid of [0, 1])
    t.equal(parseShimState(JSON.stringify({ ...state, pid })), undefined, 'a signal to its group would hit everybody');
  for (const bad of [
    '',
    '{}',
    JSON.stringify({ ...end, reason: 'boredom' }),
    JSON.stringify({ ...end, endedAtMs: null }),
  ])
    t.equal(parseModuleEnd(bad), undefined, bad);
});

t.test('failures survive the process that counted them as ages', async (t) => {
  const record: SupervisionRecord = {
    bootId: 'b',
    kind: 'container',
    generation: 'g',
    phase: 'backoff',
    restartCount: 3,
    lastRestartAtMs: 7,
    nextStartAtMs: 8,
    lastEnd: end,
    history: { failures: 2, recentAtMs: [1000, 4000], broken: false },
  };
  const text = formatSupervisionRecord(record, { wallMs: 1_000_000, monotonicMs: 5000 });
  const later = { wallMs: 1_002_000, monotonicMs: 50 };
  t.same(parseSupervisionRecord(text, later), {
    ...record,
    history: { failures: 2, recentAtMs: [50 - 6000, 50 - 3000], broken: false },
  });
  const jumpedBack = { wallMs: 0, monotonicMs: 50 };
  t.same(
    parseSupervisionRecord(text, jumpedBack)?.history.recentAtMs,
    [50 - 4000, 50 - 1000],
    'a wall clock that went back adds nothing',
  );
  for (const bad of [
    '',
    '{',
    '{}',
    text.replace('backoff', 'dancing'),
    text.replace('"restartCount":3', '"restartCount":-3'),
  ])
    t.equal(parseSupervisionRecord(bad, later), undefined);
});
