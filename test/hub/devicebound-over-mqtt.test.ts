// Cloud-to-device messages over real MQTT to a hub: what is not acknowledged comes again, once for each connection.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectMqtt, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { startHub } from '../../src/cloud.ts';
import { signToken } from '../../src/identity/index.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { formatUsername, sasResource } from '../../src/protocol/iothub/index.ts';

const http = systemHttp();
const identity = { deviceId: 'plc' };

async function stage(t: Test) {
  const root = mkdtempSync(join(tmpdir(), 'weir-c2d-'));
  const hub = await startHub({
    dataDir: join(root, 'data'),
    runDir: root,
    hostnames: ['localhost'],
    mqtt: { host: '127.0.0.1', port: 0 },
    mqttPlain: { host: '127.0.0.1', port: 0 },
    retentionBytes: 2 ** 30,
    retentionMs: 86_400_000,
    logLevel: 'error',
    writeLog: (line) => void t.comment(line.trimEnd()),
  });
  const clients: MqttClient[] = [];
  t.teardown(async () => {
    for (const client of clients) await client.endAsync(true);
    await hub.close();
    rmSync(root, { recursive: true, force: true });
  });
  const ask = async (method: string, path: string, body?: object): Promise<string> => {
    const call = { socketPath: hub.socketPath, method, path };
    return (await http.call(body === undefined ? call : { ...call, body: JSON.stringify(body) })).body;
  };
  const created = JSON.parse(await ask('PUT', '/devices/plc', {}));
  const key = Buffer.from(created.authentication.symmetricKey.primaryKey, 'base64');
  /** A session that outlives its connection, as Microsoft's clients have; `takes`: whether it acknowledges. */
  const connect = async (takes: boolean) => {
    const got: string[] = [];
    let wake = (): void => undefined;
    const client = connectMqtt(`mqtt://127.0.0.1:${hub.mqttPlainPort}`, {
      clientId: 'plc',
      username: formatUsername('localhost', identity),
      password: signToken({
        key,
        resource: sasResource('localhost', identity),
        expirySeconds: Math.floor(Date.now() / 1000) + 600,
      }),
      clean: false,
      reconnectPeriod: 0,
    });
    clients.push(client);
    client.on('error', () => undefined);
    // Without the callback there is no PUBACK.
    client.handleMessage = (packet, done) => {
      if (packet.cmd === 'publish') got.push(String(packet.payload));
      wake();
      if (takes) done();
    };
    // A session that is there gets what waits before anybody subscribes.
    await new Promise<void>((resolve) => client.once('connect', () => resolve()));
    const subscribed = client.subscribeAsync('devices/plc/messages/devicebound/#', { qos: 1 });
    // A message may come before the SUBACK (MQTT 3.8.4), and a client that does not take it reads no further.
    if (takes) await subscribed;
    else subscribed.catch(() => undefined);
    const have = async (count: number): Promise<readonly string[]> => {
      while (got.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return [...got];
    };
    return { client, have, got };
  };
  const send = (text: string, more: object = {}): Promise<string> =>
    ask('POST', '/devices/plc/messages/devicebound', { body: Buffer.from(text).toString('base64'), ...more });
  return { ask, connect, send };
}

t.test('what is not acknowledged comes again on the next connection, and what is acknowledged does not', async (t) => {
  const { ask, connect, send } = await stage(t);
  await send('one', { messageId: 'one', ack: 'full' });
  await send('two', { messageId: 'two', ack: 'full' });
  const first = await connect(false);
  t.strictSame(await first.have(1), ['one'], 'the second waits for the first');
  await first.client.endAsync(true);
  const second = await connect(true);
  t.strictSame(await second.have(2), ['one', 'two']);
  for (;;) {
    const feedback = await ask('GET', '/feedback');
    if (feedback.split('\n').length > 2) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.strictSame(JSON.parse(await ask('GET', '/devices/plc')).cloudToDeviceMessageCount, 0);
  await second.client.endAsync(true);
  const third = await connect(true);
  await send('three');
  t.strictSame(await third.have(1), ['three'], 'nothing else came first');
});

t.test('another connection of the same device takes the message over', async (t) => {
  const { connect, send } = await stage(t);
  const first = await connect(false);
  await send('one');
  await first.have(1);
  const second = await connect(true);
  t.strictSame(await second.have(1), ['one']);
});
