// What reaches receivers, and how: fan-out, forms, MQTT 5's bounds and options, shared subscriptions, sessions from the store.

import { Buffer } from 'node:buffer';
import t from 'tap';
import type { Delivery } from '../../src/broker/delivery.ts';
import type { Session } from '../../src/broker/session.ts';
import { SharedSubscription } from '../../src/broker/shared-subscription.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import {
  ack,
  connect,
  disconnect,
  Harness,
  publish,
  subscribe,
  subscribe5,
  unsubscribe,
  type Wire,
} from './broker-harness.ts';

async function looked(wire: Wire): Promise<string[]> {
  // What waits for the store takes a turn for the flush and one to be written.
  for (let turn = 0; turn < 3; turn++) await settle();
  return wire.seen();
}

async function packets(wire: Wire): Promise<Wire['received']> {
  await settle();
  return wire.received.splice(0);
}

async function subscribed(h: Harness, clientId: string, version: 4 | 5, filter: string): Promise<Wire> {
  const wire = await h.client(clientId, { version });
  wire.send(subscribe(1, [filter, 1]));
  await looked(wire);
  return wire;
}

t.test('a fan-out keeps the order of everybody, with what goes to one alone between', async (t) => {
  const h = await new Harness(t).start();
  const wires: Wire[] = [];
  for (let n = 0; n < 6; n++) wires.push(await subscribed(h, `s${n}`, n % 2 === 0 ? 4 : 5, 'all'));
  for (const n of [6, 8, 10])
    wires.push(await subscribed(h, `s${n}`, 4, 'all'), await subscribed(h, `t${n}`, 5, 'all'));
  const first = wires[0] as Wire;
  first.send(subscribe(2, ['own', 0]));
  await looked(first);
  for (const version of [4, 5] as const) {
    const publisher = await h.client(`p${version}`, { version });
    const many = (name: string): ReturnType<typeof publish>[] =>
      Array.from({ length: 5 }, (_, n) => publish('all', `${name}${n}`));
    publisher.send(
      ...many('a'),
      publish('own', 'x'),
      ...many('b'),
      publish('all', 'q', { qos: 1, id: 1 }),
      ...many('c'),
    );
    const payloads = (lines: string[]): string[] => lines.map((line) => line.split(' ')[2] as string);
    const run = (name: string): string[] => [0, 1, 2, 3, 4].map((n) => `${name}${n}`);
    for (const [index, wire] of wires.entries()) {
      const seen = payloads(await looked(wire));
      t.same(seen, [...run('a'), ...(index === 0 ? ['x'] : []), ...run('b'), 'q', ...run('c')], `client ${index}`);
    }
    // Bytes that came through a shared buffer are each client's own form: the harness decodes them by its version.
    for (const wire of wires) wire.send(ack('puback', version === 4 ? 1 : 2));
  }
});

t.test('in a fan-out a socket that does not take its bytes keeps them, and costs nobody else', async (t) => {
  const h = await new Harness(t, { limits: { outputBytesMax: 5000 } }).start();
  const wires: Wire[] = [];
  for (let n = 0; n < 5; n++) wires.push(await subscribed(h, `s${n}`, 4, 'all'));
  const slow = wires[2] as Wire;
  const publisher = await h.client('p');
  slow.taking = false;
  for (let n = 0; n < 20; n++) {
    publisher.send(publish('all', `${n} ${'x'.repeat(500)}`));
    await settle();
  }
  for (const wire of wires) if (wire !== slow) t.equal((await packets(wire)).length, 20);
  t.ok(slow.bufferedBytes <= 5000);
  slow.take();
  const payloads = (await packets(slow)).map((packet) => (packet.cmd === 'publish' ? `${packet.payload}` : packet.cmd));
  t.ok(payloads.length >= 8 && payloads.length < 20);
  t.same(
    payloads,
    payloads.map((_, n) => `${n} ${'x'.repeat(500)}`),
    'the first ones, intact',
  );
  t.equal(h.count('weir_broker_dropped_total', 'slow-client'), 20 - payloads.length);
});

