// Back-pressure: who is held back, for how long, and who is not.

import t from 'tap';
import { brokerPressMsMax, brokerPressStepMs } from '../../src/limits.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, Harness, publish, subscribe, type Wire } from './broker-harness.ts';

const limits = { inflightOutboundMax: 2, queueMessagesMax: 8 };
const fullQueue = limits.queueMessagesMax + limits.inflightOutboundMax;

async function looked(wire: Wire): Promise<string[]> {
  await settle();
  return wire.seen();
}

/** `count` QoS 1 messages of which the first has packet id `first`. */
function messages(topic: string, count: number, first = 1): ReturnType<typeof publish>[] {
  return Array.from({ length: count }, (_, at) => publish(topic, `${first + at}`, { qos: 1, id: first + at }));
}

/** Takes what has come and acknowledges it: the payloads. */
async function taken(wire: Wire): Promise<string[]> {
  const lines = (await looked(wire)).filter((line) => line.startsWith('publish'));
  for (const line of lines) wire.send(ack('puback', Number(line.split('#')[1])));
  return lines.map((line) => line.split(' ')[2] ?? '');
}

t.test('a receiver that keeps up loses nothing of what is more than its queue', async (t) => {
  const h = await new Harness(t, { limits }).start();
  const [receiver, publisher] = [await h.client('r'), await h.client('p')];
  receiver.send(subscribe(1, ['t', 1]));
  await looked(receiver);
  publisher.send(...messages('t', 5 * fullQueue));
  t.ok(publisher.paused, 'the publisher is not read');
  const all: string[] = [];
  for (let turns = 0; all.length < 5 * fullQueue && turns < 100; turns++) all.push(...(await taken(receiver)));
  t.same(
    all,
    messages('t', 5 * fullQueue).map((_, at) => `${at + 1}`),
  );
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 0);
  t.equal((await looked(publisher)).length, 5 * fullQueue, 'every one is acknowledged');
  t.notOk(publisher.paused);
});

t.test('a receiver that stands still holds nobody for longer than a moment, until it has caught up', async (t) => {
  const h = await new Harness(t, { limits }).start();
  const [receiver, publisher] = [await h.client('r'), await h.client('p')];
  receiver.send(subscribe(1, ['t', 1]));
  await looked(receiver);
  publisher.send(...messages('t', fullQueue + 3));
  t.ok(publisher.paused);
  await h.clock.advance(brokerPressStepMs);
  await looked(publisher);
  t.notOk(publisher.paused);
  t.equal(h.count('weir_broker_dropped_total', 'queue-full'), 3);
  publisher.send(...messages('t', 4, 100));
  t.notOk(publisher.paused, 'it is not waited for again');
  while ((await taken(receiver)).length > 0);
  publisher.send(...messages('t', fullQueue, 200));
  t.ok(publisher.paused, 'it has caught up, so it is worth waiting');
});

t.test('a receiver that moves and does not catch up is given up in the end', async (t) => {
  const h = await new Harness(t, { limits: { ...limits, queueMessagesMax: 400 } }).start();
  const [receiver, publisher] = [await h.client('r'), await h.client('p')];
  receiver.send(subscribe(1, ['t', 1]));
  await looked(receiver);
  publisher.send(...messages('t', 500));
  for (let ms = 0; ms < brokerPressMsMax; ms += brokerPressStepMs) {
    t.ok(publisher.paused, `after ${ms} ms`);
    const line = (await looked(receiver)).find((text) => text.startsWith('publish'));
    receiver.send(ack('puback', Number(line?.split('#')[1])));
    await h.clock.advance(brokerPressStepMs);
  }
  await looked(publisher);
  t.notOk(publisher.paused);
  t.ok(h.count('weir_broker_dropped_total', 'queue-full') > 0);
});

t.test('who owes acknowledgements is read on: clients that flood each other do not wait for each other', async (t) => {
  const h = await new Harness(t, { limits }).start();
  const [a, b] = [await h.client('a'), await h.client('b')];
  a.send(subscribe(1, ['to/a', 1]));
  b.send(subscribe(1, ['to/b', 1]));
  a.send(publish('to/b', 'first', { qos: 1, id: 1 }));
  b.send(publish('to/a', 'first', { qos: 1, id: 1 }));
  await looked(a);
  await looked(b);
  a.send(...messages('to/b', 2 * fullQueue, 10));
  b.send(...messages('to/a', 2 * fullQueue, 10));
  t.notOk(a.paused);
  t.notOk(b.paused);
});

t.test('a receiver that leaves lets its publishers go', async (t) => {
  const h = await new Harness(t, { limits }).start();
  const [receiver, publisher] = [await h.client('r'), await h.client('p')];
  receiver.send(subscribe(1, ['t', 1]));
  publisher.send(...messages('t', fullQueue));
  t.ok(publisher.paused);
  receiver.destroy();
  const answers = [...(await looked(publisher)), ...(await looked(publisher))];
  t.equal(answers.length, fullQueue);
  t.notOk(publisher.paused);
});
