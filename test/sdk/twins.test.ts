// Twins with Microsoft's clients, unmodified, as programs of their own: a device at the hub itself; a module and a
// device behind a gateway, with the hub, while it is away, and over a restart of either.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { readyMs, World } from '../support/world/world.ts';
import { type Puppet, Puppets, puppetProgram } from './puppets.ts';
import { mqttPort, portsTaken } from './sdk-place.ts';

const hubAddress = '127.0.0.89';
const gatewayAddress = '127.0.0.85';
const skip = (await portsTaken(hubAddress, [mqttPort])) || (await portsTaken(gatewayAddress, [mqttPort]));

interface SdkTwin {
  readonly desired: JsonObject;
  readonly reported: JsonObject;
}

const twinOf = async (client: Puppet): Promise<SdkTwin> => (await client.do('twin')) as SdkTwin;

/** Waits until the client was told a patch that holds this; a client also tells what was there when it began. */
async function told(client: Puppet, name: string, value: unknown): Promise<JsonObject> {
  for (;;) {
    const patch = (await client.next('desired'))['patch'] as JsonObject;
    if (JSON.stringify(patch[name]) === JSON.stringify(value)) return patch;
  }
}

async function place(t: Test): Promise<{ readonly world: World; readonly puppets: Puppets }> {
  const world = new World({ name: 'twins' });
  const puppets = new Puppets();
  t.teardown(async () => {
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  return { world, puppets };
}

/** The twin at the hub, as the command shows it, once it passes. */
function atHub(world: World, who: readonly string[], passes: (twin: SdkTwin) => boolean): Promise<SdkTwin> {
  return world.eventually(`the twin of ${who.join('/')} at the hub`, async () => {
    const text = await world.succeed('hub', 'twin', 'show', ...who, ...world.hubDirs);
    const { properties } = JSON.parse(text) as { readonly properties: SdkTwin };
    return passes(properties) ? properties : undefined;
  });
}

const update = (world: World, who: readonly string[], desired: JsonObject): Promise<string> =>
  world.succeed('hub', 'twin', 'update', ...who, '--desired', JSON.stringify(desired), ...world.hubDirs);

t.test('a device at the hub reads, reports and is told, also after the hub was away', { skip }, async (t) => {
  const { world, puppets } = await place(t);
  const startHub = async (): Promise<void> => {
    const options = ['--hostname', hubAddress, '--mqtt-host', hubAddress, '--mqtt-port', String(mqttPort), '--json'];
    world.hub = world.start('hub', 'start', ...world.hubDirs, ...options);
    await world.hub.line('"mqttPort"', readyMs);
  };
  await startHub();
  await world.succeed('hub', 'device', 'create', 'plc', ...world.hubDirs);
  await update(world, ['plc'], { period: 1, limits: { low: 1, high: 9 } });
  const text = (await world.succeed('hub', 'device', 'connection-string', 'plc', ...world.hubDirs)).trim();
  const ca = join(world.directory, 'hub', 'certs', 'hub-ca.pem');
  const plc = await puppets.device('plc', { connection: text.replace(/;Port=\d+/, ''), ca });
  await plc.do('open');
  t.strictSame(await twinOf(plc), {
    desired: { period: 1, limits: { low: 1, high: 9 }, $version: 2 },
    reported: { $version: 1 },
  });
  await plc.do('onDesired');
  await told(plc, 'period', 1);
  await update(world, ['plc'], { limits: { low: null }, list: [1, 2] });
  t.strictSame(await told(plc, 'list', [1, 2]), { limits: { low: null }, list: [1, 2], $version: 3 });
  t.match(await plc.do('desired'), { period: 1, limits: { high: 9 }, list: [1, 2] });
  await plc.do('report', { patch: { firmware: { version: '1', beta: true }, old: 1 } });
  await plc.do('report', { patch: { firmware: { beta: null }, old: null } });
  const { reported } = await atHub(world, ['plc'], (twin) => twin.reported['$version'] === 3);
  t.match(reported, { firmware: { version: '1' }, $metadata: { firmware: { version: { $lastUpdated: /^20/ } } } });
  t.notOk('old' in reported);
  for (const patch of [{ 'a.b': 1 }, { list: [null] }, { big: 'x'.repeat(4097) }])
    await t.rejects(plc.do('report', { patch }), { message: /refused|not changed/ }, Object.keys(patch)[0] ?? '');

  await world.killHub();
  await startHub();
  const again = async (): Promise<true | undefined> => {
    await update(world, ['plc'], { after: 'the hub' });
    return (await plc.do('desired').then((desired) => (desired as JsonObject)['after'])) === 'the hub' || undefined;
  };
  await world.eventually('the device is told again', again);
  await plc.do('report', { patch: { after: 'the hub' } });
  await atHub(world, ['plc'], (twin) => twin.reported['after'] === 'the hub');
});

t.test('a module and a device behind a gateway, with and without the hub', { skip }, async (t) => {
  const { world, puppets } = await place(t);
  await world.startHub();
  await world.provision(`[listeners]\ntls = "tls://${gatewayAddress}:${mqttPort}"`, gatewayAddress);
  await world.succeed('hub', 'device', 'create', 'leaf', '--parent', world.deviceId, ...world.hubDirs);
  await update(world, ['leaf'], { period: 1 });
  await world.startGateway();
  const pump = program(process.execPath, [puppetProgram], { env: { ...puppets.environment('pump') } });
  await world.deploy(manifest({ modules: { pump }, twins: { pump: { period: 1 } } }));
  const text = (await world.succeed('hub', 'device', 'connection-string', 'leaf', ...world.hubDirs)).trim();
  const connection = `${text.replace(/;Port=\d+/, '')};GatewayHostName=${gatewayAddress}`;
  const ca = join(world.dataDir, 'certs', 'authority.crt');
  const module = await puppets.here('pump');
  const leaf = await puppets.device('leaf', { connection, ca });
  const both = [
    { client: module, who: [world.deviceId, 'pump'] },
    { client: leaf, who: ['leaf'] },
  ] as const;

  await t.test('the first answer is what the hub has; changes and reports pass', async (t) => {
    for (const { client, who } of both) {
      await client.do('open');
      t.match(await twinOf(client), { desired: { period: 1, $version: 2 }, reported: { $version: Number } });
      await client.do('onDesired');
      await told(client, 'period', 1);
      await update(world, who, { period: 2, extra: { a: 1 } });
      t.match(await told(client, 'period', 2), { extra: { a: 1 }, $version: 3 });
      await client.do('report', { patch: { speed: 1, old: 1 } });
      await client.do('report', { patch: { speed: 2, old: null } });
      const { reported } = await atHub(world, who, (twin) => twin.reported['speed'] === 2);
      t.notOk('old' in reported);
      await t.rejects(client.do('report', { patch: { 'a.b': 1 } }), { message: /refused/ });
    }
    const { reported } = await atHub(
      world,
      [world.deviceId, '$edgeHub'],
      (twin) => Object.keys((twin.reported['clients'] ?? {}) as object).length === 2,
    );
    t.match(reported['clients'], {
      leaf: { status: 'Connected' },
      [`${world.deviceId}/pump`]: { status: 'Connected' },
    });
  });

  await t.test(
    'while the hub is away twins are served and reports taken; when it is back both ends meet',
    async (t) => {
      await world.killHub();
      for (const { client } of both) {
        await client.do('report', { patch: { speed: 3, offline: true } });
        await client.do('report', { patch: { speed: 4 } });
        t.match(await twinOf(client), { desired: { period: 2 }, reported: { speed: 4, offline: true } });
        await client.do('onDesired');
      }
      await world.startHub();
      for (const { client, who } of both) {
        await update(world, who, { period: 3, extra: null });
        t.match(await told(client, 'period', 3), { extra: null });
        await atHub(world, who, (twin) => twin.reported['speed'] === 4 && twin.reported['offline'] === true);
      }
    },
  );

  await t.test(
    'what changes while the gateway is down reaches them when it is back, without being asked',
    async (t) => {
      await world.killGateway();
      for (const { who } of both) await update(world, who, { period: 4 });
      await world.startGateway();
      for (const { client } of both) {
        t.match(await told(client, 'period', 4), { $version: 5 });
        t.match(await client.do('desired'), { period: 4 });
      }
    },
  );
});
