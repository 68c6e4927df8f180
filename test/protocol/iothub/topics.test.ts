import t from 'tap';
import * as topics from '../../../src/protocol/iothub/topics.ts';

const module = { deviceId: 'd', moduleId: 'm' };

t.test('the eight telemetry topics are read', (t) => {
  for (const moduleId of [undefined, '$edgeHub']) {
    const root = moduleId === undefined ? 'devices/d' : `devices/d/modules/${moduleId}`;
    for (const [end, bag] of [
      ['', ''],
      ['/', ''],
      ['/a=1&b=2', 'a=1&b=2'],
      ['/a=1&b=2/', 'a=1&b=2'],
    ] as const) {
      const topic = `${root}/messages/events${end}`;
      t.strictSame(topics.parseDeviceTopic(topic), { kind: 'telemetry', deviceId: 'd', moduleId, bag }, topic);
    }
  }
  t.end();
});

t.test('twin requests and method responses are read, with the request id as written', (t) => {
  const table: readonly [string, object][] = [
    ['$iothub/twin/GET/?$rid=0b-A%20', { kind: 'twin-get', rid: '0b-A%20', onBehalfOf: undefined }],
    ['$iothub/twin/GET/?%24rid=1', { kind: 'twin-get', rid: '1', onBehalfOf: undefined }],
    [
      '$iothub/twin/GET/?$rid=1&$identity=D%2FM',
      { kind: 'twin-get', rid: '1', onBehalfOf: { deviceId: 'D', moduleId: 'M' } },
    ],
    ['$iothub/twin/PATCH/properties/reported/?$rid=2', { kind: 'twin-patch', rid: '2', onBehalfOf: undefined }],
    [
      '$iothub/twin/PATCH/properties/reported/?$rid=2&$version=7',
      { kind: 'twin-patch', rid: '2', onBehalfOf: undefined },
    ],
    [
      '$iothub/twin/PATCH/properties/reported/?$identity=D&$rid=2',
      { kind: 'twin-patch', rid: '2', onBehalfOf: { deviceId: 'D' } },
    ],
    ['$iothub/methods/res/200/?$rid=a1', { kind: 'method-response', status: 200, rid: 'a1' }],
  ];
  for (const [topic, expected] of table) t.strictSame(topics.parseDeviceTopic(topic), expected, topic);
  t.end();
});

t.test('a topic that no device may publish to has no meaning', (t) => {
  const table = [
    'devices/d/messages/event',
    'devices/d/messages/eventsx',
    'devices//messages/events',
    'devices/d/modules//messages/events',
    'devices/a b/messages/events',
    'devices/d/messages/devicebound/',
    'devices/d/modules/m/inputs/i/',
    'devices/d/modules/m/x/messages/events',
    '$iothub/twin/GET',
    '$iothub/twin/GET/',
    '$iothub/twin/GET/?',
    '$iothub/twin/GET/?$rid=',
    '$iothub/twin/GET/?rid=1',
    '$iothub/twin/GET/sub/?$rid=1',
    '$iothub/twin/GET/?$rid=1&$identity=a%2Fb%2Fc',
    '$iothub/twin/GET/?$rid=1&$identity=%zz',
    '$iothub/twin/GET/?$rid=1&%zz=1',
    '$iothub/twin/PATCH/properties/desired/?$rid=1',
    '$iothub/twin/res/200/?$rid=1',
    '$iothub/methods/res/?$rid=1',
    '$iothub/methods/res/ok/?$rid=1',
    '$iothub/methods/res/200/',
    '$iothub/methods/POST/x/?$rid=1',
    'plant/line/1',
    '',
  ];
  for (const topic of table) t.equal(topics.parseDeviceTopic(topic), undefined, topic);
  t.end();
});

