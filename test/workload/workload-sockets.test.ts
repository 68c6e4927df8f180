import { X509Certificate } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CertificateStore, DeviceKey, ModuleKeys, verifyToken } from '../../src/identity/index.ts';
import { workloadBodyBytesMax, workloadRequestsPerModuleMax } from '../../src/limits.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { tlsContext } from '../../src/platform/tls.ts';
import type { WorkloadPorts } from '../../src/workload/index.ts';
import { WorkloadSockets } from '../../src/workload/index.ts';
import { SimClock } from '../support/sim-clock.ts';

const clock = new SimClock();
const disk = systemDisk();
const log = createLog({ clock, level: 'error', write: () => undefined });
const deviceKey = new DeviceKey(Buffer.alloc(32, 3).toString('base64'));
const certificates = new CertificateStore(
  { disk, clock, log, tlsContext },
  { directory: t.testdir(), authorityName: 'weir CA', hostnames: ['gw.local'] },
);
await certificates.start();
t.teardown(() => certificates.close());
const version = '?api-version=2018-06-28';
const options = { hubHostname: 'hub.example', deviceId: 'd' };

async function serve(t: Test, more: Partial<WorkloadPorts> = {}) {
  const metrics = createMetrics();
  const http = systemHttp();
  const sockets = new WorkloadSockets(
    { http, log, metrics, keys: new ModuleKeys(deviceKey), certificates, ...more },
    options,
  );
  // Not t.testdir(): a socket's path has 107 bytes at most.
  const directory = await mkdtemp(join(tmpdir(), 'weir-w-'));
  t.teardown(() => disk.remove('test', directory));
  const socketPath = join(directory, 'w.sock');
  await sockets.open({ moduleId: 'm', generationId: '1' }, { workload: socketPath });
  t.teardown(() => sockets.closeAll());
  const call = async (
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }> => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await http.call({ socketPath, method, path, ...(text === undefined ? {} : { body: text }) });
    return { status: answer.status, body: JSON.parse(answer.body) as Record<string, unknown> };
  };
  const count = (wanted: string): number =>
    metrics
      .snapshot()
      .filter(({ name }) => name === wanted)
      .reduce((sum, { value }) => sum + value, 0);
  return { sockets, socketPath, call, count, refused: () => count('weir_workload_refused') };
}

t.test("Microsoft's edge client makes a token through the socket that passes our check", async (t) => {
  const { socketPath } = await serve(t);
  const require = createRequire(import.meta.url);
  const { IotEdgeAuthenticationProvider } = require('azure-iot-device/dist/iotedge_authentication_provider') as {
    IotEdgeAuthenticationProvider: new (
      config: object,
    ) => {
      getTrustBundle(callback: (error: Error | null, ca: string) => void): void;
      getDeviceCredentials(
        callback: (error: Error | null, credentials: { sharedAccessSignature: string }) => void,
      ): void;
      stop(): void;
    };
  };
  const provider = new IotEdgeAuthenticationProvider({
    workloadUri: `unix://${socketPath}`,
    deviceId: 'd',
    moduleId: 'm',
    iothubHostName: 'hub.example',
    authScheme: 'SasToken',
    generationId: '1',
  });
  const ca = await new Promise<string>((resolve, reject) =>
    provider.getTrustBundle((error, text) => (error ? reject(error) : resolve(text))),
  );
  t.equal(ca, certificates.trustBundle());
  const token = await new Promise<string>((resolve, reject) =>
    provider.getDeviceCredentials((error, credentials) =>
      error ? reject(error) : resolve(String(credentials.sharedAccessSignature)),
    ),
  );
  provider.stop();
  const verdict = verifyToken(token, {
    keys: [deviceKey.moduleKey('m', '1')],
    hostnames: ['hub.example'],
    identity: { deviceId: 'd', moduleId: 'm' },
    nowMs: Date.now(),
  });
  t.match(verdict, { ok: true });
});

t.test('a module signs, encrypts and decrypts with its own keys', async (t) => {
  const { call } = await serve(t);
  const data = Buffer.from('hub%2Fdevices%2Fd\n17').toString('base64');
  const signed = await call('POST', `/modules/m/genid/other/sign${version}`, {
    keyId: 'primary',
    algo: 'hmacSha256',
    data,
  });
  t.strictSame(signed, {
    status: 200,
    body: { digest: new ModuleKeys(deviceKey).sign('m', '1', Buffer.from(data, 'base64')) },
  });
  const vector = Buffer.from('vector').toString('base64');
  const encrypted = await call('POST', `/modules/m/genid/1/encrypt${version}`, {
    plaintext: data,
    initializationVector: vector,
  });
  t.equal(encrypted.status, 200);
  const ciphertext = encrypted.body['ciphertext'];
  t.strictSame(
    await call('POST', `/modules/m/genid/1/decrypt${version}`, { ciphertext, initializationVector: vector }),
    { status: 200, body: { plaintext: data } },
  );
  t.match(
    await call('POST', `/modules/m/genid/1/decrypt${version}`, { ciphertext: data, initializationVector: vector }),
    { status: 400, body: { message: /not made by this module/ } },
  );
});

