import t, { type Test } from 'tap';
import { liveFirstBacklogMessages } from '../../src/limits.ts';
import { LiveFirst } from '../../src/router/live-first.ts';

const long = liveFirstBacklogMessages + 1;

t.test('a long backlog of a connected endpoint is passed, until both lanes are empty', async (t: Test) => {
  const machine = new LiveFirst();
  t.notOk(machine.takes(10, { connected: true, backlog: liveFirstBacklogMessages, live: 0 }));
  t.ok(machine.takes(10, { connected: true, backlog: long, live: 0 }));
  t.ok(machine.takes(10, { connected: true, backlog: 1, live: 5 }), 'a short rest is still passed');
  t.ok(machine.takes(10, { connected: true, backlog: 0, live: 1 }), 'the live lane goes on while it holds something');
  t.notOk(machine.takes(10, { connected: true, backlog: 0, live: 0 }));
  t.notOk(machine.takes(10, { connected: true, backlog: 7, live: 0 }), 'from then on there is one order again');
});

t.test('what is accepted in an outage is no longer fresh when it ends', async (t: Test) => {
  const machine = new LiveFirst();
  t.notOk(machine.takes(0, { connected: false, backlog: 100_000, live: 0 }));
  t.ok(machine.takes(0, { connected: true, backlog: 100_000, live: 0 }));
  t.notOk(machine.takes(0, { connected: false, backlog: 100_000, live: 3 }));
  t.ok(machine.isSplit(0, { connected: false, backlog: 100_000, live: 3 }));
});

t.test(
  'live messages found at the start are passed on as such; priorities do not touch each other',
  async (t: Test) => {
    const machine = new LiveFirst();
    t.ok(machine.takes(4, { connected: true, backlog: 0, live: 1 }));
    t.notOk(machine.takes(5, { connected: true, backlog: 0, live: 0 }));
    t.ok(machine.takes(4, { connected: true, backlog: 0, live: 1 }));
  },
);
