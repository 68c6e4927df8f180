// SUBSCRIBE, UNSUBSCRIBE and what they do to deliveries.

import { counted, packet, prop, u16 } from '../packets.ts';
import { both, type ConformanceCase, settled } from '../script.ts';

const subscribing: readonly (readonly ConformanceCase[])[] = [
  both(
    'SUBACK has the identifier, and a code for each filter in their order',
    {
      v4: '3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2 2.3.1-7',
      v5: '3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2 2.2.1-6 2.2.2-1 3.2.2-10',
    },
    (p, a) => [
      a.up(),
      a.sends(
        p.subscribe(0xfffe, [
          ['a', 2],
          ['b', 0],
          ['c', 1],
        ]),
      ),
      a.gets(p.suback(0xfffe, [2, 0, 1])),
    ],
  ),
  both(
    'a filter that is not allowed is told so, and the others hold',
    { v4: '3.8.4-5 3.9.3-1 3.9.3-2', v5: '3.8.4-7 3.9.3-1 3.9.3-2' },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.subscribe(1, [
          ['no', 1],
          ['yes', 1],
        ]),
      ),
      a.gets(p.suback(1, [p.is5 ? 0x87 : 0x80, 1])),
      b.up(),
      b.sends(p.publish('no', 'x'), p.publish('yes', 'x')),
      a.gets(p.publish('yes', 'x')),
      a.silent(),
    ],
    { broker: { maySubscribe: (filter) => filter !== 'no' } },
  ),
  both(
    'a message comes at the lower QoS of message and subscription',
    { v4: '3.8.4-6 4.3.1-1', v5: '3.8.4-8 4.3.1-1' },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.subscribe(1, [
          ['0', 0],
          ['1', 1],
          ['2', 2],
        ]),
      ),
      a.gets(p.suback(1, [0, 1, 2])),
      b.up(),
      b.sends(...['0', '1', '2'].map((topic) => p.publish(topic, 'two', { qos: 2, id: Number(topic) + 1 }))),
      b.gets(p.pubrec(1), p.pubrec(2), p.pubrec(3)),
      a.gets(
        p.publish('0', 'two'),
        p.publish('1', 'two', { qos: 1, id: 'm1' }),
        p.publish('2', 'two', { qos: 2, id: 'm2' }),
      ),
      b.sends(...['0', '1', '2'].map((topic) => p.publish(topic, 'zero'))),
      a.gets(p.publish('0', 'zero'), p.publish('1', 'zero'), p.publish('2', 'zero')),
    ],
  ),
  both('the same filter again replaces the subscription', { v4: '3.8.4-3', v5: '3.8.4-3' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 2]]), p.subscribe(2, [['t', 0]])),
    a.gets(p.suback(1, [2]), p.suback(2, [0])),
    b.up(),
    b.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
    b.gets(p.pubrec(1)),
    a.gets(p.publish('t', 'x')),
    a.sends(p.unsubscribe(3, ['t'])),
    a.gets(p.unsuback(3, [0])),
    b.sends(p.publish('t', 'y')),
    a.silent(),
  ]),
  both('overlapping subscriptions deliver at their highest QoS', { v4: '3.3.5-1', v5: '3.3.4-2' }, (p, a, b) => [
    a.up(),
    a.sends(
      p.subscribe(1, [
        ['t/#', 0],
        ['t/+', 2],
        ['t/x', 1],
      ]),
    ),
    a.gets(p.suback(1, [0, 2, 1])),
    b.up(),
    b.sends(p.publish('t/x', 'x', { qos: 2, id: 1 })),
    b.gets(p.pubrec(1)),
    a.gets(p.publish('t/x', 'x', { qos: 2, id: 'm' })),
    a.silent(),
  ]),
  both(
    'a subscription too many is refused in its place, and one that is there may change',
    { v4: '3.8.4-5 3.9.3-2', v5: '3.8.4-7 3.9.3-2' },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.subscribe(1, [
          ['1', 0],
          ['2', 1],
          ['3', 0],
        ]),
      ),
      a.gets(p.suback(1, [0, 1, p.is5 ? 0x97 : 0x80])),
      a.sends(p.subscribe(2, [['1', 1]]), p.unsubscribe(3, ['2']), p.subscribe(4, [['3', 0]])),
      a.gets(p.suback(2, [1]), p.unsuback(3, [0]), p.suback(4, [0])),
      b.up(),
      b.sends(p.publish('1', 'x'), p.publish('2', 'x'), p.publish('3', 'x')),
      a.gets(p.publish('1', 'x'), p.publish('3', 'x')),
    ],
    { broker: { settings: { subscriptionsPerSessionMax: 2 } } },
  ),
  both('SUBSCRIBE with other flags than 0010 ends the connection', { v4: '3.8.1-1', v5: '3.8.1-1' }, (p, a, b) => [
    a.up(),
    a.sends([0x80, ...p.subscribe(1, [['t', 0]]).slice(1)]),
    a.ends(0x81),
    b.up(),
    b.sends([0x83, ...p.subscribe(1, [['t', 0]]).slice(1)]),
    b.ends(0x81),
  ]),
  both('SUBSCRIBE without a filter ends the connection', { v4: '3.8.3-3', v5: '3.8.3-2' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [])),
    a.ends(0x81, 0x82),
  ]),
  both('a filter without options ends the connection', { v4: '3.8.3-3', v5: '3.8.3-2' }, (p, a) => [
    a.up(),
    a.sends(packet(0x82, u16(1), p.is5 ? [0] : [], counted('t'))),
    a.ends(0x81),
  ]),
  both('a filter that is no UTF-8 ends the connection', { v4: '3.8.3-1 1.5.3-1', v5: '3.8.3-1 1.5.4-1' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [[Uint8Array.of(0x74, 0xfe), 0]])),
    a.ends(0x81, 0x82, 0x8f),
  ]),
  both('reserved bits of the options end the connection', { v4: '3.8.3-4', v5: '3.8.3-5' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', p.is5 ? 0x40 : 0x04]])),
    a.ends(0x81),
    b.up(),
    b.sends(p.subscribe(1, [['t', 0x80]])),
    b.ends(0x81),
  ]),
  both('a requested QoS of 3 ends the connection', { v4: '3.8.3-4', v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 3]])),
    a.ends(0x81, 0x82),
  ]),
  both('retain handling 3 ends the connection', { v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 0x30]])),
    a.ends(0x81, 0x82),
  ]),
];

