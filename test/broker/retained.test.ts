// Retained messages by topic and by filter.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { RetainedMessages } from '../../src/broker/retained.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import { topicMatches } from '../../src/protocol/mqtt/topic.ts';

/** Bounds of a test; a client's share is all there is unless it says otherwise. */
const limits = (retainedMessagesMax: number, retainedBytesMax: number, perClient = retainedMessagesMax) => ({
  retainedMessagesMax,
  retainedBytesMax,
  retainedMessagesPerClientMax: perClient,
  retainedBytesPerClientMax: retainedBytesMax,
});

const view = (topic: string, payload: string): PublishView =>
  PublishView.of({ topic, payload: Buffer.from(payload), qos: 0, retain: true });

t.test('every filter finds exactly the topics it matches', async (t) => {
  const retained = new RetainedMessages(limits(100, 10_000), () => 0);
  const topics = ['a', 'a/b', 'a/b/c', '/', '/a', 'a/', '$s', '$s/a', 'b//c'];
  for (const topic of topics) t.ok(retained.store(topic, view(topic, 'x')));
  for (const filter of [
    '#',
    '+',
    'a',
    'a/#',
    'a/+',
    '+/+',
    '/+',
    '+/#',
    '$s/#',
    '$s/+',
    'b/+/c',
    'a/b/c/#',
    'none',
    '+/b/#',
  ]) {
    const found = [...retained.match(filter)].map((message) => message.view.topic());
    t.same(found.sort(), topics.filter((topic) => topicMatches(filter, topic)).sort(), filter);
  }
});

t.test('bytes and messages are counted exactly, and a full store refuses new topics only', async (t) => {
  const retained = new RetainedMessages(limits(2, 40), () => 0);
  t.ok(retained.store('a', view('a', '1234')));
  t.ok(retained.store('b', view('b', '1234')));
  t.notOk(retained.store('c', view('c', '1')), 'too many');
  t.ok(retained.store('a', view('a', '12345678')));
  t.notOk(retained.store('a', view('a', 'x'.repeat(40))), 'too large');
  t.equal([...retained.match('a')][0]?.view.payload().toString(), '12345678', 'the old one stays');
  t.equal(retained.bytes, 4 + 8 + 4 + 4, 'topic with its length, no properties, payload');
  t.ok(retained.store('a', view('a', '')));
  t.ok(retained.store('a', view('a', '')), 'removing nothing is fine');
  t.ok(retained.store('c', view('c', '1')));
  t.ok(retained.store('b', view('b', '')));
  t.ok(retained.store('c', view('c', '')));
  t.equal(retained.count, 0);
  t.equal(retained.bytes, 0);
});

t.test('a message whose time is over is not found, and the sweep forgets it', async (t) => {
  let nowMs = 1000;
  const retained = new RetainedMessages(limits(100, 10_000), () => nowMs);
  for (const [topic, expiresAtMs] of [
    ['soon', 2000],
    ['late', 9000],
    ['never', 0],
  ] as const) {
    const message = view(topic, 'x');
    message.expiresAtMs = expiresAtMs;
    t.ok(retained.store(topic, message));
  }
  nowMs = 2000;
  t.same([...retained.match('+')].map((message) => message.view.topic()).sort(), ['late', 'never']);
  t.same(retained.sweep(), ['soon']);
  t.same(retained.sweep(), []);
  t.equal(retained.count, 2);
  nowMs = 9000;
  t.ok(retained.store('late', view('late', 'new')), 'a younger message without expiry');
  t.same(retained.sweep(), []);
  t.equal(retained.get('late')?.view.payload().toString(), 'new');
  t.equal(retained.get('late')?.view.retain, true);
});

t.test('a client has its share, counted by who sent a topic last', async (t) => {
  const retained = new RetainedMessages(limits(10, 10_000, 2), () => 0);
  t.ok(retained.store('a', view('a', '1'), 'greedy'));
  t.ok(retained.store('b', view('b', '1'), 'greedy'));
  t.notOk(retained.fits('c', 10, 'greedy'));
  t.notOk(retained.store('c', view('c', '1'), 'greedy'), 'its share is full');
  t.ok(retained.store('a', view('a', '22'), 'greedy'), 'what it has may change');
  t.ok(retained.store('c', view('c', '1'), 'other'), 'others have theirs');
  t.ok(retained.store('d', view('d', '1')), 'and who is nobody has no share');
  t.ok(retained.store('b', view('b', '1'), 'other'), 'a topic goes over to who sent it last');
  t.ok(retained.store('e', view('e', '1'), 'greedy'));
  t.notOk(retained.store('f', view('f', '1'), 'other'));
  t.ok(retained.remove('c'));
  t.ok(retained.store('f', view('f', '1'), 'other'));
});

t.test('a share has bytes, too', async (t) => {
  const bytes = { ...limits(10, 10_000), retainedBytesPerClientMax: 40 };
  const retained = new RetainedMessages(bytes, () => 0);
  t.ok(retained.store('a', view('a', 'x'.repeat(30)), 'greedy'));
  t.notOk(retained.store('b', view('b', 'x'.repeat(10)), 'greedy'));
  t.ok(retained.store('a', view('a', 'x'.repeat(36)), 'greedy'), 'its own old bytes do not count twice');
  t.notOk(retained.store('a', view('a', 'x'.repeat(40)), 'greedy'));
  t.ok(retained.store('b', view('b', 'x'.repeat(36)), 'other'));
});
