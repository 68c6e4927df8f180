// The three delivery protocols, both ways: acknowledgements, repetitions, order.

import type { TopicProtocol } from '../../../src/broker/ports.ts';
import { prop } from '../packets.ts';
import { publishRead } from '../received.ts';
import { act, both, type ConformanceCase, settled } from '../script.ts';

const lasting = { clean: false, props: [prop.sessionExpiry(3600)] } as const;

const inbound: readonly (readonly ConformanceCase[])[] = [
  both(
    'PUBLISH is answered as its QoS demands',
    {
      v4: '3.3.4-1 2.3.1-6 4.3.1-1 4.3.2-2 4.3.3-2',
      v5: '3.3.4-1 2.2.1-5 4.3.1-1 4.3.2-4 4.3.3-8 4.3.3-11 3.4.2-1 3.5.2-1 3.7.2-1',
    },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 2]])),
      b.gets(p.suback(1, [2])),
      a.up(),
      a.sends(p.publish('t', 'zero')),
      b.gets(p.publish('t', 'zero')),
      a.silent(),
      a.sends(p.publish('t', 'one', { qos: 1, id: 0x1234 })),
      a.gets(p.puback(0x1234)),
      b.gets(p.publish('t', 'one', { qos: 1, id: 'm1' })),
      a.sends(p.publish('t', 'two', { qos: 2, id: 0xffff })),
      a.gets(p.pubrec(0xffff)),
      a.sends(p.pubrel(0xffff)),
      a.gets(p.pubcomp(0xffff)),
      b.gets(p.publish('t', 'two', { qos: 2, id: 'm2' })),
    ],
  ),
  both(
    'after PUBACK the same identifier is a new message, even with DUP',
    { v4: '4.3.2-2 3.3.1-3', v5: '4.3.2-5 3.3.1-3' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 1]])),
      b.gets(p.suback(1, [1])),
      a.up(),
      a.sends(p.publish('t', 'x', { qos: 1, id: 7 })),
      a.gets(p.puback(7)),
      a.sends(p.publish('t', 'x', { qos: 1, id: 7, dup: true })),
      a.gets(p.puback(7)),
      b.gets(p.publish('t', 'x', { qos: 1, id: 'm1' }), p.publish('t', 'x', { qos: 1, id: 'm2' })),
    ],
  ),
  both(
    'until PUBREL a QoS 2 message is acknowledged again and delivered once',
    { v4: '4.3.3-2', v5: '4.3.3-10' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('t', 'x', { qos: 2, id: 7 })),
      a.gets(p.pubrec(7)),
      a.sends(p.publish('t', 'x', { qos: 2, id: 7, dup: true }), p.publish('t', 'x', { qos: 2, id: 7, dup: true })),
      a.gets(p.pubrec(7, 'ok'), p.pubrec(7, 'ok')),
      a.sends(p.pubrel(7)),
      a.gets(p.pubcomp(7)),
      b.gets(p.publish('t', 'x')),
      b.silent(),
    ],
  ),
  both(
    'the QoS 2 identifiers of a session outlive its connection',
    { v4: '4.3.3-2 4.1.0-1', v5: '4.3.3-10 4.1.0-1' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(lasting),
      a.sends(p.publish('t', 'x', { qos: 2, id: 7 })),
      a.gets(p.pubrec(7)),
      a.lost(),
      a.up({ ...lasting, present: true }),
      a.sends(p.publish('t', 'x', { qos: 2, id: 7, dup: true })),
      a.gets(p.pubrec(7, 'ok')),
      a.sends(p.pubrel(7)),
      a.gets(p.pubcomp(7)),
      b.gets(p.publish('t', 'x')),
      b.silent(),
    ],
  ),
  both('after PUBCOMP the same identifier is a new message', { v4: '4.3.3-2', v5: '4.3.3-12' }, (p, a, b) => [
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0])),
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 2, id: 7 }), p.pubrel(7)),
    a.gets(p.pubrec(7), p.pubcomp(7)),
    a.sends(p.publish('t', 'y', { qos: 2, id: 7 }), p.pubrel(7)),
    a.gets(p.pubrec(7), p.pubcomp(7)),
    b.gets(p.publish('t', 'x'), p.publish('t', 'y')),
  ]),
  both('a PUBREL that belongs to nothing is answered all the same', { v4: '4.3.3-2' }, (p, a) => [
    a.up(),
    a.sends(p.pubrel(9)),
    a.gets(p.pubcomp(9)),
  ]),
  both('a PUBREL that belongs to nothing is answered with 0x92', { v5: '4.3.3-11 3.7.2-1' }, (p, a) => [
    a.up(),
    a.sends(p.pubrel(9)),
    a.gets(p.pubcomp(9, 0x92)),
  ]),
  both('a packet identifier of zero ends the connection', { v4: '2.3.1-1 4.8.0-1', v5: '2.2.1-3' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 1, id: 0 })),
    a.ends(0x81, 0x82),
    b.up(),
    b.sends(p.subscribe(0, [['t', 0]])),
    b.ends(0x81, 0x82),
    c.up(),
    c.sends(p.unsubscribe(0, ['t'])),
    c.ends(0x81, 0x82),
  ]),
  both(
    'a QoS 0 PUBLISH has no identifier: what stands there is payload',
    { v4: '2.3.1-5', v5: '2.2.1-2' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 1]])),
      b.gets(p.suback(1, [1])),
      a.up(),
      a.sends(p.publish('t', Uint8Array.of(0, 1, 0x78))),
      b.gets(p.publish('t', Uint8Array.of(0, 1, 0x78))),
    ],
  ),
  both('QoS 3 ends the connection', { v4: '3.3.1-4', v5: '3.3.1-4' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 3, id: 1 })),
    a.ends(0x81),
  ]),
  both('DUP at QoS 0 ends the connection', { v4: '3.3.1-2', v5: '3.3.1-2' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { dup: true })),
    a.ends(0x81),
  ]),
  both(
    'PUBREL with other flags than 0010 ends the connection',
    { v4: '3.6.1-1 2.2.2-2', v5: '3.6.1-1 2.1.3-1' },
    (_p, a, b) => [a.up(), a.sends([0x60, 2, 0, 1]), a.ends(0x81), b.up(), b.sends([0x63, 2, 0, 1]), b.ends(0x81)],
  ),
  both(
    'acknowledgements with flags or too short end the connection',
    { v4: '2.2.2-1 2.2.2-2', v5: '2.1.3-1' },
    (_p, a, b, c) => [
      a.up(),
      a.sends([0x41, 2, 0, 1]),
      a.ends(0x81),
      b.up(),
      b.sends([0x52, 2, 0, 1]),
      b.ends(0x81),
      c.up(),
      c.sends([0x70, 1, 0]),
      c.ends(0x81),
    ],
  ),
];

