// Topic names, filters, matching, and the strings they are made of.

import type { Packets } from '../packets.ts';
import { counted, packet } from '../packets.ts';
import type { Client } from '../script.ts';
import { both, type ConformanceCase, type Step } from '../script.ts';

/** `b` subscribes to `filter`; of `topics`, published by `a`, it gets `matching`. */
function matches(filter: string, topics: readonly string[], matching: readonly string[]) {
  return (p: Packets, a: Client, b: Client): readonly Step[] => [
    b.up(),
    b.sends(p.subscribe(1, [[filter, 0]])),
    b.gets(p.suback(1, [0])),
    a.up(),
    a.sends(...topics.map((topic) => p.publish(topic, topic))),
    b.gets(...matching.map((topic) => p.publish(topic, topic))),
    b.silent(),
  ];
}

const matching: readonly (readonly ConformanceCase[])[] = [
  both(
    '# matches any levels, and the one above it',
    { v4: '4.7.1-2 3.8.3-2 3.3.2-3', v5: '4.7.1-1 3.3.2-3' },
    matches(
      'sport/tennis/#',
      [
        'sport/tennis',
        'sport/tennis/player',
        'sport/tennis/player/ranking',
        'sport',
        'sport/tennisx',
        'Sport/tennis',
        'sport/tennis/',
      ],
      ['sport/tennis', 'sport/tennis/player', 'sport/tennis/player/ranking', 'sport/tennis/'],
    ),
  ),
  both(
    '+ matches one level, an empty one too',
    { v4: '4.7.1-3 3.8.3-2', v5: '4.7.1-2' },
    matches(
      'sport/+/player',
      [
        'sport/tennis/player',
        'sport//player',
        'sport/player',
        'sport/tennis/player/ranking',
        'sport/tennis',
        'x/tennis/player',
      ],
      ['sport/tennis/player', 'sport//player'],
    ),
  ),
  both(
    '+ at the front and at the end',
    { v4: '4.7.1-3', v5: '4.7.1-2' },
    matches('+/+', ['a/b', '/b', 'a/', 'a', 'a/b/c', '/'], ['a/b', '/b', 'a/', '/']),
  ),
  both(
    '# alone matches everything but what begins with $',
    { v4: '4.7.2-1 4.7.1-2', v5: '4.7.2-1 4.7.1-1' },
    matches('#', ['a', '/', 'a/b/c', '$x', '$x/y'], ['a', '/', 'a/b/c']),
  ),
  both(
    '+ at the front does not match what begins with $',
    { v4: '4.7.2-1', v5: '4.7.2-1' },
    matches('+/y', ['x/y', '$x/y'], ['x/y']),
  ),
  both(
    'a filter that begins with $ matches',
    { v4: '4.7.2-1', v5: '4.7.2-1' },
    matches('$x/#', ['$x/y', 'x/y', '$x'], ['$x/y', '$x']),
  ),
  both(
    'nothing is normalised: case, blanks, slashes and composed characters count',
    { v4: '4.7.3-4', v5: '4.7.3-4' },
    matches('Ä/b c', ['Ä/b c', 'A\u0308/b c', 'ä/b c', 'Ä/b  c', '/Ä/b c', 'Ä/b c/'], ['Ä/b c']),
  ),
  both(
    'U+FEFF in a topic is a character like others',
    { v4: '1.5.3-3 4.7.3-4', v5: '1.5.4-3' },
    matches('\ufefft', ['\ufefft', 't', 't\ufeff'], ['\ufefft']),
  ),
  both(
    'characters that are unassigned or beyond the first plane pass unchanged',
    { v4: '4.7.3-4 1.5.3-1', v5: '4.7.3-4 1.5.4-1' },
    matches('\u{1f321}/\u0378', ['\u{1f321}/\u0378', '\u{1f321}/\ufffd'], ['\u{1f321}/\u0378']),
  ),
  both(
    'a topic of one character, and one of a slash',
    { v4: '4.7.3-1', v5: '4.7.3-1' },
    matches('/', ['/', 'a', '//'], ['/']),
  ),
  both('topics and filters of 65,535 bytes', { v4: '4.7.3-3', v5: '4.7.3-3' }, (p, a, b) => {
    const long = 'x'.repeat(65_535);
    return [
      b.up(),
      b.sends(p.subscribe(1, [[long, 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish(long, 'y'), p.publish(long.slice(1), 'z')),
      b.gets(p.publish(long, 'y')),
      b.silent(),
    ];
  }),
];

const invalidFilters = ['sport/tennis#', 'sport/tennis/#/ranking', '#/x', 'sport+', '+x', 'a/b+/c', 'a/+b/c'];

const refused: readonly (readonly ConformanceCase[])[] = [
  ...invalidFilters.map((filter) =>
    both(
      `the filter ${filter} is refused`,
      { v4: filter.includes('#') ? '4.7.1-2' : '4.7.1-3', v5: filter.includes('#') ? '4.7.1-1' : '4.7.1-2' },
      (p, a) => [a.up(), a.sends(p.subscribe(1, [[filter, 0]])), a.ends(0x81, 0x82, 0x8f)],
    ),
  ),
  both('an empty filter is refused', { v4: '4.7.3-1', v5: '4.7.3-1' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['', 0]])),
    a.ends(0x81, 0x82, 0x8f),
    b.up(),
    b.sends(p.unsubscribe(1, [''])),
    b.ends(0x81, 0x82, 0x8f),
  ]),
  both('a filter with U+0000 is refused', { v4: '4.7.3-2 1.5.3-2', v5: '4.7.3-2 1.5.4-2' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['a\0', 0]])),
    a.ends(0x81, 0x82, 0x8f),
    b.up(),
    b.sends(p.unsubscribe(1, ['a\0'])),
    b.ends(0x81, 0x82, 0x8f),
  ]),
  ...['a/+/b', '#', 'a/#', '+', 'a+', 'a#b'].map((topic) =>
    both(`a topic name ${topic} is refused`, { v4: '3.3.2-2 4.7.1-1', v5: '3.3.2-2 4.7.0-1' }, (p, a, b) => [
      a.up(),
      a.sends(p.publish(topic, 'x')),
      a.ends(0x81, 0x82, 0x90),
      b.up(),
      b.sends(p.publish(topic, 'x', { qos: 1, id: 1 })),
      b.ends(0x81, 0x82, 0x90),
    ]),
  ),
  both('an empty topic name is refused', { v4: '4.7.3-1', v5: '4.7.3-1' }, (p, a) => [
    a.up(),
    a.sends(p.publish('', 'x')),
    a.ends(0x81, 0x82, 0x90),
  ]),
  both('a topic name with U+0000 is refused', { v4: '4.7.3-2 1.5.3-2', v5: '4.7.3-2 1.5.4-2' }, (p, a) => [
    a.up(),
    a.sends(p.publish('a\0b', 'x')),
    a.ends(0x81, 0x82, 0x90),
  ]),
  ...(
    [
      ['a continuation alone', [0x80]],
      ['an overlong slash', [0xc0, 0xaf]],
      ['a surrogate', [0xed, 0xb0, 0x80]],
      ['a code point above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
      ['a character that is cut off', [0xe2, 0x82]],
    ] as const
  ).map(([what, bytes]) =>
    both(`a topic name with ${what} is refused`, { v4: '1.5.3-1 3.3.2-1', v5: '1.5.4-1 3.3.2-1' }, (p, a) => [
      a.up(),
      a.sends(p.publish(Uint8Array.of(0x74, ...bytes), 'x')),
      a.ends(0x81, 0x82, 0x90),
    ]),
  ),
  both('a topic name longer than the packet is refused', { v4: '3.3.2-1', v5: '3.3.2-1' }, (_p, a) => [
    a.up(),
    a.sends(packet(0x30, [0, 200], [0x74])),
    a.ends(0x81),
  ]),
  both('PUBLISH without a topic name is refused', { v4: '3.3.2-1', v5: '3.3.2-1' }, (_p, a) => [
    a.up(),
    a.sends([0x30, 0]),
    a.ends(0x81),
  ]),
  both(
    'PUBLISH that ends within its identifier is refused',
    { v4: '2.3.1-1 4.8.0-1', v5: '2.2.1-3 4.13.1-1' },
    (_p, a) => [a.up(), a.sends(packet(0x32, counted('t'), [0])), a.ends(0x81)],
  ),
];

