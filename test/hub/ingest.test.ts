import t from 'tap';
import { hubCommitMessagesMax, messageBytesMax } from '../../src/limits.ts';
import { hubState, sample } from '../support/hub-state.ts';

t.test('a message is acknowledged after it is in the log, not before', async (t) => {
  const hub = hubState(t.testdir());
  let acknowledged = false;
  const accepted = hub.ingest.accept(sample('1')).then(() => {
    acknowledged = true;
  });
  await Promise.resolve();
  t.notOk(acknowledged);
  t.equal(hub.eventLog.facts().events, 0);
  await hub.clock.advance(0);
  await accepted;
  t.equal(hub.eventLog.facts().events, 1);
  hub.database.close();
});

t.test('what arrives in one turn shares a commit, in order of arrival', async (t) => {
  const hub = hubState(t.testdir());
  let commits = 0;
  hub.eventLog.onCommitted(() => {
    commits += 1;
  });
  const all = Array.from({ length: 100 }, (_, index) => hub.ingest.accept(sample(`${index}`)));
  await hub.clock.advance(0);
  await Promise.all(all);
  t.equal(commits, 1);
  t.same(
    hub.eventLog.read({ afterOffset: 0 }).events.map((event) => event.body.toString()),
    Array.from({ length: 100 }, (_, index) => `${index}`),
  );
  hub.database.close();
});

t.test('a group is bounded; the rest follows in the next turns', async (t) => {
  const hub = hubState(t.testdir());
  let commits = 0;
  hub.eventLog.onCommitted(() => {
    commits += 1;
  });
  const all = Array.from({ length: hubCommitMessagesMax + 1 }, () => hub.ingest.accept(sample('x')));
  await hub.clock.advance(0);
  await Promise.all(all);
  t.equal(commits, 2);
  hub.database.close();
});

t.test('a repetition is acknowledged, counted and not logged again', async (t) => {
  const hub = hubState(t.testdir());
  const once = sample('1', { hop: { stream: 's', sequence: 1 } });
  const first = hub.ingest.accept(once);
  await hub.clock.advance(0);
  const second = hub.ingest.accept(once);
  await hub.clock.advance(0);
  await Promise.all([first, second]);
  t.equal(hub.eventLog.facts().events, 1);
  t.equal(hub.eventLog.facts().repeated, 1);
  t.equal(hub.metrics.snapshot().find((sampled) => sampled.name === 'weir_hub_events_repeated')?.value, 1);
  hub.database.close();
});

t.test('a failed commit refuses its messages and forgets their positions; the next try succeeds', async (t) => {
  const hub = hubState(t.testdir());
  hub.database.run("CREATE TRIGGER broken BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
  const once = sample('1', { hop: { stream: 's', sequence: 1 } });
  const refused = t.rejects(hub.ingest.accept(once), { code: 'HUB_LOG_WRITE_FAILED', retryable: true });
  await hub.clock.advance(0);
  await refused;
  t.match(hub.lines.join(''), /disk trouble/);
  hub.database.run('DROP TRIGGER broken');
  const accepted = hub.ingest.accept(once);
  await hub.clock.advance(0);
  await accepted;
  t.equal(hub.eventLog.facts().events, 1);
  hub.database.close();
});

t.test('beyond the memory for pending messages telemetry is refused at once', async (t) => {
  const hub = hubState(t.testdir());
  const large = sample('x'.repeat(messageBytesMax));
  const waiting = Array.from({ length: 256 }, () => hub.ingest.accept(large));
  await t.rejects(hub.ingest.accept(large), { code: 'HUB_INGEST_FULL', retryable: true });
  await hub.ingest.close();
  await Promise.all(waiting);
  hub.database.close();
});

t.test('what waits behind a group that failed is refused with it: no message overtakes a refused one', async (t) => {
  const hub = hubState(t.testdir());
  hub.database.run("CREATE TRIGGER broken BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
  const hop = (sequence: number) => sample(`${sequence}`, { hop: { stream: 's', sequence } });
  // One more than a group: the last would be committed after the failure.
  const count = hubCommitMessagesMax + 1;
  let refused = 0;
  const all = Array.from({ length: count }, (_, index) =>
    hub.ingest.accept(hop(index + 1)).catch(() => {
      if (++refused === 1) hub.database.run('DROP TRIGGER broken');
    }),
  );
  await hub.clock.advance(0);
  await Promise.all(all);
  t.equal(refused, count);
  const again = Array.from({ length: count }, (_, index) => hub.ingest.accept(hop(index + 1)));
  await hub.clock.advance(0);
  await Promise.all(again);
  t.equal(hub.eventLog.facts().events, count, 'all of them are there');
  t.equal(hub.eventLog.facts().repeated, 0, 'none was taken for a repetition');
  hub.database.close();
});

t.test('a small message does not slip past a large one refused for lack of room', async (t) => {
  const hub = hubState(t.testdir());
  const large = sample('x'.repeat(messageBytesMax));
  const waiting = Array.from({ length: 255 }, () => hub.ingest.accept(large));
  const rest = hub.ingest.accept(sample('x'.repeat(messageBytesMax - 10)));
  const hop = (sequence: number, text: string) => sample(text, { hop: { stream: 's', sequence } });
  await t.rejects(hub.ingest.accept(hop(1, 'x'.repeat(100))), { code: 'HUB_INGEST_FULL' });
  await t.rejects(hub.ingest.accept(hop(2, 'x')), { code: 'HUB_INGEST_FULL' }, 'although it would fit');
  await hub.clock.advance(0);
  await Promise.all([...waiting, rest]);
  const again = [hub.ingest.accept(hop(1, 'a')), hub.ingest.accept(hop(2, 'b'))];
  await hub.clock.advance(0);
  await Promise.all(again);
  t.equal(hub.eventLog.facts().repeated, 0);
  t.equal(hub.eventLog.facts().events, 258);
  await hub.ingest.close();
  hub.database.close();
});

t.test('closing commits what is pending and refuses what comes later', async (t) => {
  const hub = hubState(t.testdir());
  const pending = hub.ingest.accept(sample('1'));
  await hub.ingest.close();
  await pending;
  t.equal(hub.eventLog.facts().events, 1);
  await t.rejects(hub.ingest.accept(sample('2')), { code: 'HUB_CLOSED' });
  hub.database.close();
});
