// The front in the real broker, with real clients over real sockets: mqtt.js as anybody's client, and Microsoft's
// module client, unmodified, over TLS. Microsoft's client knows no port but 8883, hence a loopback address of its own.

import { createServer } from 'node:net';
import deviceSdk, { type ModuleClient, type Message as SdkMessage, type Twin } from 'azure-iot-device';
import mqttSdk from 'azure-iot-device-mqtt';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { Broker } from '../../../src/broker/broker.ts';
import { IotHubFront } from '../../../src/broker/iothub/index.ts';
import {
  createAuthority,
  DeviceKey,
  issueServerCertificate,
  ModuleAuthenticator,
} from '../../../src/identity/index.ts';
import type { Identity } from '../../../src/model/address.ts';
import type { JsonObject } from '../../../src/model/json.ts';
import type { Message } from '../../../src/model/message.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { systemNetwork } from '../../../src/platform/net.ts';
import { tlsContext } from '../../../src/platform/tls.ts';
import { formatConnectionString, formatUsername, sasResource } from '../../../src/protocol/iothub/index.ts';
import { FakeDeviceBackend } from '../../support/fake-device-backend.ts';

const hubHostname = 'hub.example';
const sdkAddress = '127.0.0.77';
const sdkPort = 8883;
const module = { deviceId: 'd', moduleId: 'm' };
const deviceKey = new DeviceKey(Buffer.alloc(32, 5).toString('base64'));

interface Stage {
  readonly broker: Broker;
  readonly front: IotHubFront;
  readonly backend: FakeDeviceBackend;
}

async function stage(t: Test): Promise<Stage> {
  const clock = systemClock();
  const log = createLog({ clock, level: 'error', write: () => undefined });
  const metrics = createMetrics();
  const backend = new FakeDeviceBackend();
  const front = new IotHubFront({ backend, clock, log, metrics });
  const modules = { generationId: () => '1' };
  const authenticator = new ModuleAuthenticator(
    { deviceKey, modules, clock },
    { deviceId: 'd', hostnames: [hubHostname] },
  );
  const authoriser = { mayPublish: () => false, maySubscribe: () => false };
  const broker = new Broker({
    network: systemNetwork(),
    clock,
    log,
    metrics,
    authenticator,
    authoriser,
    service: front,
  });
  await broker.start();
  t.teardown(() => broker.close());
  return { broker, front, backend };
}

function password({ deviceId, moduleId = '' }: Identity): string {
  const key = new DeviceKey(deviceKey.moduleKey(moduleId, '1').toString('base64'));
  return key.token(sasResource(hubHostname, { deviceId, moduleId }), Math.floor(Date.now() / 1000) + 3600);
}

async function connectModule(
  t: Test,
  broker: Broker,
  { identity = module, ...more }: IClientOptions & { readonly identity?: Identity } = {},
): Promise<MqttClient> {
  const { address } = await broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
  if (!('port' in address)) throw new TypeError('no port');
  const client = await connectAsync({
    host: '127.0.0.1',
    port: address.port,
    protocolVersion: 4,
    clientId: `${identity.deviceId}/${identity.moduleId ?? ''}`,
    username: formatUsername(hubHostname, identity),
    password: password(identity),
    reconnectPeriod: 0,
    ...more,
  });
  client.on('error', () => undefined);
  // Not endAsync: it never settles when the client has ended before.
  t.teardown(() => void client.end(true));
  return client;
}

function nextMessage(client: MqttClient): Promise<{ topic: string; text: string }> {
  return new Promise((resolve) =>
    client.once('message', (topic, payload) => resolve({ topic, text: payload.toString('utf8') })),
  );
}

t.test('mqtt.js: telemetry is acknowledged after the commit, a mistyped topic ends the connection', async (t) => {
  const { broker, backend } = await stage(t);
  const client = await connectModule(t, broker);
  let committed = false;
  backend.commit = () =>
    new Promise((resolve) =>
      setImmediate(() => {
        committed = true;
        resolve();
      }),
    );
  await client.publishAsync('devices/d/modules/m/messages/events/$.on=out&a=1', 'body', { qos: 1 });
  t.ok(committed);
  t.match(backend.messages[0], { sender: module, output: 'out', properties: { a: '1' }, body: Buffer.from('body') });
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const lost = t.rejects(client.publishAsync('devices/d/modules/m/message/events/', 'body', { qos: 1 }));
  await closed;
  client.end(true);
  await lost;
  t.equal(backend.messages.length, 1);
});

