// Telemetry under a topic out of a template.

import t from 'tap';
import type { Message } from '../../../src/model/message.ts';
import { telemetryPacket, templateProblem } from '../../../src/protocol/iothub/telemetry-template.ts';
import { readProperties } from '../../../src/protocol/mqtt/publish-properties.ts';

const message = (parts: Partial<Message>): Message => ({
  sender: { deviceId: 'gw1' },
  system: {},
  properties: {},
  body: Buffer.from('{}'),
  enqueuedMs: 0,
  ...parts,
});

t.test('a topic is made of where a message comes from', async (t) => {
  const rows: readonly (readonly [template: string, parts: Partial<Message>, topic: string | undefined])[] = [
    ['weir/{device}/{module}/{output}', { sender: { deviceId: 'd', moduleId: 'm' }, output: 'o' }, 'weir/d/m/o'],
    ['weir/{device}/{module}/{output}', { sender: { deviceId: 'd', moduleId: 'm' } }, 'weir/d/m'],
    ['weir/{device}/{module}/{output}', {}, 'weir/gw1'],
    ['{device}-{module}/x', { sender: { deviceId: 'd', moduleId: 'm' } }, 'd-m/x'],
    ['{device}/{output}', { output: 'a/b+c#d%' }, 'gw1/a%2Fb%2Bc%23d%25'],
    ['{device}/{properties}', { properties: { a: 'b c' }, system: { messageId: '7' } }, 'gw1/%24.mid=7&a=b%20c'],
    ['/x//{device}', {}, '/x//gw1'],
  ];
  for (const [template, parts, topic] of rows) {
    const packet = telemetryPacket(template, { message: message(parts) });
    t.equal(packet?.topic.replace('$.mid', '%24.mid'), topic, template);
  }
});

t.test('properties travel as user properties, with the place of the message in its stream', async (t) => {
  const packet = telemetryPacket('{device}', {
    message: message({
      system: { contentType: 'application/json', messageId: 'm1' },
      properties: { unit: 'K', ä: '=&' },
    }),
    hop: { stream: 'epoch.1', sequence: 7 },
  });
  const bytes = packet?.propertyBytes as Buffer;
  const properties = readProperties(bytes, 0, bytes.length);
  t.equal(properties.contentType, 'application/json');
  t.match(properties.userProperties, { '$.mid': 'm1', '$.hop': 'epoch.1:7', unit: 'K', ä: '=&' });
});

t.test('what is no template is said', async (t) => {
  for (const [template, says] of [
    ['weir/{device}', undefined],
    ['weir/x', /no \{device\}/],
    ['{device}/{who}', /no variable \{who\}/],
    ['{device}/#', /no topic/],
    ['$SYS/{device}', /no topic/],
    ['{device}/{', /brace/],
  ] as const) {
    if (says === undefined) t.equal(templateProblem(template), undefined);
    else t.match(templateProblem(template), says);
  }
});
