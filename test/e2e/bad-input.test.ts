// What is malformed, damaged or meant to harm: it is told with its place and its mend, and all else goes on.

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { judge } from '../support/world/ledger.ts';
import { everythingUp, manifest, program, sensor } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const ticking = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done';
const modules = { sensor: sensor(50), ticker: program('/bin/sh', ['-c', ticking]) };

async function stage(t: Test): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision();
  await world.startGateway();
  await world.deploy(manifest({ modules }));
  await world.running('ticker');
  await world.messages('sensor', 3);
  return world;
}

/** Telemetry arrives that was sent after now. */
async function stillDelivers(world: World): Promise<void> {
  await world.messages('sensor', 5, await world.lastOffset());
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

t.test('a malformed manifest is refused whole, every fault with its path, and nothing changes', async (t) => {
  const world = await stage(t);
  const before = [await world.twin('$edgeAgent'), await world.twin('$edgeHub'), await world.twin('sensor')];
  const path = join(world.directory, 'bad.json');
  const bad = structuredClone(manifest({ modules })) as Record<string, Record<string, JsonObject>>;
  const agent = bad['modulesContent']?.['$edgeAgent']?.['properties.desired'] as Record<string, unknown>;
  agent['schemaVersion'] = 7;
  agent['modules'] = { 'a b': {}, sensor: { type: 'docker', status: 'walking', restartPolicy: 'often', settings: {} } };
  const hub = bad['modulesContent']?.['$edgeHub']?.['properties.desired'] as Record<string, unknown>;
  hub['routes'] = { one: 'TO nowhere', two: 5 };
  writeFileSync(path, JSON.stringify(bad));
  const { code, stderr, stdout } = await world.run('hub', 'deploy', '--device', world.deviceId, path, ...world.hubDirs);
  t.equal(code, 1);
  t.equal(stdout, '');
  for (const place of [
    '$.modulesContent.$edgeAgent["properties.desired"].schemaVersion: ',
    '$.modulesContent.$edgeAgent["properties.desired"].modules["a b"]: ',
    '$.modulesContent.$edgeAgent["properties.desired"].modules.sensor.status: ',
    '$.modulesContent.$edgeAgent["properties.desired"].modules.sensor.restartPolicy: ',
    '$.modulesContent.$edgeAgent["properties.desired"].modules.sensor.settings.image: ',
    '$.modulesContent.$edgeHub["properties.desired"].routes.one: ',
    '$.modulesContent.$edgeHub["properties.desired"].routes.two: ',
  ])
    t.ok(stderr.includes(place), `names ${place}`);

  writeFileSync(path, '{"modulesContent": {');
  const cut = await world.run('hub', 'deploy', '--device', world.deviceId, path, ...world.hubDirs);
  t.equal(cut.code, 1);
  t.match(cut.stderr, /JSON/);

  const after = [await world.twin('$edgeAgent'), await world.twin('$edgeHub'), await world.twin('sensor')];
  t.same(
    after.map(({ desired }) => desired),
    before.map(({ desired }) => desired),
    'no desired property changed, not even a version',
  );
  t.equal((await world.status()).deployment.code, 200);
  await stillDelivers(world);
});

t.test('modules that the gateway cannot take are told and change nothing; a route is left out and told', async (t) => {
  const world = await stage(t);
  const { pid } = await world.running('sensor');
  await world.deploy(
    manifest({
      modules: {
        ...modules,
        unknown: { ...program('weir:no-such-module') },
        odd: { type: 'firmware', status: 'running', restartPolicy: 'always', settings: {} },
        late: program('/bin/sh', ['-c', 'while :; do sleep 1; done']),
      },
      routes: {
        ...everythingUp,
        filtered: 'FROM /messages/* WHERE temperature > 5 INTO $upstream',
        astray: 'FROM /messages/* INTO nowhere',
      },
    }),
  );
  const agent = await world.eventually('the agent reports', async () => {
    const { reported } = await world.twin('$edgeAgent');
    return (reported['lastDesiredStatus'] as JsonObject | undefined)?.['code'] === 400 ? reported : undefined;
  });
  const told = String((agent['lastDesiredStatus'] as JsonObject)['description']);
  t.match(told, /modules\.unknown\.settings\.executable: .*simulated-temperature-sensor/, 'with what there is instead');
  t.match(told, /modules\.odd\.type: /);
  t.equal(agent['lastDesiredVersion'], (await world.twin('$edgeAgent')).desired['$version']);
  const routing = await world.eventually('the routes are reported', async () => {
    const { reported } = await world.twin('$edgeHub');
    return (reported['lastDesiredStatus'] as JsonObject | undefined)?.['code'] === 400 ? reported : undefined;
  });
  const routes = String((routing['lastDesiredStatus'] as JsonObject)['description']);
  t.match(routes, /routes\.filtered: .*character 36: .*as_number\(temperature\)/);
  t.match(routes, /routes\.astray: /);

  const shown = await world.succeed('hub', 'twin', 'show', world.deviceId, '$edgeAgent', ...world.hubDirs);
  t.match(shown, /"code": 400/, 'weir hub twin show tells it');
  const status = await world.succeed('status', ...world.gatewayDirs);
  t.match(status, /not applied \(400\).*modules\.unknown/, 'weir status tells it');
  t.equal(await world.module('late'), undefined, 'a deployment is carried out whole or not at all');
  t.equal((await world.running('sensor')).pid, pid, 'what ran before is not touched');
  await stillDelivers(world);

  await world.deploy(manifest({ modules }));
  await world.eventually('a good deployment is good again', async () => {
    const { reported } = await world.twin('$edgeAgent');
    return (reported['lastDesiredStatus'] as JsonObject)['code'] === 200 || undefined;
  });
});

t.test('a configuration that cannot be used is told with line and column, and the mend', async (t) => {
  const world = new World();
  t.teardown(() => world.close());
  const { configPath } = world;
  writeFileSync(configPath, 'hostname = "gw"\n[store]\nquota = = 5\n');
  const syntax = await world.run('run', ...world.gatewayDirs);
  t.equal(syntax.code, 1);
  t.ok(syntax.stderr.includes(`${configPath}:3:9`), 'line and column of the fault');
  t.match(syntax.stderr, /\[CONFIG_SYNTAX\]/);

  writeFileSync(
    configPath,
    'hostnam = "gw"\n[store]\nquota = "512"\n[log]\nlevel = "loud"\n[listeners]\ntls = "8883"\n',
  );
  const values = await world.run('run', ...world.gatewayDirs);
  t.equal(values.code, 1);
  for (const place of [':3:1: store.quota: ', ':5:1: log.level: ', ':7:1: listeners.tls: '])
    t.ok(values.stderr.includes(`${configPath}${place}`), `all at once: ${place}`);
  t.match(values.stderr, /512MiB/, 'says what is allowed');
  t.match(values.stderr, /\[CONFIG_INVALID\]/);
  const judged = await world.run('config', 'check', ...world.gatewayDirs);
  t.equal(judged.code, 1);
  t.match(judged.stdout, /warning.*hostnam.*hostname/, 'an unknown key is warned of, with the nearest name');
  const checked = await world.run('check', '--only', 'config-well-formed', '--json', ...world.gatewayDirs);
  t.equal(checked.code, 1);
  t.match(JSON.parse(checked.stdout), {
    checks: [{ id: 'config-well-formed', result: 'fail', cause: /:3:1: store.quota/ }],
  });

  const missing = await world.run('run', '--config', join(world.directory, 'none.toml'), ...world.gatewayDirs.slice(2));
  t.equal(missing.code, 1);
  t.match(missing.stderr, /weir config init/, 'a missing file: what to do');
});

/** Sends and closes; what the other side does with it is its business. */
function throwAt(socket: Socket, pieces: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.on('data', () => undefined);
    for (const piece of pieces) socket.write(piece);
    socket.end();
  });
}