t.test('a module gets certificates with key, chain and end', async (t) => {
  const { call } = await serve(t);
  const server = await call('POST', `/modules/m/genid/1/certificate/server${version}`, {
    commonName: 'm.local',
    expiration: '2030-01-01T00:00:00Z',
  });
  t.equal(server.status, 201);
  t.match(server.body, { privateKey: { type: 'key', bytes: /BEGIN PRIVATE KEY/ }, certificate: /BEGIN CERTIFICATE/ });
  t.equal(server.body['expiration'], new Date(clock.wallMs() + 30 * 86_400_000).toISOString());
  t.equal(new X509Certificate(String(server.body['certificate'])).subjectAltName, 'DNS:m.local, DNS:m');
  const identity = await call('POST', `/modules/m/certificate/identity${version}`);
  t.equal(identity.status, 201);
  t.equal(
    new X509Certificate(String(identity.body['certificate'])).subjectAltName,
    'URI:azureiot://hub.example/devices/d/modules/m',
  );
});

t.test('trust bundles and the caller itself are shown', async (t) => {
  const { call } = await serve(t);
  t.strictSame(await call('GET', `/trust-bundle${version}`), {
    status: 200,
    body: { certificate: certificates.trustBundle() },
  });
  t.equal((await call('GET', '/manifest-trust-bundle?api-version=2020-07-07')).status, 200);
  t.match(await call('GET', `/modules${version}`), { status: 200, body: { modules: [{ name: 'm' }] } });
});

t.test('what is refused has a status and a message', async (t) => {
  const { call, refused } = await serve(t);
  const sign = `/modules/m/genid/1/sign${version}`;
  const table: readonly [string, string, unknown, number, RegExp][] = [
    ['GET', '/trust-bundle', undefined, 400, /api-version not specified/],
    [
      'GET',
      '/trust-bundle?api-version=2018-06-29',
      undefined,
      400,
      /invalid api-version "2018-06-29".*none of 2018-06-28, .*2022-08-03/,
    ],
    ['GET', '/manifest-trust-bundle?api-version=2018-06-28', undefined, 400, /2020-07-07 or newer/],
    [
      'POST',
      `/modules/other/genid/1/sign${version}`,
      { algo: 'HMACSHA256', data: '' },
      403,
      /Unauthorized.*'m'.*'other'/,
    ],
    ['POST', `/modules/other/certificate/identity${version}`, {}, 403, /Unauthorized/],
    ['POST', `/modules/M/genid/1/sign${version}`, { algo: 'HMACSHA256', data: '' }, 403, /Unauthorized/],
    ['POST', sign, 'rubbish', 400, /not JSON/],
    ['POST', sign, '[]', 400, /not a JSON object/],
    ['POST', sign, '', 400, /missing request body/],
    ['POST', sign, '{}', 400, /'data' is missing/],
    ['POST', sign, { algo: 'MD5', data: '' }, 400, /'algo'/],
    ['POST', sign, { algo: 'HMACSHA256' }, 400, /'data' is missing/],
    ['POST', sign, { algo: 'HMACSHA256', data: 'a b' }, 400, /'data' is not base64/],
    [
      'POST',
      `/modules/m/genid/1/encrypt${version}`,
      { plaintext: 'aGk=', initializationVector: '' },
      400,
      /initializationVector/,
    ],
    ['POST', `/modules/m/genid/1/certificate/server${version}`, { commonName: ' ' }, 400, /commonName/],
    ['POST', `/modules/m/genid/1/certificate/client${version}`, {}, 404, /no POST/],
    ['POST', `/modules/m/genid/1/wipe${version}`, {}, 404, /no POST \/modules\/m\/genid\/1\/wipe/],
    ['GET', sign, undefined, 404, /no GET/],
    ['GET', '/', undefined, 404, /no GET/],
    ['DELETE', `/modules/m${version}`, undefined, 404, /no DELETE/],
  ];
  for (const [method, path, body, status, message] of table) {
    t.match(await call(method, path, body), { status, body: { message } }, `${method} ${path} ${JSON.stringify(body)}`);
  }
  t.equal(refused(), table.length);
  t.match(await call('POST', sign, 'x'.repeat(workloadBodyBytesMax + 1)), { status: 413, body: { message: /bytes/ } });
});

