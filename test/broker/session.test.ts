// Sessions through the broker: publish and subscribe, windows and queues, resumption, retained messages, deliver().

import { Buffer } from 'node:buffer';
import t from 'tap';
import { brokerPressStepMs } from '../../src/limits.ts';
import type { WeirError } from '../../src/model/errors.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, connect, Harness, publish, StubService, subscribe, type Wire } from './broker-harness.ts';

const code = (error: WeirError): string => error.code;

async function looked(wire: Wire): Promise<string[]> {
  await settle();
  return wire.seen();
}

t.test('a message comes with the lower QoS of publish and subscription, once for overlapping filters', async (t) => {
  const h = await new Harness(t).start();
  const subscriber = await h.client('s');
  subscriber.send(subscribe(1, ['zero', 0], ['one', 1], ['two', 2], ['o/#', 0], ['o/+', 2], ['o/x', 1]));
  await looked(subscriber);
  const publisher = await h.client('p');
  for (const topic of ['zero', 'one', 'two', 'o/x']) {
    for (const qos of [0, 1, 2] as const) publisher.send(publish(topic, `${qos}`, { qos, id: qos + 1, dup: qos > 0 }));
    publisher.send(ack('pubrel', 3));
  }
  const seen = await looked(subscriber);
  t.same(
    seen.map((line) => line.replace(/ #.*/, '')),
    [
      ...['publish zero 0 q0', 'publish zero 1 q0', 'publish zero 2 q0'],
      ...['publish one 0 q0', 'publish one 1 q1', 'publish one 2 q1'],
      ...['publish two 0 q0', 'publish two 1 q1', 'publish two 2 q2'],
      ...['publish o/x 0 q0', 'publish o/x 1 q1', 'publish o/x 2 q2'],
    ],
    'and the duplicate flag of the publisher is not passed on [MQTT-3.3.1-3]',
  );
});

t.test('runs of QoS 0 packets reach every subscriber in order, whatever lies between them', async (t) => {
  const h = await new Harness(t).start();
  const all = await h.client('all');
  const one = await h.client('one');
  all.send(subscribe(1, ['#', 1]));
  one.send(subscribe(1, ['t/1', 0]));
  await looked(all);
  await looked(one);
  const publisher = await h.client('p');
  publisher.send(
    ...[1, 2, 3].map((n) => publish('t/1', `a${n}`)),
    publish('t/1', 'r', { retain: true }),
    publish('t/1', 'b'),
    publish('t/12', 'c'),
    publish('t/1', 'd', { qos: 1, id: 1 }),
    publish('t/1', ''),
    publish('t/1', 'e'),
  );
  t.same(await looked(all), [
    ...['publish t/1 a1 q0', 'publish t/1 a2 q0', 'publish t/1 a3 q0', 'publish t/1 r q0', 'publish t/1 b q0'],
    ...['publish t/12 c q0', 'publish t/1 d q1 #1', 'publish t/1  q0', 'publish t/1 e q0'],
  ]);
  t.same(
    (await looked(one)).map((line) => line.split(' ')[2]),
    ['a1', 'a2', 'a3', 'r', 'b', 'd', '', 'e'],
  );
  t.equal(h.count('weir_broker_messages_received_total'), 9);
  t.equal(h.count('weir_broker_messages_sent_total'), 17);
});

t.test('a subscription made or ended changes the very next message', async (t) => {
  const h = await new Harness(t).start();
  const [subscriber, publisher] = [await h.client('s'), await h.client('p')];
  publisher.send(publish('t', '1'), publish('t', '2'));
  subscriber.send(subscribe(1, ['t', 0]));
  publisher.send(publish('t', '3'));
  subscriber.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['t', 'never'] });
  publisher.send(publish('t', '4'));
  t.same(await looked(subscriber), ['suback 1 0', 'publish t 3 q0', 'unsuback 2']);
});

