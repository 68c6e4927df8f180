import t from 'tap';
import { eventLine } from '../../../src/hub/api/event-json.ts';
import type { LoggedEvent } from '../../../src/hub/event-log.ts';

function line(body: string | Buffer, contentType?: string): string {
  const event: LoggedEvent = {
    offset: 12,
    sender: { deviceId: 'gw' },
    output: undefined,
    enqueuedMs: Date.UTC(2026, 0, 1),
    system: contentType === undefined ? {} : { contentType },
    properties: { a: 'b' },
    body: Buffer.from(body),
  };
  return eventLine(event);
}

t.test('a JSON body stands as it was written, digit by digit, on one line', async (t) => {
  const text = line('{\n  "big": 12345678901234567890,\r\n  "text": "a\\nb"\n}', 'application/json; charset=utf-8');
  t.notMatch(text, /\n/);
  t.match(text, '"big": 12345678901234567890');
  t.match(JSON.parse(text), {
    offset: 12,
    deviceId: 'gw',
    enqueuedTime: '2026-01-01T00:00:00.000Z',
    properties: { a: 'b' },
    body: { text: 'a\nb' },
  });
});

t.test('a JSON body need not be an object', async (t) => {
  t.equal(JSON.parse(line('21.5', 'application/json')).body, 21.5);
  t.equal(JSON.parse(line('null', 'application/senml+json')).body, null);
});

const raw: readonly (readonly [string, string | Buffer, string | undefined])[] = [
  ['no content type', '{"a":1}', undefined],
  ['another content type', '{"a":1}', 'text/plain'],
  ['a type that only begins like JSON', '{"a":1}', 'application/jsonlines'],
  ['JSON that is none', '{"a":', 'application/json'],
  ['an empty body', '', 'application/json'],
  ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'application/json'],
];

for (const [what, body, contentType] of raw) {
  t.test(`${what}: the body is base64`, async (t) => {
    const parsed = JSON.parse(line(body, contentType)) as { bodyBase64: string };
    t.notOk('body' in parsed);
    t.same(Buffer.from(parsed.bodyBase64, 'base64'), Buffer.from(body));
  });
}
