// Every (phase, event) pair of the link's machine, and the back-off's bounds.

import t from 'tap';
import { backoffDelays } from '../../../src/model/backoff.ts';
import {
  type LinkEffect,
  type LinkEvent,
  type LinkPhase,
  linkTransition,
} from '../../../src/protocol/mqtt/link-state.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const table: Record<LinkPhase, Record<LinkEvent, [LinkPhase, ...LinkEffect[]]>> = {
  stopped: {
    start: ['connecting', 'dial'],
    due: ['stopped'],
    accepted: ['stopped'],
    lost: ['stopped'],
    renew: ['stopped'],
    stop: ['stopped'],
  },
  waiting: {
    start: ['waiting'],
    due: ['connecting', 'dial'],
    accepted: ['waiting'],
    lost: ['waiting'],
    renew: ['waiting'],
    stop: ['stopped', 'hang-up'],
  },
  connecting: {
    start: ['connecting'],
    due: ['connecting'],
    accepted: ['connected', 'settle'],
    lost: ['waiting', 'hang-up', 'arm'],
    renew: ['connecting'],
    stop: ['stopped', 'hang-up'],
  },
  connected: {
    start: ['connected'],
    due: ['connected'],
    accepted: ['connected'],
    lost: ['waiting', 'hang-up', 'arm'],
    renew: ['connecting', 'hang-up', 'dial'],
    stop: ['stopped', 'hang-up'],
  },
};

for (const [phase, row] of Object.entries(table) as [LinkPhase, (typeof table)[LinkPhase]][]) {
  for (const [event, [next, ...effects]] of Object.entries(row) as [LinkEvent, [LinkPhase, ...LinkEffect[]]][]) {
    t.test(`the link in ${phase} answers ${event} with ${next}`, (t) => {
      t.same(linkTransition(phase, event), { phase: next, effects });
      t.end();
    });
  }
}

t.test('back-off stays between floor and a ceiling that doubles up to its maximum', (t) => {
  const delays = backoffDelays({ floorMs: 100, firstCeilingMs: 1000, ceilingMsMax: 8000 }, seededEntropy(3).fraction);
  for (const ceilingMs of [1000, 2000, 4000, 8000, 8000, 8000]) {
    const delayMs = delays.next().value;
    t.ok(delayMs >= 100 && delayMs <= ceilingMs, `${delayMs} within ${ceilingMs}`);
  }
  const extremes = backoffDelays({ floorMs: 100, firstCeilingMs: 1000, ceilingMsMax: 8000 }, () => 0);
  t.equal(extremes.next().value, 100);
  t.end();
});
