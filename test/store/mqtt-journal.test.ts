// The journal's own promises: what never reaches the disk, what a failed commit leaves, what a lost file brings back.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import BetterSqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { brokerJournalBytesMax } from '../../src/limits.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type Sqlite, type SqliteDatabase, systemSqlite } from '../../src/platform/sqlite.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import type { MqttJournal } from '../../src/store/mqtt-journal.ts';
import type { MqttState } from '../../src/store/mqtt-shapes.ts';
import { Store, type StoreOptions } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { numberedMessage } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const puback = 4;
let seed = 100;

/** What the disk does to a transaction: nothing, or it throws. */
type Fault = () => string | undefined;

function faulty(sqlite: Sqlite, fault: Fault): Sqlite {
  const open = (file: string): SqliteDatabase => {
    const database = sqlite.open(file);
    const transaction = <T>(work: () => T): T =>
      database.transaction(() => {
        const result = work();
        const code = fault();
        if (code !== undefined) throw Object.assign(new Error(`injected ${code}`), { code });
        return result;
      });
    return { ...database, transaction };
  };
  return { ...sqlite, open };
}

async function world(directory: string, over: { fault?: Fault; options?: Partial<StoreOptions> } = {}) {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const threads: InlineThread[] = [];
  const entropy = seededEntropy(seed++);
  let armed = false;
  const sqlite = faulty(systemSqlite(), () => (armed ? over.fault?.() : undefined));
  const store = new Store(
    {
      clock,
      log,
      metrics,
      startThread: () => {
        const thread = new InlineThread({ sqlite, entropy });
        threads.push(thread);
        return thread;
      },
    },
    {
      path: join(directory, 'mqtt.db'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes: 67_108_864,
      ...over.options,
    },
  );
  await store.start();
  armed = true;
  const commits = (): number => threads.flatMap(({ requests }) => requests).filter((name) => name === 'commit').length;
  return { clock, lines, metrics, threads, store, sessions: store.sessions, commits };
}

async function within<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  work.then(done, done);
  for (let round = 0; round < 1000 && !settled; round++) {
    await clock.advance(10);
    await settle();
  }
  return work;
}

/** The state as the next life finds it. */
async function reload(directory: string): Promise<MqttState> {
  const { store, sessions, clock } = await world(directory);
  const state = await sessions.load();
  await within(clock, store.close());
  return state;
}

const session = (clientId: string) => ({
  clientId,
  principal: { name: clientId, identity: undefined },
  expirySeconds: 60,
  leftAtMs: 0,
  will: undefined,
});
const view = (text: string, expiresAtMs = 0): PublishView => {
  const made = PublishView.of({ topic: 't', payload: Buffer.from(text), qos: 2, retain: false });
  made.expiresAtMs = expiresAtMs;
  return made;
};
const message = (text: string) => ({ view: view(text), qos: 1 as const, retain: false, subscriptionIds: [] });
const ordinals = (state: MqttState, clientId: string): number[] | undefined =>
  state.sessions.find((found) => found.clientId === clientId)?.deliveries.map(({ ordinal }) => ordinal);

t.test(
  'a message acknowledged before the commit never reaches the disk, and its waiters are told at once',
  async (t: Test) => {
    const { clock, sessions, store, commits } = await world(t.testdir());
    await sessions.load();
    sessions.putSession(session('a'));
    await within(clock, sessions.flushed());
    const before = commits();
    for (let ordinal = 1; ordinal <= 1000; ordinal++) {
      sessions.putMessage('a', ordinal, message('x'));
      sessions.sentMessage('a', ordinal, { packetId: ordinal, awaiting: puback });
      sessions.putReceiving('a', ordinal);
      const told = sessions.flushed();
      sessions.deleteMessage('a', ordinal);
      sessions.deleteReceiving('a', ordinal);
      await told;
    }
    await clock.advance(1000);
    t.equal(commits(), before, 'not one commit');
    await within(clock, store.close());
  },
);

