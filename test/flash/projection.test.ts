import t from 'tap';
import { type LifeEvidence, projectLife, sparingDelayMs } from '../../src/flash/projection.ts';

const yearMs = 31_557_600_000;
const unknown: LifeEvidence = {
  lifeStep: undefined,
  rises: [],
  watchedMs: yearMs,
  enduranceBytes: undefined,
  bytesPerDay: 1e9,
  bytesSeen: 0,
};

t.test('without registers that rose and without an endurance the life is unknown', (t) => {
  t.equal(projectLife(unknown), undefined);
  t.equal(projectLife({ ...unknown, lifeStep: 3 }), undefined);
  const once = [{ step: 3, watchedMs: yearMs / 2 }];
  t.equal(projectLife({ ...unknown, lifeStep: 3, rises: once }), undefined, 'one rise says nothing of the pace');
  t.equal(projectLife({ ...unknown, enduranceBytes: 1e12, bytesPerDay: undefined }), undefined);
  t.equal(projectLife({ ...unknown, enduranceBytes: 1e12, bytesPerDay: 0 }), undefined);
  t.end();
});

t.test('two rises tell the pace: a tenth of the life for each step', (t) => {
  const rises = [
    { step: 3, watchedMs: yearMs },
    { step: 4, watchedMs: 2 * yearMs },
  ];
  const life = projectLife({ ...unknown, lifeStep: 4, rises, watchedMs: 2 * yearMs });
  t.equal(life?.basis, 'registers');
  t.equal(life?.years.toFixed(6), '6.000000');
  const slower = projectLife({ ...unknown, lifeStep: 4, rises, watchedMs: 5 * yearMs });
  t.equal(slower?.years.toFixed(6), '12.000000', 'a next rise that is overdue: at most two tenths in four years');
  t.same(projectLife({ ...unknown, lifeStep: 11 }), { years: 0, basis: 'registers' });
  t.end();
});

t.test('an endurance is divided by what the device gets, less what is used already', (t) => {
  const evidence = { ...unknown, enduranceBytes: 3652.5e9 };
  t.equal(projectLife(evidence)?.years.toFixed(3), '10.000');
  t.equal(projectLife({ ...evidence, bytesSeen: 365.25e9 })?.years.toFixed(3), '9.000');
  t.equal(projectLife({ ...evidence, bytesSeen: 9e12 })?.years, 0);
  const used = projectLife({ ...evidence, lifeStep: 2, bytesSeen: 365.25e9 });
  t.equal(used?.years.toFixed(3), '8.000', 'the register knows better what is used');
  t.equal(used?.basis, 'endurance');
  t.end();
});

t.test('commits wait longer in proportion, within bounds, and until the life is long enough by a quarter', (t) => {
  const sparing = { years: 2.5, yearsMin: 5, delayMs: 200, isOn: false };
  t.equal(sparingDelayMs(sparing), 400);
  t.equal(sparingDelayMs({ ...sparing, years: 0.1 }), 2_000);
  t.equal(sparingDelayMs({ ...sparing, years: 0 }), 2_000);
  t.equal(sparingDelayMs({ ...sparing, years: 5 }), undefined);
  t.equal(sparingDelayMs({ ...sparing, years: 6, isOn: true }), 200, 'still on, and no longer than configured');
  t.equal(sparingDelayMs({ ...sparing, years: 6.25, isOn: true }), undefined);
  t.equal(sparingDelayMs({ ...sparing, years: undefined, isOn: true }), undefined);
  t.equal(sparingDelayMs({ ...sparing, yearsMin: 0 }), undefined, 'switched off');
  t.equal(sparingDelayMs({ ...sparing, delayMs: 0 }), undefined, 'who wants no wait gets none');
  t.end();
});
