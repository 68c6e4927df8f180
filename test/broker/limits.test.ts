// Bounds that are counted when they are reached, and what is under way: it counts as much as what waits.

import t from 'tap';
import { brokerPressStepMs } from '../../src/limits.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, connect, Harness, publish, subscribe, type Wire } from './broker-harness.ts';

async function looked(wire: Wire): Promise<string[]> {
  for (let turn = 0; turn < 3; turn++) await settle();
  return wire.seen();
}

const kilobyte = 'x'.repeat(1000);
const many = (count: number, qos: 1 | 2, topic = 't'): ReturnType<typeof publish>[] =>
  Array.from({ length: count }, (_, at) => publish(topic, kilobyte, { qos, id: at + 1 }));

for (const qos of [1, 2] as const) {
  t.test(`what a persistent session was sent at QoS ${qos} and keeps counts until it is acknowledged`, async (t) => {
    const h = await new Harness(t, { limits: { queueBytesMax: 10_000 } }).start();
    const keeper = await h.client('keeper', { clean: false });
    keeper.send(subscribe(1, ['t', 2]));
    await looked(keeper);
    const publisher = await h.client('p');
    publisher.send(...many(20, qos));
    t.ok((await looked(publisher)).length < 10, 'from half of it on the publisher is held back');
    await h.clock.advance(2 * brokerPressStepMs);
    const got = (await looked(keeper)).length;
    t.ok(got >= 8 && got < 10, `${got} of a kilobyte fit into 10,000 bytes`);
    t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 20 - got);
    t.ok(h.count('weir_broker_queued_bytes') > 1000 * got);
    t.equal(h.count('weir_broker_queued_messages'), got);
    const ids = Array.from({ length: got }, (_, at) => at + 1);
    keeper.send(...ids.map((id) => ack(qos === 1 ? 'puback' : 'pubrec', id)));
    await looked(keeper);
    t.equal(h.count('weir_broker_queued_bytes'), 0);
    t.equal(h.count('weir_broker_queued_messages'), 0);
    publisher.send(publish('t', 'again', { qos: 1, id: 30 }));
    t.match(await looked(keeper), [/publish t again q1/]);
  });
}

t.test('a receiver that acknowledges gets everything, whatever its bytes', async (t) => {
  const h = await new Harness(t, { limits: { queueBytesMax: 10_000 } }).start();
  const keeper = await h.client('keeper', { clean: false });
  keeper.send(subscribe(1, ['t', 1]));
  await looked(keeper);
  const publisher = await h.client('p');
  publisher.send(...many(100, 1));
  let taken = 0;
  for (let round = 0; round < 100 && taken < 100; round++) {
    for (const line of await looked(keeper)) {
      taken++;
      keeper.send(ack('puback', Number(line.split('#').pop())));
    }
  }
  t.equal(taken, 100);
  t.equal((await looked(publisher)).length, 100);
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 0);
});