t.test('mqtt.js: a connection that breaks leaves its will as a message', async (t) => {
  const { broker, backend } = await stage(t);
  const will = { topic: 'devices/d/modules/m/messages/events/a=1', payload: Buffer.from('gone'), qos: 1 } as const;
  const client = await connectModule(t, broker, { will });
  const told = new Promise<void>((resolve) => {
    backend.commit = () => Promise.resolve(resolve());
  });
  client.stream.destroy();
  await told;
  await new Promise((resolve) => setImmediate(resolve));
  t.match(backend.messages, [{ sender: module, properties: { a: '1', 'iothub-MessageType': 'Will' } }]);
  t.equal(backend.messages[0]?.body.toString(), 'gone');
});

t.test('mqtt.js: twin, desired properties, methods and inputs', async (t) => {
  const { broker, front, backend } = await stage(t);
  const client = await connectModule(t, broker);
  const granted = await client.subscribeAsync({
    '$iothub/twin/res/#': { qos: 0 },
    '$iothub/twin/PATCH/properties/desired/#': { qos: 0 },
    '$iothub/methods/POST/#': { qos: 0 },
    'devices/d/modules/m/inputs/#': { qos: 2 },
  });
  t.strictSame(
    granted.map(({ qos }) => qos),
    [0, 0, 0, 1],
  );

  let answer = nextMessage(client);
  await client.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=7', '{"a":1}', { qos: 0 });
  t.strictSame(await answer, { topic: '$iothub/twin/res/204/?$rid=7&$version=1', text: '' });
  t.match(backend.twins.get('d/m'), { reported: { properties: { a: 1 }, version: 1 } });

  answer = nextMessage(client);
  front.notifyDesired(module, { b: 2 }, 9);
  t.strictSame(await answer, {
    topic: '$iothub/twin/PATCH/properties/desired/?$version=9',
    text: '{"b":2,"$version":9}',
  });

  client.once('message', (topic) => client.publish(topic.replace('POST/ping', 'res/200'), '{"pong":true}', { qos: 0 }));
  t.strictSame(await front.invokeMethod(module, { name: 'ping', payload: null, timeoutMs: 5000 }), {
    status: 200,
    payload: { pong: true },
  });

  answer = nextMessage(client);
  await front.deliverInput(module, 'in', inputMessage());
  t.strictSame(await answer, { topic: 'devices/d/modules/m/inputs/in/$.cdid=d&$.cmid=sensor&k=v', text: '{"x":1}' });
});

t.test('mqtt.js: a resumed session still gets its inputs, a refused subscription says so', async (t) => {
  const { broker, front } = await stage(t);
  const { address } = await broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
  if (!('port' in address)) throw new TypeError('no port');
  const options = {
    host: '127.0.0.1',
    port: address.port,
    protocolVersion: 4 as const,
    clean: false,
    clientId: 'd/m',
    username: formatUsername(hubHostname, module),
    password: password(module),
    reconnectPeriod: 0,
    resubscribe: false,
  };
  const first = await connectAsync(options);
  await t.rejects(first.subscribeAsync('devices/d/modules/other/inputs/#', { qos: 1 }), 'SUBACK 0x80');
  await first.subscribeAsync('devices/d/modules/m/inputs/#', { qos: 1 });
  t.ok(front.isListening(module));
  await first.endAsync();
  await until(t, () => !front.isListening(module));
  const listening = new Promise<Identity>((resolve) => front.onListening(resolve));
  const second = await connectAsync(options);
  t.teardown(() => void second.end(true));
  t.strictSame(await listening, module);
  const answer = nextMessage(second);
  await front.deliverInput(module, 'in', inputMessage());
  t.match(await answer, { topic: /inputs\/in\// });
});

function inputMessage(): Message {
  return {
    sender: { deviceId: 'd', moduleId: 'sensor' },
    system: {},
    properties: { k: 'v' },
    body: Buffer.from('{"x":1}'),
    enqueuedMs: 0,
  };
}

async function connectSdk(t: Test, broker: Broker): Promise<ModuleClient> {
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: 'weir test CA', days: 2, nowMs });
  const certificate = await issueServerCertificate({ authority, hostnames: [sdkAddress], days: 1, nowMs });
  await broker.listen('tls', { kind: 'tcp', host: sdkAddress, port: sdkPort, tls: tlsContext(certificate) });
  const connection = formatConnectionString({
    ...module,
    hostName: hubHostname,
    sharedAccessKey: deviceKey.moduleKey('m', '1').toString('base64'),
    gatewayHostName: sdkAddress,
  });
  const client = deviceSdk.ModuleClient.fromConnectionString(connection, mqttSdk.Mqtt);
  await client.setOptions({ ca: authority.certificatePem });
  await client.open();
  t.teardown(() => client.close().catch(() => undefined));
  return client;
}

