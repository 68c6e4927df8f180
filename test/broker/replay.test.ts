// Retained messages that a new subscription is owed, when their way to the client is slow, breaks off, or is ended by
// a restart of the broker.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { Level } from '../../src/broker/retained-level.ts';
import { Random } from '../fuzz/random.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, connect, Harness, publish, subscribe, subscribe5, unsubscribe, type Wire } from './broker-harness.ts';

const away = { clean: false };

async function looked(wire: Wire): Promise<string[]> {
  for (let turn = 0; turn < 3; turn++) await settle();
  return wire.seen();
}

/** Everything that comes as long as it is acknowledged. */
async function drained(wire: Wire): Promise<string[]> {
  const seen: string[] = [];
  for (let lines = await looked(wire); lines.length > 0; lines = await looked(wire)) {
    seen.push(...lines);
    for (const line of lines) {
      const packetId = Number(/#(\d+)$/.exec(line)?.[1]);
      if (line.includes(' q1 ')) wire.send(ack('puback', packetId));
      else if (line.includes(' q2 ')) wire.send(ack('pubrec', packetId));
      else if (line.startsWith('pubrel')) wire.send(ack('pubcomp', Number(line.split(' ')[1])));
    }
  }
  return seen;
}

const shortly = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/^publish | #\d+$/g, ''));

async function retaining(h: Harness, topics: number): Promise<Wire> {
  const publisher = await h.client('p');
  for (let n = 0; n < topics; n++) publisher.send(publish(`r/${n}`, 'old', { qos: 2, id: n + 1, retain: true }));
  await looked(publisher);
  return publisher;
}

t.test('what a persistent client had not got when its connection ended comes when it is back, once', async (t) => {
  const h = await new Harness(t, { limits: { inflightOutboundMax: 3 } }).start();
  const publisher = await retaining(h, 8);
  const wire = await h.client('s', away);
  wire.send(subscribe(1, ['r/#', 2]));
  t.same(shortly(await looked(wire)), ['suback 1 2', ...[0, 1, 2].map((n) => `r/${n} old q2 retained`)]);
  wire.send(ack('pubrec', 1), ack('pubcomp', 1));
  t.same(shortly(await looked(wire)), ['pubrel 1', 'r/3 old q2 retained']);
  wire.destroy();
  await settle();
  publisher.send(publish('r/4', 'new', { qos: 1, id: 101, retain: true }), publish('r/5', '', { retain: true }));
  await looked(publisher);
  const back = h.wire();
  back.send(connect('s', away));
  t.same(shortly(await drained(back)), [
    'connack 0 present',
    ...[1, 2, 3].map((n) => `r/${n} old q2 retained dup`),
    ...['pubrel 2', 'pubrel 3', 'pubrel 4'],
    // While it was away, and live for its subscription.
    ...['r/4 new q1', 'r/6 old q2 retained', 'r/7 old q2 retained', 'pubrel 6', 'pubrel 7'],
  ]);
  back.destroy();
  await settle();
  const again = h.wire();
  again.send(connect('s', away));
  t.same(await drained(again), ['connack 0 present'], 'and nothing is owed any more');
});

t.test('a session that ends with its connection is owed nothing, nor is a filter that was left', async (t) => {
  const h = await new Harness(t, { limits: { inflightOutboundMax: 1 } }).start();
  await retaining(h, 3);
  const clean = await h.client('c');
  clean.send(subscribe(1, ['r/#', 1]));
  t.equal((await looked(clean)).length, 2);
  clean.destroy();
  await settle();
  t.same(await drained(await h.client('c')), []);
  const wire = await h.client('s', away);
  wire.send(subscribe(1, ['r/#', 1]));
  t.equal((await looked(wire)).length, 2);
  wire.send(unsubscribe(2, 'r/#'));
  wire.destroy();
  await settle();
  const back = h.wire();
  back.send(connect('s', away));
  t.same(shortly(await drained(back)), ['connack 0 present', 'r/0 old q1 retained dup']);
});

t.test('a message that waited for room is not sent once another one took its place', async (t) => {
  const h = await new Harness(t, { limits: { inflightOutboundMax: 1 } }).start();
  const publisher = await retaining(h, 4);
  const wire = await h.client('s');
  wire.send(subscribe(1, ['r/#', 1]));
  t.same(shortly(await looked(wire)), ['suback 1 1', 'r/0 old q1 retained']);
  // The next one was looked at and found no room.
  publisher.send(publish('r/1', 'new', { qos: 1, id: 101, retain: true }), publish('r/2', '', { retain: true }));
  await looked(publisher);
  wire.send(ack('puback', 1));
  t.same(shortly(await drained(wire)), ['r/2  q0', 'r/1 new q1', 'r/3 old q1 retained']);
});

t.test('after a restart of the broker they come from the first, and afterwards never again', async (t) => {
  const disk = new MemoryDisk();
  const life = async (): Promise<{ h: Harness; store: MemorySessionStore }> => {
    const store = new MemorySessionStore(disk);
    return { h: await new Harness(t, { sessionStore: store, limits: { inflightOutboundMax: 2 } }).start(), store };
  };
  const first = await life();
  await retaining(first.h, 4);
  const wire = await first.h.client('s', away);
  wire.send(subscribe(1, ['r/#', 1], ['none/#', 1], ['r/0', 0]));
  await looked(wire);
  await first.store.flushed();
  t.ok(disk.sessions.get('s')?.subscriptions.get('r/#')?.replaying);
  t.notOk(disk.sessions.get('s')?.subscriptions.get('none/#')?.replaying, 'nothing is retained there');
  t.notOk(disk.sessions.get('s')?.subscriptions.get('r/0')?.replaying, 'QoS 0 is for clients that are there');
  const next = await life();
  const back = next.h.wire();
  back.send(connect('s', away));
  t.same(shortly(await drained(back)), [
    'connack 0 present',
    ...[0, 1].map((n) => `r/${n} old q1 retained dup`),
    ...[0, 1, 2, 3].map((n) => `r/${n} old q1 retained`),
  ]);
  await next.store.flushed();
  t.notOk(disk.sessions.get('s')?.subscriptions.get('r/#')?.replaying);
  t.equal(disk.sessions.get('s')?.deliveries.size, 0);
  const last = (await life()).h.wire();
  last.send(connect('s', away));
  t.same(await drained(last), ['connack 0 present']);
});

t.test('a client that went before its SUBACK is owed what it would have got behind it', async (t) => {
  const store = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore: store }).start();
  await retaining(h, 2);
  const wire = await h.client('s', { version: 5, clean: false, properties: { sessionExpiryInterval: 60 } });
  let goOn = (): void => undefined;
  store.held = new Promise((resolve) => {
    goOn = resolve;
  });
  wire.send(subscribe5(1, [{ topic: 'r/#', qos: 1, rh: 1 }]));
  t.same(await looked(wire), []);
  wire.destroy();
  await settle();
  goOn();
  store.held = undefined;
  await looked(wire);
  const back = h.wire();
  back.send(connect('s', { clean: false, properties: { sessionExpiryInterval: 60 } }));
  t.same(shortly(await drained(back)), ['connack 0 present', 'r/0 old q1 retained', 'r/1 old q1 retained']);
});

