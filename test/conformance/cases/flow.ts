// What clients of MQTT 5.0 limit: messages under way, the size of packets, topic aliases; and what the broker limits.

import type { Buffer } from 'node:buffer';
import { packet, prop } from '../packets.ts';
import { parts, publishRead } from '../received.ts';
import { act, both, type ConformanceCase, settled } from '../script.ts';

const lasting = (receiveMaximum: number) => ({
  clean: false,
  props: [prop.sessionExpiry(3600), prop.receiveMaximum(receiveMaximum)],
});

const window: readonly (readonly ConformanceCase[])[] = [
  both('no more messages are under way than the client takes', { v5: '3.3.4-9 4.9.0-1 4.9.0-2' }, (p, a, b) => [
    a.up({ props: [prop.receiveMaximum(2)] }),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(...[1, 2, 3, 4, 5].map((id) => p.publish('t', `${id}`, { qos: id % 2 === 0 ? 2 : 1, id }))),
    b.gets(p.puback(1), p.pubrec(2), p.puback(3), p.pubrec(4), p.puback(5)),
    a.gets(p.publish('t', '1', { qos: 1, id: 'm1' }), p.publish('t', '2', { qos: 2, id: 'm2' })),
    a.silent(),
    a.sends(p.puback('m1')),
    a.gets(p.publish('t', '3', { qos: 1, id: 'm3' })),
    a.silent(),
    a.sends(p.pubrec('m2')),
    a.gets(p.pubrel('m2')),
    a.silent(),
    a.sends(p.pubcomp('m2')),
    a.gets(p.publish('t', '4', { qos: 2, id: 'm4' })),
    a.sends(p.pubrec('m4', 0x80)),
    a.gets(p.publish('t', '5', { qos: 1, id: 'm5' })),
  ]),
  both('everything but PUBLISH above QoS 0 goes on when the window is full', { v5: '3.3.4-10 4.9.0-3' }, (p, a, b) => [
    a.up({ props: [prop.receiveMaximum(1)] }),
    a.sends(p.subscribe(1, [['t', 1]])),
    a.gets(p.suback(1, [1])),
    b.up(),
    b.sends(p.publish('t', '1', { qos: 1, id: 1 }), p.publish('t', '2', { qos: 1, id: 2 })),
    b.gets(p.puback(1), p.puback(2)),
    a.gets(p.publish('t', '1', { qos: 1, id: 'm1' })),
    a.sends(
      p.pingreq(),
      p.subscribe(2, [['u', 0]]),
      p.publish('x', 'y', { qos: 1, id: 3 }),
      p.publish('x', 'y', { qos: 2, id: 4 }),
    ),
    a.gets(p.pingresp(), p.suback(2, [0]), p.puback(3, 'ok'), p.pubrec(4, 'ok')),
    a.sends(p.pubrel(4), p.unsubscribe(5, ['u'])),
    a.gets(p.pubcomp(4), p.unsuback(5, [0])),
    a.sends(p.puback('m1')),
    a.gets(p.publish('t', '2', { qos: 1, id: 'm2' })),
  ]),
  both('what is sent again keeps to the window as well', { v5: '3.3.4-9 4.4.0-1' }, (p, a, b) => [
    a.up(lasting(3)),
    a.sends(p.subscribe(1, [['t', 1]])),
    a.gets(p.suback(1, [1])),
    b.up(),
    b.sends(...[1, 2, 3].map((id) => p.publish('t', `${id}`, { qos: 1, id }))),
    b.gets(p.puback(1), p.puback(2), p.puback(3)),
    a.gets(...[1, 2, 3].map((id) => p.publish('t', `${id}`, { qos: 1, id: `m${id}` }))),
    a.lost(),
    a.up({ ...lasting(1), present: true }),
    a.gets(p.publish('t', '1', { qos: 1, id: 'm1', dup: true })),
    a.silent(),
    a.sends(p.puback('m1')),
    a.gets(p.publish('t', '2', { qos: 1, id: 'm2', dup: true })),
    a.silent(),
    a.sends(p.puback('m2')),
    a.gets(p.publish('t', '3', { qos: 1, id: 'm3', dup: true })),
  ]),
  both(
    'what is acknowledged, and QoS 0, counts no more against the receive maximum of the broker',
    { v5: '3.3.4-7 4.9.0-3' },
    (p, a) => [
      a.up({ has: [prop.receiveMaximum(2)] }),
      a.sends(p.publish('t', '1', { qos: 2, id: 1 })),
      a.gets(p.pubrec(1, 'ok')),
      ...[2, 3, 4, 5].flatMap((id) => [
        a.sends(p.publish('t', 'zero'), p.publish('t', 'one', { qos: 1, id }), p.publish('t', 'zero')),
        a.gets(p.puback(id, 'ok')),
      ]),
      a.sends(p.pubrel(1)),
      a.gets(p.pubcomp(1)),
      a.sends(p.publish('no', 'x', { qos: 2, id: 6 }), p.publish('no', 'x', { qos: 2, id: 7 })),
      a.gets(p.pubrec(6, 0x87), p.pubrec(7, 0x87)),
      a.sends(p.publish('t', '8', { qos: 2, id: 8 }), p.publish('t', '9', { qos: 2, id: 9 })),
      a.gets(p.pubrec(8, 'ok'), p.pubrec(9, 'ok')),
    ],
    { broker: { settings: { inflightInboundMax: 2 }, mayPublish: (topic) => topic !== 'no' } },
  ),
  both(
    'a client that has more under way than the broker takes is disconnected',
    { v5: '3.3.4-7 4.13.1-1' },
    (p, a) => [
      a.up({ has: [prop.receiveMaximum(2)] }),
      a.sends(p.publish('t', '1', { qos: 2, id: 1 }), p.publish('t', '2', { qos: 2, id: 2 })),
      a.gets(p.pubrec(1, 'ok'), p.pubrec(2, 'ok')),
      a.sends(p.pubrel(1)),
      a.gets(p.pubcomp(1)),
      a.sends(p.publish('t', '3', { qos: 2, id: 3 })),
      a.gets(p.pubrec(3, 'ok')),
      a.sends(p.publish('t', '4', { qos: 2, id: 4 })),
      a.ends(0x93),
    ],
    { broker: { settings: { inflightInboundMax: 2 } } },
  ),
];

