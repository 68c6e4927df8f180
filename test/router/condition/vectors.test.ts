// The vectors of azure-iot-edge.md §2.9, row by row, and rows of our own for each function and operator.

import t, { type Test } from 'tap';
import { evaluateCondition } from '../../../src/router/condition/condition.ts';
import type { ViewedMessage } from '../../../src/router/condition/message-view.ts';
import { RouteSyntaxError } from '../../../src/router/route-lexer.ts';

const sender = { deviceId: 'gw', moduleId: 'sensor' };
const plain: ViewedMessage = {
  sender,
  properties: { key1: 'value1', key2: '3', key3: 'VALUE3', null_value: null, $sys4: 'value4' },
  system: { sys1: 'sysvalue1', sys2: '4', sys3: 'SYSVALUE3', sysnull: null, sys4: 'sysvalue4' },
  body: Buffer.alloc(0),
  enqueuedMs: Date.UTC(2026, 10, 21, 9, 30),
};

const weather = {
  message: {
    Weather: {
      Temperature: 50,
      FreezingTemperature: -50.4,
      PreciseTemperature: 50.4,
      Temperature_PropertyConflict: 50,
      NullValue: null,
      Time: '2017-03-09T00:00:00.000Z',
      PrevTemperatures: [20, 30, 40],
      IsEnabled: true,
      IsDisabled: false,
      Location: { Street: 'One Microsoft Way', City: 'Redmond', State: 'WA' },
      HistoricalData: [
        { Month: 'Feb', Temperature: 40 },
        { Month: 'Jan', Temperature: 30 },
      ],
    },
  },
};
const withBody: ViewedMessage = {
  sender,
  properties: {
    City: 'Redmond',
    $State: 'WA',
    IntegerProperty: '110',
    '$body.message.Weather.Temperature_PropertyConflict': '100',
  },
  system: {
    State: 'CA',
    '$body.message.Weather.Location.State': 'CA',
    contentType: 'application/json',
    contentEncoding: 'UTF-8',
  },
  body: Buffer.from(JSON.stringify(weather)),
  enqueuedMs: 0,
};

