// Retained messages: stored, replaced, removed, and sent to new subscriptions.

import { prop } from '../packets.ts';
import { both, type ConformanceCase, settled } from '../script.ts';

const stored: readonly (readonly ConformanceCase[])[] = [
  both(
    'a new subscription gets the last retained message of each topic, with RETAIN',
    { v4: '3.3.1-5 3.3.1-6 3.3.1-8', v5: '3.3.1-5 3.3.1-9' },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.publish('t/1', 'old', { retain: true, qos: 1, id: 1 }),
        p.publish('t/1', 'new', { retain: true, qos: 1, id: 2 }),
        p.publish('t/2', 'two', { retain: true, qos: 2, id: 3 }),
        p.publish('t/0', 'zero', { retain: true }),
        p.publish('u', 'other', { retain: true }),
      ),
      a.gets(p.puback(1, 'ok'), p.puback(2, 'ok'), p.pubrec(3, 'ok')),
      b.up(),
      b.sends(p.subscribe(1, [['t/+', 2]])),
      b.gets(p.suback(1, [2])),
      b.getsInAnyOrder(
        p.publish('t/0', 'zero', { retain: true }),
        p.publish('t/1', 'new', { retain: true, qos: 1, id: '?' }),
        p.publish('t/2', 'two', { retain: true, qos: 2, id: '?' }),
      ),
    ],
  ),
  both(
    'a retained message comes at the lower QoS of message and subscription',
    { v4: '3.3.1-5 3.8.4-6', v5: '3.3.1-9 3.8.4-8' },
    (p, a, b) => [
      a.up(),
      a.sends(p.publish('t', 'x', { retain: true, qos: 2, id: 1 })),
      a.gets(p.pubrec(1, 'ok')),
      b.up(),
      b.sends(p.subscribe(1, [['t', 1]])),
      b.gets(p.suback(1, [1]), p.publish('t', 'x', { retain: true, qos: 1, id: 'm' })),
      b.sends(p.puback('m')),
    ],
  ),
  both('an established subscription gets the message without RETAIN', { v4: '3.3.1-9', v5: '3.3.1-12' }, (p, a, b) => [
    b.up(),
    b.sends(p.subscribe(1, [['t', 1]])),
    b.gets(p.suback(1, [1])),
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true }), p.publish('t', 'y', { retain: true, qos: 1, id: 1 })),
    a.gets(p.puback(1)),
    b.gets(p.publish('t', 'x'), p.publish('t', 'y', { qos: 1, id: 'm' })),
  ]),
  both('a message retained at QoS 0 replaces the one before', { v4: '3.3.1-7', v5: '3.3.1-5' }, (p, a, b) => [
    a.up(),
    a.sends(p.publish('t', 'old', { retain: true, qos: 1, id: 1 }), p.publish('t', 'new', { retain: true })),
    a.gets(p.puback(1, 'ok')),
    settled(),
    b.up(),
    b.sends(p.subscribe(1, [['t', 1]])),
    b.gets(p.suback(1, [1]), p.publish('t', 'new', { retain: true })),
  ]),
  both(
    'an empty retained message is delivered, and removes',
    { v4: '3.3.1-10 3.3.1-11', v5: '3.3.1-6 3.3.1-7' },
    (p, a, b, c) => [
      a.up(),
      c.up(),
      a.sends(p.publish('t', 'x', { retain: true })),
      settled(),
      c.sends(p.subscribe(1, [['t', 1]])),
      c.gets(p.suback(1, [1]), p.publish('t', 'x', { retain: true })),
      a.sends(p.publish('t', '', { retain: true, qos: 1, id: 1 })),
      a.gets(p.puback(1)),
      c.gets(p.publish('t', '', { qos: 1, id: 'm' })),
      b.up(),
      b.sends(p.subscribe(1, [['t', 1]])),
      b.gets(p.suback(1, [1])),
      b.silent(),
    ],
  ),
  both('a message without RETAIN neither stores nor removes', { v4: '3.3.1-12', v5: '3.3.1-8' }, (p, a, b) => [
    a.up(),
    a.sends(
      p.publish('t', 'kept', { retain: true }),
      p.publish('t', 'passing'),
      p.publish('t', ''),
      p.publish('u', 'passing'),
    ),
    settled(),
    b.up(),
    b.sends(p.subscribe(1, [['#', 0]])),
    b.gets(p.suback(1, [0]), p.publish('t', 'kept', { retain: true })),
    b.silent(),
  ]),
  both(
    'subscribing again sends the retained messages again',
    { v4: '3.8.4-3', v5: '3.8.4-4 3.8.4-3 3.3.1-9' },
    (p, a, b) => [
      a.up(),
      a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1 })),
      a.gets(p.puback(1, 'ok')),
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true })),
      b.sends(p.subscribe(2, [['t', 1]])),
      b.gets(p.suback(2, [1]), p.publish('t', 'x', { retain: true, qos: 1, id: 'm1' })),
      a.sends(p.publish('t', 'y', { qos: 1, id: 2 })),
      a.gets(p.puback(2)),
      b.gets(p.publish('t', 'y', { qos: 1, id: 'm2' })),
      b.silent(),
    ],
  ),
  both(
    'retained messages follow the SUBACK, for a filter with # too',
    { v4: '3.3.1-6 3.3.2-3', v5: '3.3.1-9 3.3.2-3' },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.publish('a/b/c', 'x', { retain: true }),
        p.publish('a', 'y', { retain: true }),
        p.publish('$x/a', 'z', { retain: true }),
      ),
      settled(),
      b.up(),
      b.sends(p.subscribe(1, [['a/#', 0]])),
      b.gets(p.suback(1, [0])),
      b.getsInAnyOrder(p.publish('a/b/c', 'x', { retain: true }), p.publish('a', 'y', { retain: true })),
      b.sends(p.subscribe(2, [['$x/#', 0]])),
      b.gets(p.suback(2, [0]), p.publish('$x/a', 'z', { retain: true })),
    ],
  ),
];