t.test('the window holds the rest back until acknowledgements come', async (t) => {
  const h = await new Harness(t, { limits: { inflightOutboundMax: 2 } }).start();
  const [subscriber, publisher] = [await h.client('s'), await h.client('p')];
  subscriber.send(subscribe(1, ['t', 2]));
  await looked(subscriber);
  publisher.send(...[1, 2, 3, 4].map((n) => publish('t', `${n}`, { qos: n === 3 ? 2 : 1, id: n })));
  t.same(await looked(publisher), ['puback 1', 'puback 2', 'pubrec 3', 'puback 4']);
  t.same(await looked(subscriber), ['publish t 1 q1 #1', 'publish t 2 q1 #2']);
  subscriber.send(ack('puback', 2), ack('puback', 99), ack('pubcomp', 1));
  t.same(await looked(subscriber), ['publish t 3 q2 #3']);
  subscriber.send(ack('puback', 1), ack('pubrec', 3));
  t.same(await looked(subscriber), ['publish t 4 q1 #4', 'pubrel 3']);
  subscriber.send(ack('pubcomp', 3), ack('puback', 4), ack('pubrec', 77));
  t.same(await looked(subscriber), ['pubrel 77'], 'a PUBREC of an earlier life is answered, so that it ends');
});

t.test(
  'a slow consumer costs itself: QoS 0 is dropped and counted, QoS 1 queues to its bound, others go on',
  async (t) => {
    const limits = { outputBytesMax: 10_000, queueMessagesMax: 5, inflightOutboundMax: 3 };
    const h = await new Harness(t, { limits }).start();
    const [slow, quick, publisher] = [await h.client('slow'), await h.client('quick'), await h.client('p')];
    for (const wire of [slow, quick]) wire.send(subscribe(1, ['zero', 0], ['one', 1]));
    await settle();
    slow.seen();
    quick.seen();
    slow.taking = false;
    for (let n = 0; n < 30; n++) {
      publisher.send(publish('zero', Buffer.alloc(950, 0x61)));
      await settle();
    }
    t.equal(quick.seen().length, 30);
    t.ok(slow.bufferedBytes <= 10_000);
    const dropped = h.count('weir_broker_dropped_total', 'slow-client');
    t.equal(dropped, 20);
    for (let n = 1; n <= 10; n++) {
      publisher.send(publish('one', `${n}`, { qos: 1, id: n }));
      // The publisher waits a moment for the slow one, then no more.
      if (n === 6) await h.clock.advance(brokerPressStepMs);
      for (const line of await looked(quick)) quick.send(ack('puback', Number(line.split('#')[1])));
    }
    t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 10 - 3 - 5);
    slow.take();
    const seen = await looked(slow);
    t.equal(seen.filter((line) => line.startsWith('publish zero')).length, 10);
    t.same(
      seen.slice(10),
      [1, 2, 3].map((n) => `publish one ${n} q1 #${n}`),
    );
    slow.send(ack('puback', 1), ack('puback', 2), ack('puback', 3));
    t.same(
      (await looked(slow)).map((line) => line.split(' ')[2]),
      ['4', '5', '6'],
    );
    t.notOk(slow.ended);
  },
);

t.test('bytes that a socket has not taken are never touched again', async (t) => {
  const h = await new Harness(t).start();
  const [slow, publisher] = [await h.client('slow'), await h.client('p')];
  slow.send(subscribe(1, ['t', 0]));
  await looked(slow);
  slow.taking = false;
  const expected: string[] = [];
  for (let n = 0; n < 50; n++) {
    publisher.send(publish('t', `${n}`), publish('other', Buffer.alloc(2000, 0x62)));
    expected.push(`publish t ${n} q0`);
    await settle();
  }
  slow.take();
  t.same(await looked(slow), expected);
});

