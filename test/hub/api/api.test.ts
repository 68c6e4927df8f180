import t from 'tap';
import { HubApi } from '../../../src/hub/api/api.ts';
import { hubFollowersMax } from '../../../src/limits.ts';
import type { HttpRequest, HttpResponse } from '../../../src/platform/http.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { edgeManifest } from '../../support/edge-manifest.ts';
import { appendAll, hubState, sample } from '../../support/hub-state.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly json: unknown;
  readonly raw: HttpResponse;
}

function openApi(directory: string) {
  const hub = hubState(directory);
  const connected = new Set<string>();
  const api = new HubApi(
    {
      ...hub,
      http: systemHttp(),
      entropy: seededEntropy(2),
      presence: { isConnected: ({ deviceId, moduleId }) => connected.has(moduleId ?? deviceId) },
      facts: () => ({ hostname: 'hub.example', mqttPort: 8883 }),
    },
    { socketPath: '/nowhere' },
  );
  const ask = async (line: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
    const [method = '', target = ''] = line.split(' ');
    const url = new URL(target, 'http://hub');
    const request: HttpRequest = {
      method,
      segments: url.pathname
        .split('/')
        .filter((part) => part !== '')
        .map(decodeURIComponent),
      query: url.searchParams,
      headers,
      body: body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body),
      peer: undefined,
      signal: new AbortController().signal,
    };
    const raw = await api.handle(request);
    const json: unknown = typeof raw.body === 'string' && raw.body !== '' ? JSON.parse(raw.body) : undefined;
    return { status: raw.status, headers: raw.headers ?? {}, json, raw };
  };
  return { ...hub, connected, ask };
}

t.test('a device has the shape of Azure, and is changed only with If-Match', async (t) => {
  const { ask, connected, database } = openApi(t.testdir());
  const created = await ask('PUT /devices/gw', {
    deviceId: 'gw',
    status: 'enabled',
    capabilities: { iotEdge: true },
    authentication: { type: 'sas', symmetricKey: { primaryKey: '', secondaryKey: '' } },
  });
  t.equal(created.status, 200);
  t.match(created.json, {
    deviceId: 'gw',
    status: 'enabled',
    connectionState: 'Disconnected',
    capabilities: { iotEdge: true },
    authentication: { type: 'sas', symmetricKey: { primaryKey: /^[\w+/]{43}=$/ } },
    deviceScope: /^ms-azure-iot-edge:\/\/gw-\d+$/,
  });
  t.match(await ask('PUT /devices/gw', {}), {
    status: 409,
    json: { code: 'HUB_DEVICE_EXISTS' },
    headers: { 'iothub-errorcode': 'DeviceAlreadyExists' },
  });
  t.match(await ask('PUT /devices/gw', { status: 'disabled' }, { 'if-match': '"wrong"' }), { status: 412 });
  t.match(await ask('PUT /devices/gw', { status: 'disabled' }, { 'if-match': created.headers['etag'] ?? '' }), {
    status: 200,
    json: { status: 'disabled', capabilities: { iotEdge: true } },
  });
  connected.add('gw');
  t.match(await ask('GET /devices/gw'), { json: { connectionState: 'Connected' } });
  connected.clear();
  connected.add('$edgeHub');
  t.match(await ask('GET /devices/gw'), { json: { connectionState: 'Connected' } }, 'through its gateway connection');
  t.match(await ask('DELETE /devices/gw', undefined, { 'if-match': '*' }), { status: 204, json: undefined });
  t.match(await ask('GET /devices/gw'), {
    status: 404,
    json: { Message: /^ErrorCode:DeviceNotFound;[^;]+$/, ExceptionMessage: /^Tracking ID:/ },
  });
  database.close();
});