t.test('a waiter is not told before those before him', async (t: Test) => {
  const life = await world(t.testdir());
  const { clock, store } = life;
  const sessions: MqttJournal = life.sessions;
  await sessions.load();
  sessions.putSession(session('a'));
  await within(clock, sessions.flushed());
  const told: string[] = [];
  const ask = (name: string): void => void sessions.flushed().then(() => told.push(name));
  sessions.putMessage('a', 1, message('older'));
  ask('older');
  await clock.advance(1);
  sessions.putMessage('a', 2, message('younger'));
  ask('younger');
  sessions.deleteMessage('a', 2);
  await settle();
  t.same(told, [], 'the older one is neither on the disk nor gone');
  sessions.deleteMessage('a', 1);
  await settle();
  t.same(told.sort(), ['older', 'younger']);
  await within(clock, store.close());
});

t.test('who asks while a commit is under way waits for it, although nothing of his own is left', async (t: Test) => {
  const { clock, sessions, store, threads } = await world(t.testdir());
  await sessions.load();
  sessions.putSession(session('a'));
  threads[0]?.hold();
  const first = sessions.flushed();
  await clock.advance(20);
  let told = false;
  sessions.putMessage('a', 1, message('gone before it was written'));
  const second = sessions.flushed().then(() => {
    told = true;
  });
  sessions.deleteMessage('a', 1);
  await clock.advance(1000);
  t.notOk(told);
  threads[0]?.resume();
  await within(clock, Promise.all([first, second]));
  t.ok(told);
  await within(clock, store.close());
});

t.test('changes nobody waits for are committed soon, in one commit', async (t: Test) => {
  const directory = t.testdir();
  const { clock, sessions, store, commits, threads } = await world(directory);
  await sessions.load();
  sessions.putSession(session('a'));
  for (let ordinal = 1; ordinal <= 50; ordinal++) sessions.putMessage('a', ordinal, message('x'));
  sessions.putRetained('r', view('kept'));
  await clock.advance(249);
  t.equal(commits(), 0);
  await clock.advance(1);
  t.equal(commits(), 1);
  await settle();
  threads[0]?.die();
  await clock.advance(100);
  await settle();
  await within(clock, store.close());
  const state = await reload(directory);
  t.equal(ordinals(state, 'a')?.length, 50);
  t.equal(state.retained.length, 1);
});

t.test(
  'what is put within one turn is committed together, although a commit was due in the middle',
  async (t: Test) => {
    const directory = t.testdir();
    const { clock, sessions, store, threads, commits } = await world(directory, { options: { commitBytes: 100 } });
    await sessions.load();
    for (const clientId of ['a', 'b']) sessions.putSession(session(clientId));
    await within(clock, sessions.flushed());
    const before = commits();
    const text = 'x'.repeat(200);
    sessions.putReceiving('a', 1);
    sessions.putMessage('a', 1, message(text));
    // More bytes wait than a commit takes, and somebody asks: the turn is not over yet.
    const first = sessions.flushed();
    sessions.putMessage('b', 1, message(text));
    t.equal(commits(), before);
    threads[0]?.hold();
    await clock.advance(0);
    t.equal(commits(), before + 1);
    threads[0]?.resume();
    await within(clock, first);
    threads[0]?.die();
    const closing = store.close();
    await clock.advance(1000);
    await closing;
    const state = await reload(directory);
    t.same([ordinals(state, 'a'), ordinals(state, 'b')], [[1], [1]]);
  },
);

t.test('messages of the outbox and MQTT state share a commit', async (t: Test) => {
  const { clock, sessions, store, commits } = await world(t.testdir());
  await sessions.load();
  sessions.putSession(session('a'));
  const both = [
    sessions.flushed(),
    store.append(numberedMessage(1), [{ queue: 'q', priority: priorityUnset, live: false, timeToLiveMs: undefined }]),
  ];
  await within(clock, Promise.all(both));
  t.equal(commits(), 1);
  await within(clock, store.close());
});

