// The queue of one client: what it packs comes out as it went in, in its order, counted, and leaves its memory behind.

import { randomBytes } from 'node:crypto';
import t from 'tap';
import { BufferPool } from '../../src/broker/buffer-pool.ts';
import type { Delivery } from '../../src/broker/delivery.ts';
import { OutboundQueue } from '../../src/broker/outbound-queue.ts';
import { PendingMessage, type QueuedMessage } from '../../src/broker/pending-message.ts';
import { brokerQueueBlockBytesMax, brokerQueueBlockBytesMin, brokerQueuePoolBytesMax } from '../../src/limits.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import { plainPublishByte } from '../../src/protocol/mqtt/publish-view.ts';

const limits = { queueMessagesMax: 10_000, queueBytesMax: 4_194_304, queueBytesTotalMax: 8_388_608 };

function world(lowered: Partial<typeof limits> = {}) {
  const share = {
    queued: { bytes: 0, messages: 0 },
    blocks: new BufferPool({ bytesMin: brokerQueueBlockBytesMin, bytesMax: brokerQueuePoolBytesMax }),
    outcome: { receivers: 1 },
    limits: { ...limits, ...lowered },
  };
  return { share, queue: new OutboundQueue(share) };
}

interface Facts {
  readonly text: string;
  readonly qos?: 1 | 2;
  readonly retain?: boolean;
  readonly ordinal?: number;
  readonly subscriptionIds?: readonly number[];
  readonly share?: Delivery['share'];
  readonly settles?: boolean;
  readonly expirySeconds?: number;
  readonly expiresAtMs?: number;
  readonly userProperties?: Record<string, string>;
  readonly isText?: boolean;
}

function message(facts: Facts): QueuedMessage {
  const { text, qos = 1, retain = false, subscriptionIds = [], share, settles = false, ordinal = 0 } = facts;
  const properties = {
    ...(facts.isText === true ? { payloadFormatIndicator: true } : {}),
    ...(facts.expirySeconds === undefined ? {} : { messageExpiryInterval: facts.expirySeconds }),
    ...(facts.userProperties === undefined ? {} : { userProperties: facts.userProperties }),
  };
  const hasProperties = Object.keys(properties).length > 0;
  const view = PublishView.of({
    topic: 'plant/line/1',
    payload: Buffer.from(text),
    qos: 2,
    retain: true,
    ...(hasProperties ? { properties } : {}),
  });
  view.expiresAtMs = facts.expiresAtMs ?? 0;
  const settlement = settles ? { resolve: () => undefined, reject: () => undefined } : undefined;
  const made = new PendingMessage({ view, qos, retain, subscriptionIds, share, settlement });
  made.ordinal = ordinal;
  return made as QueuedMessage;
}

function told({ view, qos, retain, subscriptionIds, share, settlement, ordinal }: QueuedMessage) {
  const { qos: published, retain: retained, expirySeconds, expiresAtMs, declaresText, idBytes, keptBytes } = view;
  return {
    message: { qos, retain, subscriptionIds, share, settlement, ordinal },
    view: { published, retained, expirySeconds, expiresAtMs, declaresText, idBytes, keptBytes },
    topic: view.topic(),
    payload: view.payload().toString(),
    properties: view.properties(),
    body: view.kept().buffer.toString('hex'),
  };
}

function drain(queue: OutboundQueue): unknown[] {
  const out: unknown[] = [];
  for (let first = queue.first; first !== undefined; first = queue.first) {
    out.push(told(first));
    queue.shift();
  }
  return out;
}

t.test('whatever a message has comes out as it went in, packed or not, in its order', async (t) => {
  const { queue, share } = world();
  const shared = {} as NonNullable<Delivery['share']>;
  const messages = [
    message({ text: 'plain' }),
    message({ text: 'two', qos: 2, retain: true, ordinal: 2 ** 47 + 3 }),
    message({ text: 'ids', subscriptionIds: [1, 268_435_455] }),
    message({ text: 'shared', share: shared }),
    message({ text: '', settles: true }),
    message({ text: 'ends', expirySeconds: 0xffff_ffff, expiresAtMs: 1234.5 }),
    message({ text: 'told without a time', expirySeconds: 7 }),
    message({ text: 'a time without being told', expiresAtMs: 9 }),
    message({ text: 'properties', userProperties: { a: 'b' }, isText: true }),
    message({ text: 'x'.repeat(200_000) }),
    message({ text: '' }),
  ];
  const expected = messages.map(told);
  const bytes = messages.reduce((sum, { view }) => sum + view.keptBytes, 0);
  for (const each of messages) t.ok(queue.push(each));
  t.equal(queue.length, messages.length);
  t.strictSame(share.queued, { bytes, messages: messages.length });
  t.strictSame([...queue.messages()].map(told), expected);
  t.strictSame(drain(queue), expected);
  t.equal(queue.first, undefined);
  t.equal(queue.shift(), undefined);
  t.strictSame(share.queued, { bytes: 0, messages: 0 });
});

