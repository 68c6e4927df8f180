// Methods, cloud-to-device messages and feedback over the service API, in Azure's shapes.

import t from 'tap';
import {
  badMethodError,
  clientGoneError,
  methodTimeoutError,
  notListeningError,
} from '../../../src/broker/iothub/errors.ts';
import { HubApi } from '../../../src/hub/api/api.ts';
import type { MethodCaller } from '../../../src/hub/ports.ts';
import { hubFollowersMax } from '../../../src/limits.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { hubState } from '../../support/hub-state.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

function openApi(directory: string) {
  const hub = hubState(directory);
  hub.registry.createDevice('plc');
  hub.registry.createModule('plc', 'm');
  const api = new HubApi(
    {
      ...hub,
      http: systemHttp(),
      entropy: seededEntropy(2),
      presence: { isConnected: () => false },
      facts: () => ({}),
    },
    { socketPath: '/nowhere' },
  );
  const ask = async (line: string, body?: unknown, signal = new AbortController().signal) => {
    const [method = '', target = ''] = line.split(' ');
    const url = new URL(target, 'http://hub');
    const raw = await api.handle({
      method,
      segments: url.pathname
        .split('/')
        .filter((part) => part !== '')
        .map(decodeURIComponent),
      query: url.searchParams,
      headers: {},
      body: body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body),
      peer: undefined,
      signal,
    });
    const json = typeof raw.body === 'string' && raw.body !== '' ? JSON.parse(raw.body) : undefined;
    return { status: raw.status, headers: raw.headers ?? {}, json, raw };
  };
  return { ...hub, ask };
}

