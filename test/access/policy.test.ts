// The gateway's policy document: what is read, what is refused and where, and what it allows to whom.

import t from 'tap';
import { PolicyAuthoriser, type PolicySubject } from '../../src/access/policy-authoriser.ts';
import { parsePolicy } from '../../src/access/policy-document.ts';
import type { JsonValue } from '../../src/model/json.ts';

const options = { hostnames: ['hub.example', 'gateway.example'], thisDeviceId: 'gw1', isSysReadable: false };

const user = (name: string, clientId = 'c1'): PolicySubject => ({ name, identity: undefined, clientId });
const device = (deviceId: string): PolicySubject => ({ name: deviceId, identity: { deviceId }, clientId: deviceId });
const module = (deviceId: string, moduleId: string): PolicySubject => ({
  name: `${deviceId}/${moduleId}`,
  identity: { deviceId, moduleId },
  clientId: `${deviceId}/${moduleId}`,
});

function authoriser(document: JsonValue): PolicyAuthoriser {
  const { statements, problems } = parsePolicy(document, '$');
  if (problems.length > 0) throw new TypeError(JSON.stringify(problems));
  const made = new PolicyAuthoriser(options);
  made.replace(statements);
  return made;
}

const rule = (operations: string, ...resources: string[]): JsonValue => ({
  operations: operations.split(' ').map((name) => `mqtt:${name}`),
  ...(resources.length === 0 ? {} : { resources }),
});

t.test('without a policy nobody may anything', async (t) => {
  const none = new PolicyAuthoriser(options);
  t.notOk(none.mayConnect(user('plc-1')));
  t.notOk(none.mayPublish(device('d1'), 'a'));
  t.notOk(none.maySubscribe(device('d1'), 'a'));
  t.notOk(none.mayReceive(device('d1'), 'a'));
  t.ok(none.mayConnect(device('d1')), 'an identity connects by its key');
});

t.test('a statement holds for the identities it names, written in each possible way', async (t) => {
  const rows: readonly (readonly [identity: string, who: PolicySubject, holds: boolean])[] = [
    ['plc-1', user('plc-1'), true],
    ['plc-1', user('plc-2'), false],
    ['plc-1', device('plc-1'), false],
    ['hub.example/plc-1', device('plc-1'), true],
    ['HUB.example/plc-1', device('plc-1'), true],
    ['gateway.example/plc-1', device('plc-1'), true],
    ['other.example/plc-1', device('plc-1'), false],
    ['hub.example/plc-1', module('plc-1', 'm'), false],
    ['hub.example/gw1/m', module('gw1', 'm'), true],
    ['hub.example/gw1/m', user('hub.example/gw1/m'), false],
    ['other.example/gw1/m', user('other.example/gw1/m'), true],
    ['{{iot:identity}}', device('d1'), true],
    ['{{iot:identity}}', module('gw1', 'm'), true],
    ['{{iot:identity}}', user('plc-1'), false],
    ['hub.example/{{iot:this_device_id}}/m', module('gw1', 'm'), true],
    ['{{iot:this_device_id}}/m', module('gw1', 'm'), true],
    ['{{iot:this_device_id}}/m', module('gw2', 'm'), false],
    ['hub.example/{{iot:device_id}}', device('d1'), true],
    ['hub.example/{{iot:device_id}}/{{iot:module_id}}', module('d1', 'm'), true],
    ['{{mqtt:username}}', user('anybody'), true],
    ['{{mqtt:username}}', device('d1'), false],
    ['{{mqtt:client_id}}', user('same', 'same'), true],
    ['{{mqtt:client_id}}', user('one', 'other'), false],
  ];
  for (const [identity, who, holds] of rows) {
    const made = authoriser([{ identities: [identity], allow: [rule('publish', 'a')] }]);
    t.equal(
      made.mayPublish(who, 'a'),
      holds,
      `${identity} and ${who.name}${who.identity === undefined ? ' (user)' : ''}`,
    );
  }
});

