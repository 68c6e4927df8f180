import t from 'tap';
import { hubCommitMessagesMax, hubPendingBytesMax, hubPendingMessageBytes, messageBytesMax } from '../../src/limits.ts';
import { hubState, sample } from '../support/hub-state.ts';

/** As many of the largest messages may be pending, and then there is room for so many bytes. */
const largest = Math.floor(hubPendingBytesMax / (messageBytesMax + hubPendingMessageBytes));
const room = hubPendingBytesMax - largest * (messageBytesMax + hubPendingMessageBytes);

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
  const waiting = Array.from({ length: largest }, () => hub.ingest.accept(large));
  await t.rejects(hub.ingest.accept(large), { code: 'HUB_INGEST_FULL', retryable: true });
  await hub.ingest.close();
  await Promise.all(waiting);
  hub.database.close();
});

t.test('messages without a body take room as well', async (t) => {
  const hub = hubState(t.testdir());
  const large = sample('x'.repeat(messageBytesMax));
  const waiting = Array.from({ length: largest }, () => hub.ingest.accept(large));
  const empty = Array.from({ length: Math.floor(room / hubPendingMessageBytes) }, () => sample(''));
  waiting.push(hub.ingest.acceptAll(empty));
  await t.rejects(hub.ingest.accept(sample('')), { code: 'HUB_INGEST_FULL' });
  await hub.ingest.close();
  await Promise.all(waiting);
  t.equal(hub.eventLog.facts().events, largest + empty.length);
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
  const waiting = Array.from({ length: largest }, () => hub.ingest.accept(large));
  const rest = hub.ingest.accept(sample('x'.repeat(room - hubPendingMessageBytes - 600)));
  const hop = (sequence: number, text: string) => sample(text, { hop: { stream: 's', sequence } });
  await t.rejects(hub.ingest.accept(hop(1, 'x'.repeat(100))), { code: 'HUB_INGEST_FULL' });
  await t.rejects(hub.ingest.accept(hop(2, 'x')), { code: 'HUB_INGEST_FULL' }, 'although it would fit');
  await hub.clock.advance(0);
  await Promise.all([...waiting, rest]);
  const again = [hub.ingest.accept(hop(1, 'a')), hub.ingest.accept(hop(2, 'b'))];
  await hub.clock.advance(0);
  await Promise.all(again);
  t.equal(hub.eventLog.facts().repeated, 0);
  t.equal(hub.eventLog.facts().events, largest + 3);
  await hub.ingest.close();
  hub.database.close();
});

t.test('what comes together is in one commit, in order, and never cut by the bound of a group', async (t) => {
  const hub = hubState(t.testdir());
  const commits: number[] = [];
  hub.eventLog.onCommitted(() => {
    commits.push(hub.eventLog.facts().events);
  });
  const many = (from: number, count: number) => Array.from({ length: count }, (_, index) => sample(`${from + index}`));
  const first = hub.ingest.accept(sample('0'));
  const second = hub.ingest.acceptAll(many(1, hubCommitMessagesMax - 4));
  const third = hub.ingest.acceptAll(many(hubCommitMessagesMax - 3, 10));
  await hub.clock.advance(0);
  await Promise.all([first, second, third]);
  t.same(commits, [hubCommitMessagesMax - 3, hubCommitMessagesMax + 7]);
  const [head] = hub.eventLog.read({ afterOffset: hubCommitMessagesMax - 4 }).events;
  t.equal(head?.body.toString(), `${hubCommitMessagesMax - 4}`);
  hub.database.close();
});

t.test('of what comes together all is logged or nothing, and all of it may come again', async (t) => {
  const hub = hubState(t.testdir());
  const hop = (sequence: number) => sample(`${sequence}`, { hop: { stream: 's', sequence } });
  hub.database.run(
    "CREATE TRIGGER broken BEFORE INSERT ON event WHEN NEW.body = CAST('3' AS BLOB) BEGIN SELECT RAISE(ABORT, 'trouble'); END",
  );
  const refused = t.rejects(hub.ingest.acceptAll([hop(1), hop(2), hop(3)]), { code: 'HUB_LOG_WRITE_FAILED' });
  await hub.clock.advance(0);
  await refused;
  t.equal(hub.eventLog.facts().events, 0);
  t.equal(hub.metrics.snapshot().find(({ name }) => name === 'weir_hub_events_rejected')?.value, 3);
  hub.database.run('DROP TRIGGER broken');
  for (const again of [
    [hop(1), hop(2), hop(3)],
    [hop(1), hop(2), hop(3)],
    [hop(2), hop(3), hop(4), hop(5)],
  ]) {
    const accepted = hub.ingest.acceptAll(again);
    await hub.clock.advance(0);
    await accepted;
  }
  t.same(
    hub.eventLog.read({ afterOffset: 0 }).events.map((event) => event.body.toString()),
    ['1', '2', '3', '4', '5'],
    'also of what is repeated in part only what is new',
  );
  t.equal(hub.eventLog.facts().repeated, 5);
  hub.database.close();
});

t.test('what comes together and finds no room is refused as a whole, with what comes behind it', async (t) => {
  const hub = hubState(t.testdir());
  const large = sample('x'.repeat(messageBytesMax));
  const waiting = Array.from({ length: largest }, () => hub.ingest.accept(large));
  await t.rejects(hub.ingest.acceptAll([sample('a'), large, sample('b')]), { code: 'HUB_INGEST_FULL' });
  await t.rejects(hub.ingest.accept(sample('c')), { code: 'HUB_INGEST_FULL' });
  await hub.ingest.close();
  await Promise.all(waiting);
  t.equal(hub.eventLog.facts().events, largest);
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