function garbage(): readonly (readonly Uint8Array[])[] {
  const connectPacket = Buffer.from('101700044d51545404020000000b6e6f626f64792f6e6f7065', 'hex');
  return [
    [Buffer.alloc(0)],
    [Buffer.from([0x10])],
    [Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff])],
    [Buffer.from('00000000', 'hex')],
    [connectPacket.subarray(0, 9)],
    [connectPacket],
    [connectPacket, Buffer.from('3005000561', 'hex')],
    [connectPacket, connectPacket, randomBytes(4096)],
    [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ...Array.from({ length: 20 }, () => [randomBytes(300), randomBytes(3)]),
    [randomBytes(300_000)],
  ];
}

t.test('garbage and half packets at both brokers disturb nobody', async (t) => {
  const world = await stage(t);
  const { pid } = await world.running('sensor');
  const { hub: before } = (await world.status()) as unknown as { readonly hub: { readonly sinceMs: number } };
  const port = world.hubPort;
  const ca = readFileSync(join(world.directory, 'hub', 'certs', 'hub-ca.pem'));
  for (const pieces of garbage()) {
    await throwAt(connect(join(world.runDir, 'mqtt.sock')), pieces);
    await throwAt(connect(port, '127.0.0.1'), pieces);
    await throwAt(connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca }), pieces);
    await throwAt(connect(join(world.runDir, 'admin.sock')), pieces);
    await throwAt(connect(join(world.directory, 'hub', 'run', 'hub.sock')), pieces);
    await throwAt(connect(join(world.runDir, 'modules', 'sensor', 'api', 'workload.sock')), pieces);
  }
  // Some that never end: half a packet, and then nothing more while all else goes on.
  const idle = Array.from({ length: 20 }, () => connect(join(world.runDir, 'mqtt.sock')));
  for (const socket of idle) socket.on('error', () => undefined).write(Buffer.from([0x10, 0x20, 0x00]));
  await stillDelivers(world);
  for (const socket of idle) socket.destroy();
  const { hub: after } = (await world.status()) as unknown as { readonly hub: { readonly sinceMs: number } };
  t.equal(after.sinceMs, before.sinceMs, 'the link to the hub never broke');
  t.equal((await world.running('sensor')).pid, pid);
  const log = await world.succeed('logs', 'sensor', ...world.gatewayDirs);
  t.notMatch(log, /disconnected from the broker/, 'the module kept its connection');
  const verdict = judge(await world.events(), []);
  t.same(verdict.faults, []);
  t.ok(world.gateway?.running && world.hub?.running, 'both still run');
});

