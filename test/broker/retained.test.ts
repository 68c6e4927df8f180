// Retained messages by topic and by filter.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { RetainedMessages } from '../../src/broker/retained.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import { topicMatches } from '../../src/protocol/mqtt/topic.ts';

const view = (topic: string, payload: string): PublishView =>
  PublishView.of({ topic, payload: Buffer.from(payload), qos: 0, retain: true });

t.test('every filter finds exactly the topics it matches', async (t) => {
  const retained = new RetainedMessages({ retainedMessagesMax: 100, retainedBytesMax: 10_000 }, () => 0);
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
  const retained = new RetainedMessages({ retainedMessagesMax: 2, retainedBytesMax: 40 }, () => 0);
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
  const retained = new RetainedMessages({ retainedMessagesMax: 100, retainedBytesMax: 10_000 }, () => nowMs);
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
