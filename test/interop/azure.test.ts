// Microsoft's device client against `weir broker`: what its transports put on the wire, over TLS and over WebSocket at
// /$iothub/websocket. A plain broker is no IoT Hub: the test plays the hub as another client. Microsoft's client knows
// no ports but 8883 and 443, hence a loopback address of its own.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import deviceSdk, { type Client, type Message as SdkMessage } from 'azure-iot-device';
import { Mqtt, MqttWs } from 'azure-iot-device-mqtt';
import { connectAsync, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { StandaloneBroker } from '../support/world/standalone.ts';

const address = '127.0.0.79';
const ways = [
  { name: 'TLS', transport: Mqtt, port: 8883, listen: `tls://${address}:8883` },
  { name: 'WebSocket', transport: MqttWs, port: 443, listen: `wss://${address}:443` },
] as const;

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(port, address, resolve));
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => probe.close(resolve));
  }
}

async function openDevice(t: Test, broker: StandaloneBroker, transport: typeof Mqtt): Promise<Client> {
  const key = Buffer.alloc(32, 7).toString('base64');
  const connection = `HostName=hub.example;DeviceId=d1;SharedAccessKey=${key};GatewayHostName=${address}`;
  const device = deviceSdk.Client.fromConnectionString(connection, transport);
  await device.setOptions({ ca: readFileSync(broker.certificates.authority, 'utf8') });
  await device.open();
  t.teardown(() => device.close().catch(() => undefined));
  return device;
}

function next(client: MqttClient): Promise<{ topic: string; text: string }> {
  return new Promise((resolve) =>
    client.once('message', (topic, payload) => resolve({ topic, text: payload.toString('utf8') })),
  );
}

for (const { name, transport, port, listen } of ways) {
  const skip = (await isFree(port)) ? false : `${address}:${port} cannot be had`;
  t.test(`Microsoft's device client over ${name}: telemetry, messages, methods`, { skip }, async (t) => {
    const broker = await StandaloneBroker.start(t, { listenUrls: [listen] });
    const hub = await connectAsync({ host: '127.0.0.1', port: broker.port('tcp'), reconnectPeriod: 0 });
    t.teardown(() => void hub.end(true));
    await hub.subscribeAsync(['devices/d1/messages/events/#', '$iothub/methods/res/#'], { qos: 1 });
    const device = await openDevice(t, broker, transport);
    await broker.logged(/client=d1 .*version=4/);

    let seen = next(hub);
    const message = new deviceSdk.Message('{"degrees":21.5}');
    message.properties.add('alert', 'yes & no');
    await device.sendEvent(message);
    t.match(await seen, { topic: /^devices\/d1\/messages\/events\/alert=yes%20%26%20no/, text: '{"degrees":21.5}' });
    const large = 'x'.repeat(250_000);
    seen = next(hub);
    await device.sendEvent(new deviceSdk.Message(large));
    t.equal((await seen).text, large, 'a large message');

    const received = new Promise<SdkMessage>((resolve) => device.on('message', resolve));
    // Its subscription comes when it comes, and nothing tells: the hub's message is retained until then.
    await hub.publishAsync('devices/d1/messages/devicebound/a=1', 'down', { qos: 1, retain: true });
    const down = await received;
    t.equal(down.getData().toString(), 'down');
    t.equal(down.properties.getValue('a'), '1');
    await device.complete(down);

    device.onDeviceMethod('reset', (request, response) => {
      void response?.send(202, { accepted: request?.methodName });
    });
    seen = next(hub);
    await hub.publishAsync('$iothub/methods/POST/reset/?$rid=7', '{"hard":true}', { qos: 1, retain: true });
    t.same(await seen, { topic: '$iothub/methods/res/202/?$rid=7', text: '{"accepted":"reset"}' });
  });
}