t.test('a request body without end on the admin socket is refused, the daemon goes on', async (t) => {
  const world = await stage(t);
  // Who still writes when the connection is closed may miss the answer.
  const answer = await world.eventually('the answer', () =>
    world.adminCall('POST', '/modules/sensor/restart', 'x'.repeat(5_000_000)).catch(() => undefined),
  );
  t.equal(answer.status, 413);
  t.match(answer.body, /over \d+ bytes/);
  t.match(await world.adminCall('GET', '/no/such/thing'), { status: 404 });
  t.match(await world.adminCall('DELETE', '/status'), { status: 405 });
  t.match(await world.adminCall('POST', '/modules/nobody/restart'), { status: 404 });
  await stillDelivers(world);
});

t.test('a damaged store is put aside; the gateway starts, fetches its deployment and delivers', async (t) => {
  const world = await stage(t);
  await world.killGateway();
  const file = join(world.dataDir, 'weir.db');
  const bytes = statSync(file).size;
  writeFileSync(file, randomBytes(bytes));
  writeFileSync(`${file}-wal`, randomBytes(20_000));
  await world.startGateway();
  t.equal(readdirSync(join(world.dataDir, 'quarantine')).length >= 1, true, 'the damaged file is kept');
  await world.eventually('the deployment came from the hub', async () => {
    return (await world.status()).deployment.code === 200 || undefined;
  });
  await stillDelivers(world);
  const checked = await world.run('check', '--only', 'store-openable', '--json', ...world.gatewayDirs);
  t.match(JSON.parse(checked.stdout), { checks: [{ id: 'store-openable', result: 'warn' }] });
  await world.running('ticker');

  // Without the hub the last good deployment is in force: it is in a second file.
  const { pid } = await world.running('ticker');
  await world.killHub();
  await world.killGateway();
  writeFileSync(file, 'not a database');
  await world.startGateway();
  t.equal((await world.running('ticker')).pid, pid, 'what runs is left running');
  t.match((await world.status()).deployment, { code: 200 }, 'the last good deployment is known without the hub');
  // Without that file as well, and SQLite's log, it is lost; what runs is left running, and the start succeeds.
  await world.killGateway();
  for (const name of ['weir.db', 'weir.db-wal', 'state.json', 'state.json.bak'])
    writeFileSync(join(world.dataDir, name), 'nonsense');
  await world.startGateway();
  t.equal((await world.running('ticker')).pid, pid, 'what runs is left running until somebody says otherwise');
  await world.startHub();
  await stillDelivers(world);
});

t.test('a damaged key and damaged records cost a restart of a module at most', async (t) => {
  const world = await stage(t);
  const sensorBefore = await world.running('sensor');
  const tickerBefore = await world.running('ticker');
  await world.killGateway();
  truncateSync(join(world.dataDir, 'local.key'), 5);
  writeFileSync(join(world.runDir, 'modules', 'sensor', 'supervision.json'), randomBytes(200));
  writeFileSync(join(world.runDir, 'modules', 'sensor', 'state.json'), '{"pid":');
  writeFileSync(join(world.runDir, 'modules', 'ticker', 'state.json'), randomBytes(50));
  await world.startGateway();
  await stillDelivers(world);
  t.ok(existsSync(join(world.dataDir, 'local.key.damaged')), 'the damaged key is kept');
  const sensorAfter = await world.running('sensor');
  t.ok(
    sensorAfter.pid === sensorBefore.pid || !isAlive(sensorBefore.pid),
    'there are never two processes of one module',
  );
  const tickerAfter = await world.running('ticker');
  t.equal(tickerAfter.pid, tickerBefore.pid, 'a module whose shim answers is adopted without its record');
});

t.test('a damaged log of the hub is refused with the mend, never set aside silently', async (t) => {
  const world = await stage(t);
  await world.hub?.end('SIGTERM');
  const file = join(world.directory, 'hub', 'hub.db');
  const kept = readFileSync(file);
  writeFileSync(file, randomBytes(kept.length));
  const refused = await world.run('hub', 'start', ...world.hubDirs, '--mqtt-host', '127.0.0.1', '--mqtt-port', '0');
  t.equal(refused.code, 1);
  t.ok(refused.stderr.includes(file), 'names the file');
  writeFileSync(file, kept);
  await world.startHub();
  await stillDelivers(world);
});
