// Properties of MQTT 5.0: passed on as they are, and refused where they are wrong.

import { counted, Packets, packet, prop, u16, vbi } from '../packets.ts';
import { publishRead } from '../received.ts';
import { both, Client, type ConformanceCase, wait } from '../script.ts';

const lasting = { clean: false, props: [prop.sessionExpiry(3600)] } as const;
const second = 1000;
const broken = Uint8Array.of(0x61, 0xc3, 0x28);

const everything = [
  prop.payloadFormat(1),
  prop.contentType('application/json'),
  prop.responseTopic('answers/1'),
  prop.correlationData(Uint8Array.of(0, 1, 0xff)),
  prop.user('b', '1'),
  prop.user('a', '2'),
  prop.user('b', '0'),
  prop.user('', ''),
];

const passed: readonly (readonly ConformanceCase[])[] = [
  both(
    'the properties of a message reach every subscriber as they are, user properties in their order',
    { v5: '3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20 2.2.2-1' },
    (p, a, b, c) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      c.up(lasting),
      c.sends(p.subscribe(1, [['t', 2]])),
      c.gets(p.suback(1, [2])),
      c.lost(),
      a.up(),
      a.sends(p.publish('t', '{}', { props: everything })),
      a.sends(p.publish('t', '{}', { qos: 1, id: 1, props: everything })),
      a.gets(p.puback(1)),
      a.sends(p.publish('t', 'plain', { qos: 2, id: 2 })),
      a.gets(p.pubrec(2)),
      b.gets(
        p.publish('t', '{}', { props: everything }),
        p.publish('t', '{}', { props: everything }),
        p.publish('t', 'plain'),
      ),
      c.up({ ...lasting, present: true }),
      c.gets(
        p.publish('t', '{}', { qos: 1, id: 'm1', props: everything }),
        p.publish('t', 'plain', { qos: 2, id: 'm2' }),
      ),
    ],
  ),
  both('a payload that is not the UTF-8 it says it is is refused', { v5: '3.4.2-1 3.5.2-1 3.3.2-4' }, (p, a, b) => {
    const text = { props: [prop.payloadFormat(1)] };
    const bytes = { props: [prop.payloadFormat(0)] };
    return [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('t', broken, { qos: 1, id: 1, ...text }), p.publish('t', broken, { qos: 2, id: 2, ...text })),
      a.gets(p.puback(1, 0x99), p.pubrec(2, 0x99)),
      a.sends(p.publish('t', broken, text), p.publish('t', broken, bytes), p.publish('t', 'ä', text)),
      b.gets(p.publish('t', broken, bytes), p.publish('t', 'ä', text)),
      b.silent(),
    ];
  }),
  both('a retained message keeps its properties', { v5: '3.3.2-4 3.3.2-17' }, (p, a, b) => [
    a.up(),
    a.sends(p.publish('t', '{}', { qos: 1, id: 1, retain: true, props: everything })),
    a.gets(p.puback(1, 'ok')),
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0]), p.publish('t', '{}', { retain: true, props: everything })),
  ]),
  both(
    'clients of both versions exchange messages, with properties as far as they know them',
    { v5: '3.3.2-17 3.3.4-1' },
    (p, a) => {
      const p4 = new Packets('3.1.1');
      const old = new Client('old', p4);
      return [
        old.up(),
        old.sends(p4.subscribe(1, [['t', 1]])),
        old.gets(p4.suback(1, [1])),
        a.up(),
        a.sends(p.subscribe(1, [['t', 1]])),
        a.gets(p.suback(1, [1])),
        a.sends(p.publish('t', 'new', { qos: 1, id: 7, props: everything })),
        a.getsInAnyOrder(p.puback(7), p.publish('t', 'new', { qos: 1, id: '?', props: everything })),
        old.gets(p4.publish('t', 'new', { qos: 1, id: '?' })),
        old.sends(p4.publish('t', 'old', { qos: 1, id: 9 }), p4.publish('t', 'run'), p4.publish('t', 'run')),
        old.getsInAnyOrder(
          p4.puback(9),
          p4.publish('t', 'old', { qos: 1, id: '?' }),
          p4.publish('t', 'run'),
          p4.publish('t', 'run'),
        ),
        a.gets(p.publish('t', 'old', { qos: 1, id: '?' }), p.publish('t', 'run'), p.publish('t', 'run')),
        a.sends(p.publish('t', 'run'), p.publish('t', 'run')),
        a.gets(p.publish('t', 'run'), p.publish('t', 'run')),
        old.gets(p4.publish('t', 'run'), p4.publish('t', 'run')),
      ];
    },
  ),
];