const atMost = (bytes: number, type: number) => (got: Buffer) => {
  if ((got[0] as number) >> 4 !== type) return 'this is another packet';
  return got.length <= bytes ? undefined : `it has ${got.length} bytes, which is more than ${bytes}`;
};
const noExplanation = (got: Buffer) => {
  const { properties } = parts([...got], '5.0');
  return properties.length === 0 ? undefined : 'it explains itself';
};
const small = 20;

const sizes: readonly (readonly ConformanceCase[])[] = [
  both(
    'no packet is larger than the client takes; larger messages count as delivered',
    { v5: '3.1.2-24 3.1.2-25' },
    (p, a, b) => {
      const message = (bytes: number, id: number) => p.publish('t', 'x'.repeat(bytes), { qos: 1, id });
      // 32 len 0001 74 id id 00: eight bytes around the payload.
      const fits = 100 - 8;
      return [
        a.up({ props: [prop.packetBytesMax(100), prop.receiveMaximum(1)] }),
        a.sends(p.subscribe(1, [['t', 1]])),
        a.gets(p.suback(1, [1])),
        b.up(),
        b.sends(
          message(fits, 1),
          message(fits + 1, 2),
          message(fits, 3),
          p.publish('t', 'x'.repeat(200)),
          p.publish('t', 'last'),
        ),
        b.gets(p.puback(1), p.puback(2), p.puback(3)),
        a.getsInAnyOrder(p.publish('t', 'x'.repeat(fits), { qos: 1, id: 'm1' }), p.publish('t', 'last')),
        a.sends(p.puback('m1')),
        a.gets(p.publish('t', 'x'.repeat(fits), { qos: 1, id: 'm3' })),
        a.sends(p.puback('m3')),
        a.silent(),
      ];
    },
  ),
  both(
    'a message too large for a client that has a window free is left out, at every QoS',
    { v5: '3.1.2-24 3.1.2-25' },
    (p, a, b) => [
      a.up({ props: [prop.packetBytesMax(100)] }),
      a.sends(p.subscribe(1, [['t', 2]])),
      a.gets(p.suback(1, [2])),
      b.up(),
      ...[0, 1, 2].map((qos) => b.sends(p.publish('t', 'x'.repeat(200), qos === 0 ? {} : { qos, id: qos }))),
      b.gets(p.puback(1), p.pubrec(2)),
      b.sends(p.publish('t', 'small', { qos: 1, id: 3 })),
      b.gets(p.puback(3)),
      a.gets(p.publish('t', 'small', { qos: 1, id: '?' })),
    ],
  ),
  both('a message under way that became too large is left out', { v5: '3.1.2-24 3.1.2-25' }, (p, a, b) => [
    a.up({ props: [prop.sessionExpiry(100), prop.receiveMaximum(2)] }),
    a.sends(p.subscribe(1, [['t', 2]])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', 'x'.repeat(200), { qos: 1, id: 1 }), p.publish('t', 'y'.repeat(200), { qos: 2, id: 2 })),
    b.gets(p.puback(1), p.pubrec(2)),
    b.sends(p.publish('t', 'small', { qos: 1, id: 3 })),
    b.gets(p.puback(3)),
    a.getsInAnyOrder(
      p.publish('t', 'x'.repeat(200), { qos: 1, id: '?' }),
      p.publish('t', 'y'.repeat(200), { qos: 2, id: '?' }),
    ),
    a.lost(),
    a.up({ clean: false, present: true, props: [prop.packetBytesMax(100), prop.receiveMaximum(2)] }),
    a.gets(p.publish('t', 'small', { qos: 1, id: 'm' })),
    a.sends(p.puback('m')),
    a.silent(),
  ]),
  both('a retained message that is too large is left out', { v5: '3.1.2-24 3.1.2-25' }, (p, a, b) => [
    b.up(),
    b.sends(
      p.publish('t/1', 'x'.repeat(200), { retain: true, qos: 1, id: 1 }),
      p.publish('t/2', 'small', { retain: true, qos: 1, id: 2 }),
    ),
    b.gets(p.puback(1, 'ok'), p.puback(2, 'ok')),
    a.up({ props: [prop.packetBytesMax(100)] }),
    a.sends(p.subscribe(1, [['t/#', 0]])),
    a.gets(p.suback(1, [0]), p.publish('t/2', 'small', { retain: true })),
  ]),
  both(
    'a message that became too large for a client that returned is left out',
    { v5: '3.1.2-24 3.1.2-25' },
    (p, a, b) => [
      a.up({ props: [prop.sessionExpiry(100)] }),
      a.sends(p.subscribe(1, [['t', 2]])),
      a.gets(p.suback(1, [2])),
      a.lost(),
      b.up(),
      b.sends(p.publish('t', 'x'.repeat(200), { qos: 2, id: 1 }), p.publish('t', 'small', { qos: 1, id: 2 })),
      b.gets(p.pubrec(1), p.puback(2)),
      a.up({ clean: false, present: true, props: [prop.packetBytesMax(100)] }),
      a.gets(p.publish('t', 'small', { qos: 1, id: 'm' })),
      a.sends(p.puback('m')),
      a.silent(),
    ],
  ),
  both(
    'CONNACK and DISCONNECT explain themselves only as far as the client takes it',
    { v5: '3.2.2-19 3.2.2-20 3.14.2-3 3.14.2-4 3.14.2-2' },
    (p, a, b) => [
      a.opens(),
      a.sends(p.connect({ id: 'no', user: 'no', props: [prop.packetBytesMax(small)] })),
      a.getsWhat('a small CONNACK', atMost(small, 2)),
      a.closed(),
      b.up({ props: [prop.packetBytesMax(small)] }),
      b.sends([0x00, 0x00]),
      b.getsWhat('a small DISCONNECT', atMost(small, 14)),
      b.closed(),
    ],
    {
      broker: {
        authenticate: async ({ username }) =>
          username === 'no'
            ? { admitted: false, reason: 'bad-credentials', detail: 'x'.repeat(1000) }
            : { admitted: true, principal: { name: 'somebody', identity: undefined }, expiresAtMs: undefined },
      },
    },
  ),
  both(
    'acknowledgements explain themselves only as far as the client takes it',
    {
      v5: '3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.1.2-24',
    },
    (p, a) => [
      a.up({ props: [prop.packetBytesMax(small)] }),
      a.sends(p.publish('no', 'x', { qos: 1, id: 1 }), p.publish('no', 'x', { qos: 2, id: 2 })),
      a.getsWhat('a small PUBACK', atMost(small, 4)),
      a.getsWhat('a small PUBREC', atMost(small, 5)),
      a.sends(p.pubrec(3), p.pubrel(4)),
      a.getsWhat('a small PUBREL', atMost(small, 6)),
      a.getsWhat('a small PUBCOMP', atMost(small, 7)),
      a.sends(p.subscribe(5, [['no', 0]]), p.unsubscribe(6, ['no'])),
      a.getsWhat('a small SUBACK', atMost(small, 9)),
      a.getsWhat('a small UNSUBACK', atMost(small, 11)),
    ],
    { broker: { mayPublish: () => false, maySubscribe: () => false } },
  ),
  both(
    'who wants no problem information gets none with acknowledgements',
    { v5: '3.1.2-29' },
    (p, a) => [
      a.up({ props: [prop.requestProblem(0)] }),
      a.sends(
        p.publish('no', 'x', { qos: 1, id: 1 }),
        p.publish('no', 'x', { qos: 2, id: 2 }),
        p.pubrec(3),
        p.pubrel(4),
      ),
      ...['PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP'].map((what) =>
        a.getsWhat(`${what} without explanation`, noExplanation),
      ),
      a.sends(p.subscribe(5, [['no', 0]]), p.unsubscribe(6, ['no'])),
      a.getsWhat('SUBACK without explanation', noExplanation),
      a.getsWhat('UNSUBACK without explanation', noExplanation),
    ],
    { broker: { mayPublish: () => false, maySubscribe: () => false } },
  ),
];

const aliasMax = 64;

const inboundAliases: readonly (readonly ConformanceCase[])[] = [
  both('a topic alias stands for its topic', { v5: '3.3.2-12 3.1.2-27' }, (p, a, b) => [
    b.up(),
    b.sends(p.subscribe(1, [['t/#', 1]])),
    b.gets(p.suback(1, [1])),
    a.up({ has: [prop.topicAliasMaximum(aliasMax)] }),
    a.sends(
      p.publish('t/1', '1', { props: [prop.topicAlias(1)] }),
      p.publish('t/2', '2', { props: [prop.topicAlias(aliasMax)] }),
      p.publish('', '3', { props: [prop.topicAlias(1)] }),
      p.publish('', '4', { qos: 1, id: 1, props: [prop.topicAlias(aliasMax)] }),
      p.publish('t/3', '5', { props: [prop.topicAlias(1)] }),
      p.publish('', '6', { props: [prop.topicAlias(1), prop.user('k', 'v')] }),
    ),
    a.gets(p.puback(1)),
    b.gets(
      p.publish('t/1', '1'),
      p.publish('t/2', '2'),
      p.publish('t/1', '3'),
      p.publish('t/2', '4', { qos: 1, id: '?' }),
      p.publish('t/3', '5'),
      p.publish('t/3', '6', { props: [prop.user('k', 'v')] }),
    ),
  ]),
  both('a topic alias above the maximum ends the connection', { v5: '3.2.2-17 3.3.2-9' }, (p, a) => [
    a.up({ has: [prop.topicAliasMaximum(aliasMax)] }),
    a.sends(p.publish('t', 'x', { props: [prop.topicAlias(aliasMax + 1)] })),
    a.ends(0x94),
  ]),
  both('a topic alias of 0 ends the connection', { v5: '3.3.2-8' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { props: [prop.topicAlias(0)] })),
    a.ends(0x94, 0x82),
  ]),
  both('a topic alias that stands for nothing ends the connection', { v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.publish('', 'x', { props: [prop.topicAlias(3)] })),
    a.ends(0x82, 0x94),
  ]),
  both('topic aliases end with their connection', { v5: '3.3.2-7' }, (p, a) => [
    a.up({ props: [prop.sessionExpiry(100)] }),
    a.sends(p.publish('t', 'x', { qos: 1, id: 1, props: [prop.topicAlias(1)] })),
    a.gets(p.puback(1, 'ok')),
    a.lost(),
    a.up({ clean: false, present: true }),
    a.sends(p.publish('', 'y', { props: [prop.topicAlias(1)] })),
    a.ends(0x82, 0x94),
  ]),
];

