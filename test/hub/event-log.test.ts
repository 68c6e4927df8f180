import t from 'tap';
import { hubExpireEventsMax, hubReadEventsMax } from '../../src/limits.ts';
import { appendAll, type HubState, hubState, roomyRetention, sample } from '../support/hub-state.ts';

function readAll({ eventLog }: HubState, deviceId?: string): string[] {
  const texts: string[] = [];
  let position = 0;
  for (;;) {
    const { events, scannedTo } = eventLog.read({ afterOffset: position, deviceId });
    texts.push(...events.map((event) => event.body.toString()));
    if (scannedTo === position) return texts;
    position = scannedTo;
  }
}

t.test('an event is read back as it was sent, with an offset of its own', async (t) => {
  const hub = hubState(t.testdir());
  appendAll(hub, [
    sample('one'),
    sample('two', { sender: { deviceId: 'leaf' }, output: undefined, properties: {}, system: {} }),
  ]);
  const { events, scannedTo } = hub.eventLog.read({ afterOffset: 0 });
  t.equal(scannedTo, 2);
  t.same(events, [
    {
      offset: 1,
      sender: { deviceId: 'gw', moduleId: 'm' },
      output: 'out',
      enqueuedMs: Date.UTC(2026, 0, 1),
      system: { contentType: 'application/json' },
      properties: { kind: 'test' },
      body: Buffer.from('one'),
    },
    {
      offset: 2,
      sender: { deviceId: 'leaf' },
      output: undefined,
      enqueuedMs: Date.UTC(2026, 0, 1),
      system: {},
      properties: {},
      body: Buffer.from('two'),
    },
  ]);
  hub.database.close();
});

t.test('reading goes on where the last step ended, in bounded steps', async (t) => {
  const hub = hubState(t.testdir());
  const count = hubReadEventsMax * 2 + 3;
  appendAll(
    hub,
    Array.from({ length: count }, (_, index) => sample(`${index}`)),
  );
  t.equal(hub.eventLog.read({ afterOffset: 0 }).events.length, hubReadEventsMax);
  t.same(
    readAll(hub),
    Array.from({ length: count }, (_, index) => `${index}`),
  );
  hub.database.close();
});

t.test('a step is bounded in bytes, yet always holds one event', async (t) => {
  const hub = hubState(t.testdir());
  const large = 'x'.repeat(262_000);
  appendAll(
    hub,
    Array.from({ length: 6 }, () => sample(large)),
  );
  const { events, scannedTo } = hub.eventLog.read({ afterOffset: 0 });
  t.equal(events.length, 4);
  t.equal(scannedTo, 4);
  t.equal(readAll(hub).length, 6);
  hub.database.close();
});

t.test('a reader of one device gets past the others, however many they are', async (t) => {
  const hub = hubState(t.testdir());
  const crowd = Array.from({ length: 5000 }, () => sample('crowd', { sender: { deviceId: 'crowd' } }));
  appendAll(hub, [sample('first'), ...crowd, sample('last')]);
  t.same(readAll(hub, 'gw'), ['first', 'last']);
  t.same(readAll(hub, 'nobody'), []);
  hub.database.close();
});

t.test('over the byte limit the oldest go, counted, and offsets go on', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionBytes: 1000 });
  for (let index = 1; index <= 10; index += 1) appendAll(hub, [sample(`${index}`.padEnd(200, '.'))]);
  const facts = hub.eventLog.facts();
  t.ok(facts.bytes <= 1000);
  t.equal(facts.events + facts.dropped.bytes_limit, 10);
  t.equal(facts.firstOffset, 11 - facts.events);
  t.equal(facts.nextOffset, 11);
  t.equal(readAll(hub).length, facts.events);
  t.match(readAll(hub).at(-1), /^10\./);
  hub.database.close();
});

t.test('a single event over the byte limit empties the log and is dropped itself: the limit holds', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionBytes: 100 });
  appendAll(hub, [sample('x'.repeat(500))]);
  t.same(readAll(hub), []);
  t.equal(hub.eventLog.facts().bytes, 0);
  t.equal(hub.eventLog.facts().nextOffset, 2);
  hub.database.close();
});

t.test('over the age limit the oldest go, and only those', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  const now = hub.clock.wallMs();
  appendAll(hub, [sample('old', { enqueuedMs: now - 1001 }), sample('young', { enqueuedMs: now - 999 })]);
  t.equal(hub.eventLog.dropExpired(), false);
  t.same(readAll(hub), ['young']);
  t.same(hub.eventLog.facts().dropped, { bytes_limit: 0, age_limit: 1 });
  hub.database.close();
});

