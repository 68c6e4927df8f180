// The hub as a whole, over real sockets: TLS, MQTT, HTTP, SQLite, and a kill.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type RunningHub, startHub } from '../src/cloud.ts';
import { createAuthority, issueServerCertificate } from '../src/identity/index.ts';
import { systemHttp } from '../src/platform/http.ts';
import { systemNetwork, type TlsContext } from '../src/platform/net.ts';
import { tlsContext } from '../src/platform/tls.ts';
import { encodePropertyBag, telemetryTopic } from '../src/protocol/iothub/index.ts';
import { edgeManifest } from './support/edge-manifest.ts';
import { connectHubDevice, type HubDevice, type HubDeviceOptions } from './support/hub-device.ts';

const http = systemHttp();

interface Place {
  readonly dataDir: string;
  readonly runDir: string;
}

/** What these tests look at in an answer of the service API. */
interface Answer {
  readonly authentication: { readonly symmetricKey: { readonly primaryKey: string; readonly secondaryKey: string } };
  readonly problems: readonly object[];
}

interface LoggedLine {
  readonly offset: number;
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly output?: string;
  readonly enqueuedTime: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly systemProperties: Readonly<Record<string, string>>;
  readonly body: { readonly value: number };
}

// Unix socket paths are short: not inside the test directory.
function place(t: Test): Place {
  const root = mkdtempSync(join(tmpdir(), 'weir-hub-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return { dataDir: join(root, 'data'), runDir: join(root, 'run') };
}

async function start(t: Test, where: Place, plain = false): Promise<RunningHub> {
  const hub = await startHub({
    ...where,
    hostnames: ['localhost'],
    mqtt: { host: '127.0.0.1', port: 0 },
    mqttPlain: plain ? { host: '127.0.0.1', port: 0 } : undefined,
    retentionBytes: 2 ** 30,
    retentionMs: 86_400_000,
    logLevel: 'error',
    writeLog: (line) => void t.comment(line.trimEnd()),
  });
  t.teardown(() => hub.close());
  return hub;
}

async function call(socketPath: string, line: string, body?: unknown): Promise<{ status: number; json: Answer }> {
  const [method = '', path = ''] = line.split(' ');
  const answer = await http.call({
    socketPath,
    method,
    path,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, json: answer.body === '' ? undefined : JSON.parse(answer.body) };
}

async function events(socketPath: string, query = ''): Promise<LoggedLine[]> {
  const { body } = await http.call({ socketPath, method: 'GET', path: `/events?from=earliest${query}` });
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function edgeDevice(socketPath: string, deviceId: string): Promise<string> {
  const { json } = await call(socketPath, `PUT /devices/${deviceId}`, { capabilities: { iotEdge: true } });
  return json.authentication.symmetricKey.primaryKey;
}

async function connect(t: Test, options: HubDeviceOptions): Promise<HubDevice> {
  const device = await connectHubDevice(options);
  t.teardown(() => device.end());
  return device;
}

function bag(sequence: number, output?: string): string {
  return encodePropertyBag({
    system: { contentType: 'application/json', contentEncoding: 'utf-8', messageId: `m${sequence}` },
    properties: { sequenceNumber: String(sequence) },
    output,
    hop: { stream: 'epoch.up', sequence },
  });
}

t.test('telemetry over TLS is acknowledged, logged once, and keeps its properties', async (t) => {
  const hub = await start(t, place(t));
  const keyBase64 = await edgeDevice(hub.socketPath, 'gw');
  const identity = { deviceId: 'gw', moduleId: '$edgeHub' };
  const ca = readFileSync(hub.caPath, 'utf8');
  const gateway = await connect(t, { port: hub.mqttPort, identity, keyBase64, ca });
  const sender = { deviceId: 'gw', moduleId: 'modbus' };
  for (const sequence of [1, 2, 2, 1, 3]) {
    await gateway.send(
      telemetryTopic(sender, bag(sequence, 'out')),
      `{"value": ${sequence}, "large": 12345678901234567890}`,
    );
  }
  const logged = await events(hub.socketPath);
  t.same(
    logged.map((event) => [event.offset, event.deviceId, event.moduleId, event.output, event.body.value]),
    [1, 2, 3].map((sequence) => [sequence, 'gw', 'modbus', 'out', sequence]),
  );
  t.same(logged[0]!.properties, { sequenceNumber: '1' });
  t.match(logged[0]!.systemProperties, { contentType: 'application/json', contentEncoding: 'utf-8', messageId: 'm1' });
  t.ok(Math.abs(Date.parse(logged[0]!.enqueuedTime) - Date.now()) < 60_000);
  const { json: status } = await call(hub.socketPath, 'GET /status');
  t.match(status, {
    hostname: 'localhost',
    mqttPort: hub.mqttPort,
    devices: 1,
    eventLog: { nextOffset: 4, repeated: 2 },
  });
});

t.test('a device reads its twin, reports, and hears of desired changes', async (t) => {
  const hub = await start(t, place(t), true);
  const { json: created } = await call(hub.socketPath, 'PUT /devices/plc', {});
  const keyBase64 = created.authentication.symmetricKey.secondaryKey;
  const device = await connect(t, { port: hub.mqttPlainPort!, identity: { deviceId: 'plc' }, keyBase64 });
  await device.subscribe('$iothub/twin/res/#');
  await device.subscribe('$iothub/twin/PATCH/properties/desired/#');
  await device.send('$iothub/twin/PATCH/properties/reported/?$rid=1', '{"fw":"1.2","bad":null}');
  t.match(await device.next(/twin\/res/), { topic: '$iothub/twin/res/204/?$rid=1&$version=2', body: '' });
  const patched = await call(hub.socketPath, 'PATCH /twins/plc', { properties: { desired: { rate: 5 } } });
  t.equal(patched.status, 200);
  const heard = await device.next(/desired/);
  t.equal(heard.topic, '$iothub/twin/PATCH/properties/desired/?$version=2');
  t.same(JSON.parse(heard.body), { rate: 5, $version: 2 });
  await device.send('$iothub/twin/GET/?$rid=2', ' ');
  const got = await device.next(/twin\/res/);
  t.match(got.topic, '$iothub/twin/res/200/?$rid=2');
  t.same(JSON.parse(got.body), { desired: { rate: 5, $version: 2 }, reported: { fw: '1.2', $version: 2 } });
  await device.send('$iothub/twin/PATCH/properties/reported/?$rid=3', '{"a.b":1}');
  t.match(await device.next(/twin\/res/), { topic: /^\$iothub\/twin\/res\/400\/\?\$rid=3/, body: /errorCode/ });
  await device.send(
    '$iothub/twin/PATCH/properties/reported/?$rid=4',
    JSON.stringify(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, 'x'.repeat(4000)]))),
  );
  t.match(await device.next(/twin\/res/), { topic: /^\$iothub\/twin\/res\/413\/\?\$rid=4/ });
});

t.test('a gateway speaks for its modules: twins and desired changes carry the identity, nobody else may', async (t) => {
  const hub = await start(t, place(t), true);
  const keyBase64 = await edgeDevice(hub.socketPath, 'gw');
  await call(hub.socketPath, 'PUT /devices/other', {});
  const gateway = await connect(t, {
    port: hub.mqttPlainPort!,
    identity: { deviceId: 'gw', moduleId: '$edgeHub' },
    keyBase64,
  });
  await gateway.subscribe('$iothub/twin/res/#');
  await gateway.subscribe('$iothub/twin/PATCH/properties/desired/#');
  const applied = await call(hub.socketPath, 'POST /devices/gw/applyConfigurationContent', edgeManifest());
  t.same([applied.status, applied.json], [204, undefined]);
  const heard = [await gateway.next(/desired/), await gateway.next(/desired/), await gateway.next(/desired/)];
  const prefix = '$iothub/twin/PATCH/properties/desired/?$version=2';
  t.same(
    heard.map((message) => message.topic),
    [`${prefix}&$identity=gw%2FSimulatedTemperatureSensor`, prefix, `${prefix}&$identity=gw%2F%24edgeAgent`],
  );
  t.match(JSON.parse(heard[1]!.body), { routes: { up: /FROM/ }, $version: 2 });
  await gateway.send('$iothub/twin/GET/?$rid=1&$identity=gw%2FSimulatedTemperatureSensor', ' ');
  t.match(JSON.parse((await gateway.next(/res\/200/)).body), {
    desired: { SendData: true, SendInterval: 5, $version: 2 },
  });
  await gateway.send(
    '$iothub/twin/PATCH/properties/reported/?$rid=2&$identity=gw%2F%24edgeAgent',
    '{"lastDesiredVersion":2}',
  );
  t.match((await gateway.next(/res\/204/)).topic, /\$rid=2/);
  const { json: twin } = await call(hub.socketPath, 'GET /twins/gw/modules/%24edgeAgent');
  t.match(twin, { moduleId: '$edgeAgent', properties: { reported: { lastDesiredVersion: 2, $version: 2 } } });
  await gateway.send('$iothub/twin/GET/?$rid=3&$identity=other', ' ');
  t.notMatch((await gateway.next(/twin\/res/)).topic, /res\/200/);
});

t.test('wrong keys, expired tokens, unknown and disabled identities are refused', async (t) => {
  const hub = await start(t, place(t), true);
  const keyBase64 = await edgeDevice(hub.socketPath, 'gw');
  const port = hub.mqttPlainPort!;
  const identity = { deviceId: 'gw' };
  await t.rejects(
    connectHubDevice({ port, identity, keyBase64: Buffer.alloc(32).toString('base64') }),
    /Not authorized/,
  );
  await t.rejects(connectHubDevice({ port, identity, keyBase64, lifeSeconds: -1 }), /Not authorized/);
  await t.rejects(connectHubDevice({ port, identity: { deviceId: 'nobody' }, keyBase64 }), /Not authorized/);
  const device = await connect(t, { port, identity, keyBase64 });
  const closed = new Promise((resolve) => device.client.once('close', () => resolve('closed')));
  await call(hub.socketPath, 'DELETE /devices/gw');
  t.equal(await closed, 'closed');
  await t.rejects(connectHubDevice({ port, identity, keyBase64 }), /Not authorized/);
});

t.test('a malformed manifest is answered with all its faults in the error body of Azure', async (t) => {
  const hub = await start(t, place(t));
  await edgeDevice(hub.socketPath, 'gw');
  const bad = edgeManifest();
  bad.modulesContent['$edgeHub']!['properties.desired'] = { schemaVersion: '9', routes: { x: 'nonsense' } };
  const { status, json } = await call(hub.socketPath, 'POST /devices/gw/applyConfigurationContent', bad);
  t.equal(status, 400);
  t.match(json, { Message: /^ErrorCode:InvalidConfigurationContent;[^;]+$/, code: 'HUB_MANIFEST_INVALID' });
  t.equal(json.problems.length, 2);
  const broken = await http.call({
    socketPath: hub.socketPath,
    method: 'POST',
    path: '/devices/gw/applyConfigurationContent',
    body: '{"modulesContent": ',
  });
  t.equal(broken.status, 400);
  t.match(broken.body, /HUB_BODY_INVALID/);
});

t.test('the log is followed live, by one device or by all', async (t) => {
  const hub = await start(t, place(t), true);
  const { json } = await call(hub.socketPath, 'PUT /devices/leaf', {});
  const device = await connect(t, {
    port: hub.mqttPlainPort!,
    identity: { deviceId: 'leaf' },
    keyBase64: json.authentication.symmetricKey.primaryKey,
  });
  const topic = telemetryTopic({ deviceId: 'leaf' }, '');
  await device.send(topic, 'before');
  const gone = new AbortController();
  const { body } = await http.stream({
    socketPath: hub.socketPath,
    method: 'GET',
    path: '/events?follow=true&device=leaf',
    signal: gone.signal,
  });
  await device.send(topic, 'live');
  const lines = body[Symbol.asyncIterator]();
  const first = await lines.next();
  t.equal(Buffer.from(JSON.parse(String(first.value)).bodyBase64, 'base64').toString(), 'live');
  t.match((await call(hub.socketPath, 'GET /status')).json, { readers: 1 });
  gone.abort();
  await t.rejects(lines.next());
});

t.test('a restart keeps registry, twins and log; the certificates stay the same', async (t) => {
  const where = place(t);
  const first = await start(t, where, true);
  const keyBase64 = await edgeDevice(first.socketPath, 'gw');
  await call(first.socketPath, 'POST /devices/gw/applyConfigurationContent', edgeManifest());
  const device = await connect(t, { port: first.mqttPlainPort!, identity: { deviceId: 'gw' }, keyBase64 });
  await device.send(telemetryTopic({ deviceId: 'gw' }, bag(1)), '{}');
  const ca = readFileSync(first.caPath, 'utf8');
  await first.close();
  await first.close();
  const second = await start(t, where);
  t.equal(readFileSync(second.caPath, 'utf8'), ca);
  t.equal((await events(second.socketPath)).length, 1);
  t.match((await call(second.socketPath, 'GET /twins/gw/modules/%24edgeHub')).json, {
    properties: { desired: { $version: 2 } },
  });
  const again = await connect(t, { port: second.mqttPort, identity: { deviceId: 'gw' }, keyBase64, ca });
  await again.send(telemetryTopic({ deviceId: 'gw' }, bag(1)), '{}');
  await again.send(telemetryTopic({ deviceId: 'gw' }, bag(2)), '{}');
  t.equal((await events(second.socketPath)).length, 2);
});

t.test('kill -9 in the middle of a stream keeps everything that was acknowledged, in order', async (t) => {
  const where = place(t);
  const before = await start(t, where);
  const keyBase64 = await edgeDevice(before.socketPath, 'gw');
  const ca = readFileSync(before.caPath, 'utf8');
  await before.close();
  const file = fileURLToPath(new URL('support/hub-process.ts', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, file, where.dataDir, where.runDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await createInterface(child.stdout)[Symbol.asyncIterator]().next()).value.split('\n');
  const device = await connect(t, { port: JSON.parse(line).mqttPort, identity: { deviceId: 'gw' }, keyBase64, ca });
  const acknowledged: number[] = [];
  let sequence = 0;
  const sendOn = async (): Promise<void> => {
    for (;;) {
      sequence += 1;
      const mine = sequence;
      await device.send(telemetryTopic({ deviceId: 'gw' }, bag(mine)), '{}');
      acknowledged.push(mine);
      if (acknowledged.length === 150) child.kill('SIGKILL');
    }
  };
  const senders = Array.from({ length: 20 }, () => sendOn().catch(() => undefined));
  await exited;
  await device.end();
  await Promise.all(senders);
  const after = await start(t, where);
  const logged = (await events(after.socketPath)).map((event) => Number(event.properties['sequenceNumber']));
  t.ok(
    logged.length >= acknowledged.length && acknowledged.length >= 150,
    `${acknowledged.length} acknowledged, ${logged.length} logged`,
  );
  t.same(
    logged,
    logged.map((_, index) => index + 1),
  );
});

t.test('a second hub on the same data is refused and the first goes on', async (t) => {
  const where = place(t);
  const hub = await start(t, where);
  await t.rejects(start(t, { ...where, runDir: `${where.runDir}2` }), { code: 'HUB_DATABASE_BUSY' });
  t.equal((await call(hub.socketPath, 'GET /status')).status, 200);
});

t.test('private things are private: data directory, socket, keys', async (t) => {
  const where = place(t);
  const hub = await start(t, where);
  const mode = (path: string): number => statSync(path).mode & 0o777;
  t.equal(mode(where.dataDir), 0o700);
  t.equal(mode(hub.socketPath), 0o600);
  t.equal(mode(join(where.dataDir, 'certs', 'authority.pem')), 0o600);
  t.notMatch(readFileSync(hub.caPath, 'utf8'), /PRIVATE/);
});

t.test('a directory that cannot be made is told with the mend, and nothing is left running', async (t) => {
  const where = place(t);
  writeFileSync(`${where.dataDir}`, 'a file in the way');
  await t.rejects(start(t, where), { code: 'HUB_DIRECTORY_UNUSABLE', message: /--data-dir/ });
});

t.test('a listener shows the certificate of the moment: a renewal needs no new listener', async (t) => {
  const issue = async (): Promise<TlsContext> => {
    const nowMs = Date.now();
    const authority = await createAuthority({ commonName: 'test CA', days: 1, nowMs });
    return tlsContext(await issueServerCertificate({ authority, hostnames: ['localhost'], days: 1, nowMs }));
  };
  let current = await issue();
  const endpoint = {
    kind: 'tcp' as const,
    host: '127.0.0.1',
    port: 0,
    get tls() {
      return current;
    },
  };
  const sink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };
  const listener = await systemNetwork().listen(endpoint, () => sink);
  const port = 'port' in listener.address ? listener.address.port : 0;
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const before = await shown();
  t.equal(await shown(), before);
  current = await issue();
  t.not(await shown(), before);
  await listener.close();
});