const expiry: readonly (readonly ConformanceCase[])[] = [
  both('a message that expired is not delivered', { v5: '3.3.2-5' }, (p, a, b) => [
    b.up(lasting),
    b.sends(p.subscribe(1, [['t', 1]])),
    b.gets(p.suback(1, [1])),
    b.lost(),
    a.up(),
    a.sends(
      p.publish('t', 'short', { qos: 1, id: 1, props: [prop.messageExpiry(10)] }),
      p.publish('t', 'long', { qos: 1, id: 2, props: [prop.messageExpiry(100)] }),
      p.publish('t', 'ever', { qos: 1, id: 3 }),
    ),
    a.gets(p.puback(1), p.puback(2), p.puback(3)),
    wait(20 * second),
    b.up({ ...lasting, present: true }),
    b.gets(
      p.publish('t', 'long', { qos: 1, id: '?', props: [prop.messageExpiry(80)] }),
      p.publish('t', 'ever', { qos: 1, id: '?' }),
    ),
    b.silent(),
  ]),
  both('a message that expired behind a full window is not delivered', { v5: '3.3.2-5' }, (p, a, b) => [
    b.up({ props: [prop.receiveMaximum(1)] }),
    b.sends(p.subscribe(1, [['t', 1]])),
    b.gets(p.suback(1, [1])),
    a.up(),
    a.sends(
      p.publish('t', '1', { qos: 1, id: 1 }),
      p.publish('t', '2', { qos: 1, id: 2, props: [prop.messageExpiry(5)] }),
      p.publish('t', '3', { qos: 1, id: 3, props: [prop.messageExpiry(50)] }),
    ),
    a.gets(p.puback(1), p.puback(2), p.puback(3)),
    b.gets(p.publish('t', '1', { qos: 1, id: 'm' })),
    wait(10 * second),
    b.silent(),
    b.sends(p.puback('m')),
    b.gets(p.publish('t', '3', { qos: 1, id: '?', props: [prop.messageExpiry(40)] })),
    b.silent(),
  ]),
  both('a message that does not wait keeps its expiry interval', { v5: '3.3.2-6' }, (p, a, b) => [
    b.up(),
    b.sends(p.subscribe(1, [['t', 0]])),
    b.gets(p.suback(1, [0])),
    a.up(),
    a.sends(p.publish('t', 'x', { props: [prop.messageExpiry(10)] })),
    b.gets(p.publish('t', 'x', { props: [prop.messageExpiry(10)] })),
  ]),
  both('a message that was sent once does not expire', { v5: '4.3.3-7' }, (p, a, b) => [
    b.up(lasting),
    b.sends(p.subscribe(1, [['t', 2]])),
    b.gets(p.suback(1, [2])),
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 2, id: 1, props: [prop.messageExpiry(10)] })),
    a.gets(p.pubrec(1)),
    b.gets(p.publish('t', 'x', { qos: 2, id: 'm', props: [prop.messageExpiry(10)] })),
    b.lost(),
    wait(60 * second),
    b.up({ ...lasting, present: true }),
    b.getsWhat('the PUBLISH again', (got) => {
      const { payload, qos, dup } = publishRead(got, '5.0');
      return payload === 'x' && qos === 2 && dup ? undefined : 'not the message that was sent before';
    }),
    b.sends(p.pubrec('m')),
    b.gets(p.pubrel('m')),
    b.sends(p.pubcomp('m')),
  ]),
  both('the exchange of a message is completed after it expired', { v5: '4.3.3-13' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 2, id: 1, props: [prop.messageExpiry(1)] })),
    a.gets(p.pubrec(1, 'ok')),
    wait(10 * second),
    a.sends(p.publish('t', 'x', { qos: 2, id: 1, dup: true, props: [prop.messageExpiry(1)] }), p.pubrel(1)),
    a.gets(p.pubrec(1, 'ok'), p.pubcomp(1)),
  ]),
];

