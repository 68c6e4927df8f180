// A session store without room: nothing is acknowledged that it would have to keep, nobody gets anything twice, and
// who needs no store is not disturbed.

import t, { type Test } from 'tap';
import { brokerStoreWaitMsMax } from '../../src/limits.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, connect, Harness, type HarnessOptions, publish, subscribe, type Wire } from './broker-harness.ts';

const full = 'the session store is full';

async function looked(wire: Wire): Promise<string[]> {
  // What waits for the store takes a turn for the flush and one to be written.
  for (let turn = 0; turn < 3; turn++) await settle();
  return wire.seen();
}

interface World {
  readonly h: Harness;
  readonly store: MemorySessionStore;
  readonly disk: MemoryDisk;
}

async function world(t: Test, options: HarnessOptions = {}): Promise<World> {
  const disk = new MemoryDisk();
  const store = new MemorySessionStore(disk);
  const h = await new Harness(t, { ...options, sessionStore: store }).start();
  return { h, store, disk };
}

/** A client whose session is stored, subscribed to `filters`. */
async function stored(h: Harness, clientId: string, ...filters: [string, 0 | 1 | 2][]): Promise<Wire> {
  const wire = await h.client(clientId, { clean: false });
  wire.send(subscribe(1, ...filters));
  await looked(wire);
  return wire;
}

async function volatile(h: Harness, clientId: string, ...filters: [string, 0 | 1 | 2][]): Promise<Wire> {
  const wire = await h.client(clientId);
  wire.send(subscribe(1, ...filters));
  await looked(wire);
  return wire;
}

function reasons(wire: Wire): (string | undefined)[] {
  return wire.received.map((packet) =>
    packet.cmd === 'puback' || packet.cmd === 'pubrec' ? packet.properties?.reasonString : undefined,
  );
}

const dropped = (h: Harness): number => h.count('weir_broker_dropped_total', 'store-full');

t.test('a 5.0 publisher is refused with the reason, before anybody got the message', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['t', 2]);
  const live = await volatile(h, 'live', ['t', 2]);
  const publisher = await h.client('p', { version: 5 });
  store.full = true;
  publisher.send(publish('t', 'one', { qos: 1, id: 1 }), publish('t', 'two', { qos: 2, id: 2 }));
  await settle();
  t.same(reasons(publisher), [full, full]);
  t.same(await looked(publisher), ['puback 1 0x97', 'pubrec 2 0x97']);
  t.same([await looked(keeper), await looked(live)], [[], []]);
  t.equal(dropped(h), 2);
  store.full = false;
  publisher.send(publish('t', 'one', { qos: 1, id: 1 }), publish('t', 'two', { qos: 2, id: 2 }), ack('pubrel', 2));
  t.same(await looked(publisher), ['puback 1', 'pubrec 2', 'pubcomp 2']);
  const both = ['publish t one q1 #1', 'publish t two q2 #2'];
  t.same([await looked(keeper), await looked(live)], [both, both]);
});

t.test('refusals do not use up the receive maximum', async (t) => {
  const { h, store } = await world(t, { limits: { inflightInboundMax: 4 } });
  await stored(h, 'keeper', ['t', 2]);
  const publisher = await h.client('p', { version: 5 });
  store.full = true;
  const ids = Array.from({ length: 20 }, (_, at) => at + 1);
  publisher.send(...ids.map((id) => publish('t', 'x', { qos: id % 2 === 0 ? 1 : 2, id })));
  t.same(
    await looked(publisher),
    ids.map((id) => `${id % 2 === 0 ? 'puback' : 'pubrec'} ${id} 0x97`),
  );
});

t.test('who wants no reason strings, or has no room for them, gets the code alone', async (t) => {
  const { h, store } = await world(t);
  await stored(h, 'keeper', ['t', 1]);
  store.full = true;
  for (const properties of [{ requestProblemInformation: false }, { maximumPacketSize: 20 }]) {
    const publisher = await h.client('p', { properties });
    publisher.send(publish('t', 'x', { qos: 1, id: 1 }), publish('t', 'x', { qos: 2, id: 2 }));
    await settle();
    t.same(
      publisher.received.map(({ raw }) => raw),
      ['4003000197', '5003000297'],
    );
  }
});

