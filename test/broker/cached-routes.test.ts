// What was decided for a topic, or for a connection, holds no longer than it is true.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { settle } from '../support/sim-clock.ts';
import { connect, everybody, Harness, publish, subscribe, type Wire } from './broker-harness.ts';

async function looked(wire: Wire): Promise<string[]> {
  await settle();
  return wire.seen();
}

const lasting = { sessionExpiryInterval: 60 };

t.test('what a client may not receive any more is not sent from the very next message on', async (t) => {
  let mayReceive = true;
  const rules = { ...everybody, epoch: 1, mayReceive: () => mayReceive };
  const h = await new Harness(t, { authoriser: rules }).start();
  const wire = await h.client('s');
  wire.send(subscribe(1, ['t', 1], ['$share/g/t', 0]));
  await looked(wire);
  const publisher = await h.client('p');
  const both = (text: string): void => publisher.send(publish('t', text), publish('t', text, { qos: 1, id: 1 }));
  both('one');
  t.equal((await looked(wire)).length, 4);
  mayReceive = false;
  rules.epoch++;
  both('two');
  t.same(await looked(wire), []);
  mayReceive = true;
  rules.epoch++;
  both('three');
  t.equal((await looked(wire)).length, 4);
});

t.test('a client that comes back with another version gets what it understands', async (t) => {
  const h = await new Harness(t).start();
  const publisher = await h.client('p');
  const old = await h.client('s', { clean: false });
  old.send(subscribe(1, ['t', 0]));
  await looked(old);
  publisher.send(publish('t', '1'), publish('t', '2'));
  t.same(await looked(old), ['publish t 1 q0', 'publish t 2 q0']);
  old.destroy();
  await settle();
  const back = h.wire();
  back.send(connect('s', { clean: false, properties: lasting }));
  t.same(await looked(back), ['connack 0 present']);
  publisher.send(publish('t', '3'), publish('t', '4'));
  t.same(await looked(back), ['publish t 3 q0', 'publish t 4 q0']);
});

t.test('in a crowd of receivers, one that takes small packets only gets no large one', async (t) => {
  const h = await new Harness(t).start();
  const crowd: Wire[] = [];
  for (let n = 0; n < 6; n++) {
    const wire = await h.client(`s${n}`, { properties: n === 0 ? { maximumPacketSize: 40 } : {} });
    wire.send(subscribe(1, ['t', 0]));
    await looked(wire);
    crowd.push(wire);
  }
  const publisher = await h.client('p', { version: 5 });
  publisher.send(publish('t', 'small'));
  publisher.send(publish('t', Buffer.alloc(100, 0x61)));
  publisher.send(publish('t', 'last'));
  t.same(await looked(crowd[0] as Wire), ['publish t small q0', 'publish t last q0']);
  t.equal((await looked(crowd[1] as Wire)).length, 3);
});

t.test('a client that comes back with a smaller receive maximum is sent no more than that', async (t) => {
  const h = await new Harness(t).start();
  const publisher = await h.client('p');
  const first = await h.client('s', { clean: false, properties: { ...lasting, receiveMaximum: 10 } });
  first.send(subscribe(1, ['t', 1]));
  publisher.send(publish('t', '0', { qos: 1, id: 1 }));
  t.equal((await looked(first)).length, 2);
  first.destroy();
  await settle();
  for (let n = 1; n < 6; n++) publisher.send(publish('t', `${n}`, { qos: 1, id: 1 + n }));
  await settle();
  const back = h.wire();
  back.send(connect('s', { clean: false, properties: { ...lasting, receiveMaximum: 2 } }));
  t.same(await looked(back), ['connack 0 present', 'publish t 0 q1 dup #1', 'publish t 1 q1 #2']);
});