t.test(
  'overlapping subscriptions are one copy with the highest QoS and every id; no local and retain as published',
  async (t) => {
    const h = await new Harness(t).start();
    const wire = await h.client('a', { version: 5 });
    wire.send(subscribe5(1, [{ topic: 'x/#', qos: 0 }], 7), subscribe5(2, [{ topic: 'x/+', qos: 2 }], 300));
    wire.send(
      subscribe5(3, [{ topic: 'x/y', qos: 1, rap: true }]),
      subscribe5(4, [{ topic: 'mine', qos: 0, nl: true }], 9),
    );
    await looked(wire);
    const other = await h.client('b', { version: 5 });
    const user = { userProperties: { b: ['2', '1'], a: 'z' }, responseTopic: 'r', correlationData: Buffer.from('c') };
    other.send(publish('x/y', 'p', { qos: 2, id: 1, retain: true, properties: user }));
    const [message] = await packets(wire);
    t.match(message, { qos: 2, retain: true, properties: { subscriptionIdentifier: [7, 300], responseTopic: 'r' } });
    t.same(JSON.parse(JSON.stringify(message)).properties.userProperties, user.userProperties);
    other.send(publish('x/z', 'p', { retain: true }));
    t.match(await packets(wire), [{ qos: 0, retain: false, properties: { subscriptionIdentifier: [7, 300] } }]);
    wire.send(publish('mine', 'own'), publish('mine', 'own again'));
    other.send(publish('mine', 'of another'));
    t.same(await looked(wire), ['publish mine of another q0']);
  },
);

t.test('the client bounds what it gets: receive maximum, packet size, and topic aliases where they pay', async (t) => {
  const h = await new Harness(t).start();
  const limits = { receiveMaximum: 2, maximumPacketSize: 60, topicAliasMaximum: 1 };
  const wire = await h.client('a', { properties: limits });
  wire.send(subscribe(1, ['#', 1]));
  await looked(wire);
  const publisher = await h.client('p');
  for (let n = 1; n <= 4; n++) publisher.send(publish('long/topic', `${n}`, { qos: 1, id: n }));
  publisher.send(publish('big', 'x'.repeat(60), { qos: 1, id: 5 }), publish('big', 'y'.repeat(60)));
  const first = await packets(wire);
  t.match(first, [{ topic: 'long/topic' }, { topic: 'long/topic', properties: { topicAlias: 1 } }]);
  t.equal(first.length, 2);
  wire.send(ack('puback', 1), ack('puback', 2));
  const next = await packets(wire);
  t.match(next, [
    { topic: '', properties: { topicAlias: 1 }, messageId: 3 },
    { topic: '', messageId: 4 },
  ]);
  t.equal(h.count('weir_broker_dropped_total', 'packet-too-large'), 1, 'the plain one; the other waits');
  wire.send(ack('puback', 3), ack('puback', 4));
  t.same(await looked(wire), []);
  t.equal(h.count('weir_broker_dropped_total', 'packet-too-large'), 2);
  publisher.send(publish('t', 'after', { qos: 1, id: 6 }));
  t.same(await looked(wire), ['publish t after q1 #5']);
});

t.test('a message that waited says what is left of its time, and one whose time is over is dropped', async (t) => {
  const h = await new Harness(t).start();
  const properties5 = { sessionExpiryInterval: 1000 };
  const away = await h.client('a', { properties: properties5 });
  away.send(subscribe(1, ['t', 1]));
  await looked(away);
  away.send(disconnect());
  await settle();
  const publisher = await h.client('p', { version: 5 });
  for (const [n, messageExpiryInterval] of [10, 60].entries()) {
    publisher.send(publish('t', `${n}`, { qos: 1, id: n + 1, retain: n === 0, properties: { messageExpiryInterval } }));
  }
  await settle();
  await h.clock.advance(20_000);
  const back = h.wire();
  back.send(connect('a', { clean: false, properties: properties5 }));
  t.match(await packets(back), [
    { cmd: 'connack', sessionPresent: true },
    { properties: { messageExpiryInterval: 40 } },
  ]);
  t.ok(h.count('weir_broker_dropped_total', 'expired') >= 1);
  back.send(subscribe(2, ['t', 0]));
  t.same(await looked(back), ['suback 2 0'], 'the retained one is over too');
});

t.test('a session ends when its time is over, and its will waits no longer', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await subscribed(h, 'w', 4, 'will');
  const will = { topic: 'will', payload: 'gone', properties: { willDelayInterval: 100 } };
  const wire = await h.client('a', { will, properties: { sessionExpiryInterval: 5 } });
  wire.send(subscribe(1, ['t', 1]));
  await looked(wire);
  wire.destroy();
  await settle();
  await h.clock.advance(3000);
  t.same(await looked(watcher), []);
  await h.clock.advance(3000);
  t.same(await looked(watcher), ['publish will gone q0']);
  const back = h.wire();
  back.send(connect('a', { clean: false, version: 5 }));
  t.same(await looked(back), ['connack 0']);
});

