// The gateway's HTTP interface: who may call, and what Azure's clients get for an answer.

import t from 'tap';
import {
  clientGoneError,
  methodTimeoutError,
  notListeningError,
  tooLargeError,
} from '../../src/broker/iothub/errors.ts';
import { type Call, GatewayApi } from '../../src/gateway-api/index.ts';
import type { Identity } from '../../src/model/address.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

function setUp() {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const calls: (readonly [Identity, Call])[] = [];
  const state = {
    answer: (_callee: Identity): Promise<{ status: number; payload: null }> =>
      Promise.resolve({ status: 207, payload: null }),
  };
  const api = new GatewayApi(
    {
      checkToken: async ({ moduleId }, token) =>
        token === `good-${moduleId}` ? undefined : 'the signature is of another key',
      invoke: (callee, call) => {
        calls.push([callee, call]);
        return state.answer(callee);
      },
      clock,
      entropy: seededEntropy(1),
      log,
      metrics: createMetrics(),
    },
    { deviceId: 'gw' },
  );
  const usual = { authorization: 'good-m', 'x-ms-edge-moduleid': 'gw/m' };
  const ask = async (
    line: string,
    body: unknown = { methodName: 'x' },
    headers: Readonly<Record<string, string | undefined>> = usual,
  ) => {
    const [method = '', target = ''] = line.split(' ');
    const url = new URL(target, 'http://gateway');
    const answer = await api.handle({
      method,
      segments: url.pathname
        .split('/')
        .filter((part) => part !== '')
        .map(decodeURIComponent),
      query: url.searchParams,
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
      peer: undefined,
      signal: new AbortController().signal,
    });
    return { status: answer.status, headers: answer.headers ?? {}, json: JSON.parse(String(answer.body)) };
  };
  return { ask, calls, state, lines, usual };
}

t.test(
  'a module calls a module or a leaf device, with or without api-version, and gets status and payload',
  async (t) => {
    const { ask, calls } = setUp();
    const body = { methodName: 'reset', payload: [1], responseTimeoutInSeconds: 7, connectTimeoutInSeconds: 2 };
    const answer = await ask('POST /twins/gw/modules/%24other/methods?api-version=2018-06-30', body);
    t.match(answer, { status: 200, json: { status: 207, payload: null } });
    t.match(answer.headers, { 'content-type': 'application/json; charset=utf-8', 'content-length': '29' });
    await ask(
      'POST /twins/leaf/methods',
      { methodName: 'x' },
      { authorization: 'good-$m', 'x-ms-edge-moduleid': 'gw/%24m' },
    );
    t.strictSame(calls, [
      [
        { deviceId: 'gw', moduleId: '$other' },
        { name: 'reset', payload: [1], timeoutMs: 7000, connectTimeoutMs: 2000 },
      ],
      [{ deviceId: 'leaf' }, { name: 'x', payload: null, timeoutMs: 30_000, connectTimeoutMs: 0 }],
    ]);
  },
);

t.test('only modules of this device are heard, each with its own token; the reason stays in the log', async (t) => {
  const { ask, calls, lines, usual } = setUp();
  const cases: readonly (readonly [Readonly<Record<string, string | undefined>>, RegExp])[] = [
    [{ ...usual, authorization: undefined }, /no token/],
    [{ ...usual, authorization: 'good-other' }, /another key/],
    [{ ...usual, 'x-ms-edge-moduleid': undefined }, /is not \{device\}/],
    [{ ...usual, 'x-ms-edge-moduleid': 'gw' }, /no module of this device/],
    [{ ...usual, 'x-ms-edge-moduleid': 'leaf/m' }, /no module of this device/],
    [{ ...usual, 'x-ms-edge-moduleid': 'gw/m/x' }, /is not \{device\}/],
    [{ ...usual, 'x-ms-edge-moduleid': '%zz' }, /no module of this device/],
  ];
  for (const [headers, reason] of cases) {
    const answer = await ask('POST /twins/gw/modules/o/methods', undefined, headers);
    t.match(answer, {
      status: 401,
      json: { code: 'GATEWAY_API_UNAUTHORISED', Message: /^ErrorCode:IotHubUnauthorizedAccess;/ },
    });
    t.notMatch(JSON.stringify(answer.json), reason);
    t.match(lines.at(-1), reason);
  }
  t.strictSame(calls, []);
});

t.test('other requests are not known, whoever asks', async (t) => {
  const { ask } = setUp();
  for (const line of [
    'GET /twins/gw/methods',
    'POST /',
    'POST /twins/gw',
    'POST /twins/gw/methods/x',
    'POST /twins/gw/modules/m',
    'POST /twins/gw/modules/m/methods/x',
    'POST /devices/gw/methods',
  ])
    t.match(await ask(line, '', {}), { status: 404, json: { code: 'GATEWAY_API_REQUEST_UNKNOWN' } }, line);
});

t.test("failures have IoT Hub's status and a body that Azure's clients can read", async (t) => {
  const { ask, state } = setUp();
  const path = 'POST /twins/gw/modules/o/methods';
  t.match(await ask(path, '['), { status: 400, json: { Message: /^ErrorCode:ArgumentInvalid;/ } });
  t.match(await ask(path, { methodName: 'x', responseTimeoutInSeconds: 1 }), { status: 400 });
  t.match(await ask(path, { methodName: 'x', payload: 'y'.repeat(140_000) }), { status: 413 });
  const failures: readonly (readonly [(callee: Identity) => Error, number, string])[] = [
    [(callee) => notListeningError(callee, 'methods'), 404, 'DeviceNotOnline'],
    [(callee) => clientGoneError(callee, 'x'), 404, 'DeviceConnectionClosedRemotely'],
    [(callee) => methodTimeoutError(callee, 'x', 1), 504, 'GatewayTimeout'],
    [() => tooLargeError('It', 1, 0), 413, 'MessageTooLarge'],
    [() => new Error('secret detail'), 500, 'ServerError'],
  ];
  for (const [error, status, azureCode] of failures) {
    state.answer = (callee) => Promise.reject(error(callee));
    const answer = await ask(path);
    t.match(answer, {
      status,
      headers: { 'iothub-errorcode': azureCode },
      json: { Message: new RegExp(`^ErrorCode:${azureCode};.`) },
    });
    t.notMatch(JSON.stringify(answer.json), /secret/);
  }
});