const outbound: readonly (readonly ConformanceCase[])[] = [
  both(
    'each message under way has an identifier of its own',
    { v4: '2.3.1-4 4.3.2-1 4.3.3-1', v5: '2.2.1-4 4.3.2-1 4.3.2-2 4.3.3-1 4.3.3-2' },
    (p, a, b) => {
      const ids = new Set<number>();
      const fresh = (got: Buffer): string | undefined => {
        const id = got.readUInt16BE(5);
        if (id === 0 || ids.has(id)) return `the identifier ${id} is in use`;
        if ((got[0] as number) & 8) return 'DUP is set';
        ids.add(id);
        return undefined;
      };
      return [
        act('no identifier is in use', () => ids.clear()),
        a.up(),
        a.sends(p.subscribe(1, [['t', 2]])),
        a.gets(p.suback(1, [2])),
        b.up(),
        b.sends(
          p.publish('t', 'one', { qos: 1, id: 1 }),
          p.publish('t', 'two', { qos: 2, id: 2 }),
          p.publish('t', 'three', { qos: 1, id: 3 }),
        ),
        b.gets(p.puback(1), p.pubrec(2), p.puback(3)),
        a.getsWhat('PUBLISH with an unused identifier', fresh),
        a.getsWhat('PUBLISH with an unused identifier', fresh),
        a.getsWhat('PUBLISH with an unused identifier', fresh),
      ];
    },
  ),
  both(
    'a QoS 2 delivery: PUBLISH, PUBREC, PUBREL, PUBCOMP',
    { v4: '4.3.3-1 2.3.1-6', v5: '4.3.3-4 2.2.1-5 3.6.2-1' },
    (p, a, b) => [
      a.up(),
      a.sends(p.subscribe(1, [['t', 2]])),
      a.gets(p.suback(1, [2])),
      b.up(),
      b.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
      b.gets(p.pubrec(1)),
      a.gets(p.publish('t', 'x', { qos: 2, id: 'm' })),
      a.sends(p.pubrec('m')),
      a.gets(p.pubrel('m')),
      a.sends(p.pubcomp('m')),
      a.silent(),
    ],
  ),
  both(
    'what was not acknowledged is sent again on return, with DUP, identifier and in the order it was sent',
    { v4: '4.4.0-1 4.6.0-1 3.3.1-1 4.3.2-1 4.3.3-1 2.3.1-4', v5: '4.4.0-1 3.3.1-1 4.3.2-3 4.3.3-3' },
    (p, a, b) => {
      // Messages of one QoS come in their order; how the two are mixed is the sender's choice, to which it must keep.
      const order: string[] = [];
      const arrives = a.getsWhat('PUBLISH', (got, { bindings }) => {
        const { payload, dup } = publishRead(got, p.version);
        order.push(payload);
        bindings.set(`m${payload}`, [got[5] as number, got[6] as number]);
        return dup ? 'DUP is set' : undefined;
      });
      const comesAgain = a.getsWhat('PUBLISH again', (got, { bindings }) => {
        const { payload, dup } = publishRead(got, p.version);
        const expected = order.shift();
        if (payload !== expected) return `it is ${payload} instead of ${expected}`;
        const id = bindings.get(`m${payload}`);
        return dup && id?.[0] === got[5] && id?.[1] === got[6] ? undefined : 'DUP or its identifier is missing';
      });
      const numbers = [1, 2, 3, 4, 5];
      const qosOf = (n: number) => (n % 2 === 0 ? 2 : 1);
      return [
        act('nothing was sent yet', () => void order.splice(0)),
        a.up(lasting),
        a.sends(p.subscribe(1, [['t', 2]])),
        a.gets(p.suback(1, [2])),
        b.up(),
        b.sends(...numbers.map((n) => p.publish('t', `${n}`, { qos: qosOf(n), id: n }))),
        b.gets(...numbers.map((n) => (qosOf(n) === 1 ? p.puback(n) : p.pubrec(n)))),
        ...numbers.map(() => arrives),
        a.sends(p.puback('m1')),
        settled(),
        a.lost(),
        act('the first is acknowledged', () => void order.splice(order.indexOf('1'), 1)),
        a.up({ ...lasting, present: true }),
        ...numbers.slice(1).map(() => comesAgain),
        a.sends(p.pubrec('m2'), p.puback('m3'), p.pubrec('m4'), p.puback('m5')),
        a.gets(p.pubrel('m2'), p.pubrel('m4')),
        a.sends(p.pubcomp('m2'), p.pubcomp('m4')),
        settled(),
        a.lost(),
        a.up({ ...lasting, present: true }),
        a.silent(),
      ];
    },
  ),
  both(
    'after PUBREC only PUBREL is sent again',
    { v4: '4.4.0-1 4.3.3-1', v5: '4.4.0-1 4.3.3-5 4.3.3-6' },
    (p, a, b) => [
      a.up(lasting),
      a.sends(p.subscribe(1, [['t', 2]])),
      a.gets(p.suback(1, [2])),
      b.up(),
      b.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
      b.gets(p.pubrec(1)),
      a.gets(p.publish('t', 'x', { qos: 2, id: 'm' })),
      a.sends(p.pubrec('m')),
      a.gets(p.pubrel('m')),
      a.lost(),
      a.up({ ...lasting, present: true }),
      a.gets(p.pubrel('m')),
      a.sends(p.pubcomp('m')),
      settled(),
      a.lost(),
      a.up({ ...lasting, present: true }),
      a.silent(),
    ],
  ),
  both('nothing is sent again while the connection stays', { v4: '4.4.0-1', v5: '4.4.0-1' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 1]])),
    a.gets(p.suback(1, [1])),
    b.up(),
    b.sends(p.publish('t', 'x', { qos: 1, id: 1 })),
    b.gets(p.puback(1)),
    a.gets(p.publish('t', 'x', { qos: 1, id: 'm' })),
    { text: '600000 ms pass', play: (stage) => stage.advance(600_000) },
    a.silent(),
    a.sends(p.puback('m')),
  ]),
  both('a PUBREC that comes again is answered by PUBREL again', { v4: '4.3.3-1', v5: '4.3.3-4 3.6.2-1' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
    b.gets(p.pubrec(1)),
    a.gets(p.publish('t', 'x', { qos: 2, id: 'm' })),
    a.sends(p.pubrec('m'), p.pubrec('m')),
    a.gets(p.pubrel('m'), p.pubrel('m')),
  ]),
  both('a PUBACK of 0x80 or above ends the delivery', { v5: '4.4.0-2' }, (p, a, b) => [
    a.up(lasting),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', 'one', { qos: 1, id: 1 }), p.publish('t', 'two', { qos: 2, id: 2 })),
    b.gets(p.puback(1), p.pubrec(2)),
    a.gets(p.publish('t', 'one', { qos: 1, id: 'm1' }), p.publish('t', 'two', { qos: 2, id: 'm2' })),
    a.sends(p.puback('m1', 0x83), p.pubrec('m2', 0x97)),
    a.silent(),
    a.lost(),
    a.up({ ...lasting, present: true }),
    a.silent(),
  ]),
  both('an unknown PUBREC is answered by PUBREL 0x92', { v5: '3.6.2-1' }, (p, a) => [
    a.up(),
    a.sends(p.pubrec(77)),
    a.gets(p.pubrel(77, 0x92)),
  ]),
  both('DUP of the publisher is not passed on', { v4: '3.3.1-3', v5: '3.3.1-3' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', 'one', { qos: 1, id: 1, dup: true }), p.publish('t', 'two', { qos: 2, id: 2, dup: true })),
    b.gets(p.puback(1), p.pubrec(2)),
    a.gets(p.publish('t', 'one', { qos: 1, id: 'm1' }), p.publish('t', 'two', { qos: 2, id: 'm2' })),
  ]),
];