t.test('what was logged while the clock was ahead goes with the first that has expired behind it', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  const now = hub.clock.wallMs();
  const at = (enqueuedMs: number, count = 1) =>
    Array.from({ length: count }, () => sample(String(enqueuedMs - now), { enqueuedMs }));
  const year = 365 * 86_400_000;
  // More of them than one step takes.
  appendAll(hub, at(now + year, hubExpireEventsMax + 10));
  t.equal(hub.eventLog.dropExpired(), false);
  t.equal(hub.eventLog.facts().dropped.age_limit, 0, 'nothing says how old they are');
  appendAll(hub, [...at(now - 500), ...at(now + year), ...at(now - 100)]);
  t.equal(hub.eventLog.dropExpired(), false);
  t.equal(hub.eventLog.facts().dropped.age_limit, 0, 'they are older than a young one');
  await hub.clock.advance(501);
  t.equal(hub.eventLog.dropExpired(), true);
  t.equal(hub.eventLog.dropExpired(), false);
  t.same(readAll(hub), [String(year), '-100'], 'one that lies between is older than a young one');
  await hub.clock.advance(400);
  t.equal(hub.eventLog.dropExpired(), false);
  t.same(readAll(hub), []);
  t.equal(hub.eventLog.facts().dropped.age_limit, hubExpireEventsMax + 13);
  hub.database.close();
});

t.test('an expired event behind a young one does not take it along', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  const now = hub.clock.wallMs();
  const texts = ['ahead', 'young', 'old'];
  appendAll(
    hub,
    [now + 5000, now - 10, now - 5000].map((enqueuedMs, index) => sample(texts[index] ?? '', { enqueuedMs })),
  );
  t.equal(hub.eventLog.dropExpired(), false);
  t.same(readAll(hub), texts);
  hub.database.close();
});

t.test('by a clock that nobody vouches for nothing is too old', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionMs: 1000 });
  appendAll(hub, [sample('old', { enqueuedMs: hub.clock.wallMs() - 1001 })]);
  hub.clock.trustWall(false);
  t.equal(hub.eventLog.dropExpired(), false);
  t.same(readAll(hub), ['old']);
  hub.clock.trustWall(true);
  hub.eventLog.dropExpired();
  t.same(readAll(hub), []);
  hub.database.close();
});

t.test('offsets are not used again after everything was dropped and the hub restarted', async (t) => {
  const directory = t.testdir();
  const first = hubState(directory, { ...roomyRetention, retentionMs: 1000 });
  appendAll(first, [sample('old', { enqueuedMs: 0 }), sample('old', { enqueuedMs: 0 })]);
  first.eventLog.dropExpired();
  first.database.close();
  const second = hubState(directory);
  t.same([second.eventLog.facts().firstOffset, second.eventLog.facts().nextOffset], [3, 3]);
  appendAll(second, [sample('new')]);
  t.equal(second.eventLog.read({ afterOffset: 0 }).events[0]?.offset, 3);
  second.database.close();
});

t.test('a reader may start at the beginning, the end, an offset or a time', async (t) => {
  const hub = hubState(t.testdir());
  const start = Date.UTC(2026, 0, 1);
  appendAll(
    hub,
    [0, 1000, 2000].map((deltaMs) => sample('x', { enqueuedMs: start + deltaMs })),
  );
  const { eventLog } = hub;
  t.equal(eventLog.positionOf('earliest'), 0);
  t.equal(eventLog.positionOf('latest'), 3);
  t.equal(eventLog.positionOf('2'), 1);
  t.equal(eventLog.positionOf('0'), 0);
  t.equal(eventLog.positionOf('2026-01-01T00:00:00.500Z'), 1);
  t.equal(eventLog.positionOf('2026-01-01T00:00:01Z'), 1);
  t.equal(eventLog.positionOf('2026-01-02'), 3);
  for (const bad of ['yesterday', '-1', '', '2026-13-41', '1e3'])
    t.throws(() => eventLog.positionOf(bad), { code: 'HUB_ARGUMENT_INVALID' }, bad);
  hub.database.close();
});

t.test('a place before the oldest kept event reads from the oldest', async (t) => {
  const hub = hubState(t.testdir(), { ...roomyRetention, retentionBytes: 700 });
  for (let index = 1; index <= 10; index += 1) appendAll(hub, [sample(`${index}`.padEnd(200, '.'))]);
  t.equal(hub.eventLog.read({ afterOffset: 2 }).events[0]?.offset, hub.eventLog.facts().firstOffset);
  hub.database.close();
});

t.test('appending outside a transaction is a bug and stops', async (t) => {
  const hub = hubState(t.testdir());
  t.throws(() => hub.eventLog.append([sample('x')], { repeated: 0 }), { code: 'ERR_ASSERTION' });
  hub.database.close();
});
