// Direct methods and cloud-to-device messages with Microsoft's device client, connected to the hub itself, over MQTT and
// over MQTT in WebSocket.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readyMs, World } from '../support/world/world.ts';
import { Puppets } from './puppets.ts';
import { httpsPort, mqttPort, portsTaken } from './sdk-place.ts';

const address = '127.0.0.81';
const skip = await portsTaken(address, [mqttPort, httpsPort]);

async function stage(t: Test) {
  const world = new World({ name: 'sdk' });
  const puppets = new Puppets();
  t.teardown(async () => {
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  const startHub = async (): Promise<void> => {
    const mqtt = [
      '--mqtt-host',
      address,
      '--mqtt-port',
      String(mqttPort),
      '--mqtt-wss',
      `wss://${address}:${httpsPort}`,
    ];
    const options = ['--hostname', address, ...mqtt, '--json'];
    world.hub = world.start('hub', 'start', ...world.hubDirs, ...options);
    await world.hub.line('"mqttPort"', readyMs);
  };
  await startHub();
  await world.succeed('hub', 'device', 'create', 'plc', ...world.hubDirs);
  const text = (await world.succeed('hub', 'device', 'connection-string', 'plc', ...world.hubDirs)).trim();
  const connection = text.replace(/;Port=\d+/, '');
  const ca = join(world.directory, 'hub', 'certs', 'hub-ca.pem');
  const hub = (...args: readonly string[]): Promise<string> => world.succeed('hub', ...args, ...world.hubDirs);
  return { world, puppets, startHub, connection, ca, hub };
}

for (const transport of ['mqtt', 'mqtt-ws'] as const) {
  t.test(
    `methods are called with payload and status, late and absent callees told apart: ${transport}`,
    { skip },
    async (t) => {
      const { world, puppets, connection, ca, hub } = await stage(t);
      const away = await world.run('hub', 'method', 'invoke', 'plc', 'echo', ...world.hubDirs);
      t.match(away, { code: 1, stderr: /IOTHUB_NOT_LISTENING/ });
      const waiting = hub(
        'method',
        'invoke',
        'plc',
        'echo',
        '--connect-timeout',
        '60',
        '--json',
        '--payload',
        '{"n":1}',
      );
      const plc = await puppets.device('plc', { connection, ca, transport });
      await plc.do('open');
      await plc.do('onMethod', { name: 'echo', status: 207 });
      t.strictSame(
        JSON.parse(await waiting),
        { status: 207, payload: { echo: { n: 1 } } },
        'a call waits for its callee',
      );
      t.match(await plc.next('method'), { name: 'echo', payload: { n: 1 } });
      await plc.do('onMethod', { name: 'mute', silent: true });
      const late = await world.run('hub', 'method', 'invoke', 'plc', 'mute', '--timeout', '5', ...world.hubDirs);
      t.match(late, { code: 1, stderr: /IOTHUB_METHOD_TIMEOUT/ });
      t.match(await hub('method', 'invoke', 'plc', 'echo'), /^Status 207/, 'null is a payload too');
    },
  );

  t.test(`messages arrive with all their properties, in order, and are settled: ${transport}`, { skip }, async (t) => {
    const { world, puppets, startHub, connection, ca, hub } = await stage(t);
    await hub(
      'send',
      'plc',
      '{"setpoint":21}',
      '--message-id',
      'm1',
      '--correlation-id',
      'c1',
      '--user-id',
      'u1',
      '--content-type',
      'application/json',
      '--content-encoding',
      'utf-8',
      '--ack',
      'full',
      '--property',
      'kind=order',
      '--property',
      'path=/a b&c',
    );
    const plc = await puppets.device('plc', { connection, ca, transport });
    await plc.do('open');
    await plc.do('onMessage', { settle: 'complete' });
    t.match(await plc.next('message'), {
      body: '{"setpoint":21}',
      properties: { kind: 'order', path: '/a b&c', 'iothub-ack': 'full' },
      system: {
        messageId: 'm1',
        correlationId: 'c1',
        userId: 'u1',
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        to: '/devices/plc/messages/devicebound',
        expiryTimeUtc: /Z$/,
      },
    });
    await plc.next('settled');
    for (const number of [2, 3, 4]) await hub('send', 'plc', String(number));
    for (const number of [2, 3, 4]) t.equal((await plc.next('message'))['body'], String(number));
    await world.eventually('feedback', async () => /plc m1 Success/.test(await hub('feedback')) || undefined);

    await plc.do('close');
    await hub('send', 'plc', 'while away', '--message-id', 'm5', '--ack', 'positive');
    await hub('send', 'plc', 'too late', '--message-id', 'm6', '--ack', 'negative', '--expiry', '1');
    await world.killHub();
    await startHub();
    await world.eventually('the second one expires', async () => /m6 Expired/.test(await hub('feedback')) || undefined);
    await plc.do('open', { settle: 'reject' });
    t.match(await plc.next('message'), { body: 'while away' }, 'it survived the kill of the hub');
    t.match(await plc.next('not-settled'), { name: 'NotImplementedError' }, 'over MQTT the client can only complete');
    await world.eventually('feedback', async () => /plc m5 Success/.test(await hub('feedback')) || undefined);
  });
}