t.test('children are found in the order in which they came, whatever came and went between', async (t) => {
  const random = new Random(3);
  const level = new Level<string>();
  const model = new Map<string, Level<string>>();
  for (let step = 0; step < 3000; step++) {
    const name = `${random.below(60)}`;
    const known = model.get(name);
    // More leave than come in every other stretch.
    if (known === undefined && random.below(3) > Math.floor(step / 300) % 2) model.set(name, level.add(name));
    else if (known !== undefined && random.below(3) < 2) {
      level.remove(known);
      model.delete(name);
    }
    t.equal(level.child(name), model.get(name));
    t.equal(level.isLeaf, model.size === 0);
    if (step % 50 > 0) continue;
    const found: Level<string>[] = [];
    for (let child = level.after(0); child !== undefined; child = level.after(child.ordinal)) found.push(child);
    t.same(
      found.map((child) => child.name),
      [...model.keys()],
    );
  }
});

t.test('a walk that stands still holds nothing of what comes and goes', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const held = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const level = new Level<string>();
  const names = Array.from({ length: 4000 }, (_, n) => `${n}`);
  for (const name of names) level.add(name);
  const children = function* (): Generator<string> {
    for (let child = level.after(0); child !== undefined; child = level.after(child.ordinal)) yield child.name;
  };
  const walk = children();
  t.equal(walk.next().value, '0');
  const before = held();
  for (let round = 0; round < 100; round++) {
    for (const name of names) {
      level.remove(level.child(name) as Level<string>);
      level.add(name);
    }
  }
  const perChange = (held() - before) / (100 * names.length);
  t.ok(perChange < 8, `${perChange} bytes for each topic that came and went`);
  t.equal([...walk].length, 4000, 'those that are there now');
});