const unsubscribing: readonly (readonly ConformanceCase[])[] = [
  both(
    'UNSUBSCRIBE ends the subscriptions that are the same, character by character',
    {
      v4: '3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-6 2.3.1-7',
      v5: '3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 2.2.1-6 3.11.3-1 3.11.3-2',
    },
    (p, a, b) => [
      a.up(),
      a.sends(
        p.subscribe(1, [
          ['t/+', 0],
          ['u', 0],
          ['w', 0],
        ]),
      ),
      a.gets(p.suback(1, [0, 0, 0])),
      a.sends(p.unsubscribe(0x0102, ['t/x', 'T/+', 'u', 't/+', 't/#'])),
      a.gets(p.unsuback(0x0102, [0x11, 0x11, 0, 0, 0x11])),
      b.up(),
      b.sends(p.publish('t/x', '1'), p.publish('u', '2'), p.publish('w', '3')),
      a.gets(p.publish('w', '3')),
      a.silent(),
    ],
  ),
  both('UNSUBACK comes when there was nothing to end', { v4: '3.10.4-5', v5: '3.10.4-5 3.11.3-2' }, (p, a) => [
    a.up(),
    a.sends(p.unsubscribe(7, ['t'])),
    a.gets(p.unsuback(7, [0x11])),
  ]),
  both('what was begun is completed after UNSUBSCRIBE', { v4: '3.10.4-3', v5: '3.10.4-3' }, (p, a, b) => [
    a.up({ clean: false, props: [prop.sessionExpiry(100)] }),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', 'one', { qos: 1, id: 1 }), p.publish('t', 'two', { qos: 2, id: 2 })),
    b.gets(p.puback(1), p.pubrec(2)),
    a.gets(p.publish('t', 'one', { qos: 1, id: 'm1' }), p.publish('t', 'two', { qos: 2, id: 'm2' })),
    a.sends(p.unsubscribe(3, ['t'])),
    a.gets(p.unsuback(3, [0])),
    a.sends(p.pubrec('m2')),
    a.gets(p.pubrel('m2')),
    settled(),
    a.lost(),
    a.up({ clean: false, present: true, props: [prop.sessionExpiry(100)] }),
    a.getsInAnyOrder(p.publish('t', 'one', { qos: 1, id: 'm1', dup: true }), p.pubrel('m2')),
  ]),
  both('UNSUBSCRIBE with other flags than 0010 ends the connection', { v4: '3.10.1-1', v5: '3.10.1-1' }, (p, a, b) => [
    a.up(),
    a.sends([0xa0, ...p.unsubscribe(1, ['t']).slice(1)]),
    a.ends(0x81),
    b.up(),
    b.sends([0xa6, ...p.unsubscribe(1, ['t']).slice(1)]),
    b.ends(0x81),
  ]),
  both('UNSUBSCRIBE without a filter ends the connection', { v4: '3.10.3-2', v5: '3.10.3-2' }, (p, a) => [
    a.up(),
    a.sends(p.unsubscribe(1, [])),
    a.ends(0x81, 0x82),
  ]),
  both('a filter of UNSUBSCRIBE that is no UTF-8 ends the connection', { v4: '3.10.3-1', v5: '3.10.3-1' }, (p, a) => [
    a.up(),
    a.sends(p.unsubscribe(1, [Uint8Array.of(0xf8, 0x88)])),
    a.ends(0x81, 0x82, 0x8f),
  ]),
  both(
    'a filter of UNSUBSCRIBE that is cut off ends the connection',
    { v4: '3.10.3-1 4.8.0-1', v5: '4.13.1-1' },
    (p, a) => [a.up(), a.sends(packet(0xa2, u16(1), p.is5 ? [0] : [], [0, 9, 0x74])), a.ends(0x81)],
  ),
];