/** Settles `$svc/slow` after `$svc/fast`, and fails for `$svc/broken`. */
function slowService(): TopicProtocol {
  const waiting: (() => void)[] = [];
  return {
    ownsTopic: (topic) => topic.startsWith('$svc/'),
    ownsFilter: () => false,
    publish: (_client, { topic }) => {
      if (topic === '$svc/broken') return Promise.reject(new Error('a passing fault'));
      if (topic === '$svc/slow') return new Promise((resolve) => waiting.push(resolve));
      for (const resolve of waiting.splice(0)) setImmediate(resolve);
      return Promise.resolve();
    },
    subscribe: () => undefined,
    unsubscribe: () => undefined,
    connected: () => undefined,
    disconnected: () => undefined,
  };
}

const order: readonly (readonly ConformanceCase[])[] = [
  both(
    'PUBACK and PUBREC come in the order of what they answer, whatever is ready first',
    { v4: '4.6.0-2 4.6.0-3', v5: '4.3.2-4 4.3.3-8' },
    (p, a) => [
      a.up(),
      a.sends(p.publish('$svc/slow', 'x', { qos: 1, id: 1 }), p.publish('$svc/fast', 'x', { qos: 1, id: 2 })),
      a.gets(p.puback(1), p.puback(2)),
      a.sends(p.publish('$svc/slow', 'x', { qos: 2, id: 3 }), p.publish('$svc/fast', 'x', { qos: 2, id: 4 })),
      a.gets(p.pubrec(3), p.pubrec(4)),
    ],
    { broker: { service: slowService() } },
  ),
  both(
    'a fault while a message is processed ends the connection it came on, and no other',
    { v4: '4.8.0-2', v5: '4.13.2-1' },
    (p, a, b) => [
      a.up(),
      b.up(),
      a.sends(p.publish('$svc/broken', 'x', { qos: 1, id: 1 })),
      a.ends(0x80, 0x83),
      b.sends(p.pingreq()),
      b.gets(p.pingresp()),
    ],
    { broker: { service: slowService() } },
  ),
  both('PUBRELs come in the order of the PUBRECs', { v4: '4.6.0-4', v5: '4.3.3-4' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(
      p.publish('t', '1', { qos: 2, id: 1 }),
      p.publish('t', '2', { qos: 2, id: 2 }),
      p.publish('t', '3', { qos: 2, id: 3 }),
    ),
    b.gets(p.pubrec(1), p.pubrec(2), p.pubrec(3)),
    a.gets(
      p.publish('t', '1', { qos: 2, id: 'm1' }),
      p.publish('t', '2', { qos: 2, id: 'm2' }),
      p.publish('t', '3', { qos: 2, id: 'm3' }),
    ),
    a.sends(p.pubrec('m2'), p.pubrec('m3'), p.pubrec('m1')),
    a.gets(p.pubrel('m2'), p.pubrel('m3'), p.pubrel('m1')),
  ]),
  ...([0, 1, 2] as const).map((qos) =>
    both(
      `the messages of a client come in their order at QoS ${qos}, to clients that are there and to one that was away`,
      { v4: '4.6.0-5 4.6.0-6', v5: '4.6.0-5 4.6.0-6' },
      (p, a, b, c) => {
        const numbers = [1, 2, 3, 4, 5, 6, 7, 8];
        const sent = (n: number) => p.publish('t', `${n}`, qos === 0 ? {} : { qos, id: n });
        const got = (who: string) =>
          numbers.map((n) => p.publish('t', `${n}`, qos === 0 ? {} : { qos, id: `${who}${n}` }));
        const answers = numbers.map((n) => (qos === 1 ? p.puback(n) : p.pubrec(n)));
        return [
          a.up(),
          a.sends(p.subscribe(1, [['t', 2]])),
          a.gets(p.suback(1, [2])),
          c.up(lasting),
          c.sends(p.subscribe(1, [['t', 2]])),
          c.gets(p.suback(1, [2])),
          ...(qos === 0 ? [] : [c.lost()]),
          b.up(),
          b.sends(...numbers.map(sent)),
          b.gets(...(qos === 0 ? [] : answers)),
          a.gets(...got('a')),
          ...(qos === 0 ? [] : [c.up({ ...lasting, present: true })]),
          c.gets(...got('c')),
        ];
      },
    ),
  ),
];

export const qosCases: readonly ConformanceCase[] = [...inbound, ...outbound, ...order].flat();