t.test(
  'shared subscriptions: in turn, to others when a member leaves, to the absent when nobody is there',
  async (t) => {
    const h = await new Harness(t, { limits: { inflightOutboundMax: 2 } }).start();
    const members: Wire[] = [];
    for (const id of ['a', 'b']) {
      const wire = await h.client(id, { clean: false });
      wire.send(subscribe(1, ['$share/g/t/#', 2]));
      t.same(await looked(wire), ['suback 1 2']);
      members.push(wire);
    }
    const [a, b] = members as [Wire, Wire];
    const publisher = await h.client('p');
    publisher.send(
      publish('t/1', '0', { retain: true }),
      publish('t/1', '1'),
      publish('t/1', '2'),
      publish('t/1', '3'),
    );
    t.same((await looked(a)).length + (await looked(b)).length, 4);
    publisher.send(...[1, 2, 3, 4, 5].map((n) => publish('t/1', `m${n}`, { qos: n === 2 ? 2 : 1, id: n })));
    await settle();
    const [toA, toB] = [a.seen(), b.seen()];
    t.equal(toA.length + toB.length, 4, 'both windows are full, the fifth waits');
    // b leaves: what it had of QoS 1 goes to a; its QoS 2 message stays.
    b.destroy();
    const ofB = toB.filter((line) => line.includes('q1')).length;
    for (const line of toA.filter((each) => each.includes('q1'))) a.send(ack('puback', Number(line.split('#')[1])));
    for (const line of toA.filter((each) => each.includes('q2'))) {
      a.send(ack('pubrec', Number(line.split('#')[1])), ack('pubcomp', Number(line.split('#')[1])));
    }
    const more = (await looked(a)).filter((line) => line.startsWith('publish'));
    t.equal(more.length, Math.min(2, ofB + 1), 'nothing is lost and nobody else is asked');
    for (const line of more) a.send(ack('puback', Number(line.split('#')[1])));
    await looked(a);
    a.destroy();
    await settle();
    publisher.send(publish('t/1', 'alone', { qos: 1, id: 9 }), publish('t/1', 'nobody'));
    await settle();
    t.equal(h.count('weir_broker_dropped_total', 'share-unserved'), 1, 'QoS 0 is for those who are there');
    const c = await h.client('c');
    c.send(subscribe(1, ['$share/g/t/#', 1]));
    const seen = await looked(c);
    t.ok(seen.includes('publish t/1 alone q1 #1'), 'a new member gets what waits for the absent');
    t.notOk(
      seen.some((line) => line.includes('retained')),
      'and nothing retained',
    );
    c.send(unsubscribe(2, '$share/g/t/#'));
    t.same(await looked(c), ['unsuback 2']);
  },
);

t.test('a session that ends leaves what it had of a share to a member, were that absent too', async (t) => {
  const h = await new Harness(t).start();
  const clients: Wire[] = [];
  for (const [id, sessionExpiryInterval] of [
    ['a', 10],
    ['b', 1000],
  ] as const) {
    const wire = await h.client(id, { properties: { sessionExpiryInterval } });
    wire.send(subscribe(1, ['$share/g/t', 2]));
    await looked(wire);
    clients.push(wire);
  }
  const [a, b] = clients as [Wire, Wire];
  b.destroy();
  await settle();
  const publisher = await h.client('p');
  publisher.send(publish('t', 'sent', { qos: 1, id: 1 }), publish('t', 'twice', { qos: 2, id: 2 }));
  t.equal((await looked(a)).length, 2);
  a.destroy();
  await settle();
  publisher.send(publish('t', 'waits', { qos: 1, id: 3 }));
  await settle();
  await h.clock.advance(12_000);
  const back = h.wire();
  back.send(connect('b', { clean: false, properties: { sessionExpiryInterval: 1000 } }));
  const seen = await looked(back);
  t.match(seen, ['connack 0 present', /^publish t sent q1/, /^publish t waits q1/], '[MQTT-4.8.2-5] for QoS 2');
  t.equal(h.count('weir_broker_dropped_total', 'session-dropped'), 0);
});

t.test('a member of a share that gets QoS 0 and has no place does not lose what another one can keep', (t) => {
  const full = { outbox: {}, hasPlace: () => false, hasQueueRoom: () => true };
  const members = [0, 1].map((qos) => ({ session: full as unknown as Session, delivery: { qos } as Delivery }));
  const shared = new SharedSubscription(() => true);
  t.equal(shared.choose(members, 1, 100), members[1]);
  t.equal(shared.choose(members.slice(0, 1), 1, 100), members[0], 'nobody else is there');
  t.end();
});