const identifiers: readonly (readonly ConformanceCase[])[] = [
  both('the subscription identifier goes with the message', { v5: '3.3.4-3 3.3.4-5' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 1]], [prop.subscriptionId(268_435_455)]), p.subscribe(2, [['u', 0]])),
    a.gets(p.suback(1, [1]), p.suback(2, [0])),
    b.up(),
    b.sends(p.publish('t', 'x'), p.publish('t', 'y', { qos: 1, id: 1 }), p.publish('u', 'z')),
    b.gets(p.puback(1)),
    a.gets(
      p.publish('t', 'x', { props: [prop.subscriptionId(268_435_455)] }),
      p.publish('t', 'y', { qos: 1, id: 'm', props: [prop.subscriptionId(268_435_455)] }),
      p.publish('u', 'z'),
    ),
  ]),
  both('a single copy has the identifiers of all matching subscriptions', { v5: '3.3.4-4 3.3.4-3' }, (p, a, b) => [
    a.up(),
    a.sends(
      p.subscribe(1, [['t/#', 0]], [prop.subscriptionId(1)]),
      p.subscribe(2, [['t/+', 1]], [prop.subscriptionId(200)]),
      p.subscribe(3, [['t/x', 0]]),
    ),
    a.gets(p.suback(1, [0]), p.suback(2, [1]), p.suback(3, [0])),
    b.up(),
    b.sends(p.publish('t/x', 'x', { qos: 1, id: 1 })),
    b.gets(p.puback(1)),
    a.gets(p.publish('t/x', 'x', { qos: 1, id: 'm', props: [prop.subscriptionId(1), prop.subscriptionId(200)] })),
    a.silent(),
  ]),
  both('retained messages have the subscription identifier', { v5: '3.3.4-3' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 9 })),
    a.gets(p.puback(9, 'ok')),
    a.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(5)])),
    a.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true, props: [prop.subscriptionId(5)] })),
  ]),
  both('subscribing again replaces the subscription identifier, with none too', { v5: '3.8.4-3' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(5)]), p.subscribe(2, [['t', 0]], [prop.subscriptionId(6)])),
    a.gets(p.suback(1, [0]), p.suback(2, [0])),
    b.up(),
    b.sends(p.publish('t', 'x')),
    a.gets(p.publish('t', 'x', { props: [prop.subscriptionId(6)] })),
    a.sends(p.subscribe(3, [['t', 0]])),
    a.gets(p.suback(3, [0])),
    b.sends(p.publish('t', 'y')),
    a.gets(p.publish('t', 'y')),
  ]),
  both('subscription identifiers belong to the session', { v5: '3.3.4-3 3.1.2-5' }, (p, a, b) => [
    a.up({ props: [prop.sessionExpiry(100)] }),
    a.sends(p.subscribe(1, [['t', 1]], [prop.subscriptionId(5)])),
    a.gets(p.suback(1, [1])),
    a.lost(),
    b.up(),
    b.sends(p.publish('t', 'x', { qos: 1, id: 1 })),
    b.gets(p.puback(1)),
    a.up({ clean: false, present: true }),
    a.gets(p.publish('t', 'x', { qos: 1, id: 'm', props: [prop.subscriptionId(5)] })),
  ]),
];

export const subscribeCases: readonly ConformanceCase[] = [...subscribing, ...unsubscribing, ...identifiers].flat();