/** One condition a line. */
function lines(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function expectAll(
  t: Test,
  { message, expected }: { readonly message: ViewedMessage; readonly expected: boolean | undefined },
  conditions: readonly string[],
): void {
  for (const condition of conditions) {
    const full = condition.replaceAll(/(^|[^$\w])W(?=\.| )/g, '$1$body.message.Weather');
    t.equal(evaluateCondition(full, message), expected, full);
  }
}

function isRefused(condition: string, message: ViewedMessage): boolean {
  try {
    evaluateCondition(condition, message);
    return false;
  } catch (error) {
    return error instanceof RouteSyntaxError;
  }
}

const isTrue = lines(String.raw`
  3 = 3
  '3' = "3"
  key2 = '3'
  as_number(key2) = 3
  $sys2 = '4'
  as_number($sys2) = 4
  3 != 4
  3 <> 4
  NOT false
  not (true and false)
  undefined or true
  none = 'true' or true
  (key1 ?? "hello") = "value1"
  (none ?? none ?? "hello") = "hello"
  (as_number(key1) ?? 12.34) = 12.34
  (as_number(key2) ?? 12.34) = 3
  (3 % 0 ?? 12.34) = 12.34
  (null and null) = null
  (null and false) = null
  (null and true) = null
  null or true
  (null or null) = null
  not null
  3 + 4 = 7
  3 - 4 = -1
  3 * 4 = 12
  3 / 4 = 0.75
  4 % 3 = 1
  -(3 + 4) = -7
  -1 < 0
  3 + 4 >= 7
  'a' < 'b'
  'a' <= 'a'
  'b' > 'a'
  'b' >= 'a'
  4 <= 7
  8 > 7
  KEY1 = "value1"
  $sys4 = "value4"
  {$sys4} = "sysvalue4"
  { $sys1 } = "sysvalue1"
  $SYS1 = "sysvalue1"
  AS_NUMBER('10e1000') = 1/0
  AS_NUMBER('10e1000') = 10e1000
  AS_NUMBER('10000000000000000000000000') = 1e25
  as_number(as_number(4)) * 3 = 12
  is_defined(null)
  is_defined(null_value)
  is_defined(10e1000)
  is_defined(key1)
  is_null(null)
  is_null(null_value)
  is_bool(true)
  IS_BOOL(false)
  is_number(12.34)
  is_number(as_number(key2))
  is_string('a' || 'b')
  is_string(key1)
  concat('a', key1, 'd') = 'avalue1d'
  CONCAT('a', 'b', 'c', 'd') = 'abcd'
  'a' || 'b' || 'c' || 'd' = 'abcd'
  'a' || null_value || 'd' = 'ad'
  concat('a', null_value, 'd') = 'ad'
  LENGTH('') = 0
  length(key3) = 6
  lower(key3) = 'value3'
  upper(key1) = 'VALUE1'
  substring('abc', 1) = 'bc'
  substring('abc', 2) = 'c'
  substring('abc', 3) = ''
  substring('abc', 1, 0) = ''
  substring('abc', 1, 1) = 'b'
  substring('hello', 0, 5) = 'hello'
  substring('hello', 4, 0) = ''
  substring('hello', 1.9, 1.9) = 'e'
  index_of('abcdef', 'cd') = 2
  index_of('abc', 'xz') = -1
  index_of('lue1value1', key1) = 4
  starts_with('value1value1', key1)
  STARTS_WITH(key1, 'val')
  ENDS_WITH(key1, 'e1')
  contains('abc', 'ab')
  abs(-12) = 12
  ABS(as_number(key2)) = 3
  is_defined(abs(3 / 0))
  exp(0) = 1
  exp(4000) = 3/0
  abs(exp(1) - 2.718281) < 1e-6
  power(2, 3) = 8
  POWER(10, 4000) = 3/0
  power(1, 3 / 0) = 1
  power(as_number(key2), as_number(key2)) = 27
  square(3) = 9
  ceiling(2.1) = 3
  ceiling(-2.1) = -2
  floor(2.1) = 2
  floor(-2.1) = -3
  sign(0) = 0
  sign(2.1) = 1
  sign(3 / 0) = 1
  sign(-3 / 0) = -1
  sqrt(4) = 2
  0xDEADBEEF = 3735928559
  0xFFFFFFFFFFFFFFFF = -1
  0100 = 100
  3 + 4 * 5 = 23
  1 - -2 = 3
  3 - (4 + 0x10) = -17
  10 - 4 - 3 = 3
  16 / 4 / 2 = 2
  2 = 2 = true
  not false = true
  true or false and false
  .5 = 0.5
  1e+3 = 1000
  'it''s' <> 'x' or 'it\'s' = "it's"
  "\u0041\\" = 'A\\'
  true /* and false */ and true
  true > false
  null <= null
  $connectionDeviceId = 'gw'
  $connectionmoduleid = 'sensor'
  $enqueuedTime = '2026-11-21T09:30:00.000Z'
  $edgeHubOriginInterface = 'internal'
  NOT IS_DEFINED($outputName)
  as_number(' (1,234.50) ') = -1234.5
  as_number('12-') = -12
  as_number('¤5') = 5
  as_number('.5') = 0.5
  as_number('5.') = 5
  as_number('-infinity') = -1/0
`);

const isFalse = lines(`
  null
  null and null
  null or false
  false and undefined
  undefined and false
  none = 'true' and false
  key1 = "value2"
  is_defined(none = "4")
  is_defined($none)
  is_defined(3 % 0)
  is_defined(-undefined)
  is_defined(undefined)
  is_defined(undefined and true)
  is_defined('a' || none || 'd')
  is_defined(concat('a', none, 'd'))
  is_defined(length(null_value))
  is_defined(lower(null_value))
  is_defined(upper(none))
  is_defined(abs(3 % 0))
  is_defined(abs(as_number(key1)))
  is_defined(exp(3 % 0))
  is_defined(power(3 % 0, 0))
  is_defined(power(1, 3 % 0))
  is_defined(square(3 % 0))
  is_defined(ceiling(3 % 0))
  is_defined(floor(3 % 0))
  is_defined(sign(3 % 0))
  is_defined(sqrt(-4))
  is_defined(as_number("apple"))
  is_defined(as_number('0x10'))
  is_defined(as_number('1 2'))
  is_defined(as_number(''))
  is_defined(as_number('.'))
  is_defined(as_number('NaN'))
  is_defined(as_number('--5'))
  is_null(none)
  is_null('text')
  is_null(3 / 0)
  is_null(as_number(key1))
  is_number(3 / 0)
  is_number('not a number')
  is_number(as_number(key1))
  is_string(null_value)
  is_string(12.34)
  is_string(none)
  is_bool(none)
  is_bool(12.34)
  SUBSTRING('abc', 3) = 'c'
  3 + 4 < 7
  true AND not true
  key2 != '3'
  as_number(key2) <> 3
  is_defined(e5)
  is_defined(0x1FFFFFFFFFFFFFFFF)
  is_defined(3+4)
  is_defined($sys[0])
  starts_with('abc', 'xz')
  ends_with('abc', key1)
  contains('abc', 'xz')
  null < null
  null != null
`);

const isUndefined = lines(`
  3
  "a string"
  'a string'
  key1
  undefined
  none != "4"
  none <> "4"
  none = "value1"
  as_number(none) = 3
  as_number(key1) = 3
  as_number(key1) <> 3
  3 < as_number(null_value)
  3 >= as_number(none)
  'a' < none
  'a' <= none
  undefined or false
  undefined or undefined
  false or undefined
  true and undefined
  undefined and undefined
  undefined < undefined
  undefined ?? undefined
  not (none = 'true')
  none = 'true' or none2 = 'true'
  (none ?? none) = "value"
  SUBSTRING('abc', 4) = 'c'
  substring('abc', -1) = ''
  substring('abc', 3, 0) = ''
  substring('abc', 1, -2) = ''
  substring('abc', 1 % 0) = ''
  substring('abc', 1, 1 % 0) = ''
  substring(null_value, 1) = 'a'
  substring(none, 1, 1) = 'a'
  index_of(null_value, '1') = 0
  index_of(none, '1') = 0
  starts_with(none, '1')
  ends_with(null_value, '1')
  contains(none, '1')
  SQRT(-4) = -2
  is_bool(none = 'x')
  null_value = 'x'
  $sysnull = 'x'
  TRUE
`);

const operands = ['none', 'null_value', 'true', 'undefined', "'a'", '$none', 'null'];
const doesNotCompile = [
  ...['+', '-', '*', '/', '%'].flatMap((operator) =>
    operands.flatMap((operand) => [`is_defined(3 ${operator} ${operand})`, `is_defined(${operand} ${operator} 3)`]),
  ),
  ...['=', '!=', '<>', '<', '<=', '>', '>='].flatMap((operator) =>
    ['none', 'null_value', 'none.key1', 'none.key1.key2', "'3'", 'true', 'null', 'undefined'].map(
      (operand) => `is_defined(3 ${operator} ${operand})`,
    ),
  ),
  ...lines(`
    undefined + undefined
    'a' + 'b'
    key1 ?? "hello" = "value1"
    (key1 ?? 12.34)
    (12.34 ?? key1)
    (key1 ?? null)
    (key1 ?? true)
    (as_number(key2) ?? key1)
    (null && key1)
    (true && key1)
    concat()
    concat('a')
    concat(3) = 'a'
    concat('a', null)
    concat('a', undefined)
    concat('a', true)
    'a' || true
    'a' || null = 'a'
    'a' || undefined = 'a'
    substring('hello')
    substring('hello','a')
    substring('hello', 'a', 'b') = 'hello'
    substring()
    power(2, 3, 4)
    power(2)
    power(2, key1)
    test == true
    none = "
    none = '
    none and true
    undefined and "hello"
    none or true
    - (key1)
    -(null)
    not key1
    not undefined
    not 3
    nope(true)
    key1 = null
    e5 = 3
    length('a', 'b')
    as_number()
    as_number(true)
    as_number(null)
    is_null()
    is_defined(3, 4)
    twin_change_includes(properties.reported.x)
    3 4
    f(3)*3
    a[0] = 3
    (3 = 3
    3 = 3)
    = 3
    AND true
    select = 'x'
    {key1} = 'x'
    {$sys1 = 'x'
    @x = 'a'
    x = 'a\\q'
  `),
  ...['abs', 'exp', 'square', 'ceiling', 'floor', 'sign', 'sqrt'].flatMap((name) =>
    ['null', 'undefined', 'true', 'key1', '3, 4', ''].map((operand) => `is_defined(${name}(${operand}))`),
  ),
  ...['length', 'lower', 'upper'].flatMap((name) =>
    ['12.34', 'null', 'undefined', 'true'].map((operand) => `is_defined(${name}(${operand}))`),
  ),
  ...['index_of', 'starts_with', 'ends_with', 'contains'].flatMap((name) =>
    [
      '',
      "'hello'",
      "'hello', 'a', 'b'",
      "'hello', 12.34",
      "12.34, 'hello'",
      "null, 'hello'",
      "'hello', undefined",
      'true, true',
    ].map((operand) => `is_defined(${name}(${operand}))`),
  ),
];

t.test('conditions that hold, do not hold, and are undefined', async (t) => {
  expectAll(t, { message: plain, expected: true }, isTrue);
  expectAll(t, { message: plain, expected: false }, isFalse);
  expectAll(t, { message: plain, expected: undefined }, ['', '  ', ...isUndefined]);
});

t.test('conditions that are refused', async (t) => {
  for (const condition of doesNotCompile) {
    t.ok(isRefused(condition, plain), condition);
  }
});

t.test('no substring is an exception', async (t) => {
  for (let start = -10; start <= 10; start++) {
    t.type(evaluateCondition(`is_defined(substring('hello', ${start}) = 'he')`, plain), 'boolean');
    for (let length = -10; length <= 10; length++) {
      const expected = start === 0 && length === 2;
      const condition = `(substring('hello', ${start}, ${length}) ?? 'no') = 'he'`;
      t.equal(evaluateCondition(condition, plain), expected, condition);
    }
  }
});

t.test('values in the body', async (t) => {
  expectAll(
    t,
    { message: withBody, expected: true },
    lines(`
      50 >= W.Temperature
      $BODY.message.Weather.Temperature = 40 + 10
      $bODy.message.Weather.Temperature <= 50
      W.Temperature >= W.PrevTemperatures[0] + W.PrevTemperatures[1]
      W.PrevTemperatures[1] * W.PrevTemperatures[2] = 1200
      W.PrevTemperatures[1] / W.PrevTemperatures[0] = 1.5
      W.HistoricalData[0].Temperature - 10 = W.HistoricalData[1].Temperature
      W.HistoricalData[0].Month = 'Feb'
      W.Temperature <> '100'
      W.Location.City = City
      W.Location.State = $State
      W.IsEnabled
      W.IsEnabled = true
      NOT W.IsDisabled
      W.IsEnabled AND W.IsEnabled
      W.IsEnabled OR W.IsDisabled
      W.IsDisabled OR NOT(W.IsDisabled)
      true AND W.IsEnabled
      W.InvalidKey <> '100'
      W.NullValue = null
      W.InvalidProperty = null
      NOT (W.InvalidProperty != null)
      W.Temperature != null
      W.Temperature_PropertyConflict = '100'
      as_number(W.Temperature_PropertyConflict) = 100
      {W.Temperature_PropertyConflict} <> 100
      {W.Temperature_PropertyConflict} = 50
      W.Location.State = 'WA'
      {W.Location.State} <> 'CA'
      abs(W.FreezingTemperature) = 50.4
      ceiling(as_number(W.PreciseTemperature)) = 51
      floor(W.PreciseTemperature) = 50
      power(W.Temperature, length(W.Location.State)) = 2500.0
      square(W.Temperature) = 2500
      sign(W.FreezingTemperature) = -1
      sqrt(square(W.Temperature)) = 50
      exp((W.Temperature - 49)) < (W.Temperature - 47)
      concat(W.Location.Street, ', ', W.Location.City) = 'One Microsoft Way, Redmond'
      W.Location.City || '!' = 'Redmond!'
      contains(W.Location.Street, 'Microsoft')
      starts_with(W.Location.Street, 'One')
      ends_with(W.Location.Street, 'Way')
      index_of(W.Location.Street, 'Way') > 6
      lower(W.Location.State) = 'wa'
      upper(W.Location.City) = 'REDMOND'
      substring(W.Location.Street, 4, length('Microsoft')) = 'Microsoft'
      substring(W.Location.Street, length(W.Location.Street) - 3) = 'Way'
      is_defined(W.Location.Street)
      is_string(W.Location.Street)
      is_number(W.Temperature)
      is_bool(W.IsDisabled)
      is_null(W.NullValue)
      is_null(W.Temperature)
      (W.Location ?? 'x') = 'x'
      W.InvalidKey > 20
    `),
  );
  expectAll(
    t,
    { message: withBody, expected: false },
    lines(`
      10 >= W.Temperature
      W.Temperature < 50
      W.Temperature = '50'
      W.Temperature <> 40 + 10
      W.Location.State = City
      W.Location.State = W.Location.City
      W.PrevTemperatures[0] + W.PrevTemperatures[1] <> 50
      is_null(W.InvalidProperty)
      is_number(W.Location.Street)
      is_string(W.Temperature)
      is_bool(W.Temperature)
      is_defined(W.Location)
    `),
  );
  expectAll(
    t,
    { message: withBody, expected: undefined },
    lines(`
      $body
      W.HistoricalData[0].Temperature.InvalidKey
      $City <> W.InvalidKey
      W.Time <> '100'
      W <> null
      W.Location + 1 = 2
      W.Location.City + 1 = 2
      W.IsEnabled AND 'text'
      W.Temperature OR true
      W.IsEnabled OR null
      W.Temperature
      is_null(W.Location)
      is_bool(W.Location)
      NOT W.Temperature
      W.PrevTemperatures[0] / 0 - W.PrevTemperatures[0] / 0 = 0
    `),
  );
  for (const condition of lines(`
      $body.properties[]
      $body.properties[1:2]
      $body;@
      $body.
      $body.a..b
      $body..a
      $body.a.
      $body.['x'] = 1
      $body.a[1].[1] = 1
      $body.5 = 1
      -$body.a = 1
      - $body.a = 1
      $body.a % 2 = 1
      5 % $body.a = 1
      $body.a = undefined
      undefined ?? $body.a
      $body.a AND null
      null AND $body.a
      as_number($body.a) = '3'
    `)) {
    // `-$body.a` is the name of a property, and text is no number.
    t.ok(isRefused(condition, withBody), condition);
  }
});

t.test('a body is looked into when its type and encoding say so', async (t) => {
  const body = { a: 'ä€😀', t: 21.5 };
  const text = JSON.stringify(body);
  const utf32 = Buffer.alloc([...text].length * 4);
  for (const [at, character] of [...text].entries()) utf32.writeUInt32LE(character.codePointAt(0) ?? 0, at * 4);
  const ask = (system: ViewedMessage['system'], bytes: Buffer) =>
    evaluateCondition("$body.a = 'ä€😀' AND $body.t > 20", { ...plain, system, body: bytes });
  const json = { contentType: 'application/json' };
  t.equal(ask({ ...json, contentEncoding: 'utf-8' }, Buffer.from(text)), true);
  t.equal(ask({ ...json, contentEncoding: 'utf-8' }, Buffer.from(`\uFEFF${text}`)), true);
  t.equal(ask({ contentType: 'Application/JSON', contentEncoding: 'UTF-16' }, Buffer.from(text, 'utf16le')), true);
  t.equal(ask({ ...json, contentEncoding: 'Utf-32' }, utf32), true);
  t.equal(ask({ ...json }, Buffer.from(text)), undefined, 'no encoding');
  t.equal(ask({ contentEncoding: 'utf-8' }, Buffer.from(text)), undefined, 'no type');
  t.equal(ask({ contentType: 'text/plain', contentEncoding: 'utf-8' }, Buffer.from(text)), undefined);
  t.equal(ask({ ...json, contentEncoding: 'utf-7' }, Buffer.from(text)), undefined);
  t.equal(ask({ ...json, contentEncoding: 'utf-8' }, Buffer.from('[1]')), undefined, 'no object');
  t.equal(ask({ ...json, contentEncoding: 'utf-8' }, Buffer.from('{"t":')), undefined, 'no JSON');
  t.equal(ask({ ...json, contentEncoding: 'utf-32' }, Buffer.from([0xff, 0xff, 0xff, 0xff])), undefined);
});

t.test('names that JavaScript objects have by themselves are found nowhere', async (t) => {
  const message = { ...withBody, properties: {}, body: Buffer.from('{"a":1}') };
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    t.equal(evaluateCondition(`is_defined(${name})`, message), false, name);
    t.equal(evaluateCondition(`is_defined($${name})`, message), false, `$${name}`);
    t.equal(evaluateCondition(`$body.${name} = null`, message), true, `$body.${name}`);
  }
  const own = { ...plain, properties: JSON.parse('{"__proto__":"x","constructor":"y"}') };
  t.equal(evaluateCondition("__proto__ = 'x' AND constructor = 'y'", own), true);
});

