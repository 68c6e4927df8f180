// Acknowledgements and the session store: nothing is promised before it is safe, and order holds.

import t from 'tap';
import { FlushWait } from '../../src/broker/flush-wait.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, connect, disconnect, Harness, publish, subscribe, subscribe5, type Wire } from './broker-harness.ts';

const lasting = { clean: false, properties: { sessionExpiryInterval: 1000 } } as const;

/** A flush that waits until it is let go. */
function gate(store: MemorySessionStore): () => Promise<void> {
  let open: () => void = () => undefined;
  store.held = new Promise((resolve) => (open = resolve));
  return async () => {
    store.held = undefined;
    open();
    await settle();
  };
}

async function looked(wire: Wire): Promise<string[]> {
  await settle();
  return wire.seen();
}

t.test('answers wait for their flush, share it within a turn, and keep their order', async (t) => {
  const store = new MemorySessionStore(new MemoryDisk());
  const work: Promise<void>[] = [];
  const wait = new FlushWait({ sessionStore: store, track: (job) => work.push(job) }, () => t.fail('nothing fails'));
  const said: string[] = [];
  const say = (text: string) => (safe: boolean) => said.push(`${text} ${safe}`);
  wait.inTurn(say('at once'));
  const release = gate(store);
  wait.after(say('one'));
  wait.after(say('two'));
  wait.inTurn(say('three'));
  t.same(said, ['at once true']);
  t.equal(work.length, 1);
  t.equal(wait.length, 3);
  await release();
  t.same(said.slice(1), ['one true', 'two true', 'three true']);
  t.equal(wait.length, 0);
});

t.test('a flush that fails tells everybody who waited for it, then its owner', async (t) => {
  const store = new MemorySessionStore(new MemoryDisk());
  const said: string[] = [];
  const wait = new FlushWait({ sessionStore: store, track: () => undefined }, () => said.push('failed'));
  store.failures.push(new RangeError('no disk'));
  wait.after((safe) => said.push(`one ${safe}`));
  wait.after((safe) => said.push(`two ${safe}`));
  await settle();
  t.same(said, ['one false', 'two false', 'failed']);
});

t.test('without a store there is nothing to wait for', async (t) => {
  const said: boolean[] = [];
  const wait = new FlushWait({ sessionStore: undefined, track: () => undefined }, () => undefined);
  wait.after((safe) => said.push(safe));
  t.same(said, [true]);
});

t.test('a publish for an absent session is acknowledged once it is on stable storage', async (t) => {
  const sessionStore = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore }).start();
  const absent = await h.client('absent', lasting);
  absent.send(subscribe5(1, [{ topic: 'kept/#', qos: 2 }]), disconnect());
  await settle();
  const wire = await h.client('p', { clean: true });
  const release = gate(sessionStore);
  wire.send(publish('kept/1', 'x', { qos: 1, id: 1 }), publish('else', 'x', { qos: 1, id: 2 }));
  wire.send(publish('kept/2', 'x', { qos: 2, id: 3 }), publish('kept/0', 'x'), { cmd: 'pingreq' });
  t.same(await looked(wire), ['pingresp'], 'nothing is acknowledged, and nothing else waits');
  await release();
  t.same(wire.seen(), ['puback 1', 'puback 2', 'pubrec 3'], 'in the order of arrival [MQTT-4.6.0-2]');
});

t.test('the steps of QoS 2, a subscription and a session are safe before they are answered', async (t) => {
  const sessionStore = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore }).start();
  const wire = await h.client('a', lasting);
  const held = async (packet: Parameters<Wire['send']>[0], why: string): Promise<string[]> => {
    const release = gate(sessionStore);
    wire.send(packet);
    t.same(await looked(wire), [], why);
    await release();
    return looked(wire);
  };
  t.same(await held(subscribe(1, ['t', 2]), 'SUBACK'), ['suback 1 2']);
  wire.send(publish('t', 'x', { qos: 2, id: 7 }));
  t.same((await looked(wire)).sort(), ['publish t x q2 #1', 'pubrec 7']);
  t.same(await held(ack('pubrel', 7), 'PUBCOMP: else the id, used again, would be a repetition'), ['pubcomp 7']);
  t.same(await held(ack('pubrec', 1), 'PUBREL: else the message would come again'), ['pubrel 1']);
  const release = gate(sessionStore);
  const other = h.wire();
  other.send(connect('b', lasting));
  t.same(await looked(other), []);
  await release();
  t.same(other.seen(), ['connack 0']);
});

t.test('a failing disk ends the connection unacknowledged, and the repetition is taken', async (t) => {
  const sessionStore = new MemorySessionStore(new MemoryDisk());
  const h = await new Harness(t, { sessionStore }).start();
  const absent = await h.client('absent', lasting);
  absent.send(subscribe5(1, [{ topic: 'kept', qos: 2 }]), disconnect());
  await settle();
  const wire = await h.client('p', lasting);
  sessionStore.failures.push(new RangeError('no disk'));
  wire.send(publish('kept', 'x', { qos: 1, id: 1 }), publish('kept', 'y', { qos: 2, id: 2 }));
  t.same(await looked(wire), ['disconnect 0x83']);
  t.equal(h.ended('storage-failed'), 1);
  const again = await h.client('p', lasting);
  again.send(publish('kept', 'x', { qos: 1, id: 1, dup: true }), publish('kept', 'y', { qos: 2, id: 2, dup: true }));
  t.same(await looked(again), ['puback 1', 'pubrec 2']);
  const back = h.wire();
  back.send(connect('absent', lasting));
  await settle();
  const came = (await looked(back)).map((line) => line.split(' ')[2]);
  t.ok(came.includes('x') && came.includes('y'), 'nothing is lost');
});

t.test('sessions, retained messages and a will that waited outlive the broker', async (t) => {
  const disk = new MemoryDisk();
  const first = await new Harness(t, { sessionStore: new MemorySessionStore(disk) }).start();
  const watcher = await first.client('w', lasting);
  watcher.send(subscribe5(1, [{ topic: '#', qos: 1 }]));
  await looked(watcher);
  const will = { topic: 'will', payload: 'gone', qos: 1 as const, properties: { willDelayInterval: 5 } };
  await first.client('a', { ...lasting, will });
  watcher.send(publish('kept', 'x', { retain: true, qos: 1, id: 1 }));
  await settle();
  await first.broker.close();
  const second = await new Harness(t, { sessionStore: new MemorySessionStore(disk) }).start();
  const back = second.wire();
  back.send(connect('w', lasting));
  await settle();
  t.same(await looked(back), ['connack 0 present', 'publish kept x q1 dup #1'], 'session, subscription and message');
  await second.clock.advance(3000);
  t.same(back.seen(), [], 'its delay goes on');
  await second.clock.advance(4000);
  t.same(await looked(back), ['publish will gone q1 #2']);
  back.send(subscribe5(2, [{ topic: 'kept', qos: 0 }]));
  t.same((await looked(back)).at(-1), 'publish kept x q0 retained');
});
