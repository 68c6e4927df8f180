// The table of azure-iot-edge.md: which route source takes which message source.

import t from 'tap';
import { messageSource } from '../../src/model/message.ts';
import { normaliseSource, sourceMatches } from '../../src/router/route-match.ts';

const leaf = messageSource({ sender: { deviceId: 'leaf' } });
const twin = '/twinChangeNotifications/';
const module = messageSource({ sender: { deviceId: 'gw', moduleId: 'ModId1' }, output: 'Op1' });
const moduleWithoutOutput = messageSource({ sender: { deviceId: 'gw', moduleId: 'ModId1' } });

const table: readonly [sources: readonly string[], leaf: boolean, twin: boolean, module: boolean][] = [
  [['/', '/*'], true, true, true],
  [['/messages', '/messages/', '/messages/*', '/MESSAGES/*', ' /messages/** '], true, false, true],
  [
    [
      '/messages/modules',
      '/messages/modules/*',
      '/messages/modules/ModId1',
      '/messages/modules/ModId1/*',
      '/messages/modules/ModId1/outputs',
      '/messages/modules/ModId1/outputs/*',
      '/messages/modules/ModId1/outputs/Op1',
      '/messages/modules/modid1/OUTPUTS/op1',
    ],
    false,
    false,
    true,
  ],
  [
    [
      '/messages/modules/ModId2',
      '/messages/modules/ModId2/*',
      '/messages/modules/ModId1/outputs/Op2',
      '/messages/modules/events',
      '/messages/modules/ModId',
    ],
    false,
    false,
    false,
  ],
  [['/twinChangeNotifications', '/twinChangeNotifications/*'], false, true, false],
  [
    ['/message', '/foo/*', '/*/messages/*', '/*/bar/*', '/messages/event', '/messages/events', '/modulemessages'],
    false,
    false,
    false,
  ],
];

t.test('a route takes the messages whose source begins with its own', async (t) => {
  for (const [sources, ...expected] of table) {
    for (const source of sources) {
      const prefix = normaliseSource(source);
      t.same(
        [leaf, twin, module].map((path) => sourceMatches(prefix, path)),
        expected,
        source,
      );
    }
  }
});

t.test('a module message without an output is not taken by routes for outputs', async (t) => {
  t.ok(sourceMatches(normaliseSource('/messages/modules/ModId1/*'), moduleWithoutOutput));
  t.notOk(sourceMatches(normaliseSource('/messages/modules/ModId1/outputs/*'), moduleWithoutOutput));
});