t.test('modules are made, listed and deleted under their device', async (t) => {
  const { ask, database } = openApi(t.testdir());
  await ask('PUT /devices/gw', { capabilities: { iotEdge: true } });
  t.match(await ask('PUT /devices/gw/modules/m', { moduleId: 'm', managedBy: 'me' }), {
    status: 200,
    json: { deviceId: 'gw', moduleId: 'm', managedBy: 'me' },
  });
  t.match(await ask('PUT /devices/gw/modules/m', {}), {
    status: 409,
    headers: { 'iothub-errorcode': 'ModuleAlreadyExistsOnDevice' },
  });
  t.match(await ask('PUT /devices/gw/modules/m', {}, { 'if-match': '*' }), { status: 200 });
  t.match(await ask('GET /devices/gw/modules'), {
    json: [{ moduleId: '$edgeAgent' }, { moduleId: '$edgeHub' }, { moduleId: 'm' }],
  });
  t.match(await ask('GET /devices/gw/modules/m'), { status: 200 });
  t.match(await ask('DELETE /devices/gw/modules/m'), { status: 204 });
  t.match(await ask('GET /devices/gw/modules/m'), { status: 404, json: { Message: /^ErrorCode:ModuleNotFound;/ } });
  database.close();
});

t.test('devices are listed in pages', async (t) => {
  const { ask, database } = openApi(t.testdir());
  for (const id of ['a', 'b', 'c']) await ask(`PUT /devices/${id}`, {});
  t.match(await ask('GET /devices?top=2'), { json: [{ deviceId: 'a' }, { deviceId: 'b' }] });
  t.match(await ask('GET /devices?after=b'), { json: [{ deviceId: 'c' }] });
  t.match(await ask('GET /devices?top=many'), { status: 400 });
  database.close();
});

const bad: readonly (readonly [string, string, unknown, number, string])[] = [
  ['text that is no JSON', 'PUT /devices/x', '{', 400, 'HUB_BODY_INVALID'],
  ['a list for an object', 'PUT /devices/x', [], 400, 'HUB_BODY_INVALID'],
  ['another id in the body', 'PUT /devices/x', { deviceId: 'y' }, 400, 'HUB_ARGUMENT_INVALID'],
  ['an unknown status', 'PUT /devices/x', { status: 'on' }, 400, 'HUB_ARGUMENT_INVALID'],
  [
    'a capability that is no truth value',
    'PUT /devices/x',
    { capabilities: { iotEdge: 'yes' } },
    400,
    'HUB_ARGUMENT_INVALID',
  ],
  [
    'an authentication by certificate',
    'PUT /devices/x',
    { authentication: { type: 'selfSigned' } },
    400,
    'HUB_ARGUMENT_INVALID',
  ],
  [
    'one key of two',
    'PUT /devices/x',
    { authentication: { symmetricKey: { primaryKey: 'QUJD' } } },
    400,
    'HUB_ARGUMENT_INVALID',
  ],
  ['tags that are no object', 'PATCH /twins/gw', { tags: 1 }, 400, 'HUB_ARGUMENT_INVALID'],
  ['a key no twin may have', 'PATCH /twins/gw', { properties: { desired: { 'a.b': 1 } } }, 400, 'HUB_TWIN_INVALID'],
  ['a twin of nobody', 'GET /twins/nobody', undefined, 404, 'HUB_DEVICE_NOT_FOUND'],
  ['a path nobody serves', 'GET /configurations', undefined, 404, 'HUB_REQUEST_UNKNOWN'],
  ['a method nobody serves', 'POST /twins/gw', undefined, 404, 'HUB_REQUEST_UNKNOWN'],
  ['a path too deep', 'GET /devices/a/modules/b/c', undefined, 404, 'HUB_REQUEST_UNKNOWN'],
  ['a manifest that is no JSON', 'POST /devices/gw/applyConfigurationContent', '{', 400, 'HUB_BODY_INVALID'],
  ['a place that is none', 'GET /events?from=yesterday', undefined, 400, 'HUB_ARGUMENT_INVALID'],
];

for (const [what, line, body, status, code] of bad) {
  t.test(`${what} is refused with ${code}`, async (t) => {
    const { ask, registry, database } = openApi(t.testdir());
    registry.createDevice('gw', { edge: true });
    t.match(await ask(line, body), { status, json: { code } });
    database.close();
  });
}

