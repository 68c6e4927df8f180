// The outbound side's parts by themselves: window, pool, aliases.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { BufferPool } from '../../src/broker/buffer-pool.ts';
import { DeliveryHeader } from '../../src/broker/delivery.ts';
import { InflightWindow } from '../../src/broker/inflight.ts';
import { OutboundAliases } from '../../src/broker/outbound-aliases.ts';
import { PendingMessage, volatileMessage } from '../../src/broker/pending-message.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

t.test('the window behaves like a map of packet ids in the order of sending, across the end of the ids', async (t) => {
  const entropy = seededEntropy(11);
  const window = new InflightWindow(60);
  const model = new Map<number, PendingMessage>();
  let wrapped = false;
  let last = 0;
  for (let step = 0; step < 200_000; step++) {
    if (model.size < 60 && entropy.fraction() < 0.55) {
      const message = new PendingMessage({ awaiting: 4 });
      const packetId = window.open(message);
      if (model.has(packetId) || packetId < 1 || packetId > 65_535) t.fail(`id ${packetId} is not free`);
      wrapped ||= packetId < last;
      last = packetId;
      model.set(packetId, message);
    } else {
      const ids = [...model.keys()];
      // One stays for a long time: its id must be left out when its turn comes again.
      const packetId = ids[Math.min(ids.length - 1, 1 + Math.floor(entropy.fraction() * 3))];
      if (packetId === undefined || model.size < 2) continue;
      window.delete(packetId);
      model.delete(packetId);
    }
    if (step % 5000 === 0) t.same(window.ids(), [...model.keys()]);
  }
  t.ok(wrapped);
  t.equal(window.size, model.size);
  for (const [packetId, message] of model) t.equal(window.get(packetId), message);
  t.equal(window.isFull(0), model.size >= 60);
});

t.test('ids of an earlier life find a place, however they lie, and the next id follows the last', async (t) => {
  const window = new InflightWindow(2);
  const ids = [8, 16, 65_528, 65_535, 1, 4096];
  for (const packetId of ids) window.restore(packetId, volatileMessage(1));
  t.equal(window.size, ids.length);
  t.equal(window.isFull(4), true);
  t.equal(window.isFull(5), false, 'what is due again does not count yet');
  t.same(window.ids(), ids);
  t.equal(window.open(volatileMessage(1)), 4098, 'the place of 4097 is taken by 1');
  window.replace(4096, volatileMessage(2));
  t.equal(window.get(4096), volatileMessage(2));
  t.equal(window.get(4096 + 8), undefined);
});

t.test('the pool gives back buffers of the size that is needed', async (t) => {
  const pool = new BufferPool();
  const [small, large] = [pool.take(10), pool.take(5000)];
  t.equal(small.length, 4096);
  t.equal(large.length, 8192);
  pool.give(small);
  pool.give(large);
  t.equal(pool.take(4097), large);
  t.equal(pool.take(4096), small);
  for (const bytes of [0, 1, 4096, 4097, 8192, 8193, 1_000_000]) t.ok(pool.take(bytes).length >= bytes);
});

t.test(
  'an alias is given to a topic that comes again, and moves on when there are more topics than aliases',
  async (t) => {
    const aliases = new OutboundAliases(2);
    const header = new DeliveryHeader(() => 0);
    const sent = (topic: string): string => {
      const view = PublishView.of({ topic, payload: Buffer.alloc(1), qos: 0, retain: false });
      header.fill(view, { qos: 0, retain: false, subscriptionIds: [] }, 5);
      aliases.apply(view, header);
      return `${header.topicAlias}${header.omitTopic ? '' : ` ${topic}`}`;
    };
    t.same(['short', 'short', 'short'].map(sent), ['0 short', '0 short', '0 short'], 'nothing would be saved');
    t.same(['topic/1', 'topic/1', 'topic/1'].map(sent), ['0 topic/1', '1 topic/1', '1']);
    t.same(['topic/2', 'topic/1', 'topic/2', 'topic/2'].map(sent), ['0 topic/2', '1', '2 topic/2', '2']);
    t.same(['topic/3', 'topic/3', 'topic/3'].map(sent), ['0 topic/3', '1 topic/3', '1'], 'the oldest made room');
    t.same(['topic/2', 'topic/1', 'topic/1'].map(sent), ['2', '2 topic/1', '2'], 'it was seen lately');
  },
);