t.test('whatever ends a message that was under way gives its bytes back', async (t) => {
  const h = await new Harness(t, { limits: { queueBytesMax: 10_000 } }).start();
  const publisher = await h.client('p');
  const bytes = (): number => h.count('weir_broker_queued_bytes');
  // The client comes back in its session, and takes them then.
  const keeper = await h.client('keeper', { clean: false });
  keeper.send(subscribe(1, ['t', 1]));
  await looked(keeper);
  publisher.send(...many(3, 1));
  await looked(keeper);
  const before = bytes();
  t.ok(before > 3000);
  keeper.destroy();
  await settle();
  t.equal(bytes(), before, 'they are due again');
  const back = h.wire();
  back.send(connect('keeper', { clean: false }));
  t.equal((await looked(back)).length, 4);
  t.equal(bytes(), before);
  // A new session forgets them.
  back.destroy();
  await settle();
  const anew = await h.client('keeper', { clean: true });
  t.equal(bytes(), 0);
  anew.destroy();
  // A member of a share leaves: its message goes to another one, once.
  const [one, other] = [await h.client('one'), await h.client('other')];
  one.send(subscribe(1, ['$share/g/s', 1]));
  await looked(one);
  publisher.send(publish('s', kilobyte, { qos: 1, id: 9 }));
  t.equal((await looked(one)).length, 1);
  const shared = bytes();
  t.ok(shared > 1000);
  other.send(subscribe(1, ['$share/g/s', 1]));
  await looked(other);
  one.destroy();
  t.equal((await looked(other)).length, 1);
  t.equal(bytes(), shared);
  other.send(ack('puback', 1));
  await settle();
  t.equal(bytes(), 0);
  // The client is back with a smaller maximum packet size: what is too large is not sent again.
  const narrow = { properties: { sessionExpiryInterval: 100 } };
  const wide = await h.client('narrow', { ...narrow, clean: false });
  wide.send(subscribe(1, ['n', 1]));
  await looked(wide);
  publisher.send(publish('n', kilobyte, { qos: 1, id: 10 }));
  t.equal((await looked(wide)).length, 1);
  wide.destroy();
  await settle();
  const less = { properties: { sessionExpiryInterval: 100, maximumPacketSize: 100 } };
  await h.client('narrow', { ...less, clean: false });
  await settle();
  t.equal(bytes(), 0);
  t.equal(h.count('weir_broker_dropped_total', 'packet-too-large'), 1);
});

t.test('what no session keeps is sent however much it is', async (t) => {
  const h = await new Harness(t, { limits: { queueBytesMax: 10_000 } }).start();
  const live = await h.client('live');
  live.send(subscribe(1, ['t', 1]));
  await looked(live);
  const publisher = await h.client('p');
  publisher.send(...many(100, 1));
  t.equal((await looked(live)).length, 100);
  t.equal(h.count('weir_broker_queued_bytes'), 0);
});

t.test('retained messages wait for acknowledgements when a session keeps them', async (t) => {
  const h = await new Harness(t, { limits: { queueBytesMax: 10_000 } }).start();
  for (let n = 0; n < 20; n++) {
    h.broker.publish({ topic: `r/${n}`, payload: Buffer.from(kilobyte), qos: 1, retain: true });
  }
  const keeper = await h.client('keeper', { clean: false });
  keeper.send(subscribe(1, ['r/#', 1]));
  let taken = 0;
  for (let round = 0; round < 5; round++) {
    await looked(keeper).then((lines) => {
      const ids = lines.filter((line) => line.startsWith('publish')).map((line) => Number(line.split('#').pop()));
      taken += ids.length;
      t.ok(ids.length < 10);
      for (const id of ids) keeper.send(ack('puback', id));
    });
  }
  t.equal(taken, 20);
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 0);
});

t.test('refused subscriptions, sessions that had to go and clients that are not read are counted', async (t) => {
  const limits = { subscriptionsPerSessionMax: 1, sessionsAwayMax: 1, messagesPerSecondMax: 5 };
  const authoriser = { mayPublish: () => true, maySubscribe: (_: unknown, filter: string) => filter !== 'no' };
  const h = await new Harness(t, { limits, authoriser }).start();
  const wire = await h.client('a', { clean: false });
  wire.send(subscribe(1, ['x', 0], ['y', 0], ['no', 0]));
  t.same(await looked(wire), ['suback 1 0,128,128']);
  t.equal(h.count('weir_broker_subscriptions_refused_total', 'quota-exceeded'), 1);
  t.equal(h.count('weir_broker_subscriptions_refused_total', 'not-authorized'), 1);
  wire.send(...Array.from({ length: 6 }, () => publish('x', '')), publish('y', ''));
  t.equal(h.count('weir_broker_held_total', 'rate'), 1);
  wire.destroy();
  const timed = await h.client('b', { properties: { sessionExpiryInterval: 5 }, clean: false });
  timed.destroy();
  await settle();
  t.equal(h.count('weir_broker_sessions_ended_total', 'too-many'), 1);
  t.equal(h.count('weir_broker_sessions_away'), 1);
  await h.clock.advance(7000);
  t.equal(h.count('weir_broker_sessions_ended_total', 'expired'), 1);
});
