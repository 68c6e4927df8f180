// Telemetry with Microsoft's clients, unmodified: every property that they can send, from a device at the hub itself, from a
// module and a device behind a gateway, to the hub and to another module; with the hub, and while it is away.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { manifest, program } from '../support/world/manifest.ts';
import { type HubEvent, readyMs, World } from '../support/world/world.ts';
import { Puppets, puppetProgram } from './puppets.ts';
import { httpsPort, mqttPort, portsTaken } from './sdk-place.ts';

const hubAddress = '127.0.0.87';
const gatewayAddress = '127.0.0.88';
const ports = [mqttPort, httpsPort];
const skip = (await portsTaken(hubAddress, ports)) || (await portsTaken(gatewayAddress, ports));

const expiryTimeUtc = '2099-01-01T00:00:00.000Z';
const system = {
  messageId: 'm 1/2',
  correlationId: 'c&1=2?',
  userId: 'Jörg',
  to: '/some/where',
  contentType: 'application/json',
  contentEncoding: 'utf-8',
};
const properties = { plain: '1', 'a key/with=all&?': 'ü %+#$', empty: '' };
/** The client writes this property as one of the system's. */
const component = { 'dt-subject': 'thermostat1' };

/** A message under a number. */
const whole = (n: number): object => ({
  body: JSON.stringify({ n }),
  system: { ...system, expiryTimeUtc, interfaceId: 'urn:heat' },
  properties: { ...properties, ...component },
});

const atHub = (n: number): object => ({
  body: { n },
  properties,
  systemProperties: {
    ...system,
    absoluteExpiryTime: expiryTimeUtc,
    interfaceId: 'urn:heat',
    componentName: 'thermostat1',
  },
});

async function place(t: Test): Promise<{ readonly world: World; readonly puppets: Puppets }> {
  const world = new World({ name: 'telemetry' });
  const puppets = new Puppets();
  t.teardown(async () => {
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  return { world, puppets };
}

/** The message of that number from this sender, once the hub has it. */
function message(
  world: World,
  sender: { readonly device: string; readonly module?: string },
  n: number,
): Promise<HubEvent> {
  return world.eventually(`message ${n} of ${sender.device}/${sender.module ?? ''}`, async () =>
    (await world.events()).find(
      ({ deviceId, moduleId, body }) =>
        deviceId === sender.device && (moduleId ?? undefined) === sender.module && (body as { n?: number }).n === n,
    ),
  );
}

t.test('a device at the hub sends with all properties, over MQTT and over WebSocket', { skip }, async (t) => {
  const { world, puppets } = await place(t);
  const wss = ['--mqtt-wss', `wss://${hubAddress}:${httpsPort}`];
  const listen = ['--hostname', hubAddress, '--mqtt-host', hubAddress, '--mqtt-port', String(mqttPort), ...wss];
  world.hub = world.start('hub', 'start', ...world.hubDirs, ...listen, '--json');
  await world.hub.line('"mqttPort"', readyMs);
  const ca = join(world.directory, 'hub', 'certs', 'hub-ca.pem');
  for (const transport of ['mqtt', 'mqtt-ws'] as const) {
    await world.succeed('hub', 'device', 'create', transport, ...world.hubDirs);
    const text = (await world.succeed('hub', 'device', 'connection-string', transport, ...world.hubDirs)).trim();
    const device = await puppets.device(transport, { connection: text.replace(/;Port=\d+/, ''), ca, transport });
    await device.do('open');
    await device.do('send', whole(1));
    await device.do('send', { body: '{"n":2}', system: { contentType: 'application/json' } });
    t.match(await message(world, { device: transport }, 1), atHub(1), transport);
    t.strictSame((await message(world, { device: transport }, 2)).properties, {}, 'and with none');
    await t.rejects(
      device.do('sendBatch', { bodies: ['a', 'b'] }),
      { name: 'NotImplementedError' },
      'the client itself',
    );
  }
});

t.test(
  'modules and a device behind a gateway: to the hub and to an input, also while the hub is away',
  { skip },
  async (t) => {
    const { world, puppets } = await place(t);
    await world.startHub();
    const toml = `[listeners]\ntls = "tls://${gatewayAddress}:${mqttPort}"\nwss = "wss://${gatewayAddress}:${httpsPort}"`;
    await world.provision(toml, gatewayAddress);
    await world.succeed('hub', 'device', 'create', 'leaf', '--parent', world.deviceId, ...world.hubDirs);
    await world.startGateway();
    const module = (name: string, transport: 'mqtt' | 'mqtt-ws') =>
      program(process.execPath, [puppetProgram], { env: { ...puppets.environment(name, transport) } });
    const toSink = 'INTO BrokeredEndpoint("/modules/sink/inputs/in")';
    const routes = {
      up: 'FROM /messages/* INTO $upstream',
      modules: `FROM /messages/modules/source/outputs/out WHERE plain = '1' AND $messageId = 'm 1/2' ${toSink}`,
      devices: `FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) AND $body.n > 0 ${toSink}`,
    };
    const modules = { source: module('source', 'mqtt'), sink: module('sink', 'mqtt-ws') };
    await world.deploy(manifest({ modules, routes }));
    const [source, sink] = await Promise.all([puppets.here('source'), puppets.here('sink')]);
    const text = (await world.succeed('hub', 'device', 'connection-string', 'leaf', ...world.hubDirs)).trim();
    const connection = `${text.replace(/;Port=\d+/, '')};GatewayHostName=${gatewayAddress}`;
    const leaf = await puppets.device('leaf', { connection, ca: join(world.dataDir, 'certs', 'authority.crt') });
    for (const puppet of [source, sink, leaf]) await puppet.do('open');
    await sink.do('onInput');
    const gateway = world.deviceId;

    const passes = async (n: number): Promise<void> => {
      const input = { input: 'in', body: JSON.stringify({ n }), properties, system: { ...system, expiryTimeUtc } };
      await source.do('send', { ...whole(n), output: 'out' });
      t.match(
        await sink.next('input'),
        { ...input, properties: { '$.cdid': gateway, '$.cmid': 'source' } },
        'of a module',
      );
      await leaf.do('send', whole(n));
      t.match(await sink.next('input'), { ...input, properties: { '$.cdid': 'leaf' } }, 'of a device');
    };
    const arrives = async (n: number): Promise<void> => {
      t.match(await message(world, { device: gateway, module: 'source' }, n), { ...atHub(n), output: 'out' });
      t.match(await message(world, { device: 'leaf' }, n), atHub(n));
    };

    await passes(1);
    await arrives(1);
    await world.killHub();
    await passes(2);
    await world.startHub();
    await arrives(2);
    await passes(3);
    await arrives(3);
  },
);
