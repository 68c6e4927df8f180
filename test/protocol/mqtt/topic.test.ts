// Topic names, filters and matching, as tables after MQTT 3.1.1 §4.7.

import t from 'tap';
import {
  isMqttString,
  isValidTopicFilter,
  isValidTopicName,
  parseShare,
  topicMatches,
} from '../../../src/protocol/mqtt/topic.ts';

const names: readonly [string, boolean][] = [
  ['a', true],
  ['/', true],
  ['a//b', true],
  ['$SYS/broker', true],
  ['with space/ü/日本/😀', true],
  ['', false],
  ['a/+', false],
  ['a/#', false],
  ['a+b', false],
  ['a\u0000b', false],
  ['lone \ud800 surrogate', false],
  ['lone \udc00 surrogate', false],
  ['x'.repeat(65_535), true],
  ['x'.repeat(65_536), false],
  ['ü'.repeat(32_768), false],
  ['a/'.repeat(63), true],
  ['a/'.repeat(64), false],
];

const filters: readonly [string, boolean][] = [
  ['#', true],
  ['+', true],
  ['/', true],
  ['a/#', true],
  ['+/+/#', true],
  ['/+', true],
  ['a/+/b', true],
  ['$SYS/#', true],
  ['', false],
  ['a#', false],
  ['a/#/b', false],
  ['a/b#', false],
  ['a+', false],
  ['a/+b', false],
  ['a/+b/c', false],
  ['##', false],
  ['a\u0000', false],
];

const matches: readonly [string, string, boolean][] = [
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/tennis/player1/#', 'sport/tennis/player10', false],
  ['sport/#', 'sport', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+', '/finance', false],
  ['#', 'a/b', true],
  ['#', '$SYS/a', false],
  ['+/a', '$SYS/a', false],
  ['$SYS/#', '$SYS/a', true],
  ['$SYS/+/b', '$SYS/a/b', true],
  ['a', 'A', false],
  ['a/b', 'a/b', true],
  ['a/b', 'a', false],
  ['a/b', 'a/b/c', false],
  ['a/b/c/#', 'a/b', false],
];

t.test('a topic name is valid exactly when one can publish to it', async (t) => {
  for (const [name, valid] of names) t.equal(isValidTopicName(name), valid, JSON.stringify(name.slice(0, 40)));
});

t.test('a filter is valid exactly when its wildcards stand alone and # stands last', async (t) => {
  for (const [filter, valid] of filters) t.equal(isValidTopicFilter(filter), valid, JSON.stringify(filter));
});

t.test('a filter matches as the specification says', async (t) => {
  for (const [filter, topic, matched] of matches) t.equal(topicMatches(filter, topic), matched, `${filter} ~ ${topic}`);
});

t.test('a string is sendable when it is well-formed, without U+0000, and fits two length bytes', async (t) => {
  t.ok(isMqttString(''));
  t.ok(isMqttString('+#/'));
  t.notOk(isMqttString('\u0000'));
  t.notOk(isMqttString('\ud83d'));
  t.notOk(isMqttString('x'.repeat(65_536)));
});

const shares: readonly [string, { share: string; filter: string } | undefined][] = [
  ['$share/g/a', { share: 'g', filter: 'a' }],
  ['$share/g/#', { share: 'g', filter: '#' }],
  ['$share/g//a', { share: 'g', filter: '/a' }],
  ['$share/ü//', { share: 'ü', filter: '/' }],
  ['$share//a', undefined],
  ['$share/g', undefined],
  ['$share/g/', undefined],
  ['$share/', undefined],
  ['$share/g+/a', undefined],
  ['$share/#/a', undefined],
  ['$shared/g/a', undefined],
  ['$share', undefined],
  ['a', undefined],
];

t.test('a shared subscription names its share and its filter', async (t) => {
  for (const [filter, parts] of shares) {
    t.same(parseShare(filter), parts, filter);
    const isShare = filter.startsWith('$share/');
    t.equal(isValidTopicFilter(filter, 5), isShare ? parts !== undefined : true, filter);
  }
  t.notOk(isValidTopicFilter('$share/g/a#', 5), 'wildcards of the filter within');
  t.ok(isValidTopicFilter('$share/g', 4), 'an ordinary filter before MQTT 5');
});