t.test('what is queued of a view that is read anew for every packet stays what it was', async (t) => {
  const { queue } = world();
  const view = new PublishView();
  const input = Buffer.alloc(64);
  for (const text of ['one', 'two', 'three']) {
    input.fill(0);
    const to = 2 + input.write('\0\x01a\0\x09', 'latin1') - 2 + input.write(text, 5);
    t.equal(view.read(input, { firstByte: plainPublishByte | 0x02, from: 0, to }), undefined);
    queue.push(new PendingMessage({ view, qos: 1, retain: false, subscriptionIds: [] }) as QueuedMessage);
  }
  t.strictSame(
    [...queue.messages()].map((each) => [each.view.topic(), each.view.payload().toString()]),
    [
      ['a', 'one'],
      ['a', 'two'],
      ['a', 'three'],
    ],
  );
});

t.test('a kept copy of the first message outlives the block it was in', async (t) => {
  const { queue, share } = world();
  queue.push(message({ text: 'kept' }));
  const first = queue.shift();
  const kept = first?.view.kept();
  queue.push(message({ text: 'over' }));
  t.equal(share.blocks.bytes, 0, 'the same block is in use again');
  t.equal(kept?.payload().toString(), 'kept');
});

t.test('thousands of drawn pushes, shifts and removals agree with a plain list', async (t) => {
  const { queue, share } = world({ queueMessagesMax: 500 });
  const lists = [[], [5], [1, 2, 3]];
  let model: { text: string; ordinal: number }[] = [];
  let ordinal = 0;
  let state = 7;
  const draw = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  for (let step = 0; step < 5000; step++) {
    const what = draw(20);
    if (what < 12) {
      const text = randomBytes(draw(4) === 0 ? draw(3000) : draw(40)).toString('hex');
      share.outcome.receivers = 1 + draw(2);
      const facts = { text, ordinal: ++ordinal, subscriptionIds: lists[draw(3)] ?? [], settles: draw(10) === 0 };
      const timed = draw(5) === 0 ? { expirySeconds: 5, expiresAtMs: 5000 } : {};
      t.equal(queue.push(message({ ...facts, ...timed })), model.length < 500);
      if (model.length < 500) model.push({ text, ordinal });
    } else if (what < 19) {
      t.equal(queue.first?.ordinal, model[0]?.ordinal);
      t.equal(queue.shift()?.view.payload().toString(), model.shift()?.text);
    } else {
      const every = 2 + draw(5);
      const gone = (each: { ordinal: number }): boolean => each.ordinal % every === 0;
      queue.removeIf(gone);
      model = model.filter((each) => !gone(each));
    }
    t.equal(queue.length, model.length);
  }
  t.strictSame(
    [...queue.messages()].map((each) => ({ text: each.view.payload().toString(), ordinal: each.ordinal })),
    model,
  );
  queue.removeIf(() => true);
  t.strictSame(share.queued, { bytes: 0, messages: 0 });
});

t.test('a full queue takes nothing; its bounds count the bytes of the messages', async (t) => {
  const [one] = [message({ text: 'x'.repeat(100) })];
  const bytes = one?.view.keptBytes ?? 0;
  const few = world({ queueMessagesMax: 2 });
  const pushes = (queue: OutboundQueue): boolean[] =>
    [1, 2, 3].map(() => queue.push(message({ text: 'x'.repeat(100) })));
  t.strictSame(pushes(few.queue), [true, true, false]);
  const small = world({ queueBytesMax: 2 * bytes });
  t.strictSame(pushes(small.queue), [true, true, false]);
  t.equal(small.queue.hasRoom(1), false);
  small.queue.shift();
  t.equal(small.queue.hasRoom(bytes), true);
  small.queue.restore(message({ text: 'y'.repeat(1000) }));
  t.equal(small.queue.length, 2, 'what was bounded before is taken back');
});

t.test('small messages lie in blocks that grow, go back to the pool and come from it', async (t) => {
  const { queue, share } = world();
  const taken: number[] = [];
  const take = share.blocks.take.bind(share.blocks);
  share.blocks.take = (bytes) => {
    const buffer = take(bytes);
    taken.push(buffer.length);
    return buffer;
  };
  const count = 5000;
  for (let index = 0; index < count; index++) queue.push(message({ text: 'x'.repeat(64) }));
  const memory = taken.reduce((sum, bytes) => sum + bytes, 0);
  t.ok(memory / count < 64 + 60, `${memory / count} bytes for each message of 64`);
  t.equal(taken[0], brokerQueueBlockBytesMin);
  t.equal(Math.max(...taken), brokerQueueBlockBytesMax);
  drain(queue);
  t.equal(share.blocks.bytes, memory);
  const before = taken.length;
  for (let index = 0; index < count; index++) queue.push(message({ text: 'x'.repeat(64) }));
  t.equal(taken.length, 2 * before);
  t.equal(share.blocks.bytes, 0, 'the same blocks serve again');
  queue.removeIf(() => true);
  t.equal(share.blocks.bytes, memory);
});

t.test('large messages for many sessions are in memory once', async (t) => {
  const { share, queue } = world();
  const other = new OutboundQueue(share);
  share.outcome.receivers = 2;
  const large = message({ text: 'x'.repeat(2000) });
  const view = new PublishView();
  const { buffer } = large.view;
  view.read(buffer, { firstByte: plainPublishByte, from: 0, to: buffer.length });
  for (const each of [queue, other])
    each.push(new PendingMessage({ view, qos: 1, retain: false, subscriptionIds: [] }) as QueuedMessage);
  t.equal(queue.first?.view, other.first?.view);
  t.not(queue.first?.view, view);
});