const full = both(
  'a retained message too many is refused, and one that is there may change',
  { v5: '3.4.2-1 3.5.2-1 3.3.1-5' },
  (p, a, b) => [
    a.up(),
    a.sends(p.publish('1', 'x', { retain: true, qos: 1, id: 1 })),
    a.gets(p.puback(1, 'ok')),
    a.sends(
      p.publish('2', 'x', { retain: true, qos: 1, id: 2 }),
      p.publish('2', 'x', { retain: true, qos: 2, id: 3 }),
      p.publish('1', 'y', { retain: true, qos: 1, id: 4 }),
    ),
    a.gets(p.puback(2, 0x97), p.pubrec(3, 0x97), p.puback(4, 'ok')),
    b.up(),
    b.sends(p.subscribe(1, [['#', 0]])),
    b.gets(p.suback(1, [0]), p.publish('1', 'y', { retain: true })),
  ],
  { broker: { settings: { retainedMessagesMax: 1 } } },
);

const dollar = both(
  'retained messages of topics with $ are not found by # and +',
  { v4: '4.7.2-1', v5: '4.7.2-1' },
  (p, a, b) => [
    a.up(),
    a.sends(p.publish('$x/a', 'z', { retain: true }), p.publish('x/a', 'y', { retain: true })),
    settled(),
    b.up(),
    b.sends(p.subscribe(1, [['#', 0]])),
    b.gets(p.suback(1, [0]), p.publish('x/a', 'y', { retain: true })),
    b.sends(p.subscribe(2, [['+/a', 0]])),
    b.gets(p.suback(2, [0]), p.publish('x/a', 'y', { retain: true })),
    b.silent(),
  ],
);

/** Subscription options of 5.0. */
const noLocal = 0x04;
const asPublished = 0x08;
const onlyWhenNew = 0x10;
const never = 0x20;

