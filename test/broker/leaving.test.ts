// What stays of a client that left, and for how long: its session, and its will in the session store.

import t from 'tap';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { settle } from '../support/sim-clock.ts';
import { connect, disconnect, Harness, publish, subscribe, type Wire } from './broker-harness.ts';

async function looked(wire: Wire): Promise<string[]> {
  for (let turn = 0; turn < 3; turn++) await settle();
  return wire.seen();
}

const lasting = { sessionExpiryInterval: 60 };

t.test('a session whose client came back does not end while that is there', async (t) => {
  const h = await new Harness(t).start();
  const first = await h.client('s', { clean: false, properties: lasting });
  first.send(subscribe(1, ['t', 0]));
  await looked(first);
  first.destroy();
  await settle();
  const back = h.wire();
  back.send(connect('s', { clean: false, properties: lasting }));
  t.same(await looked(back), ['connack 0 present']);
  await h.clock.advance(200_000);
  (await h.client('p')).send(publish('t', 'x'));
  t.same(await looked(back), ['publish t x q0']);
});

t.test('a will that was published, or was never to be, is not there after a restart', async (t) => {
  const disk = new MemoryDisk();
  const sessionStore = new MemorySessionStore(disk);
  const h = await new Harness(t, { sessionStore }).start();
  const will = { topic: 'w', payload: 'gone', properties: { willDelayInterval: 5 } };
  const stored = (clientId: string): unknown => disk.sessions.get(clientId)?.session.will;
  const wires = new Map<string, Wire>();
  for (const clientId of ['leaves', 'breaks']) {
    wires.set(clientId, await h.client(clientId, { clean: false, properties: lasting, will }));
    await sessionStore.flushed();
    t.ok(stored(clientId), 'in case the broker ends first');
  }
  wires.get('leaves')?.send(disconnect());
  wires.get('breaks')?.destroy();
  await settle();
  await sessionStore.flushed();
  t.equal(stored('leaves'), undefined);
  t.ok(stored('breaks'), 'it waits for its delay');
  const watcher = await h.client('watcher');
  watcher.send(subscribe(1, ['w', 0]));
  await looked(watcher);
  await h.clock.advance(7000);
  t.same(await looked(watcher), ['publish w gone q0']);
  await sessionStore.flushed();
  t.equal(stored('breaks'), undefined);
});