const wrongInPublish: readonly (readonly [string, string, readonly number[]])[] = [
  ['a content type that is no UTF-8', '3.3.2-19 1.5.4-1', prop.contentType(broken)],
  ['a response topic that is no UTF-8', '3.3.2-13 1.5.4-1', prop.responseTopic(broken)],
  ['a response topic with a wildcard', '3.3.2-14', prop.responseTopic('answers/+')],
  ['a user property whose name is no UTF-8', '1.5.7-1', prop.user(broken, 'v')],
  ['a user property whose value is no UTF-8', '1.5.7-1', prop.user('k', broken)],
  ['a user property with U+0000', '1.5.7-1 1.5.4-2', prop.user('k', 'a\0')],
  ['a subscription identifier', '3.3.4-6', prop.subscriptionId(1)],
  ['a payload format other than 0 and 1', '4.13.1-1', prop.payloadFormat(2)],
  ['a property of another packet', '4.13.1-1', prop.sessionExpiry(1)],
  ['a property that does not exist', '4.13.1-1', [0x7f, 0]],
  ['a property twice', '4.13.1-1', [...prop.messageExpiry(1), ...prop.messageExpiry(1)]],
  ['a property of four bytes that is cut off', '4.13.1-1', [0x02, 0, 0]],
  ['a property of two bytes that is cut off', '4.13.1-1', [0x23, 0]],
  ['a property of one byte that is cut off', '4.13.1-1', [0x01]],
  ['a text property that is cut off', '4.13.1-1', [0x03, 0, 9, 0x61]],
  ['binary data that are cut off', '4.13.1-1', [0x09, 0, 9, 0x61]],
  ['a user property that is cut off', '4.13.1-1 1.5.7-1', [0x26, 0, 1, 0x61, 0, 5, 0x62]],
];

