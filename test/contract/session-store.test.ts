// The contract of the broker's SessionStore port, run over the real store on a file and over the memory twin.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { SessionStore, StoredSession, StoredState, StoredSubscription } from '../../src/broker/ports.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import { Store } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const puback = 4;
const pubrec = 5;
const pubcomp = 7;
const forever = 0xffff_ffff;

interface Life {
  readonly sessions: SessionStore;
  readonly clock: SimClock;
  /** An orderly end. */
  close(): Promise<void>;
}

type Birth = () => Promise<Life>;

/** Lets time pass in small steps until `work` has settled. */
async function within<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  work.then(done, done);
  for (let round = 0; round < 500 && !settled; round++) {
    await clock.advance(10);
    await settle();
  }
  return work;
}

function storeOn(directory: string): Birth {
  return async () => {
    const clock = new SimClock();
    const store = new Store(
      {
        clock,
        log: keptLog(clock).log,
        metrics: createMetrics(),
        startThread: () => new InlineThread({ sqlite: systemSqlite(), entropy: seededEntropy(7) }),
      },
      { path: join(directory, 'mqtt.db'), quarantine: join(directory, 'quarantine'), quotaBytes: 4_194_304 },
    );
    await store.start();
    return { sessions: store.sessions, clock, close: () => within(clock, store.close()) };
  };
}

function memory(): Birth {
  const disk = new MemoryDisk();
  return () =>
    Promise.resolve({
      sessions: new MemorySessionStore(disk),
      clock: new SimClock(),
      close: () => Promise.resolve(),
    });
}

const session = (clientId: string, over: Partial<StoredSession> = {}): StoredSession => ({
  clientId,
  principal: { name: `user of ${clientId}`, identity: undefined },
  expirySeconds: forever,
  leftAtMs: 0,
  will: undefined,
  ...over,
});

const subscription = (filter: string, over: Partial<StoredSubscription> = {}): StoredSubscription => ({
  filter,
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionId: 0,
  owned: false,
  replaying: false,
  ...over,
});

const publish = (topic: string, text: string): PublishView =>
  PublishView.of({ topic, payload: Buffer.from(text), qos: 2, retain: false });

const message = (view: PublishView, over: { qos?: 1 | 2; retain?: boolean; subscriptionIds?: number[] } = {}) => ({
  view,
  qos: 1 as const,
  retain: false,
  subscriptionIds: [],
  ...over,
});

const textOf = (canonical: Buffer): string =>
  PublishView.fromCanonical(canonical, { qos: 1, retain: false, expiresAtMs: 0 }).payload().toString();

/** What was loaded, by client id, with payloads as text. */
function told({ sessions, retained }: StoredState) {
  return {
    sessions: Object.fromEntries(
      sessions.map((found) => [
        found.clientId,
        {
          filters: found.subscriptions.map(({ filter }) => filter).sort(),
          queue: found.deliveries.map(({ ordinal, packetId, awaiting, message: { canonical } }) => [
            ordinal,
            textOf(canonical),
            packetId,
            awaiting,
          ]),
          receiving: [...found.receiving],
        },
      ]),
    ),
    retained: Object.fromEntries(retained.map(({ topic, message: { canonical } }) => [topic, textOf(canonical)])),
  };
}

const suites: readonly (readonly [string, (t: Test) => Birth])[] = [
  ['the store on a file', (t) => storeOn(t.testdir())],
  ['the memory twin', () => memory()],
];

/** One life writes, the next one reads. */
async function nextLife(birth: Birth, write: (life: Life) => void | Promise<void>): Promise<StoredState> {
  const life = await birth();
  await life.sessions.load();
  await write(life);
  await within(life.clock, life.sessions.flushed());
  await life.close();
  const after = await birth();
  const state = await after.sessions.load();
  await after.close();
  return state;
}

