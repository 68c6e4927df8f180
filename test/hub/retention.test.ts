import t from 'tap';
import { Retention } from '../../src/hub/retention.ts';
import { appendAll, hubState, roomyRetention, sample } from '../support/hub-state.ts';

t.test('old events are dropped in steps, at once and again later, until closed', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  const retention = new Retention(hub);
  const old = { enqueuedMs: hub.clock.wallMs() - 5000 };
  appendAll(
    hub,
    Array.from({ length: 5000 }, () => sample('x', old)),
  );
  retention.start();
  await hub.clock.advance(1);
  t.equal(hub.eventLog.facts().events, 0);
  appendAll(hub, [sample('x', old)]);
  await hub.clock.advance(60_000);
  t.equal(hub.eventLog.facts().events, 0);
  t.equal(hub.eventLog.facts().dropped.age_limit, 5001);
  retention.close();
  t.equal(hub.clock.timerCount, 0);
  hub.database.close();
});

t.test('a failing step is logged and tried again', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  const retention = new Retention(hub);
  appendAll(hub, [sample('x', { enqueuedMs: 0 })]);
  hub.database.run("CREATE TRIGGER broken BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
  retention.start();
  await hub.clock.advance(1);
  t.match(hub.lines.join(''), /disk trouble/);
  hub.database.run('DROP TRIGGER broken');
  await hub.clock.advance(60_000);
  t.equal(hub.eventLog.facts().events, 0);
  retention.close();
  hub.database.close();
});