const options: readonly (readonly ConformanceCase[])[] = [
  both('retain handling 1 sends retained messages to a new subscription only', { v5: '3.3.1-10' }, (p, a) => [
    a.up({ props: [prop.sessionExpiry(100)] }),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1 })),
    a.gets(p.puback(1, 'ok')),
    a.sends(p.subscribe(2, [['t', onlyWhenNew]])),
    a.gets(p.suback(2, [0]), p.publish('t', 'x', { retain: true })),
    a.sends(p.subscribe(3, [['t', onlyWhenNew | 1]])),
    a.gets(p.suback(3, [1])),
    a.silent(),
    a.sends(p.unsubscribe(4, ['t']), p.subscribe(5, [['t', onlyWhenNew]])),
    a.gets(p.unsuback(4, [0]), p.suback(5, [0]), p.publish('t', 'x', { retain: true })),
  ]),
  both('retain handling 2 sends none', { v5: '3.3.1-11' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1 })),
    a.gets(p.puback(1, 'ok')),
    a.sends(p.subscribe(2, [['t', never]])),
    a.gets(p.suback(2, [0])),
    a.silent(),
    a.sends(p.publish('t', 'y', { qos: 1, id: 3 })),
    a.getsInAnyOrder(p.puback(3), p.publish('t', 'y')),
  ]),
  both('retain as published keeps RETAIN as it was', { v5: '3.3.1-13' }, (p, a, b) => [
    b.up(),
    b.sends(p.subscribe(1, [['t', asPublished | 1]])),
    b.gets(p.suback(1, [1])),
    a.up(),
    a.sends(
      p.publish('t', 'x', { retain: true }),
      p.publish('t', 'y'),
      p.publish('t', 'z', { retain: true, qos: 1, id: 1 }),
    ),
    a.gets(p.puback(1)),
    b.gets(
      p.publish('t', 'x', { retain: true }),
      p.publish('t', 'y'),
      p.publish('t', 'z', { retain: true, qos: 1, id: 'm' }),
    ),
  ]),
  both('without retain as published a new subscription still gets RETAIN', { v5: '3.3.1-12 3.3.1-9' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1 })),
    a.gets(p.puback(1, 'ok')),
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true })),
    c.up(),
    c.sends(p.subscribe(1, [['t', asPublished]])),
    c.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true })),
    a.sends(p.publish('t', 'y', { retain: true })),
    b.gets(p.publish('t', 'y')),
    c.gets(p.publish('t', 'y', { retain: true })),
  ]),
  both('no local: a client does not get what it published itself', { v5: '3.8.3-3' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', noLocal | 1]])),
    a.gets(p.suback(1, [1])),
    b.up(),
    b.sends(p.subscribe(1, [['t', noLocal]])),
    b.gets(p.suback(1, [0])),
    a.sends(p.publish('t', 'mine'), p.publish('t', 'mine too', { qos: 1, id: 1 })),
    a.gets(p.puback(1, 'ok')),
    b.gets(p.publish('t', 'mine'), p.publish('t', 'mine too')),
    b.sends(p.publish('t', 'theirs')),
    a.gets(p.publish('t', 'theirs')),
    b.silent(),
  ]),
  both('no local holds when the client came back in between', { v5: '3.8.3-3' }, (p, a) => [
    a.up({ props: [prop.sessionExpiry(100)] }),
    a.sends(p.subscribe(1, [['t', noLocal]])),
    a.gets(p.suback(1, [0])),
    a.lost(),
    a.up({ clean: false, present: true }),
    a.sends(p.publish('t', 'mine')),
    a.silent(),
  ]),
  both('an expired retained message is gone', { v5: '3.3.2-5' }, (p, a, b) => [
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1, props: [prop.messageExpiry(10)] })),
    a.gets(p.puback(1, 'ok')),
    { text: '11000 ms pass', play: (stage) => stage.advance(11_000) },
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0])),
    b.silent(),
  ]),
  both('a retained message tells what is left of its time', { v5: '3.3.2-6' }, (p, a, b) => [
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1, props: [prop.messageExpiry(10)] })),
    a.gets(p.puback(1, 'ok')),
    { text: '4000 ms pass', play: (stage) => stage.advance(4000) },
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true, props: [prop.messageExpiry(6)] })),
  ]),
];

export const retainCases: readonly ConformanceCase[] = [...stored, full, dollar, ...options].flat();