for (const qos of [1, 2] as const) {
  const taken = qos === 1 ? 'puback' : 'pubrec';

  t.test(`a 3.1.1 publisher of QoS ${qos} waits for room, and everything is there in order, once`, async (t) => {
    const { h, store } = await world(t);
    const keeper = await stored(h, 'keeper', ['t', qos]);
    const live = await volatile(h, 'live', ['t', qos]);
    const publisher = await h.client('p');
    const other = await h.client('other');
    store.full = true;
    publisher.send(
      publish('t', 'one', { qos, id: 1 }),
      publish('t', 'two', { qos, id: 2 }),
      publish('u', 'three', { qos, id: 3 }),
    );
    t.same([await looked(publisher), await looked(keeper), await looked(live)], [[], [], []]);
    t.ok(publisher.paused, 'it is not read on');
    other.send(publish('u', 'x', { qos, id: 1 }), publish('t', 'plain'));
    t.same(await looked(other), [`${taken} 1`], 'others are not disturbed');
    t.same([await looked(keeper), await looked(live)], [['publish t plain q0'], ['publish t plain q0']]);
    await h.clock.advance(brokerStoreWaitMsMax - 200);
    t.same([await looked(publisher), publisher.closed], [[], false]);
    store.full = false;
    await h.clock.advance(200);
    t.same(await looked(publisher), [`${taken} 1`, `${taken} 2`, `${taken} 3`]);
    t.notOk(publisher.paused);
    const both = ['one', 'two'].map((payload, at) => `publish t ${payload} q${qos} #${at + 1}`);
    t.same([await looked(keeper), await looked(live)], [both, both]);
    t.equal(dropped(h), 0);
    t.equal(h.count('weir_broker_messages_received_total'), 5, 'a packet that waited counts once');
    t.equal(h.broker.facts().publishesReceived, 5);
  });

  t.test(`a 3.1.1 publisher of QoS ${qos} is disconnected in the end, and repeats without a double`, async (t) => {
    const { h, store } = await world(t);
    const keeper = await stored(h, 'keeper', ['t', qos]);
    const live = await volatile(h, 'live', ['t', qos]);
    const publisher = await h.client('p', { clean: false });
    store.full = true;
    publisher.send(publish('t', 'one', { qos, id: 1 }));
    await h.clock.advance(brokerStoreWaitMsMax + 100);
    t.ok(publisher.closed);
    t.same(publisher.seen(), []);
    t.equal(h.ended('store-full'), 1);
    store.full = false;
    const back = await h.client('p', { clean: false });
    back.send(publish('t', 'one', { qos, id: 1, dup: true }));
    t.same(await looked(back), [`${taken} 1`]);
    const once = [`publish t one q${qos} #1`];
    t.same([await looked(keeper), await looked(live)], [once, once]);
  });
}

t.test(
  'a publisher that owes acknowledgements is read on, since they make room; its publishes are not taken',
  async (t) => {
    const { h, store, disk } = await world(t);
    const both = await stored(h, 'both', ['in', 1]);
    const keeper = await stored(h, 'keeper', ['t', 1], ['plain', 0]);
    const live = await volatile(h, 'live', ['t', 1], ['run', 1]);
    h.broker.publish({ topic: 'in', payload: Buffer.from('x'), qos: 1 });
    t.same(await looked(both), ['publish in x q1 #1']);
    store.full = true;
    both.send(publish('t', 'one', { qos: 1, id: 1 }), ack('puback', 1), publish('plain', 'two'));
    // What follows must not overtake what was left, even what needs no store and would go in a run.
    both.send(publish('run', 'a', { qos: 1, id: 2 }), publish('run', 'b', { qos: 1, id: 3 }), { cmd: 'pingreq' });
    t.same(await looked(both), ['pingresp']);
    t.same([await looked(keeper), await looked(live)], [['publish plain two q0'], []]);
    t.equal(disk.sessions.get('both')?.deliveries.size, 0, 'its acknowledgement counted');
    t.equal(dropped(h), 3);
    store.full = false;
    await h.clock.advance(200);
    t.ok(both.closed, 'there is room: it may repeat');
    const back = await h.client('both', { clean: false });
    const again = { qos: 1, dup: true } as const;
    back.send(publish('t', 'one', { ...again, id: 1 }), publish('run', 'a', { ...again, id: 2 }));
    t.same(await looked(back), ['puback 1', 'puback 2']);
    t.same(await looked(live), ['publish t one q1 #1', 'publish run a q1 #2']);
  },
);