t.test('a persistent session is resumed: subscriptions, queue, and what was not acknowledged, in order', async (t) => {
  const h = await new Harness(t, { limits: { inflightOutboundMax: 4 } }).start();
  const publisher = await h.client('p');
  const first = h.wire();
  first.send(connect('s', { clean: false }), subscribe(1, ['t', 2]));
  t.same(await looked(first), ['connack 0', 'suback 1 2']);
  publisher.send(
    publish('t', 'a', { qos: 1, id: 1 }),
    publish('t', 'b', { qos: 2, id: 2 }),
    publish('t', 'c', { qos: 2, id: 3 }),
    publish('t', 'd', { qos: 1, id: 4 }),
    publish('t', 'e', { qos: 1, id: 5 }),
  );
  t.same(await looked(first), ['publish t a q1 #1', 'publish t b q2 #2', 'publish t c q2 #3', 'publish t d q1 #4']);
  first.send(ack('pubrec', 2));
  first.send(ack('puback', 4));
  t.same(await looked(first), ['pubrel 2', 'publish t e q1 #5']);
  first.destroy();
  await settle();
  publisher.send(publish('t', 'lost', { qos: 0 }), publish('t', 'f', { qos: 1, id: 6 }));
  await settle();
  const second = h.wire();
  second.send(connect('s', { clean: false }));
  t.same(await looked(second), [
    'connack 0 present',
    'publish t a q1 dup #1',
    'pubrel 2',
    'publish t c q2 dup #3',
    'publish t e q1 dup #5',
  ]);
  second.send(ack('pubcomp', 2), ack('puback', 1));
  t.same(await looked(second), ['publish t f q1 #6']);
  second.send('e000');
  await settle();
  const clean = h.wire();
  clean.send(connect('s'));
  t.same(await looked(clean), ['connack 0'], 'a clean session forgets the other');
  publisher.send(publish('t', 'g', { qos: 1, id: 7 }));
  t.same(await looked(clean), []);
  clean.send('e000');
  await settle();
  const fresh = h.wire();
  fresh.send(connect('s', { clean: false }));
  t.same(await looked(fresh), ['connack 0'], 'and leaves none behind [MQTT-3.2.2-3]');
});

t.test('a session is resumed only by the principal that made it', async (t) => {
  const h = await new Harness(t).start();
  const owner = await h.client('s', { clean: false, username: 'alice' });
  owner.send(subscribe(1, ['t', 1]));
  await settle();
  owner.destroy();
  await settle();
  const publisher = await h.client('p');
  publisher.send(publish('t', 'secret', { qos: 1, id: 1 }));
  await settle();
  const thief = h.wire();
  thief.send(connect('s', { clean: false, username: 'mallory' }));
  t.same(await looked(thief), ['connack 0']);
});

t.test('sessions away are bounded: the one away longest is dropped, its messages counted', async (t) => {
  const h = await new Harness(t, { limits: { sessionsAwayMax: 2 } }).start();
  const publisher = await h.client('p');
  for (const id of ['one', 'two', 'three']) {
    const wire = await h.client(id, { clean: false });
    wire.send(subscribe(1, ['t', 1]));
    await settle();
    wire.destroy();
    await settle();
    publisher.send(publish('t', id, { qos: 1, id: 1 }));
    await settle();
  }
  t.equal(h.count('weir_broker_dropped_total', 'session-dropped'), 2, 'one and two were queued for one');
  t.equal(h.count('weir_broker_sessions'), 3);
  const wire = h.wire();
  wire.send(connect('one', { clean: false }));
  t.same(await looked(wire), ['connack 0']);
});

t.test('the queue of an absent client is bounded in messages and bytes', async (t) => {
  const h = await new Harness(t, {
    limits: { queueMessagesMax: 100, queueBytesMax: 2500, queueBytesTotalMax: 4000 },
  }).start();
  const publisher = await h.client('p');
  for (const id of ['one', 'two']) {
    const wire = await h.client(id, { clean: false });
    wire.send(subscribe(1, [id, 1]));
    await settle();
    wire.destroy();
    await settle();
    for (let n = 1; n <= 3; n++) publisher.send(publish(id, Buffer.alloc(1000), { qos: 1, id: n }));
    await settle();
  }
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 1 + 2, 'its own bytes, then those of all together');
  const back = await h.client('one', { clean: true });
  t.ok(h.count('weir_broker_queued_bytes') < 1100, 'a forgotten session gives its bytes back');
  back.destroy();
});