const access: readonly (readonly ConformanceCase[])[] = [
  both(
    'a PUBLISH that is not allowed ends the connection, and is not delivered',
    { v4: '3.3.5-2' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['#', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('no', 'x', { qos: 1, id: 1 })),
      a.closed(),
      b.silent(),
    ],
    { broker: { mayPublish: (topic) => topic !== 'no' } },
  ),
  both(
    'a PUBLISH that is not allowed may be acknowledged instead, and is not delivered',
    { v4: '3.3.5-2' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['#', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('no', 'x', { qos: 1, id: 1 }), p.publish('no', 'x', { qos: 2, id: 2 }), p.pubrel(2)),
      a.gets(p.puback(1), p.pubrec(2), p.pubcomp(2)),
      b.silent(),
    ],
    { broker: { mayPublish: (topic) => topic !== 'no', settings: { deniedPublish: 'drop' } } },
  ),
  both('a PUBLISH that nobody subscribed to is answered with 0x10', { v5: '3.4.2-1 3.5.2-1' }, (p, a) => [
    a.up(),
    a.sends(p.publish('t', 'x', { qos: 1, id: 1 }), p.publish('t', 'x', { qos: 2, id: 2 })),
    a.gets(p.puback(1, 0x10), p.pubrec(2, 0x10)),
    a.sends(p.pubrel(2)),
    a.gets(p.pubcomp(2)),
  ]),
  both(
    'a PUBLISH that is not allowed is answered with 0x87, and not delivered',
    { v5: '3.4.2-1 3.5.2-1 4.3.3-9' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['#', 0]])),
      b.gets(p.suback(1, [0])),
      a.up(),
      a.sends(p.publish('no', 'x', { qos: 1, id: 1 }), p.publish('no', 'x', { qos: 2, id: 2 }), p.publish('no', 'x')),
      a.gets(p.puback(1, 0x87), p.pubrec(2, 0x87)),
      a.sends(p.publish('yes', 'x', { qos: 2, id: 2 })),
      a.gets(p.pubrec(2)),
      b.gets(p.publish('yes', 'x')),
      b.silent(),
    ],
    { broker: { mayPublish: (topic) => topic !== 'no' } },
  ),
];

export const topicCases: readonly ConformanceCase[] = [...matching, ...refused, ...access].flat();