t.test('a repetition of what was taken is acknowledged even while there is no room', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['t', 2]);
  for (const version of [4, 5] as const) {
    store.full = false;
    const options = version === 4 ? { clean: false } : { clean: false, properties: { sessionExpiryInterval: 100 } };
    const publisher = await h.client(`p${version}`, options);
    publisher.send(publish('t', 'one', { qos: 2, id: 7 }));
    t.same(await looked(publisher), ['pubrec 7']);
    publisher.destroy();
    await settle();
    store.full = true;
    const back = await h.client(`p${version}`, options);
    back.send(publish('t', 'one', { qos: 2, id: 7, dup: true }), ack('pubrel', 7));
    t.same(await looked(back), ['pubrec 7', 'pubcomp 7']);
    t.equal((await looked(keeper)).length, 1);
  }
});

t.test('messages that nobody stored would get are taken as always, in runs and alone', async (t) => {
  const { h, store } = await world(t);
  await stored(h, 'keeper', ['other', 2], ['t', 0]);
  const live = await volatile(h, 'live', ['t', 2]);
  const publisher = await h.client('p', { version: 5 });
  store.full = true;
  publisher.send(...[1, 2, 3, 4].map((id) => publish('t', `m${id}`, { qos: 1, id })));
  t.same(await looked(publisher), ['puback 1', 'puback 2', 'puback 3', 'puback 4']);
  t.equal((await looked(live)).length, 4);
  publisher.send(publish('nobody', 'x', { qos: 1, id: 5 }));
  t.same(await looked(publisher), ['puback 5 0x10']);
});

t.test('a run stops being one when somebody subscribes whose session is stored', async (t) => {
  const { h, store } = await world(t);
  await volatile(h, 'live', ['t', 1]);
  const publisher = await h.client('p', { version: 5 });
  publisher.send(...[1, 2, 3].map((id) => publish('t', 'x', { qos: 1, id })));
  t.same(await looked(publisher), ['puback 1', 'puback 2', 'puback 3']);
  await stored(h, 'keeper', ['t', 1]);
  store.full = true;
  publisher.send(...[1, 2, 3].map((id) => publish('t', 'x', { qos: 1, id })));
  t.same(await looked(publisher), ['puback 1 0x97', 'puback 2 0x97', 'puback 3 0x97']);
});

t.test('its own message counts only if the publisher would get it', async (t) => {
  const { h, store } = await world(t);
  const wire = await h.client('s', { clean: false, properties: { sessionExpiryInterval: 100 } });
  wire.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 1, nl: true }] });
  wire.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'u', qos: 1, nl: false }] });
  await looked(wire);
  store.full = true;
  wire.send(publish('t', 'x', { qos: 1, id: 1 }), publish('u', 'x', { qos: 1, id: 2 }));
  t.same(await looked(wire), ['puback 1 0x10', 'puback 2 0x97']);
});

t.test('a retained message is refused, its removal and one of QoS 0 are not', async (t) => {
  const { h, store, disk } = await world(t);
  const live = await volatile(h, 'live', ['t', 1]);
  const publisher = await h.client('p', { version: 5 });
  publisher.send(publish('t', 'old', { qos: 1, id: 1, retain: true }));
  await looked(publisher);
  live.seen();
  store.full = true;
  publisher.send(publish('t', 'new', { qos: 1, id: 2, retain: true }), publish('t', 'news', { retain: true }));
  await settle();
  t.same(reasons(publisher), [full]);
  t.same(await looked(publisher), ['puback 2 0x97']);
  t.same(await looked(live), ['publish t news q0']);
  const plain = await h.client('p4');
  plain.send(publish('t', 'newer', { qos: 1, id: 3, retain: true }));
  t.same([await looked(plain), await looked(live)], [[], []]);
  publisher.send(publish('t', '', { qos: 1, id: 4, retain: true }));
  t.same(await looked(publisher), ['puback 4']);
  t.equal(disk.retained.size, 0);
  store.full = false;
  await h.clock.advance(100);
  t.same(await looked(plain), ['puback 3']);
  t.equal(disk.retained.get('t')?.canonical.toString('latin1').includes('newer'), true);
});

t.test('retained messages too many are told in words as well', async (t) => {
  const { h } = await world(t, { limits: { retainedMessagesMax: 1 } });
  const publisher = await h.client('p', { version: 5 });
  publisher.send(
    publish('a', 'x', { retain: true, qos: 1, id: 1 }),
    publish('b', 'x', { retain: true, qos: 1, id: 2 }),
  );
  await settle();
  await settle();
  t.same(reasons(publisher), [undefined, 'there is no room for more retained messages']);
  t.equal(h.count('weir_broker_dropped_total', 'retained-full'), 1);
});