t.test('retained messages: kept, replayed with the flag, replaced, removed, bounded', async (t) => {
  const h = await new Harness(t, { limits: { retainedMessagesMax: 3 } }).start();
  const publisher = await h.client('p');
  const retain = (topic: string, payload: string, qos: 0 | 1 = 0): void =>
    publisher.send(publish(topic, payload, { retain: true, qos, ...(qos > 0 ? { id: 1 } : {}) }));
  retain('a/1', 'old');
  retain('a/1', 'new', 1);
  retain('a/2', 'x');
  retain('$hidden', 'h');
  retain('a/3', 'too many');
  await settle();
  t.equal(h.count('weir_broker_dropped_total', 'retained-full'), 1);
  const wire = await h.client('s');
  wire.send(subscribe(1, ['#', 1]));
  t.same(await looked(wire), ['suback 1 1', 'publish a/1 new q1 retained #1', 'publish a/2 x q0 retained']);
  retain('a/2', 'live');
  t.same(await looked(wire), ['publish a/2 live q0'], 'live messages come without the flag [MQTT-3.3.1-9]');
  retain('a/1', '');
  t.same(await looked(wire), ['publish a/1  q0']);
  wire.send(subscribe(2, ['a/+', 0], ['a/1', 0], ['$hidden', 0], ['a/#', 0]));
  t.same(await looked(wire), [
    'suback 2 0,0,0,0',
    'publish a/2 live q0 retained',
    'publish $hidden h q0 retained',
    'publish a/2 live q0 retained',
  ]);
  t.equal(h.count('weir_broker_retained_messages'), 2);
});

t.test('many retained messages come at the pace of the client, none is lost, none comes stale', async (t) => {
  const h = await new Harness(t, { limits: { outputBytesMax: 5000 } }).start();
  const publisher = await h.client('p');
  for (let n = 0; n < 200; n++) publisher.send(publish(`r/${n}`, Buffer.alloc(200, 0x61), { retain: true }));
  const slow = await h.client('s');
  slow.taking = false;
  slow.send(subscribe(1, ['r/#', 0]));
  await settle();
  t.ok(slow.bufferedBytes < 5000);
  publisher.send(publish('r/199', 'young', { retain: true }));
  const seen: string[] = [];
  for (let n = 0; n < 20; n++) {
    slow.taking = false;
    slow.take();
    seen.push(...(await looked(slow)));
  }
  t.equal(new Set(seen.filter((line) => line.endsWith('retained')).map((line) => line.split(' ')[1])).size, 199);
  const last = seen.filter((line) => line.startsWith('publish r/199 '));
  t.ok(last.length <= 1, 'the old value never follows the new one');
});

t.test('deliver reaches one client alone and settles with its PUBACK', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service, limits: { inflightOutboundMax: 2, queueMessagesMax: 2 } }).start();
  const wire = await h.client('a');
  const other = await h.client('b');
  const client = service.clients.get('a')!;
  const message = (payload: string, qos: 0 | 1): { topic: string; payload: Buffer; qos: 0 | 1 } => ({
    topic: '$svc/in',
    payload: Buffer.from(payload),
    qos,
  });
  const settled: string[] = [];
  const deliver = (payload: string, qos: 0 | 1): Promise<void> =>
    client.deliver(message(payload, qos)).then(
      () => void settled.push(payload),
      (error: WeirError) => void settled.push(`${payload} ${error.code}`),
    );
  const all = ['1', '2', '3', '4', '5'].map((payload) => deliver(payload, 1));
  all.push(deliver('zero', 0));
  t.same(await looked(wire), ['publish $svc/in 1 q1 #1', 'publish $svc/in 2 q1 #2', 'publish $svc/in zero q0']);
  t.same(settled, ['5 BROKER_QUEUE_FULL', 'zero']);
  wire.send(ack('puback', 2));
  t.same(await looked(wire), ['publish $svc/in 3 q1 #3']);
  t.same(settled.splice(0), ['5 BROKER_QUEUE_FULL', 'zero', '2']);
  wire.destroy();
  await Promise.all(all);
  t.same(settled.sort(), ['1 BROKER_CLIENT_GONE', '3 BROKER_CLIENT_GONE', '4 BROKER_CLIENT_GONE']);
  t.equal(await client.deliver(message('x', 1)).catch(code), 'BROKER_CLIENT_GONE');
  t.equal(await client.deliver(message('x', 0)).catch(code), 'BROKER_CLIENT_GONE');
  client.disconnect('nothing happens');
  const b = service.clients.get('b')!;
  t.equal(await b.deliver({ ...message('x', 1), topic: 'a/#' }).catch(code), 'BROKER_MESSAGE_INVALID');
  t.same(await looked(other), []);
  b.disconnect('token revoked');
  await settle();
  t.ok(other.ended);
  t.match(h.lines.join(''), /reason=disconnected detail="token revoked"/);
});