t.test('a QoS 2 message is not sent to another member once it was sent, nor after its refusal', async (t) => {
  const h = await new Harness(t).start();
  const wires: Wire[] = [];
  for (const id of ['a', 'b']) {
    const wire = await h.client(id, { version: 5 });
    wire.send(subscribe(1, ['$share/g/t', 2]));
    await looked(wire);
    wires.push(wire);
  }
  const [a, b] = wires as [Wire, Wire];
  const publisher = await h.client('p');
  publisher.send(publish('t', 'two', { qos: 2, id: 1 }), publish('t', 'refused', { qos: 1, id: 2 }));
  t.same(await looked(a), ['publish t two q2 #1']);
  t.same(await looked(b), ['publish t refused q1 #1']);
  b.send(ack('puback', 1, 0x80));
  a.destroy();
  t.same(await looked(b), [], '[MQTT-4.8.2-5], [MQTT-4.8.2-6]');
});

t.test('sessions, queues, packet ids and retained messages are there again after a restart', async (t) => {
  const disk = new MemoryDisk();
  const life = async (sessionStore: MemorySessionStore): Promise<Harness> =>
    await new Harness(t, { sessionStore }).start();
  const h = await life(new MemorySessionStore(disk));
  const wire = await h.client('s', { clean: false });
  wire.send(subscribe(1, ['t/#', 2], ['$share/g/u', 1]));
  await looked(wire);
  const publisher = await h.client('p');
  publisher.send(publish('t/1', 'one', { qos: 1, id: 1, retain: true }), publish('t/2', 'two', { qos: 2, id: 2 }));
  publisher.send(publish('t/3', 'three', { qos: 2, id: 3 }), ack('pubrel', 2), ack('pubrel', 3));
  t.same((await looked(publisher)).sort(), ['puback 1', 'pubcomp 2', 'pubcomp 3', 'pubrec 2', 'pubrec 3']);
  t.same(await looked(wire), ['publish t/1 one q1 #1', 'publish t/2 two q2 #2', 'publish t/3 three q2 #3']);
  wire.send(ack('pubrec', 2));
  t.same(await looked(wire), ['pubrel 2']);
  wire.destroy();
  await settle();
  publisher.send(publish('t/4', 'four', { qos: 1, id: 4 }), publish('u', 'shared', { qos: 1, id: 5 }));
  await looked(publisher);
  const store = new MemorySessionStore(disk);
  const next = await life(store);
  const back = next.wire();
  back.send(connect('s', { clean: false }));
  t.same(await looked(back), [
    'connack 0 present',
    ...['publish t/1 one q1 dup #1', 'pubrel 2', 'publish t/3 three q2 dup #3'],
    ...['publish t/4 four q1 #4', 'publish u shared q1 #5'],
  ]);
  back.send(
    ack('puback', 1),
    ack('pubcomp', 2),
    ack('pubrec', 3),
    ack('pubcomp', 3),
    ack('puback', 4),
    ack('puback', 5),
  );
  await looked(back);
  const other = await next.client('p');
  other.send(publish('t/5', 'five', { qos: 1, id: 1 }), publish('u', 'again', { qos: 1, id: 2 }));
  t.same(await looked(back), ['publish t/5 five q1 #6', 'publish u again q1 #7']);
  other.send(subscribe(2, ['t/1', 0]));
  t.ok((await looked(other)).includes('publish t/1 one q0 retained'));
  back.send(ack('puback', 6), ack('puback', 7));
  await settle();
  await store.flushed();
  t.equal(disk.sessions.get('s')?.deliveries.size, 0);
});

t.test('a QoS 2 message of a stored session leaves once its packet id is safe, and nothing overtakes it', async (t) => {
  const store = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore: store }).start();
  const wire = await h.client('s', { clean: false });
  wire.send(subscribe(1, ['t', 2]));
  await looked(wire);
  const publisher = await h.client('p');
  let release = (): void => undefined;
  store.held = new Promise((resolve) => {
    release = resolve;
  });
  publisher.send(publish('t', 'alone', { qos: 1, id: 1 }));
  t.same(await looked(wire), ['publish t alone q1 #1']);
  publisher.send(
    publish('t', 'two', { qos: 2, id: 2 }),
    publish('t', 'one', { qos: 1, id: 3 }),
    publish('t', 'deux', { qos: 2, id: 4 }),
  );
  t.same(await looked(wire), []);
  release();
  store.held = undefined;
  t.same(await looked(wire), ['publish t two q2 #2', 'publish t one q1 #3', 'publish t deux q2 #4']);
  wire.destroy();
  await settle();
  const back = h.wire();
  back.send(connect('s', { clean: false }));
  const again = await looked(back);
  t.same(
    again.slice(1),
    ['alone q1 dup #1', 'two q2 dup #2', 'one q1 dup #3', 'deux q2 dup #4'].map((each) => `publish t ${each}`),
  );
});