for (const [name, open] of suites) {
  t.test(`${name}: nothing is there at first`, async (t: Test) => {
    const life = await open(t)();
    t.same(await life.sessions.load(), { sessions: [], retained: [], damaged: 0 });
    t.equal(await within(life.clock, life.sessions.flushed()), undefined, 'nothing to wait for');
    await life.close();
  });

  t.test(`${name}: a session comes back as it was put last, with everything of it`, async (t: Test) => {
    const will = {
      canonical: publish('w', 'gone').canonical(),
      qos: 1 as const,
      retain: true,
      delaySeconds: 5,
      expirySeconds: 9,
    };
    const principal = { name: 'd/m', identity: { deviceId: 'd', moduleId: 'm' } };
    const full = session('a', { principal, expirySeconds: 60, leftAtMs: 1_700_000_000_123, will });
    const subscribed = subscription('$share/g/x/+', {
      qos: 2,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionId: 268_435_455,
      owned: true,
      replaying: true,
    });
    const { sessions } = await nextLife(open(t), ({ sessions: store }) => {
      store.putSession(session('a'));
      store.putSession(full);
      store.putSession(session('b', { will: { ...will, expirySeconds: undefined } }));
      store.putSubscription('a', subscription('$share/g/x/+'));
      store.putSubscription('a', subscribed);
      store.putSubscription('a', subscription('gone'));
      store.deleteSubscription('a', 'gone');
      store.putReceiving('a', 65_535);
      store.putReceiving('a', 3);
      store.putReceiving('a', 4);
      store.deleteReceiving('a', 4);
    });
    const found = sessions.find(({ clientId }) => clientId === 'a');
    t.same(found, { ...full, subscriptions: [subscribed], deliveries: [], receiving: [3, 65_535] });
    t.equal(sessions.find(({ clientId }) => clientId === 'b')?.will?.expirySeconds, undefined);
  });

  t.test(`${name}: queues come back in order, with packet ids and steps`, async (t: Test) => {
    const state = await nextLife(open(t), ({ sessions: store }) => {
      store.putSession(session('a'));
      for (let ordinal = 1; ordinal <= 5; ordinal++)
        store.putMessage(
          'a',
          ordinal,
          message(publish('t', `m${ordinal}`), { qos: 2, retain: ordinal === 5, subscriptionIds: [7, 300] }),
        );
      store.sentMessage('a', 1, { packetId: 11, awaiting: pubrec });
      store.sentMessage('a', 2, { packetId: 12, awaiting: pubrec });
      store.sentMessage('a', 1, { packetId: 11, awaiting: pubcomp });
      store.deleteMessage('a', 3);
    });
    t.same(told(state).sessions['a']?.queue, [
      [1, 'm1', 11, pubcomp],
      [2, 'm2', 12, pubrec],
      [4, 'm4', 0, 0],
      [5, 'm5', 0, 0],
    ]);
    const last = state.sessions[0]?.deliveries.at(-1)?.message;
    t.match(last, { qos: 2, retain: true, subscriptionIds: [7, 300], expiresAtMs: 0 });
  });

  t.test(`${name}: what changes after a commit changes what was committed`, async (t: Test) => {
    const state = await nextLife(open(t), async ({ sessions: store, clock }) => {
      for (const clientId of ['a', 'b', 'c']) store.putSession(session(clientId));
      const shared = publish('t', 'shared');
      for (const clientId of ['a', 'b', 'c']) store.putMessage(clientId, 1, message(shared));
      store.putMessage('a', 2, message(publish('t', 'second')));
      store.putReceiving('a', 5);
      store.putSubscription('a', subscription('x'));
      store.putRetained('r', shared);
      store.putRetained('gone', publish('gone', 'x'));
      await within(clock, store.flushed());
      store.sentMessage('a', 2, { packetId: 9, awaiting: puback });
      store.deleteMessage('a', 1);
      store.deleteSession('b');
      store.deleteReceiving('a', 5);
      store.putReceiving('a', 5);
      store.deleteReceiving('a', 5);
      store.deleteSubscription('a', 'x');
      store.deleteRetained('gone');
      store.putRetained('r', publish('r', 'newer'));
    });
    t.same(told(state), {
      sessions: {
        a: { filters: [], queue: [[2, 'second', 9, puback]], receiving: [] },
        c: { filters: [], queue: [[1, 'shared', 0, 0]], receiving: [] },
      },
      retained: { r: 'newer' },
    });
  });

  t.test(`${name}: a session that ended and began again has nothing of the old one`, async (t: Test) => {
    const state = await nextLife(open(t), async ({ sessions: store, clock }) => {
      store.putSession(session('a'));
      store.putMessage('a', 1, message(publish('t', 'old')));
      store.putSubscription('a', subscription('old'));
      await within(clock, store.flushed());
      store.deleteSession('a');
      store.putSession(session('a', { expirySeconds: 5 }));
      store.putMessage('a', 1, message(publish('t', 'new')));
    });
    t.same(told(state).sessions, { a: { filters: [], queue: [[1, 'new', 0, 0]], receiving: [] } });
    t.equal(state.sessions[0]?.expirySeconds, 5);
  });

  t.test(`${name}: one message for many sessions comes back for each, and goes with the last`, async (t: Test) => {
    const birth = open(t);
    const names = Array.from({ length: 20 }, (_, index) => `s${index}`);
    const first = await nextLife(birth, ({ sessions: store }) => {
      const view = publish('t', 'for all');
      for (const clientId of names) {
        store.putSession(session(clientId));
        store.putMessage(clientId, 1, message(view));
      }
    });
    t.equal(first.sessions.filter(({ deliveries }) => deliveries.length === 1).length, 20);
    const second = await nextLife(birth, ({ sessions: store }) => {
      for (const clientId of names.slice(1)) store.deleteMessage(clientId, 1);
    });
    t.same(
      second.sessions.filter(({ deliveries }) => deliveries.length === 1).map(({ clientId }) => clientId),
      ['s0'],
    );
    const third = await nextLife(birth, ({ sessions: store }) => store.deleteMessage('s0', 1));
    t.ok(third.sessions.every(({ deliveries }) => deliveries.length === 0));
  });

  t.test(`${name}: a session that was never put keeps nothing and breaks nothing`, async (t: Test) => {
    const state = await nextLife(open(t), ({ sessions: store }) => {
      store.putMessage('nobody', 1, message(publish('t', 'x')));
      store.sentMessage('nobody', 1, { packetId: 1, awaiting: puback });
      store.deleteMessage('nobody', 1);
      store.putReceiving('nobody', 1);
      store.deleteReceiving('nobody', 1);
      store.putSubscription('nobody', subscription('x'));
      store.deleteSubscription('nobody', 'x');
      store.deleteSession('nobody');
      store.deleteRetained('nothing');
    });
    t.same(state.sessions, []);
  });

  t.test(`${name}: everybody who asks within a turn is answered together`, async (t: Test) => {
    const life = await open(t)();
    await life.sessions.load();
    life.sessions.putSession(session('a'));
    const first = life.sessions.flushed();
    t.equal(life.sessions.flushed(), first, 'one promise');
    await within(life.clock, first);
    await life.close();
  });
}