t.test('a delivery under way when a persistent client leaves is not sent again by the broker', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service }).start();
  const wire = await h.client('a', { clean: false });
  wire.send(subscribe(1, ['t', 1], ['$svc/in/#', 1]));
  const delivered = service.clients.get('a')?.deliver({ topic: '$svc/in', payload: Buffer.from('d'), qos: 1 });
  (await h.client('p')).send(publish('t', 'ordinary', { qos: 1, id: 1 }));
  t.equal((await looked(wire)).length, 3);
  wire.destroy();
  t.equal(await delivered?.catch(code), 'BROKER_CLIENT_GONE');
  const again = h.wire();
  again.send(connect('a', { clean: false }));
  t.same(await looked(again), ['connack 0 present', 'publish t ordinary q1 dup #2']);
  t.same(service.calls, [
    'connected a []',
    'subscribe a $svc/in/#',
    'connected p []',
    'disconnected a',
    'connected a [$svc/in/#]',
  ]);
  again.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['$svc/in/#'] });
  await settle();
  t.equal(service.calls.at(-1), 'unsubscribe a $svc/in/#');
});

t.test('subscriptions are bounded per session and together, and refused in the SUBACK', async (t) => {
  const h = await new Harness(t, { limits: { subscriptionsPerSessionMax: 2, subscriptionsMax: 3 } }).start();
  const [one, two] = [await h.client('one'), await h.client('two')];
  one.send(subscribe(1, ['a', 0], ['b', 0], ['c', 0], ['a', 1]));
  t.same(await looked(one), ['suback 1 0,0,128,1']);
  two.send(subscribe(1, ['a', 0], ['b', 0]));
  t.same(await looked(two), ['suback 1 0,128']);
  one.destroy();
  await settle();
  two.send(subscribe(2, ['b', 0]));
  t.same(await looked(two), ['suback 2 0'], 'a session that ended gives its own back');
});

t.test('publish from inside reaches subscribers, is retained, and refuses what is invalid', async (t) => {
  const h = await new Harness(t).start();
  const wire = await h.client('a');
  wire.send(subscribe(1, ['$SYS/#', 1]));
  h.broker.publish({ topic: '$SYS/broker/uptime', payload: Buffer.from('1'), qos: 1, retain: true });
  t.same(await looked(wire), ['suback 1 1', 'publish $SYS/broker/uptime 1 q1 #1']);
  t.throws(() => h.broker.publish({ topic: 'a/#', payload: Buffer.alloc(0), qos: 0 }), {
    code: 'BROKER_MESSAGE_INVALID',
  });
  t.ok(h.broker.disconnect('a', 'operator'));
  t.notOk(h.broker.disconnect('a', 'operator'));
  await h.broker.close();
  await h.broker.close();
  t.throws(() => h.broker.publish({ topic: 'a', payload: Buffer.alloc(0), qos: 0 }), { code: 'BROKER_CLOSED' });
  await t.rejects(h.broker.listen('x', { kind: 'unix', path: 'x', mode: 0 }), { code: 'BROKER_CLOSED' });
});

t.test('more connections than the bound are closed at once', async (t) => {
  const h = await new Harness(t, { limits: { connectionsMax: 1 } }).start();
  const first = await h.client('a');
  const second = h.wire();
  t.ok(second.ended);
  t.notOk(first.ended);
});