t.test(
  'runs reach receivers of every form: 3.1.1, 5.0, 5.0 with a subscription id, and members of a share',
  async (t) => {
    const h = await new Harness(t).start();
    const plain5 = await subscribed(h, 'plain5', 5, 't');
    const plain4 = await subscribed(h, 'plain4', 4, 't');
    const named = await h.client('named', { version: 5 });
    named.send(subscribe5(1, [{ topic: 't', qos: 0 }], 70_000), subscribe5(2, [{ topic: '+', qos: 0 }], 1));
    const tiny = await h.client('tiny', { properties: { maximumPacketSize: 20 } });
    tiny.send(subscribe(1, ['t', 0]));
    const member = await subscribed(h, 'member', 5, '$share/g/t');
    for (const wire of [named, tiny]) await looked(wire);
    const sizes = [0, 1, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 300, 16_383, 5];
    for (const version of [4, 5] as const) {
      const publisher = await h.client(`p${version}`, { version });
      publisher.send(...sizes.map((size) => publish('t', 'x'.repeat(size))));
      for (const wire of [plain5, plain4, named, member, tiny]) {
        const got = await packets(wire);
        const payloads = got.map((packet) => (packet.cmd === 'publish' ? packet.payload.length : -1));
        t.same(payloads, wire === tiny ? [0, 1, 5] : sizes);
        const ids = wire === named ? [70_000, 1] : undefined;
        t.ok(
          got.every((packet) => packet.cmd === 'publish' && sameIds(packet.properties?.subscriptionIdentifier, ids)),
        );
      }
    }
  },
);

function sameIds(found: number | readonly number[] | undefined, wanted: readonly number[] | undefined): boolean {
  return JSON.stringify(found) === JSON.stringify(wanted);
}

t.test('what is alive is told again to a store that lost everything', async (t) => {
  const disk = new MemoryDisk();
  const store = new MemorySessionStore(disk);
  const h = await new Harness(t, { sessionStore: store }).start();
  const wire = await h.client('s', { clean: false });
  wire.send(subscribe(1, ['t', 2]));
  await looked(wire);
  const publisher = await h.client('p');
  publisher.send(publish('t', '1', { qos: 2, id: 1, retain: true }), publish('t', '2', { qos: 1, id: 2 }));
  await looked(wire);
  wire.send(ack('pubrec', 1), publish('in', 'x', { qos: 2, id: 77 }));
  await looked(wire);
  const before = JSON.stringify(await store.load());
  store.lose();
  await store.flushed();
  const after = await store.load();
  t.same(
    after.sessions.map(({ clientId, subscriptions, receiving, deliveries }) => [
      ...[clientId, subscriptions.length, receiving],
      deliveries.map(({ packetId, awaiting }) => `${packetId} ${awaiting}`),
    ]),
    [['s', 1, [77], ['1 7', '2 4']]],
  );
  t.equal(after.retained[0]?.topic, 't');
  t.ok(before.includes('"clientId":"s"'));
});

t.test('a flush that fails holds a QoS 2 message back until one succeeds', async (t) => {
  const store = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore: store }).start();
  const wire = await h.client('s', { clean: false });
  wire.send(subscribe(1, ['t', 2]));
  await looked(wire);
  store.failures.push(new Error('disk full'));
  h.broker.publish({ topic: 't', payload: Buffer.from('x'), qos: 1 });
  const publisher = await h.client('p');
  publisher.send(publish('t', 'two', { qos: 2, id: 1 }));
  t.same(await looked(wire), ['publish t x q1 #1']);
  await h.clock.advance(1000);
  t.same(await looked(wire), ['publish t two q2 #2']);
});

t.test('a client that takes nothing for too long while it is owed too much loses its connection', async (t) => {
  const h = await new Harness(t, { limits: { outputBytesMax: 1000, stalledMsMax: 5000 } }).start();
  const [slow, quick] = [await subscribed(h, 'slow', 5, 't'), await subscribed(h, 'quick', 5, 't')];
  const publisher = await h.client('p');
  slow.taking = false;
  publisher.send(publish('t', 'x'.repeat(900)));
  await settle();
  await h.clock.advance(20_000);
  t.notOk(slow.ended, 'slow, but within its bound');
  publisher.send(publish('t', 'y'.repeat(900)));
  await settle();
  await h.clock.advance(4000);
  t.notOk(slow.ended);
  await h.clock.advance(4000);
  t.ok(slow.ended);
  t.equal(h.ended('slow-client'), 1);
  t.equal((await packets(quick)).length, 2);
});
