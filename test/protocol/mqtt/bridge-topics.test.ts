// Names of topics on either side of a bridge, as the rules give them.

import t from 'tap';
import {
  localTopics,
  mayEcho,
  remoteFilters,
  remoteTopics,
  type TopicRule,
  topicRuleProblems,
} from '../../../src/protocol/mqtt/bridge-topics.ts';

const rule = (text: string): TopicRule => {
  const [direction = 'out', topic = '', inPrefix = '', outPrefix = ''] = text.split(' ');
  return { direction: direction as TopicRule['direction'], topic, inPrefix, outPrefix };
};

t.test('a message goes out and comes in under the names of its rules', async (t) => {
  const rows: readonly (readonly [rules: string[], topic: string, out: string[], back: string[]])[] = [
    [['out sensors/#'], 'sensors/a', ['sensors/a'], []],
    [['out # hall/ site/'], 'hall/a/b', ['site/a/b'], []],
    [['out # hall/ site/'], 'hall', [], []],
    [['out # hall/ site/'], 'other', [], []],
    [['in alerts/#'], 'alerts/x', [], ['alerts/x']],
    [['in # cloud/ site/'], 'site/x', [], ['cloud/x']],
    [['both a/+ l/ r/'], 'l/a/x', ['r/a/x'], []],
    [['both a/+ l/ r/'], 'r/a/x', [], ['l/a/x']],
    [['out a x/', 'out a x/'], 'x/a', ['a'], []],
    [['out # /local/telemetry/ /remote/messages/'], '/local/telemetry/t', ['/remote/messages/t'], []],
    [['out  /local/telemetry /remote/messages'], '/local/telemetry', ['/remote/messages'], []],
    [['out # a/', 'out # a/ b/'], 'a/x', ['x', 'b/x'], []],
    [['out # a/'], 'a/', [], []],
    [['both #'], '$SYS/x', [], []],
    [['both #'], 'devices/d/messages/events/', [], []],
    [['in #', 'in #  up/'], 'up/devices/d', [], ['up/devices/d']],
    [['in $SYS/# other/'], '$SYS/uptime', [], ['other/$SYS/uptime']],
  ];
  for (const [texts, topic, out, back] of rows) {
    const rules = texts.map(rule);
    t.strictSame(remoteTopics(rules, topic), out, `${texts} out: ${topic}`);
    t.strictSame(localTopics(rules, topic), back, `${texts} in: ${topic}`);
  }
  t.strictSame(remoteFilters([rule('in a/# x/ y/'), rule('both a/# z/ y/'), rule('out b')]), ['y/a/#']);
});

t.test('rules that may echo are known', async (t) => {
  t.ok(mayEcho([rule('both a/#')]));
  t.ok(mayEcho([rule('out a/#'), rule('in +/b')]));
  t.notOk(mayEcho([rule('out a/#'), rule('in b/#')]));
  t.notOk(mayEcho([rule('out # x/ here/'), rule('in # y/ there/')]));
});

t.test('what is no rule is said, by its member', async (t) => {
  const rows: readonly (readonly [text: string, members: string[]])[] = [
    ['out a/#', []],
    ['out  x y', []],
    ['out a +/', ['inPrefix']],
    ['out a x #', ['outPrefix']],
    ['out a/#/b', ['topic']],
    ['out ', ['topic']],
    ['in a $SYS/', ['topic']],
    ['both devices/#', ['topic']],
    ['in a  devices/', []],
    ['in g/a  $share/', ['topic']],
  ];
  for (const [text, members] of rows) {
    const found = topicRuleProblems(rule(text)).map(({ member }) => member);
    t.strictSame(found, members, text);
  }
});