t.test('a failed commit rejects who waited; what it held is tried again with what changed since', async (t: Test) => {
  const directory = t.testdir();
  let faults = 0;
  const { clock, sessions, store, lines, commits } = await world(directory, {
    fault: () => (faults-- > 0 ? 'SQLITE_FULL' : undefined),
  });
  await sessions.load();
  for (const clientId of ['a', 'b']) sessions.putSession(session(clientId));
  for (let ordinal = 1; ordinal <= 4; ordinal++) sessions.putMessage('a', ordinal, message(`m${ordinal}`));
  sessions.putReceiving('a', 7);
  sessions.putSubscription('a', {
    filter: 'f',
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionId: 0,
    owned: false,
    replaying: false,
  });
  sessions.putRetained('r', view('kept'));
  faults = 3;
  await t.rejects(within(clock, sessions.flushed()), { code: 'STORE_DISK_FULL', retryable: true });
  sessions.deleteMessage('a', 1);
  sessions.sentMessage('a', 2, { packetId: 9, awaiting: puback });
  sessions.putMessage('a', 5, message('m5'));
  sessions.deleteSession('b');
  const rejected = sessions.flushed();
  await t.rejects(within(clock, rejected), { code: 'STORE_DISK_FULL' });
  t.equal(lines.filter((line) => line.includes('tried again')).length, 1, 'told once');
  await clock.advance(10_000);
  await within(clock, sessions.flushed());
  t.ok(commits() >= 4);
  await within(clock, store.close());
  const state = await reload(directory);
  t.same(ordinals(state, 'a'), [2, 3, 4, 5]);
  const found = state.sessions[0];
  t.match(found?.deliveries[0], { packetId: 9, awaiting: puback });
  t.same(found?.receiving, [7]);
  t.equal(found?.subscriptions.length, 1);
  t.equal(state.retained.length, 1);
  t.equal(state.sessions.length, 1, 'the session that ended meanwhile is not there');
});

t.test('the outbox goes on while MQTT state waits for its next try', async (t: Test) => {
  let faults = 0;
  const { clock, sessions, store } = await world(t.testdir(), {
    fault: () => (faults-- > 0 ? 'SQLITE_FULL' : undefined),
  });
  await sessions.load();
  sessions.putSession(session('a'));
  faults = 1;
  await t.rejects(within(clock, sessions.flushed()), { code: 'STORE_DISK_FULL' });
  const appended = store.append(numberedMessage(1), [
    { queue: 'q', priority: priorityUnset, live: false, timeToLiveMs: undefined },
  ]);
  t.equal(await within(clock, appended), 'stored');
  await within(clock, sessions.flushed());
  await within(clock, store.close());
});

t.test('who asks for the queues while MQTT state waits for its next try does not put it off', async (t: Test) => {
  let faults = 0;
  const { clock, sessions, store, commits } = await world(t.testdir(), {
    fault: () => (faults-- > 0 ? 'SQLITE_FULL' : undefined),
  });
  await sessions.load();
  sessions.putSession(session('a'));
  faults = 1;
  await t.rejects(within(clock, sessions.flushed()), { code: 'STORE_DISK_FULL' });
  const before = commits();
  await store.lanes();
  t.equal(commits(), before, 'not yet');
  await clock.advance(1000);
  await settle();
  t.equal(commits(), before + 1);
  await within(clock, store.close());
});

t.test('a thread that dies in a commit loses nothing that was put, and doubles nothing', async (t: Test) => {
  const directory = t.testdir();
  const { clock, sessions, store, threads } = await world(directory);
  await sessions.load();
  const shared = view('shared');
  for (const clientId of ['a', 'b']) {
    sessions.putSession(session(clientId));
    sessions.putMessage(clientId, 1, { ...message(''), view: shared });
  }
  const flushed = sessions.flushed().then(
    () => 'flushed',
    (error: { code: string }) => error.code,
  );
  await clock.advance(20);
  // The thread has committed or not: its owner cannot know.
  threads[0]?.die(new Error('planted'));
  t.match(await within(clock, flushed), /flushed|STORE_UNAVAILABLE/);
  await within(clock, sessions.flushed()).catch(() => undefined);
  await clock.advance(20_000);
  await within(clock, sessions.flushed());
  sessions.deleteMessage('a', 1);
  await within(clock, sessions.flushed());
  await within(clock, store.close());
  const state = await reload(directory);
  t.same(ordinals(state, 'a'), []);
  t.same(ordinals(state, 'b'), [1]);
  const file = new BetterSqlite(join(directory, 'mqtt.db'));
  t.same(file.prepare('SELECT count(*) AS n FROM mqtt_message').get(), { n: 1 });
  file.close();
});