t.test('a twin is read with versions and times, and patched with its etag', async (t) => {
  const { ask, database } = openApi(t.testdir());
  await ask('PUT /devices/gw', {});
  const read = await ask('GET /twins/gw');
  t.match(read.json, {
    deviceId: 'gw',
    version: 1,
    tags: {},
    properties: {
      desired: { $version: 1, $metadata: { $lastUpdated: '2026-01-01T00:00:00.000Z' } },
      reported: { $version: 1 },
    },
  });
  const etag = read.headers['etag'] ?? '';
  t.match(
    await ask(
      'PATCH /twins/gw',
      { tags: { site: 'A' }, properties: { desired: { rate: 5, $version: 77 }, reported: { ignored: 1 } } },
      { 'if-match': etag },
    ),
    {
      status: 200,
      json: {
        version: 2,
        tags: { site: 'A' },
        properties: { desired: { rate: 5, $version: 2 }, reported: { $version: 1 } },
      },
    },
  );
  t.match(await ask('PATCH /twins/gw', {}, { 'if-match': etag }), { status: 412 });
  t.match(await ask('PATCH /twins/gw', {}, { 'if-match': '"foreign"' }), { status: 412 });
  database.close();
});

t.test('a manifest is answered with 204, or with what changed when asked', async (t) => {
  const { ask, database } = openApi(t.testdir());
  await ask('PUT /devices/gw', { capabilities: { iotEdge: true } });
  t.match(await ask('POST /devices/gw/applyConfigurationContent?outcome=true', edgeManifest()), {
    status: 200,
    json: { modulesCreated: ['SimulatedTemperatureSensor', 'modbus'] },
  });
  t.match(await ask('POST /devices/gw/applyConfigurationContent', { content: edgeManifest() }), {
    status: 204,
    json: undefined,
  });
  database.close();
});

t.test(
  'an error nobody foresaw is a 500 with a tracking id that is in the log, and nothing else happens',
  async (t) => {
    const { ask, database, lines } = openApi(t.testdir());
    await ask('PUT /devices/gw', {});
    database.run("CREATE TRIGGER broken BEFORE UPDATE ON twin BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
    const answer = await ask('PATCH /twins/gw', { tags: { a: 1 } });
    t.match(answer, { status: 500, json: { Message: /^ErrorCode:ServerError;/, code: 'HUB_INTERNAL' } });
    const id = /Tracking ID:([\w-]+)-TimeStamp/.exec(
      (answer.json as { ExceptionMessage: string }).ExceptionMessage,
    )?.[1];
    t.ok(lines.some((line) => line.includes(String(id)) && line.includes('disk trouble')));
    t.match(await ask('GET /devices/gw'), { status: 200 });
    database.close();
  },
);

t.test('status tells where devices connect and what the log holds', async (t) => {
  const hub = openApi(t.testdir());
  appendAll(hub, [sample('x')]);
  t.match(await hub.ask('GET /status'), {
    json: {
      hostname: 'hub.example',
      mqttPort: 8883,
      devices: 0,
      readers: 0,
      eventLog: { firstOffset: 1, nextOffset: 2, events: 1 },
    },
  });
  hub.database.close();
});

t.test('the number of readers is limited, and a reader that ends makes room', async (t) => {
  const hub = openApi(t.testdir());
  appendAll(hub, [sample('x')]);
  const readers: AsyncIterator<string>[] = [];
  for (let index = 0; index < hubFollowersMax; index += 1) {
    const { raw } = await hub.ask('GET /events?from=earliest&follow=true');
    const reader = (raw.body as AsyncIterable<string>)[Symbol.asyncIterator]();
    await reader.next();
    readers.push(reader);
  }
  t.match(await hub.ask('GET /events?follow=true'), { status: 429, json: { code: 'HUB_LIMIT_REACHED' } });
  await readers[0]?.return?.();
  t.match(await hub.ask('GET /events?follow=true'), { status: 200 });
  for (const reader of readers) await reader.return?.();
  hub.database.close();
});
