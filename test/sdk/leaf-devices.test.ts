// Devices behind a gateway with Microsoft's client, unmodified: MQTT and MQTT over WebSocket, keys and certificates,
// while the hub is there, away and back, and over a restart of the gateway.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { certificateFacts, createAuthority, issueIdentityCertificate } from '../../src/identity/certificate.ts';
import { manifest } from '../support/world/manifest.ts';
import { Program } from '../support/world/program.ts';
import { type HubEvent, World } from '../support/world/world.ts';
import { type Puppet, Puppets } from './puppets.ts';
import { httpsPort, mqttPort, portsTaken } from './sdk-place.ts';

const address = '127.0.0.83';
const skip = await portsTaken(address, [mqttPort, httpsPort]);
const leafProgram = join(process.cwd(), 'test/sdk/programs/leaf.mjs');

/** What the hub has of a device, without repetitions (a client repeats what it saw no acknowledgement for). */
function numbersOf(events: readonly HubEvent[], deviceId: string): readonly number[] {
  const numbers = events.filter((event) => event.deviceId === deviceId).map(({ body }) => (body as { n: number }).n);
  return numbers.filter((n, index) => numbers.indexOf(n) === index);
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

t.test('devices behind a gateway', { skip }, async (t) => {
  const world = new World({ name: 'leaf' });
  const puppets = new Puppets();
  let program: Program | undefined;
  t.teardown(async () => {
    await program?.end('SIGKILL');
    await puppets.close();
    await world.close();
  });
  await puppets.start();
  await world.startHub();
  const authority = await createAuthority({ commonName: 'plant CA', days: 10, nowMs: Date.now() });
  const issued = await issueIdentityCertificate({
    authority,
    commonName: 'cam-ca',
    uri: 'urn:cam',
    days: 5,
    nowMs: Date.now(),
  });
  const own = await createAuthority({ commonName: 'cam', days: 10, nowMs: Date.now() });
  // As `openssl x509 -fingerprint -sha256` prints it.
  const thumbprint = certificateFacts(own.certificatePem).fingerprint;
  const toml = `[listeners]\ntls = "tls://${address}:${mqttPort}"\nwss = "wss://${address}:${httpsPort}"`;
  await world.provision(toml, address);
  trustAlso(world, authority.certificatePem);
  const hub = (...args: readonly string[]): Promise<string> => world.succeed('hub', ...args, ...world.hubDirs);
  const parent = ['--parent', world.deviceId];
  for (const leaf of ['tcp', 'ws', 'busy']) await hub('device', 'create', leaf, ...parent);
  await hub('device', 'create', 'cam', ...parent, '--auth-method', 'x509_thumbprint', '--ptp', thumbprint);
  await hub('device', 'create', 'cam-ca', ...parent, '--auth-method', 'x509_ca');
  await hub('device', 'create', 'stranger');
  await world.startGateway();
  await world.deploy(manifest({ modules: {} }));
  const ca = join(world.dataDir, 'certs', 'authority.crt');
  const connections = new Map<string, string>();
  for (const leaf of ['tcp', 'ws', 'busy', 'stranger']) {
    const text = (await hub('device', 'connection-string', leaf)).trim();
    connections.set(leaf, `${text.replace(/;Port=\d+/, '')};GatewayHostName=${address}`);
  }
  // With a certificate this client takes no GatewayHostName: its hub is the gateway then.
  for (const leaf of ['cam', 'cam-ca']) connections.set(leaf, `HostName=${address};DeviceId=${leaf};x509=true`);
  program = new Program([process.execPath, leafProgram], puppets.environment('leafs'));
  const leafs: Puppet = await puppets.here('leafs');
  const open = async (client: string, fields: object = {}): Promise<void> => {
    await leafs.do('open', { client, connection: connections.get(client), ca, ...fields });
  };
  await world.eventually(
    'the gateway knows its devices',
    () => world.gateway?.stdout.includes('from=hub') || undefined,
  );

  /** A new listener is told what is desired already; then come changes. */
  const heard = async (client: string, rate: number): Promise<void> => {
    for (;;) {
      const { patch } = await leafs.next(`desired ${client}`);
      if ((patch as { readonly rate?: number }).rate === rate) return;
    }
  };

  await t.test('by key over MQTT and over WebSocket: telemetry and twin', async (t) => {
    await open('tcp');
    await open('ws', { transport: 'mqtt-ws' });
    for (const client of ['tcp', 'ws']) {
      await leafs.do('send', { client, count: 3 });
      await leafs.do('report', { client, patch: { firmware: client } });
      await leafs.do('onDesired', { client });
    }
    for (const client of ['tcp', 'ws']) {
      const events = await world.eventually(`three messages of ${client}`, async () => {
        const own = (await world.events()).filter(({ deviceId }) => deviceId === client);
        return own.length === 3 ? own : undefined;
      });
      t.same(numbersOf(events, client), [1, 2, 3]);
      t.match(events[0], { moduleId: null, properties: { from: client } });
      await world.eventually(
        'its twin at the hub',
        async () => /"firmware": ?"/.test(await hub('twin', 'show', client)) || undefined,
      );
      const patch = JSON.stringify({ properties: { desired: { rate: 7 } } });
      t.equal((await world.hubCall('PATCH', `/twins/${client}`, patch)).status, 200);
      await heard(client, 7);
    }
  });

  await t.test(
    'by certificate: its thumbprint, or an authority that is trusted; a stranger is told apart',
    async (t) => {
      await open('cam', { cert: own.certificatePem, key: own.privateKeyPem });
      await open('cam-ca', { cert: issued.certificatePem, key: issued.privateKeyPem });
      for (const client of ['cam', 'cam-ca']) {
        await leafs.do('send', { client, count: 1 });
        await world.eventually(
          `a message of ${client}`,
          async () => (await world.events()).some(({ deviceId }) => deviceId === client) || undefined,
        );
        await leafs.do('close', { client });
      }
      await t.rejects(
        leafs.do('open', {
          client: 'x',
          connection: connections.get('cam'),
          ca,
          cert: issued.certificatePem,
          key: issued.privateKeyPem,
        }),
        { name: 'UnauthorizedError' },
        'a certificate of somebody else',
      );
      await t.rejects(open('stranger'), { name: 'UnauthorizedError' });
      await world.eventually(
        'the mend in the log',
        () => world.gateway?.stdout.includes(`weir hub device set-parent stranger ${world.deviceId}`) || undefined,
      );
    },
  );

  await t.test('a client that renews its token comes back to its subscriptions', async (t) => {
    await leafs.do('close', { client: 'ws' });
    await open('ws', { renewal: { validSeconds: 63, marginSeconds: 60 } });
    await leafs.do('onDesired', { client: 'ws' });
    const connects = (): number =>
      (world.gateway?.stdout.match(/client=ws .*connected|connected.*client=ws /g) ?? []).length;
    const before = connects();
    await world.eventually('a renewal', async () => {
      await leafs.do('send', { client: 'ws', count: 1 });
      return connects() > before + 1 || undefined;
    });
    const patch = JSON.stringify({ properties: { desired: { rate: 8 } } });
    await world.hubCall('PATCH', '/twins/ws', patch);
    await heard('ws', 8);
    t.equal(leafs.count('disconnect'), 0, 'it renews by itself, and nobody notices');
    await leafs.do('close', { client: 'ws' });
  });

  await t.test('nothing is lost or reordered while the hub is away and the gateway restarts', async (t) => {
    await open('busy');
    await leafs.do('startSending', { client: 'busy', everyMs: 5 });
    await world.eventually(
      'the first messages',
      async () => numbersOf(await world.events(), 'busy').length > 5 || undefined,
    );
    await world.killHub();
    await leafs.do('send', { client: 'tcp', count: 20 });
    await world.stopGateway();
    await world.startGateway();
    await open('cam', { cert: own.certificatePem, key: own.privateKeyPem });
    await leafs.do('send', { client: 'cam', count: 2 });
    await world.startHub();
    const sent = (await leafs.do('stopSending', { client: 'busy' })) as number;
    t.ok(sent > 10, `${sent} messages`);
    const events = await world.eventually('all messages', async () => {
      const found = await world.events();
      return numbersOf(found, 'busy').length === sent && numbersOf(found, 'tcp').length === 23 ? found : undefined;
    });
    t.same(numbersOf(events, 'busy'), upTo(sent), 'in order, as after its own acknowledgements');
    t.same(numbersOf(events, 'tcp'), upTo(23));
    t.equal(leafs.count('send-failed'), 0);
  });

  await t.test('a device that the hub lets connect no more is cut off, and let in again', async (t) => {
    const refused = async (what: string): Promise<void> => {
      await world.eventually(
        what,
        () =>
          /client=tcp .*the hub lets it connect no more|the hub lets it connect no more.*client=tcp/.test(
            world.gateway?.stdout ?? '',
          ) || undefined,
      );
    };
    const connection = connections.get('tcp');
    await hub('device', 'update', 'tcp', '--status', 'disabled');
    await refused('it is cut off');
    await t.rejects(leafs.do('open', { client: 'again', connection, ca }), { name: 'UnauthorizedError' });
    await hub('device', 'update', 'tcp', '--status', 'enabled');
    await world.eventually('it may come again', () =>
      leafs.do('open', { client: 'again', connection, ca }).then(
        () => true,
        () => undefined,
      ),
    );
    await hub('device', 'delete', 'tcp');
    const noMore = { client: 'once more', connection, ca };
    await world.eventually('it is a stranger now', () =>
      leafs.do('open', noMore).then(
        () => undefined,
        () => true,
      ),
    );
  });

  await t.test('what a device left behind when it was deleted is not lost, and blocks nobody', async (t) => {
    await open('ws', { transport: 'mqtt-ws' });
    world.line.cut();
    await leafs.do('send', { client: 'ws', count: 2 });
    await leafs.do('send', { client: 'busy', count: 1 });
    const sent = await leafs.do('stopSending', { client: 'busy' });
    await hub('device', 'delete', 'ws');
    world.line.mend();
    const left = await world.eventually('the last message of another device, and what was left', async () => {
      const found = await world.events();
      const ofWs = found.filter(({ properties }) => properties['weir-sender'] === 'ws');
      return numbersOf(found, 'busy').at(-1) === sent && ofWs.length >= 2 ? ofWs : undefined;
    });
    t.match(left, [
      { deviceId: world.deviceId, moduleId: '$edgeHub' },
      { deviceId: world.deviceId, moduleId: '$edgeHub' },
    ]);
    t.equal(left.length, 2);
    await world.eventually('it is a stranger now', () =>
      leafs.do('open', { client: 'x', connection: connections.get('ws'), ca }).then(
        () => undefined,
        () => true,
      ),
    );
  });
});

/** The gateway's trust bundle gets one more authority. */
function trustAlso(world: World, pem: string): void {
  const bundle = join(world.directory, 'trust.pem');
  const hubCa = join(world.directory, 'hub', 'certs', 'hub-ca.pem');
  writeFileSync(bundle, `${readFileSync(hubCa, 'utf8')}\n${pem}`);
  const config = readFileSync(world.configPath, 'utf8').replace(hubCa, bundle);
  writeFileSync(world.configPath, config, { mode: 0o600 });
}