t.test('a message is on the disk as long as somebody has it, however often commits are repeated', async (t: Test) => {
  const directory = t.testdir();
  const life = await world(directory);
  const { clock, store } = life;
  const sessions: MqttJournal = life.sessions;
  await sessions.load();
  const rows = (): unknown => {
    const file = new BetterSqlite(join(directory, 'mqtt.db'), { readonly: true });
    const found = file.prepare('SELECT count(*) AS n FROM mqtt_message').get();
    file.close();
    return found;
  };
  const shared = view('shared');
  for (const clientId of ['a', 'b', 'c']) {
    sessions.putSession(session(clientId));
    sessions.putMessage(clientId, 1, { ...message(''), view: shared });
  }
  sessions.putRetained('r', shared);
  await within(clock, sessions.flushed());
  sessions.deleteMessage('a', 1);
  sessions.putRetained('r', view('other'));
  await within(clock, sessions.flushed());
  sessions.deleteSession('b');
  sessions.deleteMessage('c', 1);
  sessions.deleteRetained('r');
  await within(clock, sessions.flushed());
  await within(clock, store.close());
  t.same(rows(), { n: 0 });
});

t.test('a file that turns out damaged: everything alive is put again into the fresh one', async (t: Test) => {
  const directory = t.testdir();
  let fault: string | undefined;
  const { clock, sessions, store } = await world(directory, {
    fault: () => {
      const code = fault;
      fault = undefined;
      return code;
    },
  });
  await sessions.load();
  const alive = (): void => {
    sessions.putSession(session('a'));
    sessions.putMessage('a', 1, message('alive'));
    sessions.putRetained('r', view('kept'));
  };
  let losses = 0;
  sessions.onLost(() => {
    losses++;
    alive();
  });
  alive();
  await within(clock, sessions.flushed());
  fault = 'SQLITE_CORRUPT';
  sessions.putMessage('a', 2, message('x'));
  await t.rejects(within(clock, sessions.flushed()), { code: 'STORE_DAMAGED' });
  t.equal(losses, 1);
  await within(clock, sessions.flushed());
  await within(clock, store.close());
  const state = await reload(directory);
  t.same(ordinals(state, 'a'), [1]);
  t.equal(state.retained.length, 1);
  t.equal(state.damaged, 0);
});

t.test('damaged rows are left out, counted, told of once, and gone the next time', async (t: Test) => {
  const directory = t.testdir();
  const first = await world(directory);
  await first.sessions.load();
  for (const clientId of ['a', 'b']) {
    first.sessions.putSession(session(clientId));
    for (let ordinal = 1; ordinal <= 3; ordinal++)
      first.sessions.putMessage(clientId, ordinal, message(`${clientId}${ordinal}`));
  }
  first.sessions.putRetained('r', view('kept'));
  await within(first.clock, first.sessions.flushed());
  await within(first.clock, first.store.close());
  const file = new BetterSqlite(join(directory, 'mqtt.db'));
  file.exec("UPDATE mqtt_message SET canonical = x'00' WHERE id IN (2, 7)");
  file.exec("UPDATE mqtt_session SET record = x'0102' WHERE id = 2");
  file.close();
  const second = await world(directory);
  const state = await second.sessions.load();
  t.same(
    state.sessions.map(({ clientId }) => clientId),
    ['a'],
  );
  t.same(ordinals(state, 'a'), [1, 3]);
  t.same(state.retained, []);
  t.ok(state.damaged >= 4, `${state.damaged} rows`);
  t.equal(second.lines.filter((line) => line.includes('rows that cannot be read')).length, 1);
  await within(second.clock, second.sessions.flushed());
  await within(second.clock, second.store.close());
  const third = await reload(directory);
  t.equal(third.damaged, 0);
  t.same(ordinals(third, 'a'), [1, 3]);
});

