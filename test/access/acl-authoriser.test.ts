// ACL rules as mosquitto decides them: denials first, patterns after the user's own, nothing without a rule.

import t from 'tap';
import { AclAuthoriser } from '../../src/access/acl-authoriser.ts';
import { parseAclFile } from '../../src/access/acl-file.ts';
import { anonymousName } from '../../src/access/ports.ts';

const rules = `
# for clients without a user name
topic read public/#
topic read $SYS/broker/uptime

user plc-1
topic readwrite site/plc 1/#
  # an indented comment
topic deny site/plc 1/secret
topic commands/plc-1

user admin
topic readwrite #
topic readwrite $SYS/#
topic deny vault/+/key

pattern write data/%u/%c/#
pattern read hello
pattern deny data/+/banned/#
`;

const subject = (name: string, clientId = 'c1') => ({ name, clientId });
const acl = (text = rules): AclAuthoriser => {
  const { problems, ...parsed } = parseAclFile(text);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return new AclAuthoriser(parsed);
};

t.test('a topic may be read and written as the first group of rules that speaks of it says', (t) => {
  const authoriser = acl();
  const rows: readonly (readonly [who: ReturnType<typeof subject>, topic: string, may: '' | 'r' | 'w' | 'rw'])[] = [
    [subject(anonymousName), 'public/a', 'r'],
    [subject(anonymousName), 'public', 'r'],
    [subject(anonymousName), '$SYS/broker/uptime', 'r'],
    [subject(anonymousName), '$SYS/broker/version', ''],
    [subject(anonymousName), 'data//c1/x', ''],
    [subject('plc-1'), 'public/a', ''],
    [subject('plc-1'), 'site/plc 1/a/b', 'rw'],
    [subject('plc-1'), 'site/plc 1/secret', ''],
    [subject('plc-1'), 'site/plc 2/a', ''],
    [subject('plc-1'), 'commands/plc-1', 'rw'],
    [subject('plc-1'), 'data/plc-1/c1/t', 'w'],
    [subject('plc-1'), 'data/plc-1/c2/t', ''],
    [subject('plc-1', 'banned'), 'data/plc-1/banned/t', ''],
    [subject('plc-1'), 'hello', 'r'],
    [subject('nobody'), 'hello', 'r'],
    [subject('nobody'), 'other', ''],
    [subject('admin'), 'any/thing', 'rw'],
    [subject('admin'), 'vault/1/key', ''],
    [subject('admin'), 'data/x/banned/y', 'rw'],
    [subject('admin'), '$SYS/broker/uptime', 'r'],
    [subject('admin'), '$other/x', ''],
    [subject('pl+', 'c1'), 'data/pl+/c1/x', ''],
    [subject('plc-1', '#'), 'hello', ''],
  ];
  for (const [who, topic, may] of rows) {
    t.equal(authoriser.mayReceive(who, topic), may.includes('r'), `${who.name}/${who.clientId} reads ${topic}`);
    t.equal(authoriser.mayPublish(who, topic), may.includes('w'), `${who.name}/${who.clientId} writes ${topic}`);
  }
  t.end();
});

t.test('a subscription is granted when it can bring anything', (t) => {
  const authoriser = acl();
  const rows: readonly (readonly [name: string, filter: string, granted: boolean])[] = [
    ['plc-1', '#', true],
    ['plc-1', 'site/plc 1/secret', false],
    ['plc-1', 'site/plc 1/a', true],
    ['plc-1', 'site/+/a', true],
    ['plc-1', 'site/plc 1', true],
    ['plc-1', 'site', false],
    ['plc-1', '+/plc-1', true],
    ['plc-1', 'data/#', false],
    ['plc-1', '$SYS/#', false],
    ['admin', '$SYS/#', true],
    ['admin', '$other/#', false],
    ['nobody', '#', true],
    ['nobody', 'a/#', false],
    [anonymousName, '+', true],
    [anonymousName, '+/+/+', true],
    [anonymousName, 'private/+', false],
  ];
  for (const [name, filter, granted] of rows)
    t.equal(authoriser.maySubscribe(subject(name), filter), granted, `${name} subscribes to ${filter}`);
  t.end();
});

t.test('without rules everything is allowed, but nobody publishes to $SYS', (t) => {
  const authoriser = new AclAuthoriser(undefined);
  t.ok(authoriser.mayPublish(subject('x'), 'a'));
  t.ok(authoriser.mayReceive(subject('x'), '$SYS/broker/uptime'));
  t.ok(authoriser.maySubscribe(subject('x'), '$SYS/#'));
  t.notOk(authoriser.mayPublish(subject('x'), '$SYS/broker/uptime'));
  t.notOk(authoriser.mayPublish(subject('x'), '$SYS'));
  t.ok(authoriser.mayPublish(subject('x'), '$SYSTEM'));
  t.end();
});

t.test('new rules hold at once, and the epoch says that they are new', (t) => {
  const authoriser = acl();
  const who = subject('plc-1');
  t.ok(authoriser.mayReceive(who, 'hello'));
  const before = authoriser.epoch;
  const { problems: _, ...next } = parseAclFile('user plc-1\ntopic write hello\n');
  authoriser.replace(next);
  t.not(authoriser.epoch, before);
  t.notOk(authoriser.mayReceive(who, 'hello'));
  t.ok(authoriser.mayPublish(who, 'hello'));
  t.end();
});

t.test('while the client id is not known, rules with it hold for nobody', (t) => {
  const authoriser = acl();
  t.notOk(authoriser.mayPublish({ name: 'plc-1' }, 'data/plc-1//x'));
  t.ok(authoriser.mayReceive({ name: 'plc-1' }, 'hello'));
  t.end();
});

t.test('an empty file allows nothing', (t) => {
  const authoriser = acl('# nothing\n');
  t.notOk(authoriser.mayReceive(subject('x'), 'a'));
  t.notOk(authoriser.maySubscribe(subject('x'), '#'));
  t.end();
});

t.test('a name in a pattern is put in once, whatever it holds', (t) => {
  const authoriser = acl('pattern read a/%u/%c\n');
  t.ok(authoriser.mayReceive(subject('%c', 'me'), 'a/%c/me'));
  t.notOk(authoriser.mayReceive(subject('%c', 'me'), 'a/me/me'));
  t.end();
});

t.test('each mistake in the file is told with its line', (t) => {
  const rows: readonly (readonly [line: string, message: RegExp])[] = [
    ['topics read a', /'topics' is not known/],
    ['topic', /topic is missing/],
    ['topic raed a/b', /'raed' is not an access/],
    ['topic a topic with spaces', /'a' is not an access/],
    ['topic read a#', /'a#' is no topic filter/],
    ['pattern write a/b+', /'a\/b\+' is no topic filter/],
    ['user', /no user name/],
    ['user (anonymous)', /no user name/],
  ];
  for (const [line, message] of rows) {
    const { problems } = parseAclFile(`# one\ntopic read a\r\n${line}\n`);
    t.equal(problems.length, 1, line);
    t.match(problems[0], { line: 3, message, mend: /./ });
  }
  t.same(parseAclFile('topic read').patterns, []);
  t.same(parseAclFile('topic read').users.get(anonymousName), [{ access: 'readwrite', filter: 'read' }]);
  t.end();
});
