import t from 'tap';
import { decodePropertyBag, encodePropertyBag } from '../../../src/protocol/iothub/property-bag.ts';

const wireKeys: readonly [string, string][] = [
  ['$.mid', 'messageId'],
  ['$.cid', 'correlationId'],
  ['$.uid', 'userId'],
  ['$.to', 'to'],
  ['$.ct', 'contentType'],
  ['$.ce', 'contentEncoding'],
  ['$.exp', 'absoluteExpiryTime'],
  ['$.schema', 'messageSchema'],
  ['$.ctime', 'creationTime'],
  ['$.sub', 'componentName'],
  ['$.ifid', 'interfaceId'],
  ['ack', 'ack'],
  ['iothub-operation', 'operation'],
  ['$.cdid', 'connectionDeviceId'],
  ['$.cmid', 'connectionModuleId'],
];

t.test('every system property has its wire key, with $ plain or percent-encoded', (t) => {
  for (const [key, name] of wireKeys) {
    const expected = {
      ok: true,
      system: { [name]: 'v 1' },
      properties: {},
      output: undefined,
      hop: undefined,
    };
    t.strictSame(decodePropertyBag(`${key}=v%201`), expected, key);
    t.strictSame(decodePropertyBag(`${encodeURIComponent(key)}=v%201`), expected, encodeURIComponent(key));
    t.equal(encodePropertyBag({ system: { [name]: 'v 1' }, properties: {} }), `${key}=v%201`);
  }
  t.end();
});

t.test("a bag as Microsoft's Node client writes it is read", (t) => {
  t.strictSame(decodePropertyBag('%24.on=temperatureOutput&%24.ct=application%2Fjson&temp%20alert=true&a%26b=c%3Dd'), {
    ok: true,
    system: { contentType: 'application/json' },
    properties: { 'temp alert': 'true', 'a&b': 'c=d' },
    output: 'temperatureOutput',
    hop: undefined,
  });
  t.end();
});

t.test('texts that are easy to get wrong are read as they are meant', (t) => {
  const table: readonly [string, Record<string, string>][] = [
    ['', {}],
    ['&', {}],
    ['bare', { bare: '' }],
    ['empty=', { empty: '' }],
    ['a=b=c', { a: 'b=c' }],
    ['a=1&a=2', { a: '2' }],
    ['path=a/b', { path: 'a/b' }],
    ['%24.unknown=1', { '$.unknown': '1' }],
    ['k%C3%A9=%E2%82%AC', { 'k\u00e9': '\u20ac' }],
  ];
  for (const [text, properties] of table) t.match(decodePropertyBag(text), { ok: true, system: {}, properties }, text);
  const odd = decodePropertyBag('__proto__=1');
  t.ok(odd.ok && Object.hasOwn(odd.properties, '__proto__'), 'no property name is swallowed');
  t.end();
});

t.test('a malformed bag is a problem with a reason, never an exception', (t) => {
  for (const text of [
    'a=%',
    'a=%zz',
    '%ff=1',
    '=1',
    'a/b=1',
    'x/y',
    '$.hop=',
    '$.hop=s',
    '$.hop=s:0',
    '$.hop=s:01',
    '$.hop=s:-1',
    '$.hop=s:9999999999999999',
    '$.hop=s p:1',
    `$.hop=${'s'.repeat(65)}:1`,
  ]) {
    const decoded = decodePropertyBag(text);
    t.equal(decoded.ok, false, text);
    if (!decoded.ok) t.ok(decoded.reason.length > 0);
  }
  t.end();
});

t.test('what is written is read back unchanged and holds no slash, plus or hash', (t) => {
  const bag = {
    system: { messageId: 'a/b+c#d', contentType: 'application/json' },
    properties: { 'k/e=y': 'v&a?l', 'plus+': '#', 'line\n': '\u0000', empty: '', '$.custom': 'x' },
    output: 'out/1',
    hop: { stream: 'gw-1.f_9', sequence: Number.MAX_SAFE_INTEGER },
  };
  const text = encodePropertyBag(bag);
  t.notMatch(text, /[/+#\n]/);
  t.strictSame(decodePropertyBag(text), { ok: true, ...bag });
  t.end();
});

t.test('half a surrogate pair becomes the replacement character; a whole pair stays', (t) => {
  t.equal(encodePropertyBag({ system: {}, properties: { a: '\ud800' } }), 'a=%EF%BF%BD');
  t.equal(encodePropertyBag({ system: {}, properties: { a: '\u{1f600}' } }), 'a=%F0%9F%98%80');
  t.end();
});

t.test('system properties without a wire key are left out', (t) => {
  t.equal(encodePropertyBag({ system: { enqueuedTime: 'now', messageId: '1' }, properties: {} }), '$.mid=1');
  t.end();
});