t.test('a stored subscriber gets its retained messages when there is room', async (t) => {
  const { h, store } = await world(t);
  h.broker.publish({ topic: 'r', payload: Buffer.from('x'), qos: 1, retain: true });
  store.full = true;
  const keeper = await h.client('keeper', { clean: false });
  keeper.send(subscribe(1, ['r', 1]));
  t.same(await looked(keeper), ['suback 1 1']);
  await h.clock.advance(2000);
  t.same(await looked(keeper), []);
  store.full = false;
  await h.clock.advance(1000);
  t.same(await looked(keeper), ['publish r x q1 retained #1']);
  t.equal(dropped(h), 0);
});

t.test('a shared subscription goes on with the members that need no store', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['$share/g/t', 1]);
  const live = await volatile(h, 'live', ['$share/g/t', 1]);
  const publisher = await h.client('p', { version: 5 });
  store.full = true;
  publisher.send(...[1, 2, 3].map((id) => publish('t', `m${id}`, { qos: 1, id })));
  t.same(await looked(publisher), ['puback 1', 'puback 2', 'puback 3']);
  t.same([await looked(keeper), (await looked(live)).length], [[], 3]);
  live.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['$share/g/t'] });
  await looked(live);
  publisher.send(publish('t', 'four', { qos: 1, id: 4 }), publish('t', 'five', { qos: 0 }));
  t.same(await looked(publisher), ['puback 4 0x97']);
  t.same(await looked(keeper), ['publish t five q0']);
});

t.test('what a member of a share was given moves to another one, room or not: it is acknowledged', async (t) => {
  const { h, store } = await world(t);
  const live = await volatile(h, 'live', ['$share/g/t', 1]);
  const publisher = await h.client('p', { version: 5 });
  publisher.send(publish('t', 'one', { qos: 1, id: 1 }));
  t.same(await looked(publisher), ['puback 1']);
  const keeper = await stored(h, 'keeper', ['$share/g/t', 1]);
  store.full = true;
  live.destroy();
  t.same(await looked(keeper), ['publish t one q1 #1']);
  t.equal(dropped(h), 0);
});

t.test('a stored session whose own queue is full hurts nobody: the newest is not taken for it', async (t) => {
  const { h, store } = await world(t, { limits: { queueMessagesMax: 2 } });
  const keeper = await stored(h, 'keeper', ['t', 1]);
  keeper.destroy();
  await settle();
  const live = await volatile(h, 'live', ['t', 1]);
  const publisher = await h.client('p');
  publisher.send(publish('t', '1', { qos: 1, id: 1 }), publish('t', '2', { qos: 1, id: 2 }));
  t.same(await looked(publisher), ['puback 1', 'puback 2']);
  store.full = true;
  publisher.send(publish('t', '3', { qos: 1, id: 3 }));
  t.same(await looked(publisher), ['puback 3']);
  t.equal((await looked(live)).length, 3);
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 1);
});

t.test('wills and messages of the broker itself reach whom they can, and the rest is counted', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['w', 1]);
  const live = await volatile(h, 'live', ['w', 1]);
  const leaving = await h.client('leaving', { will: { topic: 'w', payload: 'gone', qos: 1 } });
  store.full = true;
  leaving.destroy();
  t.same([await looked(live), await looked(keeper)], [['publish w gone q1 #1'], []]);
  h.broker.publish({ topic: 'w', payload: Buffer.from('x'), qos: 1 });
  t.same([await looked(live), await looked(keeper)], [['publish w x q1 #2'], []]);
  t.equal(dropped(h), 2);
});

t.test('a store that fills while a message is put takes it for all or for none', async (t) => {
  const { h, store, disk } = await world(t);
  const keepers: Wire[] = [];
  for (let n = 0; n < 6; n++) keepers.push(await stored(h, `k${n}`, ['t', 1]));
  const put = store.putMessage.bind(store);
  store.putMessage = (...args) => {
    store.full = true;
    put(...args);
  };
  const publisher = await h.client('p', { version: 5 });
  publisher.send(publish('t', 'one', { qos: 1, id: 1 }), publish('t', 'two', { qos: 1, id: 2 }));
  t.same((await looked(publisher)).sort(), ['puback 1', 'puback 2 0x97']);
  for (const [n] of keepers.entries()) t.equal(disk.sessions.get(`k${n}`)?.deliveries.size, 1);
});

