// Messages that somebody inside takes along, messages that come from inside, and clients that may not stay.

import t, { type Test } from 'tap';
import type { MessageTap, TappedMessage } from '../../src/broker/ports.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, Harness, publish, subscribe } from './broker-harness.ts';

class StubTap implements MessageTap {
  epoch = 0;
  root = 'out/';
  readonly taken: (TappedMessage & { resolve(): void; reject(error: Error): void })[] = [];

  takes(topic: string): boolean {
    return topic.startsWith(this.root);
  }

  take(message: TappedMessage): Promise<void> {
    return new Promise((resolve, reject) => void this.taken.push({ ...message, resolve, reject }));
  }

  get shown(): readonly string[] {
    return this.taken.map(
      ({ topic, payload, qos, retain }) => `${topic} ${payload} q${qos}${retain ? ' retained' : ''}`,
    );
  }
}

t.test('a tapped message of each QoS is acknowledged when the tap has it safe, in the order of arrival', async (t) => {
  const tap = new StubTap();
  const harness = await new Harness(t, { tap }).start();
  const client = await harness.client('c');
  const watcher = await harness.client('w');
  watcher.send(subscribe(1, ['#', 0]));
  await settle();
  watcher.seen();
  client.send(
    publish('out/a', '0'),
    publish('out/a', '1', { qos: 1, id: 1 }),
    publish('other', 'x', { qos: 1, id: 2 }),
    publish('out/a', '2', { qos: 2, id: 3, retain: true }),
  );
  await settle();
  t.strictSame(tap.shown, ['out/a 0 q0', 'out/a 1 q1', 'out/a 2 q2 retained']);
  t.strictSame(watcher.seen().length, 3, 'subscribers do not wait, but for what they are to get exactly once');
  t.strictSame(client.seen(), [], 'nothing is promised yet');
  tap.taken[2]?.resolve();
  await settle();
  t.strictSame(client.seen(), [], 'a later one waits for its turn');
  tap.taken[1]?.resolve();
  await settle();
  t.strictSame(client.seen(), ['puback 1', 'puback 2', 'pubrec 3']);
  t.strictSame(watcher.seen(), ['publish out/a 2 q0']);
  tap.taken[0]?.resolve();
});

t.test('runs of packets of a tapped topic go to the tap one by one', async (t) => {
  const tap = new StubTap();
  const harness = await new Harness(t, { tap }).start();
  const client = await harness.client('c');
  const watcher = await harness.client('w');
  watcher.send(subscribe(1, ['out/#', 1]));
  await settle();
  for (const qos of [0, 1, 2] as const) {
    tap.taken.length = 0;
    const packets = Array.from({ length: 8 }, (_, n) =>
      publish('out/run', `${n}`, qos === 0 ? {} : { qos, id: qos * 100 + n }),
    );
    client.send(...packets);
    client.send(...packets.slice(0, 0));
    await settle();
    t.equal(tap.taken.length, 8, `QoS ${qos}`);
    for (const taken of tap.taken) taken.resolve();
    await settle();
  }
});

/** Message 7 of client c, QoS 2, lies with the tap; w has subscribed to everything. */
async function underWay(t: Test, sessionStore: MemorySessionStore) {
  const tap = new StubTap();
  const harness = await new Harness(t, { tap, sessionStore }).start();
  const watcher = await harness.client('w');
  watcher.send(subscribe(1, ['#', 2]));
  await settle();
  watcher.seen();
  const first = await harness.client('c', { clean: false });
  first.send(publish('out/a', 'x', { qos: 2, id: 7 }));
  await settle();
  return { tap, harness, watcher, first };
}

t.test('a message that the tap cannot take is sent again by its publisher, also at QoS 2', async (t) => {
  const { tap, harness, watcher, first } = await underWay(t, new MemorySessionStore(new MemoryDisk()));
  tap.taken[0]?.reject(new Error('no disk'));
  await settle();
  t.ok(first.closed);
  t.equal(harness.ended('service-rejected'), 1);
  const again = await harness.client('c', { clean: false });
  again.send(publish('out/a', 'x', { qos: 2, id: 7, dup: true }));
  await settle();
  t.equal(tap.taken.length, 2, 'its repetition is not taken for something that is safe');
  tap.taken[1]?.resolve();
  for (let turn = 0; turn < 3; turn++) await settle();
  t.match(again.seen(), ['pubrec 7']);
  t.strictSame(watcher.seen(), ['publish out/a x q2 #1'], 'who subscribed has it once');
});

t.test('a QoS 2 message whose connection ends before the tap has it is taken once all the same', async (t) => {
  const disk = new MemoryDisk();
  const sessionStore = new MemorySessionStore(disk);
  const { tap, harness, watcher, first } = await underWay(t, sessionStore);
  await sessionStore.flushed();
  t.notOk(disk.sessions.get('c')?.receiving.has(7), 'after a power cut now its repetition would be new');
  first.destroy();
  await settle();
  const again = await harness.client('c', { clean: false });
  again.seen();
  again.send(publish('out/a', 'x', { qos: 2, id: 7, dup: true }));
  await settle();
  t.strictSame(again.seen(), [], 'nothing is promised yet');
  tap.taken[0]?.resolve();
  for (let turn = 0; turn < 3; turn++) await settle();
  t.strictSame(again.seen(), ['pubrec 7']);
  t.ok(disk.sessions.get('c')?.receiving.has(7));
  t.equal(tap.taken.length, 1);
  t.strictSame(watcher.seen(), ['publish out/a x q2 #1']);
  again.send(ack('pubrel', 7));
  for (let turn = 0; turn < 3; turn++) await settle();
  t.strictSame(again.seen(), ['pubcomp 7']);
  again.send(publish('out/a', 'y', { qos: 2, id: 7 }));
  await settle();
  t.equal(tap.taken.length, 2, 'the packet id is free again');
  tap.taken[1]?.resolve();
});

