import t from 'tap';
import { answerUpgrade } from '../../../src/platform/transport/websocket-upgrade.ts';

const fields = {
  Host: 'gateway',
  Upgrade: 'websocket',
  Connection: 'keep-alive, Upgrade',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol': 'mqtt',
};
const request = (changes: Record<string, string | undefined> = {}, first = 'GET /mqtt HTTP/1.1'): string =>
  [
    first,
    ...Object.entries({ ...fields, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}: ${value}`],
    ),
  ].join('\r\n');
const statusOf = (head: string): string => answerUpgrade(head).text.split('\r\n')[0] ?? '';

t.test("RFC 6455's own example is answered with its key", (t) => {
  const { upgraded, text } = answerUpgrade(request());
  t.ok(upgraded);
  t.match(text, /^HTTP\/1\.1 101 /);
  t.match(text, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
  t.notMatch(text, /Extensions/i);
  t.ok(text.endsWith('\r\n\r\n'));
  t.end();
});

t.test('any path is served, and mqtt is selected whenever it is offered', (t) => {
  t.match(statusOf(request({}, 'GET /$iothub/websocket?iothub-no-client-cert=true HTTP/1.1')), / 101 /);
  t.match(answerUpgrade(request({ 'Sec-WebSocket-Protocol': 'chat, mqttv3.1, mqtt' })).text, /Protocol: mqtt\r\n/);
  t.match(answerUpgrade(request({ 'Sec-WebSocket-Protocol': 'chat, mqttv3.1' })).text, /Protocol: mqttv3\.1\r\n/);
  t.match(answerUpgrade(request({ 'Sec-WebSocket-Protocol': 'mqtt,mqttv3.1' })).text, /Protocol: mqtt\r\n/);
  t.match(statusOf(request({ upgrade: 'WebSocket', Upgrade: undefined })), / 101 /, 'names and tokens in any case');
  t.end();
});

t.test('what is no such request gets a small answer that ends the connection', (t) => {
  const rows: readonly (readonly [string, string, RegExp, RegExp])[] = [
    ['a plain GET', 'GET / HTTP/1.1\r\nHost: x', / 426 /, /MQTT over WebSocket/],
    ['POST', request({}, 'POST /mqtt HTTP/1.1'), / 405 /, /Only GET/],
    ['no Connection: Upgrade', request({ Connection: 'close' }), / 426 /, /MQTT/],
    ['another version', request({ 'Sec-WebSocket-Version': '8' }), / 426 /, /Sec-WebSocket-Version: 13/],
    ['HTTP/1.0', request({}, 'GET /mqtt HTTP/1.0'), / 400 /, /malformed/],
    ['no key', request({ 'Sec-WebSocket-Key': undefined }), / 400 /, /malformed/],
    ['a short key', request({ 'Sec-WebSocket-Key': 'c2hvcnQ=' }), / 400 /, /malformed/],
    ['a body', request({ 'Content-Length': '3' }), / 400 /, /malformed/],
    ['no subprotocol', request({ 'Sec-WebSocket-Protocol': undefined }), / 400 /, /subprotocol mqtt/],
    ['only others', request({ 'Sec-WebSocket-Protocol': 'MQTT, amqp' }), / 400 /, /subprotocol mqtt/],
    ['no HTTP', '\x10\x0c\x00\x04MQTT', / 400 /, /no HTTP/],
    ['a folded field', `${request()}\r\n folded`, / 400 /, /no HTTP/],
    ['a space before the colon', `${request()}\r\nX : y`, / 400 /, /no HTTP/],
  ];
  for (const [name, head, status, text] of rows) {
    const answer = answerUpgrade(head);
    t.notOk(answer.upgraded, name);
    t.match(answer.text.split('\r\n')[0], status, name);
    t.match(answer.text, text, name);
    t.match(answer.text, /\r\nConnection: (Upgrade, )?close\r\n/, name);
    const [, body = ''] = answer.text.split('\r\n\r\n');
    t.match(answer.text, `\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`, name);
  }
  t.end();
});