/** Microsoft's client cannot be sent to another port; where somebody has this one, there is nothing to test. */
async function sdkPortIsFree(): Promise<boolean> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(sdkPort, sdkAddress, resolve));
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => probe.close(resolve));
  }
}

const skip = (await sdkPortIsFree()) ? false : `${sdkAddress}:${sdkPort} is taken`;

t.test("Microsoft's module client does all it can do, unmodified, over TLS", { skip }, async (t) => {
  const { broker, front, backend } = await stage(t);
  backend.twins.set('d/m', {
    desired: { properties: { period: 5 }, version: 3 },
    reported: { properties: {}, version: 1 },
  });
  const client = await connectSdk(t, broker);
  t.strictSame(
    broker.connectedClients().map(({ clientId }) => clientId),
    ['d/m'],
  );

  const message = new deviceSdk.Message(JSON.stringify({ temperature: 21.5 }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.messageId = 'a/b';
  message.properties.add('temperature alert', 'true & false/maybe');
  await client.sendOutputEvent('temperatureOutput', message);
  await client.sendEvent(new deviceSdk.Message('plain'));
  t.match(backend.messages, [
    {
      sender: module,
      output: 'temperatureOutput',
      system: { contentType: 'application/json', contentEncoding: 'utf-8', messageId: 'a/b' },
      properties: { 'temperature alert': 'true & false/maybe' },
      body: Buffer.from('{"temperature":21.5}'),
    },
    { sender: module, output: undefined, system: {}, properties: {}, body: Buffer.from('plain') },
  ]);

  const twin = await client.getTwin();
  t.match(twin.properties, { desired: { period: 5, $version: 3 }, reported: { $version: 1 } });
  await report(twin, { period: 5 });
  t.strictSame(backend.twins.get('d/m')?.reported, { properties: { period: 5 }, version: 2 });
  await t.rejects(report(twin, { big: 'x'.repeat(140_000) }), { message: /131072 are allowed/ });

  const changes: JsonObject[] = [];
  twin.on('properties.desired', (delta: JsonObject) => changes.push(delta));
  await until(t, () => {
    front.notifyDesired(module, { period: 7 }, 4);
    return changes.some((delta) => delta['$version'] === 4);
  });
  t.strictSame(changes.at(-1), { period: 7, $version: 4 });
  t.equal((twin.properties.desired as JsonObject)['period'], 7);

  client.onMethod('reset', (request, response) => {
    t.strictSame(request?.payload, { hard: true });
    response?.send(202, { accepted: request?.methodName }).catch(() => undefined);
  });
  await until(
    t,
    async () =>
      (
        await front
          .invokeMethod(module, { name: 'reset', payload: { hard: true }, timeoutMs: 5000 })
          .catch(() => undefined)
      )?.status === 202,
  );

  const received = new Promise<{ input: string; message: SdkMessage }>((resolve) => {
    client.on('inputMessage', (input: string, message: SdkMessage) => {
      client.complete(message).catch(() => undefined);
      resolve({ input, message });
    });
  });
  if (!front.isListening(module)) await new Promise<void>((resolve) => front.onListening(() => resolve()));
  await front.deliverInput(module, 'in', inputMessage());
  const { input, message: got } = await received;
  t.equal(input, 'in');
  t.equal(got.getData().toString(), '{"x":1}');
  t.equal(got.properties.getValue('k'), 'v');
  t.equal(got.properties.getValue('$.cmid'), 'sensor');
});

function report(twin: Twin, patch: JsonObject): Promise<void> {
  return new Promise((resolve, reject) => {
    (twin.properties.reported as { update(patch: JsonObject, done: (error: Error | null) => void): void }).update(
      patch,
      (error) => (error ? reject(error) : resolve()),
    );
  });
}

const attemptsMax = 12_000;

/** Asks again until it is so: the client's subscriptions come when they come, and nothing tells. */
async function until(t: Test, ask: () => unknown): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    if ((await ask()) === true) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.fail('never happened');
}