async function lines(body: unknown): Promise<readonly object[]> {
  let text = '';
  for await (const piece of body as AsyncIterable<string>) text += piece;
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

t.test('a method goes to a device or a module with its time-outs, and its answer is status and payload', async (t) => {
  const { ask, post } = openApi(t.testdir());
  const calls: unknown[] = [];
  post.answer = (callee, call) => {
    calls.push([callee, call]);
    return Promise.resolve({ status: 207, payload: { done: [1] } });
  };
  const body = { methodName: 'x', payload: { a: 1 }, responseTimeoutInSeconds: 7, connectTimeoutInSeconds: 3 };
  t.match(await ask('POST /twins/plc/methods', body), { status: 200, json: { status: 207, payload: { done: [1] } } });
  t.match(await ask('POST /twins/plc/modules/m/methods', { methodName: 'y' }), { status: 200 });
  t.strictSame(calls, [
    [{ deviceId: 'plc' }, { name: 'x', payload: { a: 1 }, timeoutMs: 7000, connectTimeoutMs: 3000 }],
    [
      { deviceId: 'plc', moduleId: 'm' },
      { name: 'y', payload: null, timeoutMs: 30_000, connectTimeoutMs: 0 },
    ],
  ]);
});

t.test("a failed call has Azure's status and code", async (t) => {
  const { ask, post } = openApi(t.testdir());
  const failures: readonly (readonly [(identity: { deviceId: string }) => Error, number, string])[] = [
    [(callee) => notListeningError(callee, 'methods'), 404, 'DeviceNotOnline'],
    [(callee) => clientGoneError(callee, 'x'), 404, 'DeviceConnectionClosedRemotely'],
    [(callee) => methodTimeoutError(callee, 'x', 5), 504, 'GatewayTimeout'],
    [() => badMethodError('no'), 400, 'ArgumentInvalid'],
    [() => new Error('a fault of ours'), 500, 'ServerError'],
  ];
  for (const [error, status, code] of failures) {
    const answer: MethodCaller = (callee) => Promise.reject(error(callee));
    post.answer = answer;
    t.match(await ask('POST /twins/plc/methods', { methodName: 'x' }), {
      status,
      headers: { 'iothub-errorcode': code },
    });
  }
  t.match(await ask('POST /twins/nobody/methods', { methodName: 'x' }), {
    status: 404,
    json: { code: 'HUB_DEVICE_NOT_FOUND' },
  });
  t.match(await ask('POST /twins/plc/modules/no/methods', { methodName: 'x' }), {
    json: { code: 'HUB_MODULE_NOT_FOUND' },
  });
  t.match(await ask('POST /twins/plc/methods', { methodName: '' }), {
    status: 400,
    json: { code: 'IOTHUB_METHOD_INVALID' },
  });
  t.match(await ask('POST /twins/plc/methods', { methodName: 'x', payload: 'y'.repeat(200_000) }), { status: 413 });
});

t.test('a message is sent, counted, purged, and its feedback read', async (t) => {
  const { ask, post, clock } = openApi(t.testdir());
  const sent = await ask('POST /devices/plc/messages/devicebound', {
    body: Buffer.from([0, 255]).toString('base64'),
    properties: { k: 'v' },
    messageId: 'm1',
    ack: 'full',
    contentType: 'application/octet-stream',
    expiryTimeUtc: new Date(clock.wallMs() + 60_000).toISOString(),
  });
  t.match(sent, { status: 200, json: { messageId: 'm1', sequenceNumber: 1, waiting: 1 } });
  t.equal((await ask('GET /devices/plc')).json.cloudToDeviceMessageCount, 1);
  t.match(await ask('POST /devices/plc/messages/devicebound', {}), { status: 200, json: { messageId: /^[\w-]{36}$/ } });
  post.listening.add('plc');
  t.match(await ask('POST /devices/plc/messages/devicebound', { messageId: 'm3', ack: 'positive' }), { status: 200 });
  await clock.advance(0);
  t.strictSame([...post.given[0]!.message.body], [0, 255]);
  post.listening.clear();
  await ask('POST /devices/plc/messages/devicebound', { messageId: 'm4', ack: 'negative' });
  t.match(await ask('DELETE /devices/plc/commands'), {
    status: 200,
    json: { deviceId: 'plc', totalMessagesPurged: 1 },
  });
  const { raw } = await ask('GET /feedback');
  t.match(await lines(raw.body), [
    { offset: 1, originalMessageId: 'm1', statusCode: 'Success', deviceId: 'plc', deviceGenerationId: /\d/ },
    { offset: 2, originalMessageId: 'm3', statusCode: 'Success' },
    { offset: 3, originalMessageId: 'm4', statusCode: 'Purged', enqueuedTimeUtc: /T/ },
  ]);
  t.match(await lines((await ask('GET /feedback?from=3')).raw.body), [{ offset: 3 }]);
});

t.test('a message that cannot be read is refused with its reason', async (t) => {
  const { ask } = openApi(t.testdir());
  const send = 'POST /devices/plc/messages/devicebound';
  for (const body of [
    { body: '%%%' },
    { body: 7 },
    { ack: 'maybe' },
    { expiryTimeUtc: 'soon' },
    { properties: [] },
    { properties: { n: 7 } },
    { messageId: '' },
  ])
    t.match(await ask(send, body), { json: { code: 'HUB_MESSAGE_INVALID' } }, JSON.stringify(body));
  t.match(await ask(send, '['), { json: { code: 'HUB_BODY_INVALID' } });
  t.match(await ask(send, '[]'), { json: { code: 'HUB_BODY_INVALID' } });
  t.match(await ask('POST /devices/plc/messages/elsewhere', {}), {
    status: 404,
    json: { code: 'HUB_REQUEST_UNKNOWN' },
  });
});

t.test('a follower of the feedback hears of each record as it comes, and their number is bounded', async (t) => {
  const { ask, devicebound } = openApi(t.testdir());
  const stops = Array.from({ length: hubFollowersMax }, () => new AbortController());
  const readings: Promise<readonly object[]>[] = [];
  for (const { signal } of stops) {
    const { raw } = await ask('GET /feedback?follow=true', undefined, signal);
    readings.push(lines(raw.body));
  }
  t.match(await ask('GET /feedback?follow=true'), { status: 429 });
  for (const messageId of ['a', 'b']) {
    devicebound.send('plc', { body: Buffer.alloc(0), properties: {}, messageId, ack: 'full' });
    devicebound.purge('plc');
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const stop of stops) stop.abort();
  const [reading] = await Promise.all(readings);
  t.match(reading, [{ originalMessageId: 'a' }, { originalMessageId: 'b' }]);
});
