// The tree gives the same answer as matching every filter by itself.

import t from 'tap';
import { SubscriptionTree } from '../../src/broker/subscription-tree.ts';
import { topicMatches } from '../../src/protocol/mqtt/topic.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const levels = ['a', 'b', '', '$x', '+'];

t.test('for random filters and topics the tree agrees with the definition', async (t) => {
  const entropy = seededEntropy(7);
  const pick = (count: number): number => Math.floor(entropy.fraction() * count);
  const path = (kinds: number): string =>
    Array.from({ length: 1 + pick(4) }, () => levels[pick(kinds)]).join('/') || 'a';
  const tree = new SubscriptionTree<string, 0 | 1 | 2>();
  const held = new Map<string, { filter: string; subscriber: string; qos: 0 | 1 | 2 }>();
  for (let step = 0; step < 3000; step++) {
    const filter = pick(3) === 0 ? `${path(5)}/#` : path(5);
    const subscriber = `s${pick(5)}`;
    const key = `${subscriber} ${filter}`;
    if (pick(3) === 0) {
      tree.remove(filter, subscriber);
      held.delete(key);
    } else {
      const qos = pick(3) as 0 | 1 | 2;
      tree.add(filter, subscriber, qos);
      held.set(key, { filter, subscriber, qos });
    }
    const topic = path(4);
    const expected = new Map<string, number>();
    for (const { filter, subscriber, qos } of held.values()) {
      if (topicMatches(filter, topic)) expected.set(subscriber, Math.max(qos, expected.get(subscriber) ?? 0));
    }
    const found = new Map<string, number>();
    tree.match(topic, (subscriber, qos) => found.set(subscriber, Math.max(qos, found.get(subscriber) ?? 0)));
    if (JSON.stringify([...found].sort()) !== JSON.stringify([...expected].sort())) {
      t.same([...found].sort(), [...expected].sort(), `${topic} after ${step} steps`);
      return;
    }
  }
  t.equal(tree.size, held.size);
  for (const { filter, subscriber } of held.values()) tree.remove(filter, subscriber);
  t.equal(tree.size, 0);
});

t.test('the epoch grows with every change and with nothing else', async (t) => {
  const tree = new SubscriptionTree<string, 0 | 1 | 2>();
  const seen = [tree.epoch];
  tree.add('a/+', 's', 0);
  seen.push(tree.epoch);
  tree.match('a/b', () => undefined);
  tree.remove('a/+', 'other');
  tree.remove('a', 's');
  t.equal(tree.epoch, seen[1]);
  tree.remove('a/+', 's');
  seen.push(tree.epoch);
  t.equal(new Set(seen).size, 3);
});
