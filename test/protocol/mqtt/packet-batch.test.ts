import { Buffer } from 'node:buffer';
import { generate } from 'mqtt-packet';
import t from 'tap';
import { PacketBatch } from '../../../src/protocol/mqtt/packet-batch.ts';

const messages = [
  { topic: 'a', payload: Buffer.alloc(0), qos: 0 as const },
  { topic: 'devices/Ä/messages', payload: Buffer.from('x'), qos: 1 as const },
  { topic: 'b', payload: Buffer.alloc(120, 1), qos: 1 as const },
  { topic: 'b', payload: Buffer.alloc(20_000, 2), qos: 1 as const },
  { topic: 'c', payload: Buffer.alloc(200_000, 3), qos: 0 as const },
];

t.test('packets lie one behind the other as an encoder of its own makes them, batch after batch', async (t) => {
  const batch = new PacketBatch();
  for (let round = 0; round < 3; round++) {
    t.equal(batch.isEmpty, true);
    const expected: Buffer[] = [];
    for (const [index, { topic, payload, qos }] of messages.entries()) {
      batch.append(Buffer.from([0xc0, 0]));
      batch.publish({ topic, payload, qos }, index + 1);
      const id = qos === 0 ? {} : { messageId: index + 1 };
      expected.push(Buffer.from([0xc0, 0]));
      expected.push(generate({ cmd: 'publish', topic, payload, qos, dup: false, retain: false, ...id }));
    }
    t.equal(batch.isEmpty, false);
    t.ok(batch.take().equals(Buffer.concat(expected)));
  }
});

t.test('memory that was given away is not written again', async (t) => {
  const batch = new PacketBatch();
  batch.append(Buffer.from([1, 2, 3]));
  const first = batch.take();
  batch.append(Buffer.from([4, 5, 6]));
  t.same([...first], [1, 2, 3]);
  t.same([...batch.take()], [4, 5, 6]);
  batch.append(Buffer.from([7]));
  batch.clear();
  t.equal(batch.isEmpty, true);
  t.equal(batch.take().length, 0);
});