t.test('what the tap makes safe for a session that is over binds nobody who comes after it', async (t) => {
  const tap = new StubTap();
  const disk = new MemoryDisk();
  const sessionStore = new MemorySessionStore(disk);
  const harness = await new Harness(t, { tap, sessionStore }).start();
  const first = await harness.client('c', { clean: false });
  first.send(publish('out/a', 'x', { qos: 2, id: 7 }));
  await settle();
  first.destroy();
  await settle();
  const fresh = await harness.client('c', { clean: true });
  fresh.destroy();
  const next = await harness.client('c', { clean: false });
  next.seen();
  tap.taken[0]?.resolve();
  for (let turn = 0; turn < 3; turn++) await settle();
  await sessionStore.flushed();
  t.notOk(disk.sessions.get('c')?.receiving.has(7));
  next.send(publish('out/a', 'y', { qos: 2, id: 7 }));
  await settle();
  t.equal(tap.taken.length, 2);
  tap.taken[1]?.resolve();
});

t.test('what is tapped may change while a client publishes', async (t) => {
  const tap = new StubTap();
  tap.root = 'none/';
  const harness = await new Harness(t, { tap }).start();
  const client = await harness.client('c');
  client.send(publish('out/a', '1', { qos: 1, id: 1 }), publish('out/a', '2', { qos: 1, id: 2 }));
  await settle();
  t.equal(tap.taken.length, 0);
  t.equal(client.seen().length, 2);
  tap.root = 'out/';
  tap.epoch++;
  client.send(publish('out/a', '3', { qos: 1, id: 3 }), publish('out/a', '4'));
  await settle();
  t.strictSame(tap.shown, ['out/a 3 q1', 'out/a 4 q0']);
  for (const taken of tap.taken) taken.resolve();
});

t.test('a publisher is held back while too many of its messages are not safe', async (t) => {
  const tap = new StubTap();
  const harness = await new Harness(t, { tap, limits: { inflightInboundMax: 4 } }).start();
  const client = await harness.client('c');
  for (let n = 0; n < 4; n++) client.send(publish('out/a', `${n}`));
  await settle();
  t.ok(client.paused, 'also at QoS 0');
  for (const taken of tap.taken) taken.resolve();
  await settle();
  t.notOk(client.paused);
});

t.test('a will is tapped, with the properties of MQTT 5', async (t) => {
  const tap = new StubTap();
  const harness = await new Harness(t, { tap }).start();
  const client = await harness.client('c', {
    version: 5,
    will: { topic: 'out/will', payload: 'gone', qos: 1, properties: { contentType: 'text/plain' } },
  });
  client.sink?.onClose();
  await settle();
  t.strictSame(tap.shown, ['out/will gone q1']);
  t.equal(tap.taken[0]?.propertyBytes.toString('latin1'), '\u0003\u0000\ntext/plain');
  t.equal(tap.taken[0]?.origin, undefined);
  tap.taken[0]?.resolve();
});

t.test('a message from inside is delivered when stored sessions and taps have it', async (t) => {
  const tap = new StubTap();
  const sessionStore = new MemorySessionStore(new MemoryDisk());
  const harness = await new Harness(t, { tap, sessionStore }).start();
  const away = await harness.client('away', { clean: false });
  away.send(subscribe(1, ['#', 1]));
  await settle();
  away.sink?.onClose();
  await settle();
  let delivered = false;
  const message = { topic: 'out/in', payload: Buffer.from('x'), qos: 1 as const, retain: true };
  const delivering = harness.broker.deliver(message, 'bridge/one').then(() => {
    delivered = true;
  });
  await settle();
  t.notOk(delivered);
  t.equal(tap.taken[0]?.origin, 'bridge/one', 'a tap knows where it comes from');
  tap.taken[0]?.resolve();
  await delivering;
  const back = await harness.client('away', { clean: false });
  await settle();
  t.notOk(back.closed);
  t.equal(harness.broker.facts().retainedMessages, 1);
  t.throws(() => harness.broker.deliver({ ...message, topic: 'a/#' }, 'x'), { code: 'BROKER_MESSAGE_INVALID' });
});

t.test('who may not stay any longer is disconnected', async (t) => {
  const harness = await new Harness(t).start();
  const one = await harness.client('one', { username: 'anna' });
  const other = await harness.client('other', { username: 'otto' });
  harness.broker.review(({ name }) => name !== 'anna', 'the policy changed');
  await settle();
  t.ok(one.closed);
  t.notOk(other.closed);
  t.equal(harness.ended('not-authorized'), 1);
  other.send(publish('a', 'x', { qos: 1, id: 1 }), ack('pubrel', 1));
});