t.test('the expiry of a message survives on the clock of the wall', async (t: Test) => {
  const directory = t.testdir();
  const { clock, sessions, store } = await world(directory);
  await sessions.load();
  await clock.advance(5000);
  sessions.putSession(session('a'));
  sessions.putMessage('a', 1, { ...message(''), view: view('x', clock.monotonicMs() + 60_000) });
  await within(clock, sessions.flushed());
  const expected = clock.wallMs() - clock.monotonicMs() + 65_000;
  await within(clock, store.close());
  t.equal((await reload(directory)).sessions[0]?.deliveries[0]?.message.expiresAtMs, expected);
});

t.test(
  'the journal is full when the disk stalls or its half of the quota is used, until that ends',
  async (t: Test) => {
    const { clock, sessions, store, threads } = await world(t.testdir(), { options: { quotaBytes: 1_048_576 } });
    await sessions.load();
    sessions.putSession(session('a'));
    t.notOk(sessions.full);
    const large = 'x'.repeat(100_000);
    for (let ordinal = 1; ordinal <= 6; ordinal++) sessions.putMessage('a', ordinal, message(large));
    t.ok(sessions.full, 'beyond half of the quota');
    await within(clock, sessions.flushed());
    t.ok(sessions.full);
    sessions.deleteMessage('a', 1);
    sessions.deleteMessage('a', 2);
    await within(clock, sessions.flushed());
    t.notOk(sessions.full);
    await within(clock, store.close());
    const wide = await world(t.testdir({ wide: {} }));
    await wide.sessions.load();
    wide.sessions.putSession(session('a'));
    wide.threads[0]?.hold();
    for (let ordinal = 1; ordinal * large.length <= brokerJournalBytesMax; ordinal++)
      wide.sessions.putMessage('a', ordinal, message(large));
    t.notOk(wide.sessions.full);
    wide.sessions.putMessage('a', 1_000_000, message(large));
    t.ok(wide.sessions.full);
    wide.threads[0]?.resume();
    await within(wide.clock, wide.sessions.flushed());
    t.notOk(wide.sessions.full);
    await within(wide.clock, wide.store.close());
    t.equal(threads.length, 1);
  },
);

t.test('a large state is loaded page by page', async (t: Test) => {
  const directory = t.testdir();
  const { clock, sessions, store } = await world(directory);
  await sessions.load();
  for (let client = 0; client < 100; client++) {
    const clientId = `c${client}`;
    sessions.putSession(session(clientId));
    for (let ordinal = 1; ordinal <= 120; ordinal++) sessions.putMessage(clientId, ordinal, message('y'.repeat(100)));
    for (let packetId = 1; packetId <= 50; packetId++) sessions.putReceiving(clientId, packetId);
    sessions.putRetained(`retained/${client}`, view('r'));
  }
  await within(clock, sessions.flushed());
  await within(clock, store.close());
  const { sessions: next, store: again, clock: later, threads } = await world(directory);
  const state = await next.load();
  t.equal(state.sessions.length, 100);
  t.ok(state.sessions.every(({ deliveries, receiving }) => deliveries.length === 120 && receiving.length === 50));
  t.equal(state.retained.length, 100);
  t.ok((threads[0]?.requests.filter((name) => name === 'mqtt').length ?? 0) > 12, 'in pages');
  await within(later, again.close());
});

t.test('after the close nobody waits in vain', async (t: Test) => {
  const directory = t.testdir();
  const { clock, sessions, store } = await world(directory);
  await sessions.load();
  sessions.putSession(session('a'));
  const flushed = sessions.flushed();
  await within(clock, store.close());
  await flushed;
  await t.rejects(sessions.flushed(), { code: 'STORE_CLOSED' });
  sessions.putMessage('a', 1, message('late'));
  t.equal((await reload(directory)).sessions.length, 1);
});

t.test('a file that is no database is replaced at the start: nothing is loaded, all can be put', async (t: Test) => {
  const directory = t.testdir();
  writeFileSync(join(directory, 'mqtt.db'), 'this is not a database, and long enough to be taken for one'.repeat(40));
  const { clock, sessions, store } = await world(directory);
  t.same(await sessions.load(), { sessions: [], retained: [], damaged: 0 });
  sessions.putSession(session('a'));
  await within(clock, sessions.flushed());
  await within(clock, store.close());
  t.equal((await reload(directory)).sessions.length, 1);
});