t.test("what the builders write for a device is what the device's parser reads", (t) => {
  const table: readonly [string, string, object][] = [
    [
      topics.twinResponseTopic(200, 'r'),
      '$iothub/twin/res/200/?$rid=r',
      { kind: 'twin-response', status: 200, rid: 'r', version: undefined },
    ],
    [
      topics.twinResponseTopic(204, 'r', 9),
      '$iothub/twin/res/204/?$rid=r&$version=9',
      { kind: 'twin-response', status: 204, rid: 'r', version: 9 },
    ],
    [
      topics.desiredPatchTopic(5),
      '$iothub/twin/PATCH/properties/desired/?$version=5',
      { kind: 'desired-patch', version: 5, onBehalfOf: undefined },
    ],
    [
      topics.desiredPatchTopic(5, module),
      '$iothub/twin/PATCH/properties/desired/?$version=5&$identity=d%2Fm',
      { kind: 'desired-patch', version: 5, onBehalfOf: module },
    ],
    [
      topics.methodRequestTopic('reset', '1f'),
      '$iothub/methods/POST/reset/?$rid=1f',
      { kind: 'method-request', name: 'reset', rid: '1f', onBehalfOf: undefined },
    ],
    [
      topics.methodRequestTopic('a/b?c', '1', { callee: module, connectTimeoutMs: 0, timeoutMs: 30_000 }),
      '$iothub/methods/POST/a%2Fb%3Fc/?$rid=1&$identity=d%2Fm&$connect=0&$timeout=30000',
      {
        kind: 'method-request',
        name: 'a/b?c',
        rid: '1',
        onBehalfOf: module,
        patience: { connectTimeoutMs: 0, timeoutMs: 30_000 },
      },
    ],
    [
      topics.inputTopic(module, 'in', ''),
      'devices/d/modules/m/inputs/in/',
      { kind: 'input', deviceId: 'd', moduleId: 'm', input: 'in', bag: '' },
    ],
    [
      topics.inputTopic(module, 'i/n', 'a=1'),
      'devices/d/modules/m/inputs/i%2Fn/a=1',
      { kind: 'input', deviceId: 'd', moduleId: 'm', input: 'i/n', bag: 'a=1' },
    ],
    [
      topics.cloudToDeviceTopic({ deviceId: 'd' }, ''),
      'devices/d/messages/devicebound/',
      { kind: 'devicebound', deviceId: 'd', bag: '' },
    ],
  ];
  for (const [topic, text, expected] of table) {
    t.equal(topic, text);
    t.strictSame(topics.parseServerTopic(topic), expected, topic);
  }
  t.end();
});

t.test("what the builders write for a hub is what the hub's parser reads", (t) => {
  const table: readonly [string, object][] = [
    [
      topics.telemetryTopic({ deviceId: 'd' }, 'a=1'),
      { kind: 'telemetry', deviceId: 'd', moduleId: undefined, bag: 'a=1' },
    ],
    [topics.telemetryTopic(module, ''), { kind: 'telemetry', ...module, bag: '' }],
    [topics.twinGetTopic('1'), { kind: 'twin-get', rid: '1', onBehalfOf: undefined }],
    [topics.twinGetTopic('1', module), { kind: 'twin-get', rid: '1', onBehalfOf: module }],
    [topics.twinPatchTopic('2', module), { kind: 'twin-patch', rid: '2', onBehalfOf: module }],
    [topics.methodResponseTopic(404, '3'), { kind: 'method-response', status: 404, rid: '3' }],
    [
      topics.methodResponseTopic(504, '3', 'IOTHUB_METHOD_TIMEOUT'),
      { kind: 'method-response', status: 504, rid: '3', problem: 'IOTHUB_METHOD_TIMEOUT' },
    ],
    [topics.settlementTopic(200, 'c1'), { kind: 'settlement', status: 200, rid: 'c1' }],
  ];
  for (const [topic, expected] of table) t.strictSame(topics.parseDeviceTopic(topic), expected, topic);
  t.end();
});

t.test('a topic that no hub sends has no meaning', (t) => {
  const table = [
    '$iothub/twin/res/x/?$rid=1',
    '$iothub/twin/res/200',
    '$iothub/twin/PATCH/properties/desired/?$version=',
    '$iothub/twin/PATCH/properties/desired/?$version=1&$identity=%2F',
    '$iothub/methods/POST//?$rid=1',
    '$iothub/methods/POST/x',
    '$iothub/methods/POST/%zz/?$rid=1',
    'devices/d/messages/events/',
    'devices/d/modules/m/inputs/%zz/',
    'plant',
  ];
  for (const topic of table) t.equal(topics.parseServerTopic(topic), undefined, topic);
  t.end();
});

t.test('the name space is recognised', (t) => {
  for (const owned of [
    '$iothub/x',
    'devices/d/messages/events',
    topics.inputFilter(module),
    topics.cloudToDeviceFilter(module),
  ])
    t.ok(topics.isIotHubTopic(owned), owned);
  for (const free of ['$iothubx/y', 'device/d', 'plant/devices/d', '#', '$SYS/x'])
    t.notOk(topics.isIotHubTopic(free), free);
  t.equal(topics.inputFilter(module), 'devices/d/modules/m/inputs/#');
  t.equal(topics.cloudToDeviceFilter(module), 'devices/d/messages/devicebound/#');
  t.end();
});