/** Resolves what arrives as a client would, and compares topics. */
function aliasClient(max: number) {
  const topics = new Map<number, string>();
  const check = (expected: string, aliases: Map<number, string>) => (got: Buffer) => {
    const { topic, numbers } = publishRead(got, '5.0');
    const alias = numbers.get(0x23);
    if (alias !== undefined && (alias === 0 || alias > max)) return `the alias ${alias} is above ${max}`;
    if (alias !== undefined && topic !== '') aliases.set(alias, topic);
    const meant = topic === '' ? aliases.get(alias ?? 0) : topic;
    return meant === expected ? undefined : `it is for ${meant ?? 'no topic'} instead of ${expected}`;
  };
  return { gets: (expected: string) => check(expected, topics), forget: () => topics.clear() };
}

const outboundAliases: readonly (readonly ConformanceCase[])[] = [
  both(
    'aliases to a client stay within its maximum and stand for the right topics',
    { v5: '3.1.2-26 3.3.2-11' },
    (p, a, b) => {
      const client = aliasClient(2);
      const order = [
        'one',
        'two',
        'one',
        'one',
        'two',
        'three',
        'three',
        'three',
        'one',
        'two',
        'three',
        'four',
        'four',
        'four',
        'one',
        'two',
      ];
      const topics = order.map((name) => `a/rather/long/topic/${name}`);
      const arrive = topics.map((topic) => b.getsWhat(`PUBLISH for ${topic}`, client.gets(topic)));
      return [
        b.up({ props: [prop.topicAliasMaximum(2), prop.sessionExpiry(100)] }),
        b.sends(p.subscribe(1, [['#', 0]])),
        b.gets(p.suback(1, [0])),
        a.up(),
        ...topics.flatMap((topic, at) => [a.sends(p.publish(topic, `${at}`)), settled()]),
        ...arrive,
        b.lost(),
        act('what the client knew of aliases is gone', client.forget),
        b.up({ clean: false, present: true, props: [prop.topicAliasMaximum(2)] }),
        ...topics.flatMap((topic, at) => [a.sends(p.publish(topic, `${at}`)), settled()]),
        ...arrive,
        act('what the client knew of aliases is gone', client.forget),
      ];
    },
  ),
  both('a client that names no maximum, or 0, gets no aliases', { v5: '3.1.2-27' }, (p, a, b, c) => {
    const topic = 'a/rather/long/topic';
    const same = [1, 2, 3, 4, 5, 6].map(() => p.publish(topic, 'x'));
    return [
      b.up({ props: [prop.topicAliasMaximum(0)] }),
      b.sends(p.subscribe(1, [['#', 0]])),
      b.gets(p.suback(1, [0])),
      c.up(),
      c.sends(p.subscribe(1, [['#', 0]])),
      c.gets(p.suback(1, [0])),
      a.up(),
      ...same.map((octets) => a.sends(octets)),
      b.gets(...same),
      c.gets(...same),
    ];
  }),
];

const farewells: readonly (readonly ConformanceCase[])[] = [
  both('who is disconnected by an operator is told so', { v5: '3.14.2-1 3.14.2-2 3.14.4-1 3.14.4-2' }, (p, a) => [
    a.up(),
    a.sends(p.pingreq()),
    a.gets(p.pingresp()),
    act('the operator disconnects a', (stage) => void stage.broker.disconnect('a', 'maintenance')),
    a.ends(0x98),
  ]),
  both('a broker that ends says so', { v5: '3.14.2-1 3.14.4-2' }, (_p, a) => [
    a.up(),
    { text: 'the broker is closed', play: (stage) => stage.broker.close() },
    a.ends(0x8b),
  ]),
  both('before CONNACK there is no DISCONNECT', { v5: '3.14.0-1' }, (_p, a, b) => [
    a.opens(),
    a.sends(packet(0x82, [0, 1, 0])),
    a.closed(),
    b.opens(),
    b.sends([0xe0, 0]),
    b.closed(),
  ]),
];

export const flowCases: readonly ConformanceCase[] = [
  ...window,
  ...sizes,
  ...inboundAliases,
  ...outboundAliases,
  ...farewells,
].flat();