t.test('system properties have the names of IoT Edge and of IoT Hub', async (t) => {
  const message: ViewedMessage = {
    ...plain,
    sender: { deviceId: 'leaf' },
    output: 'alerts',
    system: {
      messageId: '42',
      correlationId: 'c',
      absoluteExpiryTime: 'e',
      interfaceId: 'i',
      componentName: 's',
      to: '/x',
      userId: 'u',
      ack: 'full',
      creationTime: 'ct',
      messageSchema: 'ms',
      operation: 'op',
    },
  };
  const all = `$messageId = '42' AND $cid = 'c' AND $correlationId = 'c' AND $absolute-expiry-time = 'e' AND
    $absoluteExpiryTime = 'e' AND $iothub-interface-id = 'i' AND $dt-subject = 's' AND $to = '/x' AND $userId = 'u' AND
    $ack = 'full' AND $creationTime = 'ct' AND $messageSchema = 'ms' AND $operation = 'op' AND
    $outputName = 'alerts' AND $connectionDeviceId = 'leaf' AND NOT is_defined($connectionModuleId)`;
  t.equal(evaluateCondition(all, message), true);
});

t.test('twin changes can be asked for what they include', async (t) => {
  const body = Buffer.from('{"version":4,"properties":{"reported":{"t":21,"gone":null,"inner":{"a":1}}}}');
  const message = { ...plain, system: { contentType: 'application/json', contentEncoding: 'utf-8' }, body };
  const ask = (path: string) => evaluateCondition(`twin_change_includes(${path})`, message, { isTwinChange: true });
  t.equal(ask('properties.reported.t'), true);
  t.equal(ask('properties.reported.gone'), true);
  t.equal(ask('properties.reported.inner'), true);
  t.equal(ask('properties.desired'), false);
  const patch = { ...message, body: Buffer.from('{"t":21,"gone":null,"inner":{"a":1}}') };
  for (const path of ['properties.reported.inner.a', 'inner.a', 'gone'])
    t.equal(
      evaluateCondition(`twin_change_includes(${path})`, patch, { isTwinChange: true }),
      true,
      `${path} of a patch`,
    );
  t.equal(evaluateCondition('twin_change_includes(properties.reported.x)', patch, { isTwinChange: true }), false);
  t.throws(() => ask("'properties'"), /one path without quotes/);
  t.throws(() => ask('a, b'), /one path without quotes/);
  t.throws(() => ask(''), /one path without quotes/);
  const unreadable = { ...message, system: {} };
  t.equal(evaluateCondition('twin_change_includes(a)', unreadable, { isTwinChange: true }), undefined);
});
