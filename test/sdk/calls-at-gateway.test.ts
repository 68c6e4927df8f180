// Direct methods and cloud-to-device messages through the gateway with Microsoft's clients: modules that the gateway
// runs, a leaf device behind it; with the hub and while it is away.

import { join } from 'node:path';
import t from 'tap';
import { manifest, program } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';
import { Puppets, puppetProgram } from './puppets.ts';
import { httpsPort, mqttPort, portsTaken } from './sdk-place.ts';

const address = '127.0.0.82';
const skip = await portsTaken(address, [mqttPort, httpsPort]);
const call = { methodName: 'echo', payload: { n: 1 }, responseTimeoutInSeconds: 120, connectTimeoutInSeconds: 0 };

t.test('methods and messages find modules and leaf devices, also while the hub is away', { skip }, async (t) => {
  const world = new World({ name: 'sdk' });
  const puppets = new Puppets();
  t.teardown(async () => {
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  await world.startHub();
  const toml = `[listeners]\ntls = "tls://${address}:${mqttPort}"\nwss = "wss://${address}:${httpsPort}"`;
  await world.provision(toml, address);
  const hub = (...args: readonly string[]): Promise<string> => world.succeed('hub', ...args, ...world.hubDirs);
  await hub('device', 'create', 'leaf');
  await hub('device', 'set-parent', 'leaf', world.deviceId);
  await world.startGateway();
  const module = (name: string, transport: 'mqtt' | 'mqtt-ws') =>
    program(process.execPath, [puppetProgram], { env: { ...puppets.environment(name, transport) } });
  await world.deploy(manifest({ modules: { asker: module('asker', 'mqtt'), doer: module('doer', 'mqtt-ws') } }));
  const [asker, doer] = await Promise.all([puppets.here('asker'), puppets.here('doer')]);
  await asker.do('open');
  await doer.do('open');
  await doer.do('onMethod', { name: 'echo', status: 201 });
  await doer.do('onMethod', { name: 'mute', silent: true });
  const ca = join(world.dataDir, 'certs', 'authority.crt');
  const text = (await hub('device', 'connection-string', 'leaf')).trim();
  const connection = `${text.replace(/;Port=\d+/, '')};GatewayHostName=${address}`;
  const leaf = await puppets.device('leaf', { connection, ca });
  await leaf.do('open');
  await leaf.do('onMethod', { name: 'echo', status: 202 });
  await leaf.do('onMessage', { settle: 'complete' });
  const gateway = world.deviceId;

  await t.test('from the hub to a module and to a leaf device', async (t) => {
    const toModule = await hub('method', 'invoke', `${gateway}/doer`, 'echo', '--payload', '[1]', '--json');
    t.strictSame(JSON.parse(toModule), { status: 201, payload: { echo: [1] } });
    const toLeaf = await hub('method', 'invoke', 'leaf', 'echo', '--connect-timeout', '30', '--json');
    t.strictSame(JSON.parse(toLeaf), { status: 202, payload: { echo: null } });
    t.match(await hub('method', 'invoke', `${gateway}/$edgeAgent`, 'ping'), /^Status 200/);
    const absent = await world.run('hub', 'method', 'invoke', `${gateway}/asker`, 'echo', ...world.hubDirs);
    t.match(absent, { code: 1, stderr: /IOTHUB_NOT_LISTENING/ }, 'it has not subscribed to methods');
    const mute = await world.run(
      'hub',
      'method',
      'invoke',
      `${gateway}/doer`,
      'mute',
      '--timeout',
      '5',
      ...world.hubDirs,
    );
    t.match(mute, { code: 1, stderr: /IOTHUB_METHOD_TIMEOUT/ });
  });

  const locally = async (): Promise<void> => {
    t.strictSame(await asker.do('invoke', { device: gateway, module: 'doer', params: call }), {
      status: 201,
      payload: { echo: { n: 1 } },
    });
    t.strictSame(await asker.do('invoke', { device: 'leaf', params: call }), {
      status: 202,
      payload: { echo: { n: 1 } },
    });
  };

  await t.test('from module to module and to a leaf device over HTTPS', async (t) => {
    await locally();
    await t.rejects(asker.do('invoke', { device: gateway, module: 'nobody', params: call }), { message: 'Not found' });
    const impatient = { ...call, methodName: 'mute', responseTimeoutInSeconds: 5 };
    await t.rejects(
      asker.do('invoke', { device: gateway, module: 'doer', params: { ...impatient, connectTimeoutInSeconds: 5 } }),
      {
        name: 'GatewayTimeoutError',
      },
    );
  });

  await t.test('a message for the leaf device is settled by the leaf device', async (t) => {
    await hub('send', 'leaf', 'one', '--message-id', 'm1', '--ack', 'full', '--property', 'a=b');
    t.match(await leaf.next('message'), { body: 'one', properties: { a: 'b' }, system: { messageId: 'm1' } });
    await world.eventually('feedback', async () => /leaf m1 Success/.test(await hub('feedback')) || undefined);
    await leaf.do('close');
    await hub('send', 'leaf', 'two', '--message-id', 'm2', '--ack', 'full');
    await hub('send', 'leaf', 'three');
    t.notMatch(await hub('feedback'), /m2/, 'it waits while the leaf device is away');
    await leaf.do('open', { settle: 'complete' });
    t.match(await leaf.next('message'), { body: 'two' });
    t.match(await leaf.next('message'), { body: 'three' });
    await world.eventually('feedback', async () => /leaf m2 Success/.test(await hub('feedback')) || undefined);
  });

  await t.test('while the hub is away local callers go on, and its messages come when it is back', async (t) => {
    await leaf.do('onMethod', { name: 'echo', status: 202 }).catch(() => undefined);
    await hub('send', 'leaf', 'later', '--expiry', '600').then(() => leaf.next('message'));
    // Or the hub is killed before it knows that the message was taken, and sends it again.
    await world.eventually('it is settled', async () => {
      const { body } = await world.hubCall('GET', '/devices/leaf');
      return JSON.parse(body).cloudToDeviceMessageCount === 0 || undefined;
    });
    await world.killHub();
    await locally();
    await world.startHub();
    await hub('send', 'leaf', 'after', '--message-id', 'm4', '--ack', 'positive');
    t.match(await leaf.next('message'), { body: 'after' });
    await world.eventually('feedback', async () => /leaf m4 Success/.test(await hub('feedback')) || undefined);
  });
});