const wrong: readonly (readonly ConformanceCase[])[] = [
  ...wrongInPublish.map(([what, clauses, property]) =>
    both(`PUBLISH with ${what} is refused, and not delivered`, { v5: clauses }, (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('t', 'x', { qos: 1, id: 1, props: [property] })),
      a.ends(0x81, 0x82, 0x90, 0x99),
      b.silent(),
    ]),
  ),
  both('PUBLISH without a property length is malformed', { v5: '2.2.2-1' }, (_p, a) => [
    a.up(),
    a.sends(packet(0x30, counted('t'))),
    a.ends(0x81),
  ]),
  both('a property length beyond the packet is malformed', { v5: '2.2.2-1' }, (_p, a) => [
    a.up(),
    a.sends(packet(0x30, counted('t'), [20])),
    a.ends(0x81),
  ]),
  both('a property length longer than need be is malformed', { v5: '1.5.5-1' }, (_p, a) => [
    a.up(),
    a.sends(packet(0x30, counted('t'), [0x80, 0x00])),
    a.ends(0x81),
  ]),
  both('a subscription identifier of 0 is refused', { v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(0)])),
    a.ends(0x81, 0x82),
  ]),
  both('two subscription identifiers are refused', { v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(1), prop.subscriptionId(2)])),
    a.ends(0x81, 0x82),
  ]),
  both('a subscription identifier longer than need be is refused', { v5: '1.5.5-1' }, (_p, a) => [
    a.up(),
    a.sends(packet(0x82, u16(1), [3, 0x0b, 0x81, 0x00], counted('t'), [0])),
    a.ends(0x81),
  ]),
  both('user properties of SUBSCRIBE, UNSUBSCRIBE and acknowledgements are taken', { v5: '2.2.2-1' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['t', 2]], [prop.user('k', 'v'), prop.user('k', 'v')])),
    a.gets(p.suback(1, [2])),
    b.up(),
    b.sends(p.publish('t', '1', { qos: 1, id: 1 }), p.publish('t', '2', { qos: 2, id: 2 })),
    b.gets(p.puback(1), p.pubrec(2)),
    b.sends(p.pubrel(2, 0, [prop.reasonString('done')])),
    b.gets(p.pubcomp(2)),
    a.gets(p.publish('t', '1', { qos: 1, id: 'm1' }), p.publish('t', '2', { qos: 2, id: 'm2' })),
    a.sends(p.puback('m1', 0, [prop.user('k', 'v')]), p.pubrec('m2', 0x10, [prop.reasonString('why not')])),
    a.gets(p.pubrel('m2')),
    a.sends(p.pubcomp('m2', 0, [prop.user('k', 'v')])),
    a.sends(p.unsubscribe(2, ['t'], [prop.user('k', 'v')])),
    a.gets(p.unsuback(2, [0])),
  ]),
  both('a PUBACK with a reason code that does not exist is refused', { v5: '4.13.1-1' }, (p, a) => [
    a.up(),
    a.sends(p.puback(1, 0x42)),
    a.ends(0x81, 0x82),
  ]),
];

const wrongInConnect: readonly (readonly [string, readonly number[]])[] = [
  ['a receive maximum of 0', prop.receiveMaximum(0)],
  ['a maximum packet size of 0', prop.packetBytesMax(0)],
  ['request problem information 2', prop.requestProblem(2)],
  ['request response information 2', prop.requestResponse(2)],
  ['a session expiry twice', [...prop.sessionExpiry(1), ...prop.sessionExpiry(1)]],
  ['authentication data without a method', prop.authData('x')],
  ['a property of CONNACK', prop.assignedClientId('x')],
];

const connecting: readonly (readonly ConformanceCase[])[] = [
  ...wrongInConnect.map(([what, property]) =>
    both(`CONNECT with ${what} is refused`, { v5: '3.1.4-1 3.2.2-6 3.2.2-7' }, (p, a) => [
      a.opens(),
      a.sends(p.connect({ id: 'a', props: [property] })),
      a.refused({ v4: undefined, v5: [0x81, 0x82] }),
    ]),
  ),
  both('a will with a wrong property is refused', { v5: '3.1.4-1 3.1.2-9' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', will: { topic: 't', payload: 'x', props: [prop.topicAlias(1)] } })),
    a.refused({ v4: undefined, v5: [0x81, 0x82] }),
  ]),
  both(
    'CONNACK names what the broker can, and nothing that was not asked for',
    { v5: '3.1.2-28 3.2.2-9 4.12.0-6 3.2.2-8' },
    (_p, a, b) => [
      a.up({ props: [prop.requestResponse(0)], lacks: [0x1a, 0x24, 0x25, 0x15, 0x16, 0x12] }),
      b.up({ lacks: [0x1a, 0x15, 0x16] }),
    ],
  ),
  both(
    'a packet above the maximum packet size of the broker ends the connection',
    { v5: '3.2.2-15 4.13.2-1' },
    (_p, a) => {
      const packetBytes = 5 + 2 + 65_535 + 2 + 262_144;
      return [a.up({ has: [prop.packetBytesMax(packetBytes)] }), a.sends([0x30, ...vbi(packetBytes)]), a.ends(0x95)];
    },
  ),
];

export const propertyCases: readonly ConformanceCase[] = [...passed, ...expiry, ...wrong, ...connecting].flat();
