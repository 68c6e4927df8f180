import t from 'tap';
import { hasProcess, type ModuleEvent, type Phase, phases, transition } from '../../src/supervisor/module-state.ts';

// Written out apart from the source: every phase against every event. A dash means "nothing happens".
// L launch · T terminate · S schedule · C cancel · E erase
const events: readonly ModuleEvent[] = [
  'run',
  'change',
  'halt',
  'forget',
  'restart',
  'ail',
  'up',
  'wait',
  'slow',
  'done',
  'give-up',
  'due',
];
const names: Readonly<Record<string, Phase>> = {
  abs: 'absent',
  sta: 'starting',
  run: 'running',
  '>sto': 'stopping-to-stay',
  '>sta': 'stopping-to-start',
  '>abs': 'stopping-to-forget',
  '>jud': 'stopping-to-judge',
  sto: 'stopped',
  fin: 'finished',
  fai: 'failed',
  bac: 'backoff',
  bro: 'broken',
};
const letters: Readonly<Record<string, string>> = {
  launch: 'L',
  terminate: 'T',
  schedule: 'S',
  cancel: 'C',
  erase: 'E',
};
//         run      change   halt     forget   restart  ail      up       wait     slow     done     give-up  due
const matrix = `
  abs      sta.L    sta.L    sto      abs.E    -        -        run      bac.S    bro.S    fin      fai      -
  sta      -        >sta.T   >sto.T   >abs.T   -        -        run      bac.S    bro.S    fin      fai      -
  run      -        >sta.T   >sto.T   >abs.T   >sta.T   >jud.T   -        bac.S    bro.S    fin      fai      -
  >sto     >sta     >sta     -        >abs     -        -        -        sto      sto      sto      sto      -
  >sta     -        -        >sto     >abs     -        -        -        sta.L    sta.L    sta.L    sta.L    -
  >abs     >sta     >sta     >sto     -        -        -        -        abs.E    abs.E    abs.E    abs.E    -
  >jud     -        >sta     >sto     >abs     >sta     -        -        bac.S    bro.S    fin      fai      -
  sto      sta.L    sta.L    -        abs.E    -        -        -        -        -        -        -        -
  fin      -        sta.L    sto      abs.E    sta.L    -        -        -        -        -        -        -
  fai      -        sta.L    sto      abs.E    sta.L    -        -        -        -        -        -        -
  bac      -        sta.CL   sto.C    abs.CE   sta.CL   -        -        -        -        -        -        sta.L
  bro      -        sta.CL   sto.C    abs.CE   sta.CL   -        -        -        -        -        -        sta.L`;

t.test('every event in every phase leads where the table says', async (t) => {
  const rows = matrix
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  t.same(rows.map(([short]) => names[short ?? '']).sort(), [...phases].sort(), 'every phase has its row');
  for (const [short, ...cells] of rows) {
    const phase = names[short ?? ''] ?? 'absent';
    t.equal(cells.length, events.length);
    for (const [at, cell] of cells.entries()) {
      const event = events[at] ?? 'run';
      const [target, effects = ''] = cell === '-' ? [short ?? '', ''] : cell.split('.');
      const found = transition(phase, event);
      t.same(
        { phase: found.phase, effects: found.effects.map((effect) => letters[effect]).join('') },
        { phase: names[target ?? ''], effects },
        `${phase} + ${event}`,
      );
    }
  }
});

t.test('a launch follows only where no process is, a stop only where one may be', async (t) => {
  for (const phase of phases) {
    for (const event of events) {
      const { phase: next, effects } = transition(phase, event);
      const over = ['wait', 'slow', 'done', 'give-up'].includes(event);
      if (effects.includes('launch')) t.ok((!hasProcess(phase) || over) && next === 'starting', `${phase} + ${event}`);
      if (effects.includes('terminate')) t.ok(hasProcess(phase) && next.startsWith('stopping-'), `${phase} + ${event}`);
      if (effects.includes('schedule')) t.ok(next === 'backoff' || next === 'broken', `${phase} + ${event}`);
    }
  }
});
