// Packets that no client may send, and the ordinary client that needs nothing but the specification.

import { packet } from '../packets.ts';
import { both, type ConformanceCase } from '../script.ts';

const cases: readonly (readonly ConformanceCase[])[] = [
  ...[0x00, 0x20, 0x90, 0xb0, 0xd0].map((first) =>
    both(
      `the packet type ${first >> 4} of a client ends the connection`,
      { v4: '4.8.0-1', v5: '4.13.1-1 4.13.2-1' },
      (_p, a) => [a.up(), a.sends(packet(first, [0, 1, 0])), a.ends(0x81, 0x82)],
    ),
  ),
  both('packet type 15 does not exist', { v4: '4.8.0-1' }, (_p, a) => [a.up(), a.sends([0xf0, 0]), a.closed()]),
  both('a remaining length of five bytes ends the connection', { v4: '4.8.0-1', v5: '1.5.5-1' }, (_p, a) => [
    a.up(),
    a.sends([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
    a.ends(0x81, 0x95),
  ]),
  both('a remaining length longer than need be ends the connection', { v5: '1.5.5-1' }, (_p, a) => [
    a.up(),
    a.sends([0xc0, 0x80, 0x00]),
    a.ends(0x81),
  ]),
  both(
    'whatever one client does wrong, the others are not disturbed',
    { v4: '4.8.0-1', v5: '4.13.1-1' },
    (p, a, b, c) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 1]])),
      b.gets(p.suback(1, [1])),
      c.up(),
      a.up(),
      a.sends([0x00, 0x00]),
      a.ends(0x81, 0x82),
      c.sends(p.publish('t', 'x', { qos: 1, id: 1 })),
      c.gets(p.puback(1)),
      b.gets(p.publish('t', 'x', { qos: 1, id: 'm' })),
    ],
  ),
  both('a packet in pieces of any size is the same packet', { v4: '7.1.1-1 7.0.0-2', v5: '4.2.0-1' }, (p, a, b) => [
    b.up(),
    b.sendsInPieces(1, p.subscribe(1, [['t', 2]])),
    b.gets(p.suback(1, [2])),
    a.up(),
    a.sendsInPieces(1, p.publish('t', 'in pieces of one', { qos: 1, id: 1 })),
    a.gets(p.puback(1)),
    a.sendsInPieces(3, p.publish('t', 'in pieces of three'), p.publish('t', 'the next one', { qos: 2, id: 2 })),
    a.gets(p.pubrec(2)),
    a.sends(p.publish('t', 'x'.repeat(100_000))),
    b.gets(
      p.publish('t', 'in pieces of one', { qos: 1, id: 'm1' }),
      p.publish('t', 'in pieces of three'),
      p.publish('t', 'the next one', { qos: 2, id: 'm2' }),
      p.publish('t', 'x'.repeat(100_000)),
    ),
  ]),
];

export const malformedCases: readonly ConformanceCase[] = cases.flat();