t.test('a resource covers what lies within it, and variables are never wildcards', async (t) => {
  const rows: readonly (readonly [resource: string, who: PolicySubject, filter: string, may: boolean])[] = [
    ['a/b', user('u'), 'a/b', true],
    ['a/b', user('u'), 'a/+', false],
    ['a/+', user('u'), 'a/b', true],
    ['a/+', user('u'), 'a/+', true],
    ['a/+', user('u'), 'a/#', false],
    ['a/+', user('u'), 'a', false],
    ['a/+', user('u'), 'a/b/c', false],
    ['a/#', user('u'), 'a', true],
    ['a/#', user('u'), 'a/b/c', true],
    ['a/#', user('u'), 'a/+/c', true],
    ['a/#', user('u'), 'a/#', true],
    ['a/#', user('u'), '#', false],
    ['#', user('u'), '#', true],
    ['#', user('u'), '$other/a', false],
    ['+/a', user('u'), '$other/a', false],
    ['$other/#', user('u'), '$other/a', true],
    ['+', user('u'), '#', false],
    ['#', user('u'), 'devices/d1/#', false],
    ['#', user('u'), '$iothub/#', false],
    ['$iothub/#', user('u'), '$iothub/twin/res/#', false],
    ['devices/#', user('u'), 'devices/d1/messages/events/', false],
    ['#', user('u'), '$SYS/#', false],
    ['u/{{mqtt:username}}/#', user('plc'), 'u/plc/x', true],
    ['u/{{mqtt:username}}/#', user('plc'), 'u/other/x', false],
    ['u/{{mqtt:username}}/x', user('+'), 'u/+/x', false],
    ['u/{{mqtt:username}}', user('#'), 'u/#', false],
    ['u/{{mqtt:username}}', user('#'), 'u/a', false],
    ['u/x{{mqtt:username}}', user('#'), 'u/x', false],
    ['c/{{mqtt:client_id}}', user('u', 'c9'), 'c/c9', true],
    ['c/{{mqtt:client_id}}', user('u', '+'), 'c/+', false],
    ['{{iot:identity}}/#', user('u'), 'u/x', false],
    ['{{mqtt:topic}}', user('u'), 'whatever/#', true],
    ['{{mqtt:topic}}', user('u'), 'devices/x/#', false],
  ];
  for (const [resource, who, filter, may] of rows) {
    const made = authoriser([{ identities: ['{{mqtt:username}}'], allow: [rule('subscribe', resource)] }]);
    t.equal(made.maySubscribe(who, filter), may, `${resource} and ${filter} for ${who.name}`);
    t.notOk(made.mayPublish(who, filter.replace(/[+#]/g, 'x')), 'another operation is not meant');
  }
  const own = authoriser([
    { identities: ['{{iot:identity}}'], allow: [rule('publish', 'd/{{iot:identity}}/out', 'm/{{iot:module_id}}')] },
  ]);
  t.ok(own.mayPublish(module('gw1', 'a'), 'd/gw1/a/out'));
  t.notOk(own.mayPublish(module('gw1', 'a'), 'd/gw1/b/out'));
  t.ok(own.mayPublish(module('gw1', 'a'), 'm/a'));
  t.notOk(own.mayPublish(device('gw1'), 'm/'), 'who has no module id is not meant by it');
});

t.test('the first statement that speaks of a topic decides, and in it a denial', async (t) => {
  const made = authoriser([
    { identities: ['u'], allow: [rule('subscribe', 'a/#')], deny: [rule('subscribe', 'a/secret')] },
    { identities: ['u'], deny: [rule('subscribe publish', 'a/#')], allow: [rule('subscribe', 'b')] },
    { identities: ['u'], allow: [rule('publish', 'a/#'), rule('subscribe', 'a/secret')] },
    { identities: ['v', 'u'], allow: [rule('connect')] },
  ]);
  const u = user('u');
  t.ok(made.maySubscribe(u, 'a/#'));
  t.ok(made.mayReceive(u, 'a/x'));
  t.notOk(made.mayReceive(u, 'a/secret'), 'what is denied inside an allowed filter stays away');
  t.notOk(made.maySubscribe(u, 'a/secret'));
  t.ok(made.maySubscribe(u, 'b'));
  t.notOk(made.mayPublish(u, 'a/x'));
  t.ok(made.mayConnect(u));
  t.ok(made.mayConnect(user('v')));
  t.notOk(made.mayConnect(user('w')));
});

t.test('a user under the name of an identity never connects, and a new policy is a new epoch', async (t) => {
  const made = authoriser([{ identities: ['{{mqtt:username}}'], allow: [rule('connect publish', '#')] }]);
  const u = user('u');
  t.ok(made.mayConnect(u));
  t.notOk(made.mayConnect(user('hub.example/gw1/m')));
  t.ok(made.mayPublish(u, 'a'));
  t.notOk(made.mayPublish(u, '$SYS/a'));
  const before = made.epoch;
  made.replace([]);
  t.not(made.epoch, before);
  t.notOk(made.mayPublish(u, 'a'), 'what was compiled before is forgotten');
});

t.test('every mistake of a document is named, with its path', async (t) => {
  const document: JsonValue = [
    { identities: [], allow: [rule('connect')] },
    {
      identities: ['u', 7, ''],
      allow: [{ operations: ['mqtt:fly', 'mqtt:publish'], resources: ['a/#/b', '{{who}}/x', 'x{{mqtt:topic}}'] }],
    },
    { identities: ['{{mqtt:topic}}'], allow: [rule('publish')], alow: [] },
    { identities: ['u'] },
    'no statement',
    { identities: ['u'], deny: {}, allow: ['x'] },
  ];
  const { problems } = parsePolicy(document, 'mqttBroker.authorizations');
  t.strictSame(
    problems.map(({ path }) => path.replace('mqttBroker.authorizations', '')),
    [
      '[0].identities',
      '[1].allow[0].operations[0]',
      '[1].allow[0].resources[0]',
      '[1].allow[0].resources[1]',
      '[1].allow[0].resources[2]',
      '[1].identities[1]',
      '[1].identities[2]',
      '[2].alow',
      '[2].allow[0].resources',
      '[2].identities[0]',
      '[3]',
      '[4]',
      '[5].allow[0]',
      '[5].deny',
    ],
  );
  t.match(problems[1]?.message, /mqtt:connect, mqtt:publish, mqtt:subscribe/);
  t.match(problems[3]?.message, /\{\{iot:identity\}\}/, 'the known variables are told');
  t.equal(parsePolicy({}, '$').problems.length, 1);
  t.equal(parsePolicy(null, '$').problems.length, 1);
});

t.test('topics of IoT Hub in a policy are no mistake, but a warning', async (t) => {
  const { problems, warnings } = parsePolicy(
    [{ identities: ['u'], allow: [rule('publish', 'devices/#', '$iothub/#', 'x')] }],
    '$',
  );
  t.equal(problems.length, 0);
  t.strictSame(
    warnings.map(({ path }) => path),
    ['$[0].allow[0].resources[0]', '$[0].allow[0].resources[1]'],
  );
});

t.test('a hostile document costs bounded work and a bounded number of complaints', async (t) => {
  const many = Array.from({ length: 100_000 }, () => 'a/b');
  const rows: readonly JsonValue[] = [
    Array.from({ length: 5000 }, () => ({})),
    Array.from({ length: 1000 }, () => ({ identities: many.slice(0, 1000), allow: [7] })),
    [{ identities: many, allow: [{ operations: many, resources: many }] }],
    [{ identities: ['{{'.repeat(500)], allow: [rule('publish', `${'{{'.repeat(400)}}}`)] }],
    [{ identities: ['x'.repeat(1_000_000)], allow: [rule('publish', '/'.repeat(1_000_000))] }],
    [Object.fromEntries(many.map((_, index) => [`member${index}`, []]))],
    [[[[[[[[]]]]]]]],
  ];
  for (const document of rows) {
    const { problems } = parsePolicy(document, '$');
    t.ok(problems.length > 0 && problems.length <= 100, `${problems.length} problems`);
    t.ok(problems.every(({ message }) => message.length < 600));
  }
});