t.test('a fault inside is 500 and says nothing', async (t) => {
  const keys = {
    sign: () => {
      throw new TypeError('secret');
    },
    encrypt: () => Buffer.alloc(0),
    decrypt: () => Buffer.alloc(0),
  };
  const { call } = await serve(t, { keys });
  t.strictSame(await call('POST', `/modules/m/genid/1/sign${version}`, { algo: 'HMACSHA256', data: '' }), {
    status: 500,
    body: { message: 'Internal error.' },
  });
});

t.test('a process that is not the module is refused and counted', async (t) => {
  const peer = { pid: 77, uid: 1, gid: 1 };
  const asked: unknown[] = [];
  const mayUse = async (moduleId: string, found: object) => {
    asked.push([moduleId, found]);
    return { ok: false, who: "a process (pid 77) of the module 'n'" } as const;
  };
  const { call, refused } = await serve(t, { http: systemHttp({ peerCredentials: () => peer }), mayUse });
  t.match(await call('GET', `/trust-bundle${version}`), {
    status: 403,
    body: {
      message:
        "Unauthorized: this socket belongs to module 'm', and the caller is a process (pid 77) of the module 'n'.",
    },
  });
  t.strictSame(asked, [['m', peer]]);
  t.equal(refused(), 1);
});

t.test('where the machine does not tell who calls, the place of the socket decides, and that is counted', async (t) => {
  const unknown = (): number => count('weir_workload_callers_unknown');
  const unsure = await serve(t, {
    http: systemHttp({ peerCredentials: () => ({ pid: 0, uid: 1, gid: 1 }) }),
    mayUse: () => Promise.resolve({ ok: true, sure: false }),
  });
  const { count } = unsure;
  t.match(await unsure.call('GET', `/trust-bundle${version}`), { status: 200 });
  t.equal(unknown(), 1);
  const broken = (): never => {
    throw new TypeError('no such option');
  };
  const untold = await serve(t, {
    http: systemHttp({ peerCredentials: broken }),
    mayUse: () => Promise.resolve({ ok: false, who: 'nobody asked' }),
  });
  t.match(await untold.call('GET', `/trust-bundle${version}`), { status: 200 }, 'the kernel refused to tell');
  t.equal(untold.count('weir_workload_callers_unknown'), 1);
});

t.test('requests beyond the limit of one module are answered 429', async (t) => {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const issue = async () => {
    await released;
    return { certificatePem: '', privateKeyPem: '', notAfterMs: 0 };
  };
  const { call } = await serve(t, {
    certificates: { trustBundle: () => '', issueServer: issue, issueIdentity: issue },
  });
  const calls = Array.from({ length: workloadRequestsPerModuleMax + 1 }, () =>
    call('POST', `/modules/m/certificate/identity${version}`),
  );
  t.equal((await Promise.race(calls)).status, 429);
  release();
  const statuses = (await Promise.all(calls)).map(({ status }) => status).sort();
  t.strictSame(statuses, [...Array.from({ length: workloadRequestsPerModuleMax }, () => 201), 429]);
});

t.test('sockets are opened again, replaced and closed, one change after the other', async (t) => {
  const { sockets, socketPath, call } = await serve(t);
  const sign = async (): Promise<unknown> =>
    (await call('POST', `/modules/m/genid/1/sign${version}`, { algo: 'HMACSHA256', data: '' })).body['digest'];
  const first = await sign();
  await sockets.open({ moduleId: 'm', generationId: '1' }, { workload: socketPath });
  t.equal(await sign(), first);
  await Promise.all([
    sockets.open({ moduleId: 'm', generationId: '2' }, { workload: socketPath }),
    sockets.close('unknown'),
  ]);
  t.not(await sign(), first);
  t.equal((await disk.facts('test', socketPath))?.mode, 0o666);
  await t.rejects(sockets.open({ moduleId: 'n', generationId: '1' }, { workload: '/nowhere/at/all.sock' }), {
    code: 'PLATFORM_LISTEN_FAILED',
  });
  await t.rejects(sockets.open({ moduleId: 'n', generationId: '1' }, { workload: `/tmp/${'x'.repeat(103)}` }), {
    code: 'WORKLOAD_PATH_TOO_LONG',
  });
  await sockets.close('m');
  await sockets.close('m');
  await t.rejects(call('GET', `/trust-bundle${version}`), { code: 'PLATFORM_HTTP_FAILED' });
  await sockets.open({ moduleId: 'm', generationId: '1' }, { workload: socketPath });
  t.equal(await sign(), first);
});
