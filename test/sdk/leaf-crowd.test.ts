// Two hundred devices behind a gateway with Microsoft's client, and twenty modules on it, at once.

import { join } from 'node:path';
import t from 'tap';
import { manifest, sensor } from '../support/world/manifest.ts';
import { Program } from '../support/world/program.ts';
import { World } from '../support/world/world.ts';
import { Puppets } from './puppets.ts';
import { mqttPort, portsTaken } from './sdk-place.ts';

const address = '127.0.0.84';
const skip = await portsTaken(address, [mqttPort]);
const leafProgram = join(process.cwd(), 'test/sdk/programs/leaf.mjs');
const leafCount = 200;
const moduleCount = 20;
const messagesEach = 5;
const crowdMs = 180_000;

t.test('two hundred devices and twenty modules at once', { skip }, async (t) => {
  const world = new World({ name: 'crowd' });
  const puppets = new Puppets();
  const programs: Program[] = [];
  t.teardown(async () => {
    for (const started of programs) await started.end('SIGKILL');
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  await world.startHub();
  await world.provision(`[listeners]\ntls = "tls://${address}:${mqttPort}"`, address);
  const gateway = await world.hubCall('GET', `/devices/${world.deviceId}`);
  const { deviceScope } = JSON.parse(gateway.body) as { readonly deviceScope: string };
  const names = Array.from({ length: leafCount }, (_, index) => `leaf-${index}`);
  const connections: Record<string, string> = {};
  for (const name of names) {
    const made = await world.hubCall('PUT', `/devices/${name}`, JSON.stringify({ parentScopes: [deviceScope] }));
    const device = JSON.parse(made.body) as {
      readonly authentication: { readonly symmetricKey: { readonly primaryKey: string } };
    };
    const key = device.authentication.symmetricKey.primaryKey;
    connections[name] = `HostName=localhost;DeviceId=${name};SharedAccessKey=${key};GatewayHostName=${address}`;
  }
  await world.startGateway();
  const modules = Object.fromEntries(Array.from({ length: moduleCount }, (_, index) => [`m${index}`, sensor(900)]));
  await world.deploy(manifest({ modules }));
  programs.push(new Program([process.execPath, leafProgram], puppets.environment('leafs')));
  const leafs = await puppets.here('leafs');
  const ca = join(world.dataDir, 'certs', 'authority.crt');
  await world.eventually('the scope', () => world.gateway?.stdout.includes(`identities=${leafCount}`) || undefined);
  t.equal(await leafs.do('openMany', { connections, ca }), leafCount);
  await leafs.do('sendAll', { count: messagesEach });
  t.equal(leafs.count('disconnect'), 0);
  const events = await world.eventually(
    'every message of every device, and one of every module',
    async () => {
      const found = await world.events();
      const senders = new Set(found.map(({ deviceId, moduleId }) => `${deviceId}/${moduleId ?? ''}`));
      const ofLeafs = found.filter(({ deviceId }) => deviceId !== world.deviceId).length;
      return ofLeafs === leafCount * messagesEach && senders.size === leafCount + moduleCount ? found : undefined;
    },
    crowdMs,
  );
  for (const name of names) {
    const own = events.filter(({ deviceId }) => deviceId === name).map(({ body }) => (body as { n: number }).n);
    if (own.join() !== '1,2,3,4,5') t.fail(`${name} sent ${own.join()}`);
  }
  await world.eventually('the report of $edgeHub', async () => {
    const { reported } = await world.twin('$edgeHub');
    const clients = (reported['clients'] ?? {}) as Record<string, { readonly status: string }>;
    const connected = names.filter((name) => clients[name]?.status === 'Connected').length;
    return connected > 0 || undefined;
  });
  t.equal(
    (await world.status()).queues.flatMap(({ dropped }) => Object.values(dropped)).reduce((a, b) => a + b, 0),
    0,
  );
});
