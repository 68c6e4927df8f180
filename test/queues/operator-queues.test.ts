// What operators do to queues: look, carry to the hub and back, purge. The hub is the real one, the store in memory.

import t, { type Test } from 'tap';
import { queueFileMessagesMax, queuePeekBytesMax } from '../../src/limits.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import type { ExportedFile, ReceiptText } from '../../src/queues/index.ts';
import { type CarriedWorld, carriedWorld, hubQueue } from '../support/carried-world.ts';

function stage(t: Test): CarriedWorld {
  const world = carriedWorld();
  t.teardown(() => world.close());
  return world;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

/** Everything that an export gives to a stick that has `have`. */
async function exported(
  { queues }: CarriedWorld,
  have: readonly { readonly stream: string; readonly after: number; readonly last: number }[] = [],
): Promise<readonly ExportedFile[]> {
  const files: ExportedFile[] = [];
  const done: string[] = [];
  for (;;) {
    const there = [...have, ...files.map(({ facts }) => facts)];
    const file = await queues.exportNext({ queue: hubQueue, have: there, done });
    if (file === undefined) return files;
    files.push(file);
    if (file.isLast) done.push(file.facts.stream);
  }
}

function imported({ hub }: CarriedWorld, files: readonly ExportedFile[]): readonly ReceiptText[] {
  return files.map(({ name, contentBase64 }) => ({
    name,
    text: hub.imports.take(name, Buffer.from(contentBase64, 'base64')).receipt,
  }));
}

t.test('a queue goes to the hub by hand, and its receipts empty it', async (t) => {
  const world = stage(t);
  const { store, queues, fill, logged } = world;
  await fill(1, 30);
  await fill(31, 40, { priority: 2 });
  await fill(41, 45, { priority: 2, live: true });
  await fill(1, 5, { queue: 'filter/inputs/in' });
  const files = await exported(world);
  t.same(
    files.map(({ facts }) => [facts.priority, facts.live, facts.messages]),
    [
      [2, true, 5],
      [2, false, 10],
      [priorityUnset, false, 30],
    ],
    'a file for each lane, in the order in which they leave',
  );
  t.equal(store.waiting(hubQueue), 45, 'the queue keeps them');
  t.equal(files[0]?.waiting.messages, 45);
  const receipts = imported(world, files);
  t.same(logged(), [...range(41, 45), ...range(31, 40), ...range(1, 30)]);
  t.match(await queues.takeReceipts(receipts), [
    { outcome: 'freed', messages: 5 },
    { outcome: 'freed', messages: 10 },
    { outcome: 'freed', messages: 30 },
  ]);
  t.equal(store.waiting(hubQueue), 0);
  t.equal(store.waiting('filter/inputs/in'), 5, 'other queues are not touched');
  t.match(await queues.takeReceipts(receipts), [{ outcome: 'gone' }, { outcome: 'gone' }, { outcome: 'gone' }]);
  t.same(await exported(world), [], 'and nothing is left to carry');
});

t.test('a long lane takes several files, and an export that was broken off goes on', async (t) => {
  const world = stage(t);
  const { fill, hub, queues, store } = world;
  const count = queueFileMessagesMax * 2 + 10;
  await fill(1, count);
  const [first] = await exported(world);
  const rest = await exported(world, first === undefined ? [] : [first.facts]);
  t.same(
    rest.map(({ facts }) => [facts.after, facts.last]),
    [
      [queueFileMessagesMax, queueFileMessagesMax * 2],
      [queueFileMessagesMax * 2, count],
    ],
  );
  const files = [first as ExportedFile, ...rest];
  t.same(
    files.map(({ isLast }) => isLast),
    [false, false, true],
  );
  const receipts = imported(world, files);
  t.equal(hub.eventLog.facts().events, count);
  t.match(await queues.takeReceipts([...receipts].reverse()), [
    { outcome: 'freed' },
    { outcome: 'freed' },
    { outcome: 'freed' },
  ]);
  t.equal(store.waiting(hubQueue), 0, 'in whatever order they come');
});

t.test('files are cut by size, too, and a file takes the largest message whatever is in it', async (t) => {
  const world = stage(t);
  await world.fill(1, 12, { over: { body: Buffer.alloc(250_000) } });
  await world.fill(13, 13, { over: { properties: { text: '\u0001'.repeat(250_000) } } });
  await world.fill(14, 14);
  const files = await exported(world);
  t.ok(files.length >= 3);
  t.equal(
    files.reduce((sum, { facts }) => sum + facts.messages, 0),
    14,
  );
  imported(world, files);
  t.equal(world.hub.eventLog.facts().events, 14);
});

t.test('what comes later is in the next export, which begins behind the last file', async (t) => {
  const world = stage(t);
  await world.fill(1, 10);
  const before = await exported(world);
  await world.fill(11, 15);
  const after = await exported(
    world,
    before.map(({ facts }) => facts),
  );
  t.match(after, [{ facts: { gone: 0, after: 10, first: 11, last: 15 } }]);
  const receipts = [...imported(world, before), ...imported(world, after)];
  await world.queues.takeReceipts(receipts);
  t.equal(world.store.waiting(hubQueue), 0);
  t.same(world.logged(), range(1, 15));
});

t.test('files follow the queue as the link empties it', async (t) => {
  const world = stage(t);
  await world.fill(1, 20);
  await world.store.confirm({ queue: hubQueue, priority: priorityUnset, live: false }, 8);
  const [file] = await exported(world, [{ stream: 'epoch-1.1', after: 2, last: 12 }]);
  t.match(file, { facts: { gone: 8, after: 12, first: 13, last: 20 } }, 'behind what is on the stick');
  const [fresh] = await exported(world);
  t.match(fresh, { facts: { gone: 8, after: 8, first: 9, last: 20 } }, 'behind what has left');
});

t.test('a receipt behind a hole frees nothing and says so', async (t) => {
  const world = stage(t);
  await world.fill(1, 10);
  const first = await exported(world);
  await world.fill(11, 20);
  const second = await exported(
    world,
    first.map(({ facts }) => facts),
  );
  const [one, two] = [...imported(world, first), ...imported(world, second)];
  const told = await world.queues.takeReceipts([two as ReceiptText]);
  t.match(told, [{ outcome: 'refused', code: 'QUEUES_RECEIPT_GAP', message: /messages 1 to 10 before it/ }]);
  t.equal(world.store.waiting(hubQueue), 20);
  await world.queues.takeReceipts([one as ReceiptText]);
  t.equal(world.store.waiting(hubQueue), 10);
  await world.queues.takeReceipts([two as ReceiptText]);
  t.equal(world.store.waiting(hubQueue), 0);
});

t.test('receipts that are not for this queue free nothing', async (t) => {
  const world = stage(t);
  const { queues, store, fill } = world;
  await fill(1, 10);
  const [receipt] = imported(world, await exported(world)) as [ReceiptText];
  const { text } = receipt;
  const forged = text.replace('"last":10', '"last":99');
  const rows: readonly (readonly [string, object])[] = [
    [forged, { outcome: 'refused', code: 'QUEUES_RECEIPT_FORGED' }],
    ['hello', { outcome: 'refused', code: 'QUEUES_RECEIPT_INVALID' }],
    [text.slice(0, -1), { outcome: 'refused', code: 'QUEUES_RECEIPT_INVALID' }],
    [`weir queue receipt 9${text.slice(20)}`, { code: 'QUEUES_RECEIPT_INVALID', message: /Update this gateway/ }],
    ['x'.repeat(100_000), { outcome: 'refused', code: 'QUEUES_RECEIPT_INVALID' }],
    [text.replace('"device":"gateway"', '"device":"gw-2"'), { outcome: 'other' }],
  ];
  for (const [content, expected] of rows)
    t.match(await queues.takeReceipts([{ name: 'r', text: content }]), [expected]);
  t.equal(store.waiting(hubQueue), 10);
  store.renew('epoch-2');
  await fill(1, 10);
  t.match(await queues.takeReceipts([receipt]), [{ outcome: 'refused', code: 'QUEUES_RECEIPT_STALE' }]);
  t.equal(store.waiting(hubQueue), 10, 'another life of the outbox has other messages');
});

t.test('only the queue to the hub is carried', async (t) => {
  const { queues, fill } = stage(t);
  await fill(1, 1, { queue: 'filter/inputs/in' });
  const request = { queue: 'filter/inputs/in', have: [], done: [] };
  await t.rejects(queues.exportNext(request), { code: 'QUEUES_NOT_FOR_HUB' });
});

t.test('a look shows messages in the order in which they leave, from the front or the back', async (t) => {
  const { queues, fill, store } = stage(t);
  await fill(1, 300, { priority: 5 });
  await fill(301, 303, { priority: 0 });
  const numbers = async (from: 'first' | 'last', count: number, priority?: number): Promise<readonly unknown[]> =>
    (await queues.peek({ queue: hubQueue, from, count, priority })).map(({ properties }) =>
      Number(properties['sequenceNumber']),
    );
  t.same(await numbers('first', 5), [301, 302, 303, 1, 2]);
  t.same(await numbers('last', 2), [299, 300]);
  t.same(await numbers('last', 302), [302, 303, ...range(1, 300)]);
  t.same(await numbers('last', 1000), [301, 302, 303, ...range(1, 300)]);
  t.same(await numbers('first', 2, 5), [1, 2]);
  t.same(await numbers('first', 2, 7), []);
  t.equal(store.waiting(hubQueue), 303, 'and takes nothing');
  await t.rejects(queues.peek({ queue: 'nowhere', from: 'first', count: 1 }), {
    code: 'QUEUES_UNKNOWN_QUEUE',
    message: /There are: \$upstream/,
  });
});

t.test('the end of a lane with holes is found', async (t) => {
  const world = stage(t);
  const lane = { queue: hubQueue, priority: priorityUnset, live: false };
  for (const ttl of [undefined, 10, undefined, 10, 10, 10, undefined, 10]) {
    await world.fill(1, 7, { timeToLiveMs: ttl });
  }
  await world.clock.advance(20);
  await world.store.confirm(lane, 3);
  const last = await world.queues.peek({ queue: hubQueue, from: 'last', count: 9 });
  t.same(
    last.map(({ offset }) => offset),
    [20, 21, ...range(43, 49)],
  );
});

t.test('bodies that do not fit one answer are told by their size', async (t) => {
  const { queues, fill } = stage(t);
  await fill(1, 6, { over: { body: Buffer.alloc(250_000) } });
  const messages = await queues.peek({ queue: hubQueue, from: 'first', count: 6 });
  t.ok(messages.every(({ bytes }) => bytes === 250_000));
  t.equal(
    messages.filter(({ bodyBase64 }) => bodyBase64 !== undefined).length,
    Math.floor(queuePeekBytesMax / 250_000),
  );
});

t.test('what is purged is counted, logged and gone', async (t) => {
  const { queues, fill, store, lines, documents } = stage(t);
  await fill(1, 300, { priority: 5 });
  await fill(301, 303, { priority: 0 });
  t.same(await queues.purge({ queue: hubQueue, priority: 5 }), [
    { queue: hubQueue, priority: 5, live: false, messages: 300 },
  ]);
  t.equal(store.waiting(hubQueue), 3);
  t.match(lines.join(''), /purged by an operator.*300/s);
  await fill(304, 305, { priority: 5 });
  await queues.purge({ queue: hubQueue });
  t.same(await queues.purge({ queue: hubQueue }), [], 'nothing is left');
  t.match(await queues.counted(await store.lanes()), [
    { priority: 5, dropped: { purged: 302 } },
    { priority: 0, dropped: { purged: 3 } },
  ]);
  t.equal(documents.size, 1, 'the counts outlive the process');
  store.renew('epoch-2');
  await fill(1, 1);
  t.same(
    (await queues.counted(await store.lanes())).map(({ dropped }) => dropped),
    [{}],
  );
});

t.test('only what is older is purged, up to the first that is not', async (t) => {
  const { queues, store } = stage(t);
  const { fill } = { fill: async (at: number) => store.append({ ...sample, enqueuedMs: at }, [target]) };
  for (const at of [10, 20, 30, 40, 15]) await fill(at);
  t.match(await queues.purge({ queue: hubQueue, beforeMs: 30 }), [{ messages: 2 }]);
  t.equal(store.waiting(hubQueue), 3);
});

t.test('counts that cannot be saved purge nothing', async (t) => {
  const { queues, store, documents, fill } = stage(t);
  await fill(1, 5);
  documents.set = () => {
    throw new TypeError('disk full');
  };
  await t.rejects(queues.purge({ queue: hubQueue }), { message: 'disk full' });
  t.equal(store.waiting(hubQueue), 5);
});

const target = { queue: hubQueue, priority: priorityUnset, live: false, timeToLiveMs: undefined };
const sample = {
  sender: { deviceId: 'gateway' },
  system: {},
  properties: {},
  body: Buffer.from('x'),
  enqueuedMs: 0,
};