t.test('behind commits everybody waits: a 5.0 client too, and it is refused when it lasts', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['t', 1]);
  const publisher = await h.client('p', { version: 5 });
  store.full = true;
  store.isBehind = true;
  publisher.send(publish('t', 'one', { qos: 1, id: 1 }));
  await h.clock.advance(5000);
  t.same(await looked(publisher), []);
  store.full = false;
  store.isBehind = false;
  await h.clock.advance(100);
  t.same([await looked(publisher), await looked(keeper)], [['puback 1'], ['publish t one q1 #1']]);
  keeper.send(ack('puback', 1));
  store.full = true;
  store.isBehind = true;
  publisher.send(publish('t', 'two', { qos: 1, id: 2 }), publish('u', 'three', { qos: 1, id: 3 }));
  await h.clock.advance(brokerStoreWaitMsMax - 200);
  t.same(await looked(publisher), []);
  await h.clock.advance(400);
  t.same(await looked(publisher), ['puback 2 0x97', 'puback 3 0x10']);
  t.notOk(publisher.closed);
});

t.test('a packet of the largest size waits whole, with what came behind it', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['t', 1]);
  const publisher = await h.client('p');
  store.full = true;
  const payload = 'x'.repeat(262_144);
  publisher.send(
    publish('t', payload, { qos: 1, id: 1 }),
    ...[2, 3, 4].map((id) => publish('t', 'y'.repeat(50_000), { qos: 1, id })),
  );
  t.same([await looked(publisher), publisher.closed], [[], false]);
  store.full = false;
  await h.clock.advance(100);
  t.same(await looked(publisher), ['puback 1', 'puback 2', 'puback 3', 'puback 4']);
  t.same(
    (await looked(keeper)).map((line) => line.split(' ')[2]?.length),
    [262_144, 50_000, 50_000, 50_000],
  );
});

t.test('whoever waits first goes on first, as long as there is room', async (t) => {
  const { h, store } = await world(t);
  const keeper = await stored(h, 'keeper', ['t', 1]);
  const publishers: Wire[] = [];
  for (let n = 0; n < 3; n++) publishers.push(await h.client(`p${n}`));
  store.full = true;
  for (const [n, wire] of publishers.entries()) wire.send(publish('t', `m${n}`, { qos: 1, id: 1 }));
  t.equal(h.count('weir_broker_store_waiting'), 3);
  t.equal(h.count('weir_broker_store_full'), 1);
  const put = store.putMessage.bind(store);
  store.putMessage = (...args) => {
    store.full = true;
    put(...args);
  };
  const answered: number[] = [];
  for (let round = 0; round < 3; round++) {
    store.full = false;
    await h.clock.advance(100);
    for (const [n, wire] of publishers.entries()) if ((await looked(wire)).length > 0) answered.push(n);
  }
  t.same(answered, [0, 1, 2]);
  t.equal((await looked(keeper)).length, 3);
  t.equal(h.count('weir_broker_store_waiting'), 0);
});

t.test('a client that leaves waits no longer, and a broker that closes ends everybody', async (t) => {
  const { h, store } = await world(t);
  await stored(h, 'keeper', ['t', 1]);
  store.full = true;
  const [leaves, stays] = [await h.client('leaves'), await h.client('stays')];
  for (const wire of [leaves, stays]) wire.send(publish('t', 'x', { qos: 1, id: 1 }));
  leaves.destroy();
  await settle();
  t.equal(h.count('weir_broker_store_waiting'), 1);
  const back = h.wire();
  back.send(connect('stays'));
  await settle();
  t.ok(stays.closed, 'taken over');
  t.equal(h.count('weir_broker_store_waiting'), 0);
  back.send(publish('t', 'x', { qos: 1, id: 1 }));
  await h.broker.close();
  t.equal(h.count('weir_broker_store_waiting'), 0);
});

t.test('the log tells when the store becomes full and when it has room, at a pace of its own', async (t) => {
  const { h, store } = await world(t);
  await stored(h, 'keeper', ['t', 1]);
  const publisher = await h.client('p', { version: 5 });
  const told = (): string[] => h.lines.filter((line) => line.includes('session store')).splice(0);
  store.full = true;
  for (let id = 1; id <= 50; id++) publisher.send(publish('t', 'x', { qos: 1, id }));
  t.equal(told().length, 1);
  t.match(told()[0], /warn .*session store full: .* cause=quota seconds=0/);
  for (let second = 0; second < 9; second++) {
    store.full = second % 2 === 0;
    await h.clock.advance(1000);
  }
  t.equal(told().length, 1, 'it is not told of every change');
  store.full = true;
  await h.clock.advance(60_000);
  t.equal(told().length, 2);
  t.match(told()[1], /session store full: .* refused=49/);
  store.full = false;
  await h.clock.advance(15_000);
  t.equal(told().length, 3);
  t.match(told()[2], /info .*session store has room again/);
});
